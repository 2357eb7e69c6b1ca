import HTTPClient

/// Why a call was not answered with what it asked for.
public struct APIFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// Kinds of reasons.
    public enum Kind: Sendable, Equatable {
        /// Nothing was sent: no connection, no TLS, a name or namespace that is none.
        case notSent
        /// Nothing was sent: there is no credential to be had.
        case noCredential
        /// 401: the credential is not accepted, not even a fresh one.
        case unauthorized
        /// 403, and what is missing, if it is RBAC that says no.
        case forbidden(MissingPermission?)
        /// 404.
        case notFound
        /// 409: there is an object of this name.
        case alreadyExists
        /// 409: the object is not in the version that was to be changed.
        case conflict
        /// 410 (or a version that this server's store never had): what the resource version or the continue token leads to is gone; the token with which the list may go on at
        /// the newest state, if the server gives one.
        case expired(continueToken: String?)
        /// 400, 405, 415, 422: the server does not take such a request, or a policy refuses it.
        case rejected
        /// 413, or an answer that is longer than it may be.
        case tooLarge
        /// 429 for longer than the call may take. Nothing was done.
        case throttled
        /// 5xx; and what no API server says of a request, such as 302, 408, or 403 without a reason: somebody on the way did.
        case serverError
        /// No answer came, or not all of it: time, connection.
        case noAnswer
        /// The answer is not what it should be.
        case unreadable
        /// The task was cancelled.
        case cancelled
        /// The client was shut down.
        case shutDown
    }

    /// Which.
    public let kind: Kind
    /// Whether the server may have done what it was asked for. Always false for what only reads.
    public let mayHaveHappened: Bool
    /// The HTTP status; nil without an answer.
    public let code: Int?
    /// The reason of the server's `Status`; empty if there is none.
    public let reason: String
    /// How long the server wants to be left alone, milliseconds; nil if it did not say.
    public let retryAfter: UInt64?
    /// Verb, resource, object, code, the server's words, and what to do.
    public let description: String

    package init(
        _ kind: Kind, _ description: String, mayHaveHappened: Bool = false, code: Int? = nil, reason: String = "",
        retryAfter: UInt64? = nil
    ) {
        self.kind = kind
        self.description = description
        self.mayHaveHappened = mayHaveHappened
        self.code = code
        self.reason = reason
        self.retryAfter = retryAfter
    }
}

/// What an answer means. Pure.
enum APIVerdict {
    /// The failure that the answer is; nil if it is none.
    static func failure(_ call: APICall, _ response: HTTPResponse) -> APIFailure? {
        let code = response.status
        if (200..<300).contains(code) { return nil }
        var status = APIStatus(response.body) ?? APIStatus(code: code)
        if status.message.isEmpty { status.message = excerpt(response.body) }
        return failure(call, code: code, status, retryAfter: retryAfter(response, status))
    }

    /// The failure that a `Status` of a watch is.
    static func failure(_ call: APICall, _ status: APIStatus) -> APIFailure {
        failure(call, code: status.code, status, retryAfter: seconds(status.retryAfterSeconds))
    }

    private static func failure(
        _ call: APICall, code: Int, _ status: APIStatus, retryAfter: UInt64?
    ) -> APIFailure {
        let kind = kind(call, code, status)
        var text = "\(call): \(code)\(status.reason.isEmpty ? "" : " \(status.reason)")"
        if !status.message.isEmpty { text += ": \(status.message)" }
        let unknown = code >= 500 && call.verb.isWrite
        if unknown { text += "; the server may have carried it out" }
        if let advice = advice(kind, call, status) { text += "; \(advice)" }
        return APIFailure(
            kind, text, mayHaveHappened: unknown, code: code, reason: status.reason, retryAfter: retryAfter)
    }

    private static func kind(_ call: APICall, _ code: Int, _ status: APIStatus) -> APIFailure.Kind {
        switch code {
        case 401: return .unauthorized
        // Without a `Status` it is not the API server's word, but that of somebody on the way: it may be another in a moment.
        case 403 where status.reason.isEmpty: return .serverError
        case 403:
            // Policies, quotas and namespaces that end say 403 too; RBAC says what the user cannot do.
            guard status.message.contains(" cannot \(call.verb.rawValue) ") else { return .forbidden(nil) }
            // A rule for one namespace would only have the next one refused.
            let namespace = call.resource == .probeResults ? nil : call.namespace
            return .forbidden(MissingPermission(verb: call.verb, resource: call.resource, namespace: namespace))
        case 404: return .notFound
        case 409: return status.reason == "AlreadyExists" ? .alreadyExists : .conflict
        case 410: return .expired(continueToken: status.continueToken)
        case 413: return .tooLarge
        case 429: return .throttled
        default: break
        }
        // A version from the future of this server: it is of an etcd that was replaced by an older copy of itself.
        if status.message.contains("oo large resource version") { return .expired(continueToken: nil) }
        return [400, 405, 415, 422].contains(code) ? .rejected : .serverError
    }

    private static func advice(_ kind: APIFailure.Kind, _ call: APICall, _ status: APIStatus) -> String? {
        switch kind {
        case .unauthorized:
            "check that the token or certificate is of this cluster and has not expired"
        case .forbidden(let permission): permission.map { "\($0)" }
        // Of an object it says that it is gone, which is nobody's mistake.
        case .notFound where call.verb == .create && status.message.hasPrefix("namespaces "):
            "make that namespace, or name another one with --namespace"
        case .throttled: "the server is overloaded, or its priority and fairness gives this client too few seats"
        default: nil
        }
    }

    /// What became of a request that was not answered.
    static func failure(_ call: APICall, _ failure: HTTPFailure) -> APIFailure {
        let sent = failure.mayHaveReachedServer
        let kind: APIFailure.Kind =
            switch failure.kind {
            case .cancelled: .cancelled
            case .shutDown: .shutDown
            case .responseTooLarge: .tooLarge
            // It is not sent either, but not for want of a server.
            default: sent ? .noAnswer : .notSent
            }
        var text = "\(call): \(failure.message)"
        // The words are of targets, whose settings have other names.
        if case .tls = failure.kind {
            text += "; of an API server these are certificate-authority-data and tls-server-name in the kubeconfig"
        }
        return APIFailure(kind, text, mayHaveHappened: sent && call.verb.isWrite)
    }

    /// `Retry-After` in seconds (RFC 9110, section 10.2.3), which is how API servers write it, or the `Status` in its place;
    /// milliseconds, at most five minutes.
    static func retryAfter(_ response: HTTPResponse, _ status: APIStatus) -> UInt64? {
        let field = response.header("Retry-After").flatMap { Int($0) }
        return seconds(field ?? status.retryAfterSeconds)
    }

    private static func seconds(_ number: Int?) -> UInt64? {
        number.flatMap { $0 >= 0 ? UInt64(min($0, 300)) * 1_000 : nil }
    }

    /// The beginning of a body that is no `Status`: a middleman's, most likely.
    private static func excerpt(_ body: [UInt8]) -> String {
        PlainText.line(String(decoding: body.prefix(400), as: UTF8.self), limit: 200)
    }
}
