import CCurl

/// A request that may be sent: its URL taken apart, nothing in it that could break out of its place.
struct CheckedRequest: Sendable {
    let request: HTTPRequest
    /// Host of the URL, without brackets: where the connection goes.
    let host: String
    let port: Int
    /// The URL for libcurl, its host replaced by ``TLSSettings/serverName`` if there is one.
    let url: String
    /// Value of CURLOPT_CONNECT_TO, or `nil`.
    ///
    /// SNI, certificate check and `Host` all follow the URL's host in libcurl, so the server's name goes into the
    /// URL and the connection is directed elsewhere. CURLOPT_RESOLVE could do that only for addresses, and would
    /// leave its entry in the name cache that other requests share; CURLOPT_CONNECT_TO belongs to the request, and
    /// libcurl compares it when it looks for a connection to use again.
    let connectTo: String?

    /// The proxy on the way, if there is one.
    let proxy: ProxyPlan?

    /// What connections are counted by.
    var authority: String { "\(host):\(port)" }

    init(_ request: HTTPRequest, environment: ProxyEnvironment) throws(HTTPFailure) {
        guard let parts = URLParts(request.url) else {
            throw CheckedRequest.refusal(
                request.method,
                "the URL is not an absolute http or https URL of printable ASCII without credentials"
                    + " (percent-encode what is outside)")
        }
        self.request = request
        host = parts.host
        port = parts.port
        try CheckedRequest.checkHeaders(request, at: "\(parts.host):\(parts.port)")
        try CheckedRequest.checkRest(request, at: "\(parts.host):\(parts.port)")
        proxy = try ProxyPlan.of(request, parts, environment)
        guard let serverName = request.tls.serverName, parts.scheme == "https" else {
            url = request.url
            connectTo = nil
            return
        }
        guard serverName.utf8.allSatisfy(URLParts.isNameByte), !serverName.isEmpty else {
            throw CheckedRequest.refusal(request.method, "tls.serverName is not a host name")
        }
        url = "https://\(serverName):\(parts.port)\(parts.rest)"
        connectTo = "\(serverName):\(parts.port):\(parts.bracketedHost):\(parts.port)"
    }

    /// RFC 9110 section 5.5: a CR, LF or NUL in a value must not be sent on, for it would start a new field.
    private static func checkHeaders(_ request: HTTPRequest, at place: String) throws(HTTPFailure) {
        for header in request.headers {
            guard !header.name.isEmpty, header.name.utf8.allSatisfy(isTokenByte) else {
                throw refusal(request.method, "a header field's name is not a token (RFC 9110 5.6.2)", at: place)
            }
            guard header.wireValue.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
                throw refusal(
                    request.method,
                    "the value of header field \(header.name) holds a control character; look for a line break at"
                        + " the end of the file it comes from", at: place)
            }
            guard !["content-length", "transfer-encoding", "expect"].contains(header.name.lowercased()) else {
                throw refusal(request.method, "header field \(header.name) is set by the client itself", at: place)
            }
        }
    }

    private static func checkRest(_ request: HTTPRequest, at place: String) throws(HTTPFailure) {
        if request.body != nil, !request.method.hasBody {
            throw refusal(request.method, "this method has no body", at: place)
        }
        if request.tls.hasClientCertificate != request.tls.hasClientKey {
            throw refusal(request.method, "a client certificate needs its key, and a key its certificate", at: place)
        }
        if (request.proxyUser == nil) != (request.proxyPassword == nil) {
            throw refusal(request.method, "the proxy's user needs a password, and a password its user", at: place)
        }
        if request.tls.revocationFile != nil, request.tls.caFile == nil {
            throw refusal(request.method, "a revocation list needs the authorities it belongs to (ca.crt)", at: place)
        }
        if request.maxResponseBytes < 0 {
            throw refusal(request.method, "maxResponseBytes is negative", at: place)
        }
    }

    private static func refusal(_ method: HTTPMethod, _ why: String, at place: String = "") -> HTTPFailure {
        HTTPFailure(
            kind: .other(code: Int(CURLE_BAD_FUNCTION_ARGUMENT.rawValue)),
            message: "\(method.rawValue) \(place): not sent: \(why)", mayHaveReachedServer: false)
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E...0x60, 0x7C, 0x7E: true
        default: false
        }
    }
}

/// An absolute URL, read more strictly than libcurl does, so that the two cannot disagree about the host.
struct URLParts {
    let scheme: String
    let host: String
    let port: Int
    /// Path and query, from the slash on.
    let rest: String

    /// As it stands in a URL: IPv6 addresses in brackets.
    var bracketedHost: String { host.utf8.contains(0x3A) ? "[\(host)]" : host }

    init?(_ url: String) {
        guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), url.utf8.count <= 8192 else { return nil }
        let tail: Substring
        if url.hasPrefix("https://") {
            scheme = "https"
            tail = url.dropFirst(8)
        } else if url.hasPrefix("http://") {
            scheme = "http"
            tail = url.dropFirst(7)
        } else {
            return nil
        }
        let authority = tail.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        rest = String(tail[authority.endIndex...])
        let portText: Substring?
        if authority.hasPrefix("[") {
            guard let close = authority.firstIndex(of: "]") else { return nil }
            host = String(authority[authority.index(after: authority.startIndex)..<close])
            let after = authority[authority.index(after: close)...]
            guard after.isEmpty || after.hasPrefix(":") else { return nil }
            portText = after.isEmpty ? nil : after.dropFirst()
            guard host.utf8.allSatisfy({ URLParts.isNameByte($0) || $0 == 0x3A }) else { return nil }
        } else {
            let colon = authority.firstIndex(of: ":")
            host = String(authority[..<(colon ?? authority.endIndex)])
            portText = colon.map { authority[authority.index(after: $0)...] }
            guard host.utf8.allSatisfy(URLParts.isNameByte) else { return nil }
        }
        guard !host.isEmpty else { return nil }
        guard let portText else {
            port = scheme == "https" ? 443 : 80
            return
        }
        guard let number = UInt16(portText), number > 0, portText.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
            return nil
        }
        port = Int(number)
    }

    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
        default: false
        }
    }
}
