import Model

/// Why an address was refused.
public struct AddressMistake: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong.
    public var message: String
    /// How to mend it.
    public var hint: String?

    /// Both in one line.
    public var description: String { hint.map { "\(message); \($0)" } ?? message }
}

/// An address of the form `scheme://host:port/path`, taken apart more strictly than RFC 3986 allows, so that nothing
/// that reads it later can take it apart otherwise. Whatever holds an `@` is never repeated in a message, for a
/// password may stand before it.
struct Address {
    var scheme: String
    var host: String
    var port: Int?
    /// Without trailing slashes.
    var path: String

    init(_ text: String) throws(AddressMistake) {
        if text.contains("@") {
            throw AddressMistake(
                message: "holds `@`, which separates a user name or password from a host; credentials do not belong"
                    + " in this file", hint: "remove them; put them into the secret that `secretRef` names")
        }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw AddressMistake(
                message: "holds a space or a character that is not ASCII",
                hint: "write a host name in its ASCII form (`xn--…`), and a path percent-encoded")
        }
        guard let mark = text.range(ofFirst: "://") else {
            let rest = text.prefix { $0 != "?" && $0 != "#" }
            throw AddressMistake(
                message: "has no scheme; expected `https://host:port`",
                hint: "did you mean \(shown("https://" + rest))?")
        }
        scheme = text[..<mark.lowerBound].lowercased()
        let rest = text[mark.upperBound...]
        guard !rest.contains("?"), !rest.contains("#") else {
            throw AddressMistake(
                message: "must not hold a query (`?`) or a fragment (`#`)", hint: "end it at the path")
        }
        let authority = rest.prefix { $0 != "/" }
        path = String(rest[authority.endIndex...])
        while path.hasSuffix("/") { path.removeLast() }
        (host, port) = try Self.hostAndPort(authority)
    }

    /// Whether the host is this machine itself: RFC 1122 3.2.1.3 (127/8), RFC 4291 2.5.3, RFC 6761 6.3.
    var isLoopback: Bool {
        if ["localhost", "::1", "0:0:0:0:0:0:0:1"].contains(host) { return true }
        return Self.octets(host)?.first == 127
    }

    /// Takes `host`, `host:port` or `[address]:port` apart; the host comes in lower case.
    static func hostAndPort(_ authority: Substring) throws(AddressMistake) -> (String, Int?) {
        var host: Substring
        var tail: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else {
                throw AddressMistake(message: "has `[` without `]`", hint: "write an IPv6 address as `[::1]`")
            }
            host = authority[..<end].dropFirst()
            tail = authority[authority.index(after: end)...]
            guard isIPv6(host) else { throw AddressMistake(message: "\(shown(host)) is not an IPv6 address") }
        } else {
            host = authority.prefix { $0 != ":" }
            tail = authority[host.endIndex...]
            guard tail.filter({ $0 == ":" }).count <= 1 else {
                throw AddressMistake(
                    message: "\(shown(authority)) has several colons",
                    hint: "write an IPv6 address in brackets: `[::1]`")
            }
            try checkName(host)
        }
        guard !tail.isEmpty else { return (host.lowercased(), nil) }
        guard tail.hasPrefix(":"), let port = UInt16(tail.dropFirst()), port > 0, !tail.contains("+") else {
            throw AddressMistake(
                message: "\(shown(tail)) is not a port", hint: "write a port from 1 to 65535, as `:8088`")
        }
        return (host.lowercased(), Int(port))
    }

    private static func checkName(_ host: Substring) throws(AddressMistake) {
        guard !host.isEmpty else {
            throw AddressMistake(message: "has no host", hint: "expected `https://host:port`")
        }
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let sound = labels.allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && label.unicodeScalars.allSatisfy(\.isWordASCII)
        }
        guard sound, host.utf8.count <= 253 else {
            throw AddressMistake(message: "\(shown(host)) is not a host name or an IPv4 address")
        }
        if labels.last?.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) == true, octets(String(host)) == nil {
            throw AddressMistake(message: "\(shown(host)) is not an IPv4 address (four numbers from 0 to 255)")
        }
    }

    private static func octets(_ host: String) -> [UInt8]? {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        // A leading zero means octal to some resolvers and decimal to others.
        let octets = parts.compactMap { part in
            part.utf8.count > 1 && part.hasPrefix("0") ? nil : UInt8(part)
        }
        return parts.count == 4 && octets.count == 4 ? octets : nil
    }

    /// RFC 4291 2.2, without zones and embedded IPv4 addresses.
    private static func isIPv6(_ text: Substring) -> Bool {
        let halves = text.split(separator: "::", omittingEmptySubsequences: false)
        guard halves.count <= 2 else { return false }
        let groups = halves.map { $0.isEmpty ? [] : $0.split(separator: ":", omittingEmptySubsequences: false) }
        let count = groups.reduce(0) { $0 + $1.count }
        let sound = groups.joined().allSatisfy { group in
            !group.isEmpty && group.utf8.count <= 4 && group.allSatisfy { $0.isASCII && $0.isHexDigit }
        }
        return sound && (halves.count == 2 ? count < 8 : count == 8)
    }
}

/// Reads `endpoint` and `proxy`.
struct EndpointReader {
    let backend: BackendKind
    let tlsRequired: Bool

    /// How an endpoint of `backend` is written.
    static func form(of backend: BackendKind) -> String {
        switch backend {
        case .file: "file:///absolute/directory"
        case .syslog: "tls://host:6514"
        case .splunk, .elasticsearch, .s3: "https://host:port"
        }
    }

    /// The endpoint as the backend wants it. Without TLS it is for this machine only, and only if TLS is not required.
    func endpoint(_ text: String) throws(AddressMistake) -> Endpoint {
        if backend == .file { return try directory(text) }
        if backend == .syslog { return try receiver(text) }
        if text.lowercased().hasPrefix("file:") {
            throw AddressMistake(
                message: "`file://` belongs to the backend `file`; expected `https://host:port`",
                hint: "set `backend: file`, or give the address of the server")
        }
        let address = try Address(text)
        switch address.scheme {
        case "https": break
        case "http": try checkPlain(address, "http", instead: "https")
        default:
            throw AddressMistake(
                message: "unknown scheme \(shown(address.scheme)); expected `https://`",
                hint: Suggestion.nearest(to: address.scheme, among: ["https", "http"]).map { _ in
                    "did you mean `https`?"
                })
        }
        try checkPath(address)
        return Endpoint(
            scheme: address.scheme, host: address.host, port: address.port ?? (address.scheme == "https" ? 443 : 80),
            path: address.path)
    }

    /// A proxy's URL as the HTTP client takes it: `none`, for no proxy whatever the environment says, is empty.
    static func proxy(_ text: String, to endpoint: Endpoint) throws(AddressMistake) -> String {
        if text == "none" { return "" }
        let address: Address
        do throws(AddressMistake) {
            address = try Address(text)
        } catch {
            guard text.contains("@") else { throw error }
            throw AddressMistake(
                message: error.message,
                hint: "put them into the secret that `secretRef` names, as `proxyUsername` and `proxyPassword`")
        }
        guard ["http", "https"].contains(address.scheme) else {
            throw AddressMistake(message: "expected `http://host:port`, `https://host:port` or `none`")
        }
        guard address.path.isEmpty else { throw AddressMistake(message: "a proxy has no path") }
        guard address.port != nil else {
            throw AddressMistake(message: "has no port", hint: "write it, as `http://proxy.example.com:3128`")
        }
        guard endpoint.scheme != "http" else {
            throw AddressMistake(
                message: "records and credentials for a plain http endpoint would be open to the proxy",
                hint: "remove the key; this machine is reached without a proxy")
        }
        return text
    }

    private func checkPlain(_ address: Address, _ plain: String, instead: String) throws(AddressMistake) {
        guard address.isLoopback else {
            throw AddressMistake(
                message: "plain \(plain) is refused: records and credentials would travel unprotected",
                hint: "use `\(instead)://`; \(plain) is only for this machine (127.0.0.0/8, ::1, localhost)")
        }
        guard tlsRequired else { return }
        throw AddressMistake(
            message: "plain \(plain) is refused while `tls.required` is true",
            hint: "use `\(instead)://`, or set `tls.required: false`, which counts for this machine only")
    }

    /// A syslog receiver: TLS on port 6514 unless another is given (RFC 5425, section 4.1); TCP has no port of its own.
    private func receiver(_ text: String) throws(AddressMistake) -> Endpoint {
        let form = Self.form(of: .syslog)
        if text.lowercased().hasPrefix("file:") {
            throw AddressMistake(message: "`file://` belongs to the backend `file`; expected `\(form)`")
        }
        let address: Address
        do throws(AddressMistake) {
            address = try Address(text)
        } catch {
            guard !text.contains("://"), !text.contains("@") else { throw error }
            throw AddressMistake(
                message: "has no scheme; expected `\(form)`", hint: "did you mean \(shown("tls://" + text))?")
        }
        let scheme: String
        switch address.scheme {
        case "tls", "syslog+tls": scheme = "tls"
        case "tcp", "syslog+tcp":
            try checkPlain(address, "tcp", instead: "tls")
            scheme = "tcp"
        case "udp", "syslog+udp":
            throw AddressMistake(
                message: "UDP loses messages without a trace and is not supported; expected `\(form)`",
                hint: "have the receiver listen for syslog over TLS (RFC 5425)")
        default:
            throw AddressMistake(
                message: "unknown scheme \(shown(address.scheme)); expected `\(form)`", hint: "use `tls://`")
        }
        guard address.path.isEmpty else {
            throw AddressMistake(message: "a syslog receiver has no path", hint: "end the endpoint at the port")
        }
        guard let port = address.port ?? (scheme == "tls" ? 6514 : nil) else {
            throw AddressMistake(message: "has no port", hint: "write it, as `tcp://127.0.0.1:1514`")
        }
        return Endpoint(scheme: scheme, host: address.host, port: port, path: "")
    }

    /// The request's path is appended by the backend.
    private func checkPath(_ address: Address) throws(AddressMistake) {
        if backend == .s3, !address.path.isEmpty {
            throw AddressMistake(
                message: "holds a path, and the endpoint of S3 has none",
                hint: "give the bucket as `bucket`, and what keys begin with as `prefix`")
        }
        let own = backend == .splunk ? "/services/collector" : "/_bulk"
        guard let found = address.path.range(ofFirst: own) else { return }
        let before = address.path[..<found.lowerBound]
        throw AddressMistake(
            message: "holds the path `\(own)`, which is added to every request",
            hint: "end the endpoint at \(before.isEmpty ? "the port" : shown(before))")
    }

    private func directory(_ text: String) throws(AddressMistake) -> Endpoint {
        guard text.lowercased().hasPrefix("file://") else {
            if text.contains("://") {
                throw AddressMistake(
                    message: "the backend `file` writes into a directory; expected `file:///absolute/directory`",
                    hint: "give a directory, or the backend of this server")
            }
            let path = text.lowercased().hasPrefix("file:") ? text.dropFirst(5) : text[...]
            throw AddressMistake(
                message: "expected `file:///absolute/directory`",
                hint: path.hasPrefix("/") ? "did you mean \(shown("file://" + path))?" : "give an absolute directory")
        }
        var path = String(text.dropFirst(7))
        guard path.hasPrefix("/") else {
            throw AddressMistake(
                message: "expected `file:///absolute/directory`, with three slashes",
                hint: "did you mean \(shown("file:///" + path))?")
        }
        guard !path.contains("%"), !path.contains("?"), !path.contains("#") else {
            throw AddressMistake(
                message: "`%`, `?` and `#` are not possible in the directory's name",
                hint: "write the name as it is, without percent-encoding")
        }
        guard !path.split(separator: "/").contains(where: { $0 == "." || $0 == ".." }) else {
            throw AddressMistake(message: "`.` and `..` are not possible in the directory's path")
        }
        while path.hasSuffix("/") { path.removeLast() }
        guard !path.isEmpty else {
            throw AddressMistake(message: "the root directory is refused", hint: "name a directory below it")
        }
        return Endpoint(scheme: "file", host: "", port: 0, path: path)
    }
}

extension StringProtocol {
    /// Where `part` first stands.
    fileprivate func range(ofFirst part: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(part) { return start..<index(start, offsetBy: part.count) }
            start = index(after: start)
        }
        return nil
    }
}
