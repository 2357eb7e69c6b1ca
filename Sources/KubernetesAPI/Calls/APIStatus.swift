import Formats

/// The `Status` object with which an API server says why not (meta/v1).
public struct APIStatus: Sendable, Equatable {
    /// The HTTP status; 0 if it does not say.
    public var code = 0
    /// One word for programs, such as `Conflict`; empty if it does not say.
    public var reason = ""
    /// The server's words.
    public var message = ""
    /// `details.retryAfterSeconds`.
    public var retryAfterSeconds: Int?
    /// `metadata.continue`: with 410 on an expired continue token, one with which the list may go on at the newest state.
    public var continueToken: String?

    /// Reads a `Status`; nil if the text is none.
    init?(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        guard let members = JSONAnswer.members(bytes, range) else { return nil }
        var isStatus = false
        for (key, value) in members {
            switch key {
            case "kind": isStatus = JSONAnswer.isSpelt(value, "Status", bytes)
            case "code": code = JSONAnswer.integer(value, bytes) ?? 0
            case "reason": reason = PlainText.line(JSONAnswer.text(value, bytes, limit: 100) ?? "")
            case "message": message = PlainText.line(JSONAnswer.text(value, bytes, limit: 2_000) ?? "")
            case "details":
                retryAfterSeconds = Self.member(value, "retryAfterSeconds", bytes).flatMap {
                    JSONAnswer.integer($0, bytes)
                }
            case "metadata":
                let token = Self.member(value, "continue", bytes).flatMap { JSONAnswer.text($0, bytes, limit: 4_097) }
                if let token, !token.isEmpty, token.utf8.count <= 4_096 { continueToken = token }
            default: break
            }
        }
        guard isStatus else { return nil }
    }

    /// Reads a body.
    init?(_ body: [UInt8]) { self.init(body.span, 0..<body.count) }

    /// One that says nothing but its code.
    init(code: Int) { self.code = code }

    private static func member(_ object: JSONValue, _ name: String, _ bytes: Span<UInt8>) -> JSONValue? {
        guard object.kind == .object else { return nil }
        return JSONAnswer.members(bytes, object.range)?.first { $0.key == name }?.value
    }
}
