import ExportCore
import HTTPClient

/// What the fate of a parcel means for its records (RFC 5425: there is no answer to read).
enum SyslogVerdict {
    /// The verdict for `fate` at `place`.
    static func of(_ fate: SyslogFate, at place: String) -> Verdict {
        switch fate {
        case .delivered: .delivered(slowDown: false)
        case .notSent(let failure): of(failure, at: place, mayHaveArrived: false)
        case .unknown(let failure): of(failure, at: place, mayHaveArrived: true)
        }
    }

    private static func of(_ failure: SyslogFailure, at place: String, mayHaveArrived: Bool) -> Verdict {
        let outcome = mayHaveArrived ? "; what was on the way may have arrived and is sent again" : ""
        let reason = Reason(code: code(failure.kind), message: "\(place): \(failure.words)\(outcome)")
        // With TLS 1.3 the receiver's word on the client certificate comes after the first records have left; it is
        // a refusal of the connection, which nothing passes (RFC 8446, section 6.2).
        if case .tls(let why) = failure.kind, !mayHaveArrived || why.isOfClientCertificate {
            return .configuration(reason)
        }
        return mayHaveArrived ? .unknown(reason) : .retry(reason, retryAfterMilliseconds: nil)
    }

    private static func code(_ kind: SyslogFailure.Kind) -> String {
        switch kind {
        case .resolve: "resolve"
        case .connect: "connect"
        case .tls(let reason): "tls-\(reason.rawValue)"
        case .timeout(let phase): "timeout-\(phase)"
        case .connectionLost: "connection-lost"
        case .babble: "unexpected-answer"
        case .stopped: "stopped"
        }
    }
}
