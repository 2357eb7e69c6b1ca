import Crypto
public import Formats
import HTTPClient
public import Model

/// Writes records and builds the requests that S3 gets ("PutObject", Amazon S3 API Reference).
///
/// Every object is encrypted by KMS, locked in COMPLIANCE mode from the moment of its upload, carries its SHA-256, which
/// Object Lock demands and S3 checks, and never takes the place of another.
public struct S3RequestBuilder: Sendable {
    let encoder: FormatEncoder
    private let settings: S3Settings
    let address: S3Address
    let keys: S3Key
    private let format: S3Key.FormatName
    private let isCompressed: Bool
    private let context: String?

    /// A builder for `target`.
    public init(target: Target, encoder: FormatEncoder, cluster: String) {
        self.encoder = encoder
        settings = target.s3
        address = S3Address(target)
        isCompressed = target.compression == .gzip
        format = Self.format(target.format)
        keys = S3Key(prefix: target.s3.prefix, cluster: cluster, format: format, isCompressed: isCompressed)
        context = target.s3.kmsContext.isEmpty ? nil : Self.context(target.s3.kmsContext)
    }

    /// Appends one line with its end.
    ///
    /// - Parameter text: the record in the target's format, if somebody else has written it already.
    public func append(
        _ record: borrowing ProbeResult, of bytes: Span<UInt8>, as text: Span<UInt8>? = nil, into out: inout ByteWriter
    ) {
        encoder.encode(record, of: bytes, as: text, into: &out)
        out.append(0x0A)
    }

    /// The bucket with its key, as people name it.
    func uri(key: String) -> String { "s3://\(settings.bucket)/\(key)" }

    /// Stores `object` if nothing has its key. `now` is the time of the upload, in seconds.
    func put(_ object: S3Object, now: Int64) -> UnsignedRequest {
        var headers = [("Content-Type", format.contentType)]
        if isCompressed { headers.append(("Content-Encoding", "gzip")) }
        headers += [
            ("If-None-Match", "*"), ("x-amz-sdk-checksum-algorithm", "SHA256"),
            ("x-amz-checksum-sha256", object.checksum), ("x-amz-meta-records", "\(object.records)"),
        ]
        headers += protection(now) + owner
        return UnsignedRequest(
            method: .put, host: address.host, path: address.path(key: object.key), headers: headers,
            payloadHash: object.payloadHash)
    }

    /// Asks what lies under `key`, its checksum included.
    func head(_ key: String) -> UnsignedRequest {
        UnsignedRequest(
            method: .head, host: address.host, path: address.path(key: key),
            headers: [("x-amz-checksum-mode", "ENABLED")] + owner)
    }

    /// Fetches what lies under `key`.
    func get(_ key: String) -> UnsignedRequest {
        UnsignedRequest(method: .get, host: address.host, path: address.path(key: key), headers: owner)
    }

    /// Asks for a setting of the bucket: `object-lock`, `versioning`.
    func setting(_ name: String) -> UnsignedRequest {
        UnsignedRequest(
            method: .get, host: address.host, path: address.path(key: ""), query: [(name, "")], headers: owner)
    }

    /// Begins an upload in parts, with all that a real object has: S3 asks KMS for its key and checks the permissions
    /// to write and to lock, and no object comes of it.
    func beginRehearsal(now: Int64) -> UnsignedRequest {
        UnsignedRequest(
            method: .post, host: address.host, path: address.path(key: rehearsalKey), query: [("uploads", "")],
            headers: [("x-amz-checksum-algorithm", "SHA256")] + protection(now) + owner)
    }

    /// Takes the beginning back.
    func endRehearsal(_ upload: String) -> UnsignedRequest {
        UnsignedRequest(
            method: .delete, host: address.host, path: address.path(key: rehearsalKey), query: [("uploadId", upload)],
            headers: owner)
    }

    /// Under the prefix, so that a policy that allows only that covers it.
    private var rehearsalKey: String {
        (settings.prefix.isEmpty ? "" : settings.prefix + "/") + "sidereal-export-rehearsal"
    }

    private func protection(_ now: Int64) -> [(String, String)] {
        var headers = [("x-amz-server-side-encryption", "aws:kms")]
        if let key = settings.kmsKeyID { headers.append(("x-amz-server-side-encryption-aws-kms-key-id", key)) }
        if let context { headers.append(("x-amz-server-side-encryption-context", context)) }
        headers.append(("x-amz-server-side-encryption-bucket-key-enabled", "true"))
        headers.append(("x-amz-object-lock-mode", "COMPLIANCE"))
        headers.append(("x-amz-object-lock-retain-until-date", retainUntil(now)))
        return headers
    }

    /// RFC 3339 in UTC, whole seconds.
    func retainUntil(_ now: Int64) -> String {
        var out = ByteWriter(capacity: 32)
        let until = now + Int64(settings.retentionDays) * 86_400
        Timestamp(seconds: until, nanoseconds: 0).write(digits: 0, into: &out)
        return String(decoding: out.seal().array, as: UTF8.self)
    }

    /// When the lock of an object of ours, found at `now`, ends at the earliest: a week short of the least time from
    /// now, so that one of an attempt that a crash, a full retry window or a late start cut off still counts.
    func leastLock(_ now: Int64) -> Int64 {
        now + max(Int64(settings.leastRetentionDays - Self.lockSlackDays) * 86_400, 0)
    }

    private static let lockSlackDays = 7

    private var owner: [(String, String)] {
        settings.expectedBucketOwner.map { [("x-amz-expected-bucket-owner", $0)] } ?? []
    }

    private static func format(_ kind: FormatKind) -> S3Key.FormatName {
        switch kind {
        case .json, .ocsf: S3Key.FormatName(fileExtension: "ndjson", contentType: "application/x-ndjson")
        case .cef: S3Key.FormatName(fileExtension: "cef", contentType: "text/plain; charset=utf-8")
        case .leef: S3Key.FormatName(fileExtension: "leef", contentType: "text/plain; charset=utf-8")
        case .syslog: S3Key.FormatName(fileExtension: "log", contentType: "text/plain; charset=utf-8")
        }
    }

    /// Base 64 of a JSON object, keys sorted.
    private static func context(_ pairs: [String: String]) -> String {
        var out = ByteWriter()
        for (index, pair) in pairs.sorted(by: { $0.key < $1.key }).enumerated() {
            out.append(index == 0 ? "{\"" : ",\"")
            JSONText.escape(Array(pair.key.utf8).span, into: &out)
            out.append("\":\"")
            JSONText.escape(Array(pair.value.utf8).span, into: &out)
            out.append(0x22)
        }
        out.append(0x7D)
        return Base64.encode(out.seal().array)
    }
}
