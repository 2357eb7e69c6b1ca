import CCurl
import Model

/// The proxy that a request goes through.
@safe struct ProxyPlan: Sendable {
    /// For libcurl, never with credentials: it takes a URL's before ours, and quotes what it cannot read.
    let url: String
    let isTLS: Bool
    /// Host and port, for messages.
    let shown: String
    let user: Secret?
    let password: Secret?

    /// - Parameter environment: for requests that name no proxy themselves.
    /// - Returns: `nil` for a straight connection. Plain http to this machine is always one, whoever names a proxy: it
    ///   was allowed because it never leaves the machine, and through a proxy it would, in clear.
    static func of(
        _ request: HTTPRequest, _ parts: URLParts, _ environment: ProxyEnvironment
    ) throws(HTTPFailure) -> ProxyPlan? {
        if parts.scheme == "http", ProxyEnvironment.isThisMachine(parts.host) { return nil }
        let given = request.proxy ?? environment.proxy(scheme: parts.scheme, host: parts.host, port: parts.port)
        guard let given, !given.isEmpty else { return nil }
        guard let plan = ProxyPlan(given, user: request.proxyUser, password: request.proxyPassword) else {
            // Nothing of the text is shown: it may hold a password wherever a reader would not look for one.
            let origin =
                request.proxy == nil ? "the environment's proxy (HTTPS_PROXY, http_proxy or ALL_PROXY)" : "the proxy"
            throw HTTPFailure(
                kind: .proxy(status: nil),
                message: "\(request.method.rawValue) \(parts.host):\(parts.port): not sent: \(origin) is not of the"
                    + " form http://host:port or https://host:port (credentials before the host as user:password@,"
                    + " what is special in them percent-encoded); correct it, or set proxy for this target",
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
        let userInfo = at.map { rest[..<$0] } ?? ""
        guard userInfo.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x2F }),
            let parts = URLParts("\(scheme)://\(place)"), parts.rest.isEmpty
        else { return nil }
        let halves = userInfo.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = Self.decoded(halves.first ?? ""), !name.contains(":"),
            let word = Self.decoded(halves.count == 2 ? halves[1] : "")
        else { return nil }
        isTLS = scheme == "https"
        shown = "\(parts.bracketedHost):\(parts.port)"
        url = "\(scheme)://\(shown)"
        // The target's own are for this proxy; those of the environment are everybody's.
        self.user = user ?? (userInfo.isEmpty ? nil : Secret(name))
        self.password = user == nil ? (userInfo.isEmpty ? nil : Secret(word)) : password
    }

    /// Percent-decoded (RFC 3986, section 2.1); a `%` that begins no escape stands for itself. Nil if what comes out is
    /// no text or holds control characters, which no field of HTTP can carry.
    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == 0x25, rest.count >= 2, let high = hex(rest[rest.startIndex]),
                let low = hex(rest[rest.startIndex + 1])
            {
                bytes.append(high << 4 | low)
                rest.removeFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }

    /// `user:password` in base 64, as Basic has it (RFC 7617, section 2); nil if it wants none.
    var basicCredentials: Secret? {
        guard let user, let password else { return nil }
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var rest = Array("\(user.reveal()):\(password.reveal())".utf8)[...]
        var text: [UInt8] = []
        while !rest.isEmpty {
            let three = rest.prefix(3)
            let padding = 3 - three.count
            let group = (three + Array(repeating: 0, count: padding)).reduce(0) { $0 << 8 | Int($1) }
            for shift in [18, 12, 6, 0].prefix(4 - padding) { text.append(alphabet[group >> shift & 63]) }
            text += Array(repeating: 0x3D, count: padding)
            rest = rest.dropFirst(3)
        }
        return Secret(String(decoding: text, as: UTF8.self))
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
