import ExportCore
import HTTPClient

/// What the rules of HTTP itself say of an answer (RFC 9110), before a backend reads its body.
enum HTTPVerdict {
    /// A request that brought no answer.
    static func of(_ failure: HTTPFailure) -> Verdict {
        switch failure.kind {
        case .tls(let reason):
            return .configuration(Reason(code: "tls-\(reason.rawValue)", message: failure.message))
        case .resolve: return .retry(Reason(code: "resolve", message: failure.message), retryAfterMilliseconds: nil)
        case .connect: return .retry(Reason(code: "connect", message: failure.message), retryAfterMilliseconds: nil)
        case .proxy(let status):
            let reason = Reason(code: "proxy" + (status.map { "-\($0)" } ?? ""), message: failure.message)
            // What a proxy says of itself or of the way passes; what it says of us needs somebody's hand.
            guard let status, status >= 500 || status == 408 || status == 429 else { return .configuration(reason) }
            return .retry(reason, retryAfterMilliseconds: nil)
        case .shutDown, .cancelled:
            return verdict("stopped", failure)
        case .timeout(let phase): return verdict("timeout-\(phase.rawValue)", failure)
        case .noOpenConnection:
            return .retry(Reason(code: "no-connection", message: failure.message), retryAfterMilliseconds: nil)
        case .connectionLost: return verdict("connection-lost", failure)
        case .responseTooLarge: return verdict("response-too-large", failure)
        case .other(let code): return verdict("http-client-\(code)", failure)
        }
    }

    private static func verdict(_ code: String, _ failure: HTTPFailure) -> Verdict {
        let reason = Reason(code: code, message: failure.message)
        return failure.mayHaveReachedServer ? .unknown(reason) : .retry(reason, retryAfterMilliseconds: nil)
    }

    /// An answer whose status alone decides. `said` is what the body told, for the message.
    static func of(status: Int, retryAfter: UInt64?, said: String, at place: String) -> Verdict {
        let words = said.isEmpty ? "" : ": \(said)"
        let reason = Reason(code: "http-\(status)", message: "\(place) answered \(status)\(words)")
        switch status {
        case 413: return .tooLarge(reason)
        case 408, 425, 429, 500, 502, 503, 504, 507:
            return .retry(reason, retryAfterMilliseconds: retryAfter)
        case 200..<300:
            return .unknown(Reason(code: "unreadable", message: "\(place) answered \(status) with an unreadable body"))
        case 300..<400:
            return .configuration(
                Reason(
                    code: "redirect",
                    message: "\(place) answered \(status), a redirect, which is never followed; set endpoint to the"
                        + " final address"))
        case 401, 403:
            return .configuration(
                Reason(
                    code: "http-\(status)",
                    message: "\(place) refused the credentials with \(status)\(words); check the secret"))
        case 415:
            return .configuration(
                Reason(
                    code: "http-415",
                    message:
                        "\(place) answered 415\(words): it does not take compressed requests; set compression: none")
            )
        case 500...599: return .retry(reason, retryAfterMilliseconds: retryAfter)
        default: return .configuration(reason)
        }
    }

    /// `Retry-After` in milliseconds (RFC 9110, section 10.2.3). A date is read against the answer's own `Date`, so
    /// that clocks need not agree.
    static func retryAfter(_ response: HTTPResponse) -> UInt64? {
        guard let value = response.header("Retry-After") else { return nil }
        if let seconds = UInt64(value) { return min(seconds, 86_400) * 1_000 }
        guard let until = HTTPDate.seconds(value), let now = response.header("Date").flatMap(HTTPDate.seconds) else {
            return nil
        }
        return until > now ? UInt64(min(until - now, 86_400)) * 1_000 : 0
    }
}

/// The one date form that HTTP senders may write (RFC 9110, section 5.6.7: IMF-fixdate).
enum HTTPDate {
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// Seconds since 1970.
    static func unixSeconds(_ text: String) -> Int64? {
        guard let time = seconds(text), let origin = seconds("Thu, 01 Jan 1970 00:00:00 GMT") else { return nil }
        return time - origin
    }

    /// Seconds since an arbitrary origin, good for differences.
    static func seconds(_ text: String) -> Int64? {
        let parts = text.split(separator: " ")
        guard parts.count == 6, let day = Int64(parts[1]), let year = Int64(parts[3]), 1...31 ~= day,
            1970...9999 ~= year, let month = months.firstIndex(of: String(parts[2]))
        else { return nil }
        let clock = parts[4].split(separator: ":").compactMap { Int64($0) }
        guard clock.count == 3, clock.allSatisfy({ 0...60 ~= $0 }) else { return nil }
        let shifted = month < 2 ? year - 1 : year
        let days =
            shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400
            + (153 * Int64((month + 10) % 12) + 2) / 5 + day
        return days * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2]
    }
}
