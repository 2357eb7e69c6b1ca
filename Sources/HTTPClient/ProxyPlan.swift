import CCurl
import Model

/// The proxy that a request goes through.
@safe struct ProxyPlan: Sendable {
    /// For libcurl, with the credentials that the environment's URL may hold.
    let url: Secret
    let isTLS: Bool
    /// Host and port, for messages.
    let shown: String
    let user: Secret?
    let password: Secret?

    /// - Parameter environment: for requests that name no proxy themselves.
    /// - Returns: `nil` for a straight connection.
    static func of(
        _ request: HTTPRequest, _ parts: URLParts, _ environment: ProxyEnvironment
    ) throws(HTTPFailure) -> ProxyPlan? {
        let given = request.proxy ?? environment.proxy(scheme: parts.scheme, host: parts.host, port: parts.port)
        guard let given, !given.isEmpty else { return nil }
        guard let plan = ProxyPlan(given, user: request.proxyUser, password: request.proxyPassword) else {
            let origin =
                request.proxy == nil ? "the environment's proxy (HTTPS_PROXY, http_proxy or ALL_PROXY)" : "the proxy"
            throw HTTPFailure(
                kind: .proxy(status: nil),
                message: "\(request.method.rawValue) \(parts.host):\(parts.port): not sent: \(origin) is not of the"
                    + " form http://host:port or https://host:port; correct it, or set proxy for this target",
                mayHaveReachedServer: false)
        }
        return plan
    }

    private init?(_ text: String, user: Secret?, password: Secret?) {
        let hasScheme = text.contains("://")
        // As curl and others have it, a bare `host:port` speaks http.
        let whole = hasScheme ? text : "http://" + text
        guard let mark = whole.firstRange(of: "://"),
            ["http", "https"].contains(whole[..<mark.lowerBound].lowercased())
        else { return nil }
        let scheme = whole[..<mark.lowerBound].lowercased()
        var rest = whole[mark.upperBound...]
        if rest.hasSuffix("/") { rest.removeLast() }
        let at = rest.lastIndex(of: "@")
        let place = at.map { rest[rest.index(after: $0)...] } ?? rest
        let credentials = at.map { rest[..<$0] + "@" } ?? ""
        guard credentials.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x2F }),
            let parts = URLParts("\(scheme)://\(place)"), parts.rest.isEmpty
        else { return nil }
        isTLS = scheme == "https"
        shown = "\(parts.bracketedHost):\(parts.port)"
        url = Secret("\(scheme)://\(credentials)\(shown)")
        self.user = user
        self.password = password
    }

    /// What its answer to CONNECT means for people.
    func refusal(status: Int) -> String {
        let what = "the proxy \(shown) refused the connection with \(status)"
        switch status {
        case 401, 403:
            return what + "; have it allow this host and port, or name the host in NO_PROXY or set proxy: none"
        case 407:
            return what + " (credentials wanted); put proxyUsername and proxyPassword into the target's secret"
        case 500...599: return what + "; it cannot reach the server: check the proxy's own network and name resolution"
        default: return what + "; check that it is a proxy that knows CONNECT"
        }
    }
}
