import Crypto
import Formats
import HTTPClient
import Model

/// Credentials for AWS. None of the three shows itself.
struct AWSCredentials: Sendable, Equatable {
    var accessKeyID: Secret
    var secretAccessKey: Secret
    var sessionToken: Secret?
}

/// A request before it is signed.
struct UnsignedRequest: Sendable {
    var method: HTTPMethod
    /// What the `Host` field will say.
    var host: String
    /// Percent-encoded, from the slash on: what is sent and what is signed.
    var path: String
    /// Not encoded; an empty value stands for a bare name.
    var query: [(name: String, value: String)] = []
    /// Every one of them is signed. Printable ASCII, each name once.
    var headers: [(name: String, value: String)] = []
    /// SHA-256 of the body, lower-case hexadecimal.
    var payloadHash = SigV4.emptyPayloadHash
}

/// AWS Signature Version 4 ("Signature Calculations for the Authorization Header", Amazon S3 API Reference).
///
/// All header fields that are given are signed, `Host`, the date, the payload's hash and the session token besides. The
/// path is taken as it is: S3, unlike other services, wants each segment encoded once and nothing normalized.
struct SigV4: Sendable {
    var credentials: AWSCredentials
    var region: String
    var service = "s3"
    /// Seconds since 1970.
    var time: Int64

    static let emptyPayloadHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    static let algorithm = "AWS4-HMAC-SHA256"

    /// The request's own fields and those that authorize it; `Host` is left to the client.
    func sign(_ request: UnsignedRequest) throws(CryptoError) -> [HTTPHeader] {
        var fields = request.headers
        fields.append(("X-Amz-Date", stamp))
        fields.append(("X-Amz-Content-SHA256", request.payloadHash))
        var sent = fields.map { HTTPHeader($0.name, $0.value) }
        if let token = credentials.sessionToken {
            fields.append(("X-Amz-Security-Token", token.reveal()))
            sent.append(HTTPHeader("X-Amz-Security-Token", secret: token))
        }
        fields.append(("Host", request.host))
        let canonical = canonicalRequest(request, fields)
        let signature = try signature(of: canonical)
        let names = Self.signedNames(fields).joined(separator: ";")
        let value =
            "Credential=\(credentials.accessKeyID.reveal())/\(scope), SignedHeaders=\(names), Signature=\(signature)"
        sent.append(HTTPHeader("Authorization", secret: Secret(value), prefix: Self.algorithm + " "))
        return sent
    }

    /// `YYYYMMDD'T'HHMMSS'Z'`.
    var stamp: String { CompactTime.stamp(time) }
    private var day: String { String(stamp.prefix(8)) }
    private var scope: String { "\(day)/\(region)/\(service)/aws4_request" }

    private func canonicalRequest(_ request: UnsignedRequest, _ fields: [(name: String, value: String)]) -> String {
        var lines = [request.method.rawValue, request.path, Self.queryString(request.query)]
        let lowered = fields.map { ($0.name.lowercased(), Self.trimmed($0.value)) }
        lines += lowered.sorted { $0.0 < $1.0 }.map { "\($0.0):\($0.1)" }
        lines += ["", Self.signedNames(fields).joined(separator: ";"), request.payloadHash]
        return lines.joined(separator: "\n")
    }

    private func signature(of canonical: String) throws(CryptoError) -> String {
        let hash = try SHA256.hexadecimal(Array(canonical.utf8).span)
        let text = [Self.algorithm, stamp, scope, hash].joined(separator: "\n")
        return Hexadecimal.encode(try HMAC.sha256(key: signingKey(), Array(text.utf8)))
    }

    func signingKey() throws(CryptoError) -> [UInt8] {
        var key = Array("AWS4\(credentials.secretAccessKey.reveal())".utf8)
        for part in [day, region, service, "aws4_request"] { key = try HMAC.sha256(key: key, Array(part.utf8)) }
        return key
    }

    private static func signedNames(_ fields: [(name: String, value: String)]) -> [String] {
        fields.map { $0.name.lowercased() }.sorted()
    }

    /// Spaces at the ends removed, several made one.
    private static func trimmed(_ value: String) -> String {
        value.split(whereSeparator: { $0 == " " || $0 == "\t" }).joined(separator: " ")
    }

    /// Names and values encoded, sorted by the encoded name: what is signed and what is sent.
    static func queryString(_ query: [(name: String, value: String)]) -> String {
        query.map { (PercentCode.encode($0.name, keeping: ""), PercentCode.encode($0.value, keeping: "")) }
            .sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    }
}

/// `UriEncode` of the S3 API Reference: everything but the unreserved characters of RFC 3986, upper-case digits.
enum PercentCode {
    /// - Parameter keeping: further bytes that are left as they are.
    static func encode(_ text: String, keeping: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        let kept = Array(keeping.utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: out.append(byte)
            default:
                if kept.contains(byte) {
                    out.append(byte)
                } else {
                    out += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
                }
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// Times without separators (ISO 8601 basic format), for names and signatures.
enum CompactTime {
    /// `YYYYMMDD'T'HHMMSS'Z'`.
    static func stamp(_ seconds: Int64) -> String { text(Timestamp(seconds: seconds, nanoseconds: 0), fraction: false) }

    /// `YYYYMMDD'T'HHMMSSmmm'Z'`: with milliseconds, cut.
    static func precise(_ time: Timestamp) -> String { text(time, fraction: true) }

    private static func text(_ time: Timestamp, fraction: Bool) -> String {
        var out = ByteWriter(capacity: 32)
        let (year, month, day) = time.date
        let second = time.secondOfDay
        Timestamp.pad(year, 4, &out)
        Timestamp.pad(month, 2, &out)
        Timestamp.pad(day, 2, &out)
        out.append(UInt8(ascii: "T"))
        Timestamp.pad(second / 3600, 2, &out)
        Timestamp.pad(second / 60 % 60, 2, &out)
        Timestamp.pad(second % 60, 2, &out)
        if fraction { Timestamp.pad(Int(time.nanoseconds / 1_000_000), 3, &out) }
        out.append(UInt8(ascii: "Z"))
        return String(decoding: out.seal().array, as: UTF8.self)
    }
}
