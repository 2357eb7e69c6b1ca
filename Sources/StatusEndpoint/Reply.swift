internal import NIOCore
internal import NIOHTTP1

/// An answer.
struct Reply: Sendable {
    enum Body: Sendable {
        case whole([UInt8])
        /// Server-sent events until somebody hangs up.
        case events
    }

    var status: HTTPResponseStatus
    var type: String
    var body: Body
    /// Further fields.
    var fields: [(name: String, value: String)] = []

    init(_ status: HTTPResponseStatus, type: String, _ body: [UInt8]) {
        self.status = status
        self.type = type
        self.body = .whole(body)
    }

    init(_ status: HTTPResponseStatus, json value: some Encodable) {
        self.init(status, type: Self.json, StatusJSON.encode(value) + [0x0A])
    }

    /// What went wrong, for programs and people.
    static func problem(_ status: HTTPResponseStatus, _ message: String) -> Reply {
        Reply(status, json: Problem(status: Int(status.code), message: message))
    }

    static let json = "application/json"

    private struct Problem: Encodable {
        var status: Int
        var message: String
    }

    /// Head of the answer. What every answer carries keeps browsers from running, framing, storing or passing on what is
    /// not ours (OWASP Secure Headers; there is no CORS, so other origins read nothing).
    func head(version: HTTPVersion, closes: Bool) -> HTTPResponseHead {
        var headers: HTTPHeaders = [
            "Content-Type": type,
            "Cache-Control": "no-store",
            "Content-Security-Policy": Self.contentPolicy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        ]
        for (name, value) in fields { headers.replaceOrAdd(name: name, value: value) }
        switch body {
        case .whole(let bytes):
            // RFC 9110, section 8.6: 304 carries the length of nothing.
            if status != .notModified { headers.add(name: "Content-Length", value: String(bytes.count)) }
        case .events:
            // For proxies that gather answers before they pass them on.
            headers.add(name: "X-Accel-Buffering", value: "no")
        }
        if closes { headers.add(name: "Connection", value: "close") }
        return HTTPResponseHead(version: version, status: status, headers: headers)
    }

    /// Scripts, styles and connections of our own origin only, none of them inside the page's text; no script may turn
    /// text into elements (Content Security Policy 3, Trusted Types).
    private static let contentPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        + "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}
