import Compression
import Crypto
import ExportCore
import Formats
import Model

/// A parcel as it is stored.
struct S3Object: Sendable {
    var key: String
    /// What is uploaded.
    var body: SealedBytes
    /// The records before compression.
    var plain: SealedBytes
    /// SHA-256 of the body, hexadecimal.
    var payloadHash: String
    /// The same in base 64.
    var checksum: String
    var records: Int
}

/// Makes objects of parcels: hashes and compresses off the data path's actors, one parcel at a time.
actor S3Packer {
    private let keys: S3Key
    private let compression: CompressionKind
    private var compressor: Gzip.Compressor?

    init(keys: S3Key, compression: CompressionKind) {
        self.keys = keys
        self.compression = compression
    }

    /// The object of `parcel`.
    func pack(_ parcel: Parcel) throws(Refusal) -> S3Object {
        let plain = parcel.body()
        do {
            let content = try SHA256.hash(plain.span)
            let isPlain = compression == .none
            let body = isPlain ? plain : try compressed(plain)
            let digest = isPlain ? content : try SHA256.hash(body.span)
            return S3Object(
                key: keys.name(earliest: parcel.batch.earliest, sha256: Hexadecimal.encode(content)), body: body,
                plain: plain,
                payloadHash: Hexadecimal.encode(digest), checksum: Base64.encode(digest), records: parcel.count)
        } catch {
            let reason = Reason(code: "s3-pack", message: "\(error)")
            throw Refusal(verdict: .retry(reason, retryAfterMilliseconds: nil))
        }
    }

    private func compressed(_ bytes: SealedBytes) throws(CompressionError) -> SealedBytes {
        if compressor == nil { compressor = try Gzip.Compressor() }
        guard let packed = try compressor?.compress(bytes.span) else { return try Gzip.compress(bytes.span) }
        return packed
    }

    /// Whether a stored object holds the same records, however it was compressed.
    nonisolated func holds(_ stored: [UInt8], sameAs object: S3Object) -> Bool {
        if stored == object.body.array { return true }
        guard compression == .gzip else { return false }
        let plain = try? Gzip.decompress(stored.span, limit: object.plain.count)
        return plain == object.plain.array
    }
}
