import ExportCore
import Formats
import HTTPClient
import Model

/// The two messages of the acknowledgement endpoint (Splunk, "About HTTP Event Collector Indexer Acknowledgment").
enum SplunkAckMessages {
    /// What the answer to a poll means.
    enum Answer: Equatable {
        /// The numbers that it calls true.
        case ids(Set<Int64>)
        /// It was refused: nothing is acknowledged, and nothing was given away.
        case refused(Reason)
        /// It may have said anything.
        case unreadable(Reason)
    }

    /// `{"acks":[…]}`.
    static func question(_ ids: [Int64]) -> SealedBytes {
        var out = ByteWriter()
        out.append("{\"acks\":[")
        for (index, id) in ids.enumerated() {
            if index > 0 { out.append(0x2C) }
            out.append(string: String(id))
        }
        out.append("]}")
        return out.seal()
    }

    /// Reads `{"acks":{"0":true,"1":false}}`. Only the word `true` under the number itself, said once, is an
    /// acknowledgement; an answer that says it in another form, or reports an error as well, is not believed at all.
    static func answer(_ response: HTTPResponse, at place: String) -> Answer {
        guard response.status == 200 else {
            let code = SplunkVerdict.Answer(response.body)
            let said = code.map { " code \($0.code.map(String.init) ?? "?"): \($0.text)" } ?? ""
            let name = code?.code.map { "hec-\($0)" } ?? "http-\(response.status)"
            let reason = Reason(
                code: name,
                message: "\(place) answered a question for acknowledgements with \(response.status)\(said)")
            return .refused(reason)
        }
        let unreadable = Answer.unreadable(
            Reason(code: "unreadable", message: "\(place) answered 200 without readable acknowledgements"))
        let span = response.body.span
        guard let members = JSONAnswer.members(span, 0..<span.count), Set(members.map(\.key)).count == members.count,
            members.allSatisfy({ $0.key != "code" || JSONAnswer.integer($0.value, span) == 0 }),
            let list = members.first(where: { $0.key == "acks" })?.value,
            let acks = JSONAnswer.members(span, list.range)
        else { return unreadable }
        var confirmed: Set<Int64> = []
        var seen: Set<Int64> = []
        for (key, value) in acks {
            guard let id = Int64(key), String(id) == key, value.kind == .bool, seen.insert(id).inserted else {
                return unreadable
            }
            if JSONAnswer.isSpelt(value, "true", span) { confirmed.insert(id) }
        }
        return .ids(confirmed)
    }
}

/// Cookies that keep a channel's requests with one indexer, behind a balancer that is told to be sticky.
///
/// No more of RFC 6265 than that takes: they go back to where they came from, one address, until they are replaced or
/// the channel ends. Their lifetimes are the balancer's to keep; only a lifetime of zero removes one at once.
struct StickyCookies: Equatable {
    private var values: [String: String] = [:]

    private static let maxCount = 16
    private static let maxBytes = 4_096

    /// Takes what an answer sets.
    mutating func take(_ response: HTTPResponse) {
        for line in response.headers("Set-Cookie") {
            let parts = line.split(separator: ";", omittingEmptySubsequences: false)
            guard let pair = parts.first, let equals = pair.firstIndex(of: "=") else { continue }
            let name = Self.trimmed(pair[..<equals])
            let value = Self.trimmed(pair[pair.index(after: equals)...])
            let isOver = parts.dropFirst().contains { part in
                let words = part.split(separator: "=", maxSplits: 1).map { Self.trimmed($0).lowercased() }
                return words.count == 2 && words[0] == "max-age" && (Int(words[1]) ?? 1) <= 0
            }
            if isOver {
                values[name] = nil
            } else if !name.isEmpty, name.utf8.count + value.utf8.count <= Self.maxBytes,
                values[name] != nil || values.count < Self.maxCount
            {
                values[name] = value
            }
        }
    }

    /// The `Cookie` header; none without cookies.
    var headers: [HTTPHeader] {
        guard !values.isEmpty else { return [] }
        let pairs = values.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return [HTTPHeader("Cookie", pairs.joined(separator: "; "))]
    }

    private static func trimmed(_ text: Substring) -> String {
        let rest = text.drop { $0 == " " || $0 == "\t" }
        let end = rest.lastIndex { $0 != " " && $0 != "\t" }
        return end.map { String(rest[...$0]) } ?? ""
    }
}
