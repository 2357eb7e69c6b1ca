public import ExportCore
import Formats
public import HTTPClient

/// Reads `_bulk`'s answers: 200 says nothing until `errors` and every item were looked at.
public enum ElasticsearchVerdict {
    /// What `response` to a request with `count` documents means.
    public static func of(_ response: HTTPResponse, count: Int, at place: String) -> Verdict {
        let retryAfter = HTTPVerdict.retryAfter(response)
        let span = response.body.span
        // Nearly every answer, as servers spell it under our `filter_path`: told by its bytes, since taking it apart costs a
        // tenth of a record's whole way. Any other spelling is read.
        if response.status == 200, JSONAnswer.isList(span, allHead, created, count: count, "]}") {
            return .delivered(slowDown: false)
        }
        guard let members = JSONAnswer.members(span, 0..<span.count) else {
            return HTTPVerdict.of(status: response.status, retryAfter: retryAfter, said: "", at: place)
        }
        guard response.status == 200 else {
            let said = errorText(members, span)
            return HTTPVerdict.of(status: response.status, retryAfter: retryAfter, said: said, at: place)
        }
        guard only("errors", members)?.kind == .bool, let list = only("items", members),
            let items = JSONAnswer.elements(span, list), items.count == count
        else {
            return .unknown(
                Reason(
                    code: "unreadable",
                    message: "\(place) answered 200 without `errors` and an item for each of \(count) documents"))
        }
        var verdicts: [ItemVerdict] = []
        verdicts.reserveCapacity(count)
        var clean = true
        for item in items {
            let verdict = JSONAnswer.isSpelt(item, created, span) ? .delivered : verdict(item, span, place)
            clean = clean && verdict == .delivered
            verdicts.append(verdict)
        }
        return clean ? .delivered(slowDown: false) : .items(verdicts, retryAfterMilliseconds: retryAfter)
    }

    private static let allHead: StaticString = #"{"errors":false,"items":["#
    private static let created: StaticString = #"{"create":{"status":201}}"#

    /// What an answer that is no `_bulk` answer says is wrong.
    static func said(_ response: HTTPResponse) -> String {
        let span = response.body.span
        guard let members = JSONAnswer.members(span, 0..<span.count) else { return "" }
        return errorText(members, span)
    }

    /// An item is an object with one member, named after its action.
    private static func verdict(_ item: Formats.JSONValue, _ span: Span<UInt8>, _ place: String) -> ItemVerdict {
        let unreadable = Reason(code: "unreadable", message: "\(place) answered an item without a status")
        guard let actions = JSONAnswer.members(span, item.range), actions.count == 1,
            let members = JSONAnswer.members(span, actions[0].value.range),
            let status = only("status", members).flatMap({ JSONAnswer.integer($0, span) })
        else { return .retry(unreadable) }
        // 409: a document of that id is there, and only we write that id. Of all successes a `create` that stored
        // something has 201 alone.
        if status == 409 || status == 201 && !wentToFailureStore(members, span) { return .delivered }
        if status == 201 {
            return .poison(
                Reason(
                    code: "failure-store",
                    message: "\(place) could not index a document and put it into the data stream's failure store;"
                        + " mend the mapping or the pipeline there, then have the dead letter sent again"))
        }
        if status == 200 {
            return .configuration(
                Reason(
                    code: "pipeline-drop",
                    message: "\(place) took a document and stored nothing (item status 200): an ingest pipeline"
                        + " (index.default_pipeline, index.final_pipeline) drops it; take the drop processor out"))
        }
        let said = errorText(members, span)
        let reason = Reason(code: "http-\(status)", message: "\(place) refused a document with \(status)\(said)")
        switch status {
        case 400: return .poison(reason)
        case 401, 403, 404: return .configuration(reason)
        default: return .retry(reason)
        }
    }

    /// Whether the document lies beside the data stream instead of in it: `failure_store` is left out of the answer to
    /// a document that was indexed ("Failure store" in the Elastic documentation, since 8.16).
    private static func wentToFailureStore(
        _ members: [(key: String, value: Formats.JSONValue)], _ span: Span<UInt8>
    ) -> Bool {
        var went = false
        for member in members where member.key == "failure_store" {
            went = went || JSONAnswer.text(member.value, span) != "not_applicable_or_unknown"
        }
        return went
    }

    /// The member called `key`; nil if there is none, or more than one, which could be read either way.
    private static func only(_ key: String, _ members: [(key: String, value: Formats.JSONValue)]) -> Formats.JSONValue?
    {
        let found = members.filter { $0.key == key }
        return found.count == 1 ? found[0].value : nil
    }

    /// `: type: reason` of an `error` member.
    private static func errorText(_ members: [(key: String, value: Formats.JSONValue)], _ span: Span<UInt8>) -> String {
        guard let error = members.first(where: { $0.key == "error" })?.value else { return "" }
        if let text = JSONAnswer.text(error, span) { return ": \(text)" }
        guard let inner = JSONAnswer.members(span, error.range) else { return "" }
        var said = ""
        for name in ["type", "reason"] {
            guard let value = inner.first(where: { $0.key == name })?.value else { continue }
            if let text = JSONAnswer.text(value, span) { said += ": \(text)" }
        }
        return said
    }
}
