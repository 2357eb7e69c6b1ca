import Compression
import Crypto
import ExportCore
import Formats
import HTTPClient
import Model
import Testing

@testable import Backends

/// Keys, addresses, header fields and bodies of what goes to S3.
@Suite struct S3RequestTests {
    private static func s3Target(
        _ host: String = "s3.us-gov-west-1.amazonaws.com", port: Int = 443, scheme: String = "https",
        bucket: String = "audit", _ change: (inout Target) -> Void = { _ in }
    ) -> Target {
        let endpoint = Endpoint(scheme: scheme, host: host, port: port, path: "")
        var target = Target(name: "archive", backend: .s3, format: .json, endpoint: endpoint)
        target.s3.bucket = bucket
        target.s3.region = "us-gov-west-1"
        change(&target)
        return target
    }

    private static func builder(_ target: Target, cluster: String = "prod-east") -> S3RequestBuilder {
        let encoder = FormatEncoder(target.format, stamp: stamp, options: target.formatOptions)
        return S3RequestBuilder(target: target, encoder: encoder, cluster: cluster)
    }

    private static func url(_ target: Target) -> String {
        let builder = builder(target)
        return builder.address.url(builder.get("a b/ü"))
    }

    @Test func addresses() {
        let path = "/a%20b/%C3%BC"
        #expect(Self.url(Self.s3Target()) == "https://audit.s3.us-gov-west-1.amazonaws.com\(path)")
        let fips = "s3-fips.us-gov-west-1.amazonaws.com"
        #expect(Self.url(Self.s3Target(fips)) == "https://audit.\(fips)\(path)")
        let dotted = Self.s3Target(bucket: "audit.example.gov")
        #expect(Self.url(dotted) == "https://s3.us-gov-west-1.amazonaws.com/audit.example.gov\(path)")
        #expect(
            Self.url(Self.s3Target("minio.example.com", port: 9000)) == "https://minio.example.com:9000/audit\(path)")
        let forced = Self.s3Target("minio.example.com") { $0.s3.addressing = .virtual }
        #expect(Self.url(forced) == "https://audit.minio.example.com\(path)")
        let asPath = Self.s3Target { $0.s3.addressing = .path }
        #expect(Self.url(asPath) == "https://s3.us-gov-west-1.amazonaws.com/audit\(path)")
        let vpc = "bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com"
        #expect(Self.url(Self.s3Target(vpc)) == "https://\(vpc)/audit\(path)")
        #expect(Self.url(Self.s3Target("::1", port: 80, scheme: "http")) == "http://[::1]/audit\(path)")
    }

    /// `Host` is signed, so it must be what the client sends: without the scheme's own port, and with the name that is
    /// expected in the certificate.
    @Test func hostAsTheClientSendsIt() {
        func host(_ target: Target) -> String { S3Address(target).host }
        #expect(host(Self.s3Target()) == "audit.s3.us-gov-west-1.amazonaws.com")
        #expect(host(Self.s3Target("minio", port: 9000)) == "minio:9000")
        #expect(host(Self.s3Target("minio", port: 80, scheme: "http")) == "minio")
        #expect(host(Self.s3Target("minio", port: 80)) == "minio:80")
        #expect(host(Self.s3Target("::1", port: 9000, scheme: "http")) == "[::1]:9000")
        let named = Self.s3Target("10.0.0.7", port: 9000) { $0.tlsServerName = "minio.example.com" }
        #expect(host(named) == "minio.example.com:9000")
        let atAWS = Self.s3Target { $0.tlsServerName = "proxy.example.com" }
        #expect(host(atAWS) == "proxy.example.com")
        #expect(S3Address(atAWS).pathStart == "/audit")
    }

    @Test func bucketsOwnPath() {
        #expect(S3Address(Self.s3Target()).path(key: "") == "/")
        #expect(S3Address(Self.s3Target("minio")).path(key: "") == "/audit")
    }

    private func fields(_ request: UnsignedRequest) -> [String: String] {
        Dictionary(uniqueKeysWithValues: request.headers.map { ($0.name.lowercased(), $0.value) })
    }

    private func object(_ key: String = "k") -> S3Object {
        let bytes = SealedBytes(Array("x".utf8))
        return S3Object(key: key, body: bytes, plain: bytes, payloadHash: "00", checksum: "c2hh", records: 3)
    }

    /// 2026-03-15T10:30:45Z and 1095 days.
    @Test func uploadsAreProtected() {
        let target = Self.s3Target {
            $0.s3.kmsKeyID = "alias/audit"
            $0.s3.kmsContext = ["b": "2 \"x\"", "a": "1"]
            $0.s3.expectedBucketOwner = "111122223333"
        }
        let request = Self.builder(target).put(object(), now: 1_773_570_645)
        #expect(request.method == .put && request.path == "/k" && request.payloadHash == "00")
        #expect(
            fields(request) == [
                "content-type": "application/x-ndjson", "content-encoding": "gzip", "if-none-match": "*",
                "x-amz-sdk-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": "c2hh", "x-amz-meta-records": "3",
                "x-amz-server-side-encryption": "aws:kms",
                "x-amz-server-side-encryption-aws-kms-key-id": "alias/audit",
                "x-amz-server-side-encryption-context": Base64.encode(Array(#"{"a":"1","b":"2 \"x\""}"#.utf8)),
                "x-amz-server-side-encryption-bucket-key-enabled": "true", "x-amz-object-lock-mode": "COMPLIANCE",
                "x-amz-object-lock-retain-until-date": "2029-03-14T10:30:45Z",
                "x-amz-expected-bucket-owner": "111122223333",
            ])
    }

    /// The account's own key is used then; that it is KMS is said all the same.
    @Test func encryptionIsAlwaysAskedFor() {
        let request = Self.builder(Self.s3Target { $0.compression = .none }).put(object(), now: 0)
        let found = fields(request)
        #expect(found["x-amz-server-side-encryption"] == "aws:kms")
        #expect(found["x-amz-server-side-encryption-aws-kms-key-id"] == nil)
        #expect(found["x-amz-server-side-encryption-context"] == nil)
        #expect(found["x-amz-expected-bucket-owner"] == nil)
        #expect(found["content-encoding"] == nil)
    }

    /// From the time of the upload, never from that of the record.
    @Test func retentionBeginsWithTheUpload() {
        let builder = Self.builder(Self.s3Target { $0.s3.retentionDays = 1 })
        #expect(builder.retainUntil(0) == "1970-01-02T00:00:00Z")
        #expect(builder.leastLock(1_000) == 1_000 + 358 * 86_400)
        #expect(builder.retainUntil(1_709_164_799) == "2024-02-29T23:59:59Z")
    }

    @Test func theRehearsalAsksForAllThatAnUploadDoes() {
        let target = Self.s3Target { $0.s3.expectedBucketOwner = "111122223333" }
        let begin = Self.builder(target).beginRehearsal(now: 0)
        #expect(begin.method == .post && begin.query.map(\.name) == ["uploads"])
        #expect(begin.path == "/sidereal-proberesults/sidereal-export-rehearsal")
        let upload = Self.builder(target).put(object(), now: 0).headers.map(\.name)
        let lockAndKey = upload.filter { $0.contains("encryption") || $0.contains("lock") || $0.contains("owner") }
        #expect(Set(lockAndKey).isSubset(of: begin.headers.map(\.name)))
        let end = Self.builder(target).endRehearsal("id/+=")
        #expect(end.method == .delete && end.path == begin.path)
        #expect(Self.builder(target).address.url(end).hasSuffix("?uploadId=id%2F%2B%3D"))
    }

    private static func packed(_ target: Target, _ lines: [String]) async throws -> S3Object {
        let packer = S3Packer(keys: builder(target, cluster: "a/b=c").keys, compression: target.compression)
        return try await packer.pack(parcel(lines))
    }

    @Test func keysAreMadeOfTheContent() async throws {
        let first = try await Self.packed(Self.s3Target(), ["one", "two"])
        let hash = try SHA256.hexadecimal(Array("one\ntwo\n".utf8).span)
        #expect(
            first.key
                == "sidereal-proberesults/cluster=a%2Fb%3Dc/dt=2026-03-15/hour=10/0000-20260315T103045000Z-\(hash).ndjson.gz"
        )
        let again = try await Self.packed(Self.s3Target(), ["one", "two"])
        #expect(again.key == first.key && again.body.array == first.body.array)
        #expect(try Gzip.decompress(first.body.span, limit: 100) == Array("one\ntwo\n".utf8))
        #expect(first.payloadHash == (try SHA256.hexadecimal(first.body.span)))
        #expect(first.checksum == Base64.encode(try SHA256.hash(first.body.span)))
        #expect(first.records == 2)
        let other = try await Self.packed(Self.s3Target(), ["one", "twp"])
        #expect(other.key != first.key)
        // However it is compressed, the content names it; only the ending tells.
        let plain = try await Self.packed(Self.s3Target { $0.compression = .none }, ["one", "two"])
        #expect(plain.key + ".gz" == first.key)
        #expect(plain.body.array == Array("one\ntwo\n".utf8) && plain.payloadHash == hash)
        let bare = try await Self.packed(Self.s3Target { $0.s3.prefix = "" }, ["one"])
        #expect(bare.key.hasPrefix("cluster=a%2Fb%3Dc/dt="))
    }

    @Test(arguments: [
        (FormatKind.json, ".ndjson.gz", "application/x-ndjson"), (.ocsf, ".ndjson.gz", "application/x-ndjson"),
        (.cef, ".cef.gz", "text/plain; charset=utf-8"), (.leef, ".leef.gz", "text/plain; charset=utf-8"),
        (.syslog, ".log.gz", "text/plain; charset=utf-8"),
    ])
    func everyFormatHasItsName(format: FormatKind, end: String, type: String) async throws {
        var target = Self.s3Target()
        target.format = format
        #expect(try await Self.packed(target, ["a"]).key.hasSuffix(end))
        #expect(fields(Self.builder(target).put(object(), now: 0))["content-type"] == type)
        let lines = try written(record(), by: .s3(Self.builder(target)))
        #expect(lines.hasSuffix("\n") && lines.split(separator: "\n").count == 1)
    }

    /// Another processor may compress otherwise; what counts is what is inside.
    @Test func theSameContentIsRecognised() async throws {
        let target = Self.s3Target()
        let packer = S3Packer(keys: Self.builder(target).keys, compression: .gzip)
        let object = try await packer.pack(parcel(["one", "two"]))
        let stored = object.body.array
        #expect(packer.holds(stored, sameAs: object))
        // A stored block instead of a compressed one (RFC 1951, section 3.2.4).
        let text = Array("one\ntwo\n".utf8)
        let head: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255, 1, 8, 0, 0xF7, 0xFF]
        #expect(packer.holds(head + text + stored.suffix(8), sameAs: object))
        #expect(!packer.holds(text, sameAs: object))
        #expect(!packer.holds(stored.dropLast(), sameAs: object))
        #expect(!packer.holds([], sameAs: object))
        let other = try await packer.pack(parcel(["one", "twp"]))
        #expect(!packer.holds(other.body.array, sameAs: object))
        let longer = try await packer.pack(parcel(["one", "two", "three"]))
        #expect(!packer.holds(longer.body.array, sameAs: object))
    }
}
