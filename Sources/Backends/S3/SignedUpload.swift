public import Crypto
public import Formats
public import Model

/// A request that stores an object, built and signed as ``S3Backend`` does: for whoever measures what that costs.
@_spi(Benchmarks) public struct SignedUpload: Sendable {
    private let builder: S3RequestBuilder
    private let signer: SigV4
    private let object: S3Object

    /// An object for `target`, signed with credentials that open nothing.
    /// - Parameter time: seconds since 1970.
    public init(to target: Target, stamp: ExportStamp, at time: Int64) {
        let encoder = FormatEncoder(target.format, stamp: stamp, options: target.formatOptions)
        builder = S3RequestBuilder(target: target, encoder: encoder, cluster: stamp.cluster)
        let credentials = AWSCredentials(
            accessKeyID: Secret("AKIAIOSFODNN7EXAMPLE"),
            secretAccessKey: Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
        signer = SigV4(credentials: credentials, region: target.s3.region, time: time)
        let earliest = Timestamp(seconds: time, nanoseconds: 0)
        object = S3Object(
            key: builder.keys.name(earliest: earliest, sha256: SigV4.emptyPayloadHash), body: SealedBytes([]),
            plain: SealedBytes([]), payloadHash: SigV4.emptyPayloadHash,
            checksum: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", records: 0)
    }

    /// Makes the request once: how many header fields it has, its authorization included.
    public func make() throws(CryptoError) -> Int {
        try signer.sign(builder.put(object, now: signer.time)).count
    }
}
