public import ExportCore
import Formats
public import HTTPClient

/// Reads HEC's answers (Splunk, "Troubleshoot HTTP Event Collector", possible error codes).
public enum SplunkVerdict {
    /// What `response` to a request with `count` events means.
    public static func of(_ response: HTTPResponse, count: Int, at place: String) -> Verdict {
        let retryAfter = HTTPVerdict.retryAfter(response)
        guard let answer = Answer(response.body), let code = answer.code else {
            return HTTPVerdict.of(status: response.status, retryAfter: retryAfter, said: "", at: place)
        }
        let reason = Reason(
            code: "hec-\(code)",
            message: "\(place) answered \(response.status) code \(code): \(answer.text)\(advice(code))")
        switch (code, response.status) {
        // Whatever the body says: Splunk has used several codes with this status.
        case (_, 413): return .tooLarge(reason)
        case (_, 415):
            return HTTPVerdict.of(status: 415, retryAfter: nil, said: "code \(code) \(answer.text)", at: place)
        case (0, 200), (17, 200): return .delivered(slowDown: false)
        case (24, 200), (25, 200): return .delivered(slowDown: true)
        case (8, _), (9, _), (18, _), (19, _), (20, _), (23, _), (26, _), (27, _):
            return .retry(reason, retryAfterMilliseconds: retryAfter)
        // Code 7 names an event too, but all of a request go to the same index: none of them is taken to be there.
        case (1, _), (2, _), (3, _), (4, _), (7, _), (10, _), (11, _), (14, _), (16, _), (21, _), (22, _):
            return .configuration(reason)
        case (5, _), (6, _), (12, _), (13, _), (15, _):
            guard let at = answer.invalidEvent, 0..<count ~= at else { return .poison(reason) }
            return .poisonAt(delivered: at, reason)
        default:
            return HTTPVerdict.of(
                status: response.status, retryAfter: retryAfter, said: "code \(code) \(answer.text)", at: place)
        }
    }

    /// What is wrong with the collector by its own word; nil if it is healthy. It answers 200 with code 17, or 503 with a
    /// code that says which queue is full.
    static func health(_ response: HTTPResponse, at place: String) -> Reason? {
        guard response.status != 200 else { return nil }
        let answer = Answer(response.body)
        let said = answer.map { " code \($0.code.map(String.init) ?? "?"): \($0.text)" } ?? ""
        return Reason(
            code: answer?.code.map { "hec-\($0)" } ?? "http-\(response.status)",
            message: "\(place): the collector's health check answered \(response.status)\(said)")
    }

    /// The same for a token that acknowledges: a refused request brings no number, so nobody will ever confirm the
    /// events before the bad one, and they are sent once more.
    static func unacknowledged(_ verdict: Verdict, count: Int, at place: String) -> (verdict: Verdict, unconfirmed: Int)
    {
        switch verdict {
        case .poisonAt(let before, let reason) where before > 0:
            let again = Reason(
                code: "unconfirmed",
                message: "\(place) took \(before) events before the one it refused, and will never confirm them")
            var items = Array(repeating: ItemVerdict.retry(again), count: count)
            items[before] = .poison(reason)
            return (.items(items, retryAfterMilliseconds: nil), before)
        default: return (verdict, 0)
        }
    }

    private static func advice(_ code: Int) -> String {
        switch code {
        case 1: "; enable the token in Splunk"
        case 2, 3: "; check the key token of the secret"
        case 4: "; the token is not known to Splunk: check the key token of the secret"
        case 7: "; the index does not exist or the token may not use it: check index"
        case 10, 11:
            "; the token demands indexer acknowledgement: set acknowledge: true, or switch it off for this token"
        case 14: "; switch indexer acknowledgement on for this token in Splunk, or set acknowledge: false"
        default: ""
        }
    }

    /// The members of an answer that matter.
    struct Answer {
        var code: Int?
        var text = ""
        var invalidEvent: Int?
        /// The number to ask for the acknowledgement by.
        var ackID: Int64?

        init?(_ body: [UInt8]) {
            let span = body.span
            guard let members = JSONAnswer.members(span, 0..<body.count) else { return nil }
            // A field said twice could be read either way: such an answer is not understood.
            guard Set(members.map(\.key)).count == members.count else { return nil }
            for (key, value) in members {
                switch key {
                case "code": code = JSONAnswer.integer(value, span)
                case "text": text = JSONAnswer.text(value, span) ?? ""
                case "invalid-event-number": invalidEvent = JSONAnswer.integer(value, span)
                case "ackId": ackID = JSONAnswer.integer(value, span).flatMap { $0 < 0 ? nil : Int64($0) }
                default: continue
                }
            }
        }
    }
}
