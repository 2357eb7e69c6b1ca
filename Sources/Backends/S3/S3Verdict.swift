import ExportCore
import Formats
import HTTPClient
import Model

/// What an answer of S3 means for the request, before what the exporter can mend by itself was mended.
enum S3Answer: Sendable, Equatable {
    /// Done.
    case done
    /// Something has the key already.
    case occupied
    /// Our clock is off; the server's says so many seconds since 1970.
    case skewed(server: Int64, Verdict)
    /// New credentials may help; if `haveEnded`, those at hand never will.
    case unauthorized(haveEnded: Bool, Verdict)
    /// Anything else.
    case refused(Verdict)

    /// What it means for records if nothing more is tried.
    var verdict: Verdict {
        switch self {
        case .done: .delivered(slowDown: false)
        case .skewed(_, let verdict), .unauthorized(_, let verdict), .refused(let verdict): verdict
        case .occupied:
            .retry(Reason(code: "http-412", message: "answered 412 unexpectedly"), retryAfterMilliseconds: nil)
        }
    }
}

/// Reads S3's answers.
enum S3Verdict {
    /// The answer to an upload. A 200 counts only if it says that the object was encrypted by KMS, and names no other
    /// checksum than ours.
    static func ofPut(_ response: HTTPResponse, checksum: String, at place: String) -> S3Answer {
        guard response.status == 200 else { return of(response, at: place) }
        let error = S3Error(response.body)
        guard error.code.isEmpty else {
            let message = "\(place) answered 200 with the error \(error.code)"
            return .refused(.unknown(Reason(code: "s3-\(error.code)", message: message)))
        }
        if let stored = response.header("x-amz-checksum-sha256"), stored != checksum {
            let message = "\(place) says that it stored other bytes than were sent"
            return .refused(.unknown(Reason(code: "s3-checksum", message: message)))
        }
        guard isEncrypted(response) else { return .refused(.configuration(unencrypted(place))) }
        return .done
    }

    /// Any answer but a success.
    static func of(_ response: HTTPResponse, at place: String) -> S3Answer {
        let status = response.status
        let error = S3Error(response.body)
        let reason = reason(status, error, place)
        let retryAfter = HTTPVerdict.retryAfter(response)
        switch status {
        case 200..<300:
            return .refused(.unknown(Reason(code: "unreadable", message: "\(place) answered \(status) unexpectedly")))
        case 300..<400: return .refused(.configuration(redirect(response, error, place)))
        case 412: return .occupied
        case 413: return .refused(.tooLarge(reason))
        case 501: return .refused(.configuration(reason))
        default: break
        }
        if error.code == "EntityTooLarge" { return .refused(.tooLarge(reason)) }
        if S3Codes.skewed.contains(error.code) {
            let verdict = Verdict.configuration(
                Reason(code: "s3-\(error.code)", message: "\(reason.message); set this machine's clock (NTP)"))
            guard let server = response.header("Date").flatMap(HTTPDate.unixSeconds) else { return .refused(verdict) }
            return .skewed(server: server, verdict)
        }
        if S3Codes.isTransient(error.code) || (status == 409 && error.code != "InvalidBucketState") {
            return .refused(.retry(reason, retryAfterMilliseconds: retryAfter))
        }
        if let region = error.region ?? regionHeader(response) {
            return .refused(.configuration(wrongRegion(region, reason)))
        }
        if S3Codes.expired.contains(error.code) {
            return .unauthorized(haveEnded: true, .retry(reason, retryAfterMilliseconds: nil))
        }
        if S3Codes.refusedCredentials.contains(error.code) || status == 401 || status == 403 {
            return .unauthorized(haveEnded: error.code.hasPrefix("Invalid"), .configuration(reason))
        }
        if [408, 425, 429].contains(status) || status >= 500 {
            return .refused(.retry(reason, retryAfterMilliseconds: retryAfter))
        }
        return .refused(.configuration(reason))
    }

    /// What lies under a key that we found occupied.
    enum Occupant: Sendable, Equatable {
        /// These very bytes, encrypted and locked.
        case ours
        /// Encrypted and locked, of other bytes: perhaps the same records, compressed by another version.
        case perhapsOurs
        /// Not what we would have stored.
        case foreign(String)
        /// Nothing was learnt.
        case unclear(Verdict)
    }

    /// What an object of ours must be.
    struct Expected: Sendable {
        /// SHA-256 of its bytes, base 64.
        var checksum: String
        /// How many bytes it has if the checksum is the same.
        var count: Int
        /// How many it may have if not.
        var maxBytes: Int
        /// When its lock may end at the earliest, seconds since 1970.
        var lockedUntil: Int64
        /// The KMS key that is configured.
        var kmsKeyID: String?
    }

    /// Reads the answer to HEAD.
    static func occupant(_ response: HTTPResponse, _ expected: Expected, at place: String) -> Occupant {
        guard response.status == 200 else {
            // Gone meanwhile: the next upload finds the key free.
            guard response.status == 404 else { return .unclear(of(response, at: place).verdict) }
            let reason = Reason(code: "s3-vanished", message: "\(place): what had the key is gone; it is sent again")
            return .unclear(.retry(reason, retryAfterMilliseconds: nil))
        }
        guard isEncrypted(response) else { return .foreign("it is not encrypted by KMS") }
        guard response.header("x-amz-object-lock-mode") == "COMPLIANCE" else {
            return .foreign(
                "it is not locked in COMPLIANCE mode, or s3:GetObjectRetention, which would show that, is missing")
        }
        if let why = lockIsShort(response, expected.lockedUntil) ?? otherKey(response, expected.kmsKeyID) {
            return .foreign(why)
        }
        let length = response.header("Content-Length").flatMap { Int($0) }
        if response.header("x-amz-checksum-sha256") == expected.checksum, length == nil || length == expected.count {
            return .ours
        }
        guard (length ?? 0) <= expected.maxBytes else { return .foreign("it is \(length ?? 0) bytes long") }
        return .perhapsOurs
    }

    /// Why its lock is too short; nil if it is not.
    private static func lockIsShort(_ response: HTTPResponse, _ least: Int64) -> String? {
        guard let text = response.header("x-amz-object-lock-retain-until-date") else {
            return "it does not say how long it is locked"
        }
        let bytes = Array(text.utf8)
        guard let end = Timestamp(bytes.span, bytes.indices) else { return "the end of its lock cannot be read" }
        guard end.seconds < least else { return nil }
        return
            "its lock ends on \(date(end.seconds)), and \(date(least)) is the earliest that `audit.retentionDays` allows"
    }

    private static func date(_ seconds: Int64) -> String {
        let (year, month, day) = Timestamp(seconds: seconds, nanoseconds: 0).date
        var out = ByteWriter(capacity: 16)
        for (index, part) in [year, month, day].enumerated() {
            if index > 0 { out.append(0x2D) }
            Timestamp.pad(part, index == 0 ? 4 : 2, &out)
        }
        return String(decoding: out.seal().array, as: UTF8.self)
    }

    /// Why it is not encrypted by the key that is configured; nil if it is, or if the two names cannot be compared:
    /// S3 answers with the key's ARN, from which no alias is to be learnt, and some servers name none.
    private static func otherKey(_ response: HTTPResponse, _ wanted: String?) -> String? {
        guard let wanted, let found = response.header("x-amz-server-side-encryption-aws-kms-key-id") else { return nil }
        let isARN = wanted.hasPrefix("arn:")
        guard !wanted.hasPrefix("alias/"), !(isARN && wanted.contains(":alias/")), found != wanted else { return nil }
        if !isARN, found.hasSuffix("/" + wanted) || found.hasSuffix(":" + wanted) { return nil }
        // A server that names keys by their id alone.
        if isARN, !found.hasPrefix("arn:"), wanted.hasSuffix("/" + found) { return nil }
        return "it is encrypted by another key than `kmsKeyId`"
    }

    /// Somebody else's object has the key.
    static func foreign(_ why: String, _ uri: String, _ place: String) -> Verdict {
        .configuration(
            Reason(
                code: "s3-foreign-object",
                message:
                    "\(place): \(uri) is there already and is not ours: \(why). Nothing was overwritten; find out who"
                    + " writes below `prefix`, or give the target a prefix of its own"))
    }

    static func isEncrypted(_ response: HTTPResponse) -> Bool {
        response.header("x-amz-server-side-encryption")?.hasPrefix("aws:kms") == true
    }

    private static func unencrypted(_ place: String) -> Reason {
        Reason(
            code: "s3-not-encrypted",
            message: "\(place) took the object and does not say that KMS encrypted it; use a server that does SSE-KMS")
    }

    static func reason(_ status: Int, _ error: S3Error, _ place: String) -> Reason {
        let code = error.code.isEmpty ? "http-\(status)" : "s3-\(error.code)"
        var message = "\(place) answered \(status)"
        if !error.code.isEmpty { message += " \(error.code)" }
        if !error.message.isEmpty { message += ": \(error.message)" }
        let advice = S3Codes.advice(error.code.isEmpty && status == 403 ? "AccessDenied" : error.code)
        return Reason(code: code, message: advice.isEmpty ? message : "\(message); \(advice)")
    }

    private static func regionHeader(_ response: HTTPResponse) -> String? {
        guard response.status == 400 else { return nil }
        return response.header("x-amz-bucket-region").flatMap(AWSRegionName.checked)
    }

    private static func wrongRegion(_ region: String, _ reason: Reason) -> Reason {
        Reason(code: reason.code, message: "\(reason.message). The right region is `\(region)`")
    }

    private static func redirect(_ response: HTTPResponse, _ error: S3Error, _ place: String) -> Reason {
        let region = error.region ?? response.header("x-amz-bucket-region").flatMap(AWSRegionName.checked)
        let advice =
            region.map { "the bucket lies in `\($0)`: set `region: \($0)` and the `endpoint` of that region" }
            ?? "set `endpoint` to the final address"
        return Reason(
            code: "redirect",
            message: "\(place) answered \(response.status), a redirect, which is never followed; \(advice)")
    }
}
