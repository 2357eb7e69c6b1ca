import ExportCore
import Formats
import HTTPClient
import Model

/// What STS is asked ("AssumeRoleWithWebIdentity", AWS STS API Reference).
struct STSRequest: Sendable, Equatable {
    /// With a slash at its end.
    var endpoint: String
    var roleARN: String
    /// Read anew for each request: the kubelet replaces it before it ends.
    var tokenFile: String
    var sessionName: String

    /// The form that is posted.
    func form(token: Secret) -> String {
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"), ("Version", "2011-06-15"), ("RoleArn", roleARN),
            ("RoleSessionName", sessionName), ("WebIdentityToken", token.reveal()),
        ]
        return fields.map { "\($0.0)=\(PercentCode.encode($0.1, keeping: ""))" }.joined(separator: "&")
    }
}

/// Reads what sources of credentials answer. Nothing of an answer but codes and messages gets into a reason.
enum CredentialAnswer {
    /// Credentials, or what the answer means.
    typealias Reading = Result<FetchedCredentials, Refusal>

    /// STS: XML. `now`, milliseconds since 1970, serves where the answer has no `Date`.
    static func sts(_ response: HTTPResponse, now: Int64, at place: String) -> Reading {
        guard response.status == 200 else {
            return .failure(refusal(response, S3Error(response.body), at: place))
        }
        let start = "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/"
        var fields: [String: String] = [:]
        for (path, text) in S3XML.leaves(response.body) ?? [] where path.hasPrefix(start) {
            fields[String(path.dropFirst(start.count))] = text
        }
        return credentials(
            id: fields["AccessKeyId"], key: fields["SecretAccessKey"], token: fields["SessionToken"],
            expiration: fields["Expiration"], response, now: now, at: place)
    }

    /// Pod Identity and IMDS: JSON.
    static func json(_ response: HTTPResponse, now: Int64, at place: String) -> Reading {
        let span = response.body.span
        let members = JSONAnswer.members(span, 0..<span.count) ?? []
        func text(_ key: String) -> String? {
            members.first { $0.key == key }.flatMap { JSONAnswer.text($0.value, span, limit: 16 << 10) }
        }
        guard response.status == 200 else {
            var said = S3Error([])
            said.code = (text("code") ?? text("Code") ?? "").filter { $0.isASCII && $0.isLetter }
            return .failure(refusal(response, said, at: place))
        }
        return credentials(
            id: text("AccessKeyId"), key: text("SecretAccessKey"), token: text("Token"),
            expiration: text("Expiration"), response, now: now, at: place)
    }

    private static func credentials(
        id: String?, key: String?, token: String?, expiration: String?, _ response: HTTPResponse, now: Int64,
        at place: String
    ) -> Reading {
        guard let id, let key, let token, let expiration, !id.isEmpty, !key.isEmpty, !token.isEmpty,
            let end = time(expiration)
        else {
            let reason = Reason(code: "credentials", message: "\(place) answered 200 without usable credentials")
            return .failure(Refusal(verdict: .retry(reason, retryAfterMilliseconds: nil)))
        }
        // Their end is on the server's clock, and so is what is measured against it.
        let server = response.header("Date").flatMap(HTTPDate.unixSeconds).map { $0 * 1_000 } ?? now
        guard end > server else {
            let reason = Reason(code: "credentials", message: "\(place) answered credentials that have ended already")
            return .failure(Refusal(verdict: .retry(reason, retryAfterMilliseconds: nil)))
        }
        let found = AWSCredentials(
            accessKeyID: Secret(id), secretAccessKey: Secret(key), sessionToken: Secret(token))
        return .success(FetchedCredentials(credentials: found, lifetimeMilliseconds: UInt64(end - server)))
    }

    private static func time(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        return Timestamp(bytes.span, 0..<bytes.count).map { $0.seconds * 1_000 }
    }

    private static func refusal(_ response: HTTPResponse, _ error: S3Error, at place: String) -> Refusal {
        let code = error.code.isEmpty ? "http-\(response.status)" : "aws-\(error.code)"
        let words = error.message.isEmpty ? "" : ": \(error.message)"
        let reason = Reason(
            code: code, message: "\(place) gave no credentials: \(response.status) \(error.code)\(words)")
        let passes = S3Codes.isTransient(error.code) || error.code == "IDPCommunicationError"
        if passes || response.status >= 500 || response.status == 429 {
            return Refusal(verdict: .retry(reason, retryAfterMilliseconds: HTTPVerdict.retryAfter(response)))
        }
        return Refusal(verdict: .configuration(reason))
    }
}
