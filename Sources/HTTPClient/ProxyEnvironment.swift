import Glibc
import Model

/// What the environment says about proxies: `HTTPS_PROXY`, `http_proxy`, `ALL_PROXY` and `NO_PROXY`, the lower-case
/// spelling first. `HTTP_PROXY` in capitals is ignored, as a web server may set it from a request's header (httpoxy,
/// CVE-2016-5385).
///
/// This machine itself (`localhost`, 127.0.0.0/8, ::1) is never reached by a proxy of the environment: a proxy would reach
/// another machine by that name.
@safe public struct ProxyEnvironment: Sendable {
    private let https: String?
    private let http: String?
    private let exceptions: [ProxyException]

    /// What `variable` gives for a name; an empty value counts as none.
    public init(_ variable: (String) -> String?) {
        func first(_ names: String...) -> String? {
            for name in names { if let value = variable(name), !value.isEmpty { return value } }
            return nil
        }
        let all = first("all_proxy", "ALL_PROXY")
        https = first("https_proxy", "HTTPS_PROXY") ?? all
        http = first("http_proxy") ?? all
        let list = first("no_proxy", "NO_PROXY") ?? ""
        exceptions = list.split { $0 == "," || $0.isWhitespace }.map { ProxyException(String($0)) }
    }

    /// No proxy for anything.
    public static let none = ProxyEnvironment { _ in nil }

    /// What this process was started with.
    public static func current() -> ProxyEnvironment {
        ProxyEnvironment { name in unsafe getenv(name).map { unsafe String(cString: $0) } }
    }

    /// Whether `host` names loopback, whose meaning changes with the machine that resolves it.
    static func isThisMachine(_ host: String) -> Bool {
        let name = ProxyException.plain(host)
        return name == "localhost" || NetworkAddress(name)?.isLoopback == true
    }

    /// The proxy's URL as the variable has it; `nil` for a straight connection.
    func proxy(scheme: String, host: String, port: Int) -> String? {
        guard let found = scheme == "https" ? https : http else { return nil }
        if Self.isThisMachine(host) { return nil }
        let name = ProxyException.plain(host)
        let address = NetworkAddress(name)
        return exceptions.contains { $0.covers(name, address, port) } ? nil : found
    }
}

/// One entry of `NO_PROXY`: `*`, a domain with all below it, an address, or a range of addresses; a port may follow.
struct ProxyException {
    private enum Kind {
        case everything
        case domain(String)
        case range(NetworkAddress, bits: Int)
    }

    private let kind: Kind
    private let port: Int?

    init(_ text: String) {
        if text == "*" {
            kind = .everything
            port = nil
            return
        }
        let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
        if parts.count == 2, let base = NetworkAddress(Self.plain(parts[0])), let bits = Int(parts[1]),
            0...base.bytes.count * 8 ~= bits
        {
            kind = .range(base, bits: bits)
            port = nil
            return
        }
        if let whole = NetworkAddress(Self.plain(text)) {
            kind = .range(whole, bits: whole.bytes.count * 8)
            port = nil
            return
        }
        var name = text
        var number: Int?
        if let colon = text.lastIndex(of: ":"), let given = UInt16(text[text.index(after: colon)...]) {
            number = Int(given)
            name = String(text[..<colon])
        }
        port = number
        if let address = NetworkAddress(Self.plain(name)) {
            kind = .range(address, bits: address.bytes.count * 8)
            return
        }
        if name.hasPrefix("*.") { name.removeFirst() }
        if name.hasPrefix(".") { name.removeFirst() }
        kind = .domain(Self.plain(name))
    }

    /// Lower case, without brackets and without the root's dot.
    static func plain(_ host: String) -> String {
        var name = host.lowercased()
        if name.hasPrefix("["), name.hasSuffix("]") { name = String(name.dropFirst().dropLast()) }
        if name.hasSuffix(".") { name.removeLast() }
        return name
    }

    /// `name` as ``plain(_:)`` gives it, and its address if it is one.
    func covers(_ name: String, _ address: NetworkAddress?, _ port: Int) -> Bool {
        if let own = self.port, own != port { return false }
        switch kind {
        case .everything: return true
        case .domain(let domain): return !domain.isEmpty && (name == domain || name.hasSuffix("." + domain))
        case .range(let base, let bits): return address?.shares(bits: bits, with: base) ?? false
        }
    }
}

/// An IPv4 or IPv6 address.
struct NetworkAddress: Equatable {
    /// Four or sixteen, in the network's order.
    let bytes: [UInt8]

    init?(_ text: String) {
        var buffer = [UInt8](repeating: 0, count: 16)
        if unsafe inet_pton(AF_INET, text, &buffer) == 1 {
            bytes = Array(buffer[..<4])
        } else if unsafe inet_pton(AF_INET6, text, &buffer) == 1 {
            bytes = buffer
        } else {
            return nil
        }
    }

    /// RFC 1122 section 3.2.1.3 and RFC 4291 section 2.5.3.
    var isLoopback: Bool {
        bytes.count == 4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1
    }

    /// Whether the first `bits` are the same; never between IPv4 and IPv6.
    func shares(bits: Int, with other: NetworkAddress) -> Bool {
        guard bytes.count == other.bytes.count else { return false }
        for at in 0..<bytes.count {
            let rest = bits - at * 8
            if rest <= 0 { return true }
            let mask: UInt8 = rest >= 8 ? 0xFF : ~(0xFF >> UInt8(rest))
            if bytes[at] & mask != other.bytes[at] & mask { return false }
        }
        return true
    }
}
