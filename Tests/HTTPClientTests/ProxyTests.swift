import Model
import Testing

@testable import HTTPClient

@Suite struct ProxyTests {
    private func environment(_ variables: [String: String]) -> ProxyEnvironment {
        ProxyEnvironment { variables[$0] }
    }

    @Test func variablesByScheme() {
        let both = environment(["HTTPS_PROXY": "https-proxy:1", "http_proxy": "http-proxy:2", "ALL_PROXY": "all:3"])
        #expect(both.proxy(scheme: "https", host: "siem.example.com", port: 443) == "https-proxy:1")
        #expect(both.proxy(scheme: "http", host: "siem.example.com", port: 80) == "http-proxy:2")
        let lower = environment(["HTTPS_PROXY": "capitals:1", "https_proxy": "lower:1"])
        #expect(lower.proxy(scheme: "https", host: "siem.example.com", port: 443) == "lower:1")
        let all = environment(["ALL_PROXY": "all:3", "https_proxy": ""])
        #expect(all.proxy(scheme: "https", host: "siem.example.com", port: 443) == "all:3")
        #expect(ProxyEnvironment.none.proxy(scheme: "https", host: "siem.example.com", port: 443) == nil)
        // httpoxy: whoever sends a request with a field `Proxy:` to a CGI sets this one.
        let capitals = environment(["HTTP_PROXY": "evil:1"])
        #expect(capitals.proxy(scheme: "http", host: "siem.example.com", port: 80) == nil)
    }

    @Test(arguments: ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "LOCALHOST."])
    func thisMachineIsReachedStraight(host: String) {
        let all = environment(["ALL_PROXY": "proxy:1"])
        #expect(all.proxy(scheme: "https", host: host, port: 8088) == nil)
    }

    /// Entry, host, port, whether the proxy is left out.
    @Test(arguments: [
        ("*", "a.example.com", 443, true), ("example.com", "example.com", 443, true),
        ("example.com", "a.example.com", 443, true), ("example.com", "badexample.com", 443, false),
        ("example.com", "example.com.evil.net", 443, false), (".example.com", "a.example.com", 443, true),
        (".example.com", "example.com", 443, true), ("*.example.com", "a.b.example.com", 443, true),
        ("EXAMPLE.com.", "a.Example.COM", 443, true), ("example.com:8088", "a.example.com", 8088, true),
        ("example.com:8088", "a.example.com", 443, false), ("10.0.0.5", "10.0.0.5", 443, true),
        ("10.0.0.5", "10.0.0.50", 443, false), ("10.0.0.5:9200", "10.0.0.5", 9200, true),
        ("10.0.0.5:9200", "10.0.0.5", 443, false), ("10.0.0.0/8", "10.255.1.2", 443, true),
        ("10.0.0.0/8", "11.0.0.1", 443, false), ("10.1.2.0/23", "10.1.3.255", 443, true),
        ("10.1.2.0/23", "10.1.4.0", 443, false), ("192.168.1.128/25", "192.168.1.127", 443, false),
        ("0.0.0.0/0", "8.8.8.8", 443, true), ("0.0.0.0/0", "siem.example.com", 443, false),
        ("fd00::/8", "fd12:3456::1", 443, true), ("fd00::/8", "fe80::1", 443, false),
        ("2001:db8::1", "2001:DB8:0::1", 443, true), ("[2001:db8::1]:9200", "2001:db8::1", 9200, true),
        ("10.0.0.0/33", "10.0.0.1", 443, false), ("", "a", 443, false), (".", "a", 443, false),
        ("a.com b.com,\tc.com", "c.com", 443, true), ("a.com b.com", "b.com", 443, true),
        ("svc,.cluster.local", "splunk.siem.svc", 443, true),
    ])
    func exceptions(entry: String, host: String, port: Int, isStraight: Bool) {
        let made = environment(["HTTPS_PROXY": "http://proxy:1", "NO_PROXY": entry])
        #expect((made.proxy(scheme: "https", host: host, port: port) == nil) == isStraight)
    }

    private func plan(_ proxy: String, isGiven: Bool = true) throws(HTTPFailure) -> ProxyPlan? {
        let environment = environment(isGiven ? [:] : ["HTTPS_PROXY": proxy])
        let request = HTTPRequest(method: .post, url: "https://siem.example.com/", proxy: isGiven ? proxy : nil)
        return try CheckedRequest(request, environment: environment).proxy
    }

    @Test func addresses() throws {
        let plain = try #require(try plan("http://proxy.example.com:3128/"))
        #expect(plain.shown == "proxy.example.com:3128" && !plain.isTLS)
        #expect(plain.url.reveal() == "http://proxy.example.com:3128")
        #expect(try plan("HTTPS://proxy")?.shown == "proxy:443")
        #expect(try plan("proxy:8080", isGiven: false)?.url.reveal() == "http://proxy:8080")
        #expect(try plan("http://[fd00::1]:3128")?.shown == "[fd00::1]:3128")
        #expect(try plan("") == nil)
        let named = try #require(try plan("http://user:hunter2@proxy:3128", isGiven: false))
        #expect(named.shown == "proxy:3128")
        #expect(named.url.reveal() == "http://user:hunter2@proxy:3128")
        var dumped = ""
        dump(named, to: &dumped)
        #expect(!"\(named) \(dumped)".contains("hunter2"))
    }

    @Test(arguments: [
        "socks5://hunter2@proxy:1", "http://hunter2@proxy:1/path", "http://hunter2@:1", "http://hunter2@proxy:0",
        "http://hunter2@pro\u{0}xy:1", "http://hunter2\n@proxy:1", "http://", "http://hunter2@proxy:99999",
    ])
    func badAddressesAreRefusedWithoutBeingShown(address: String) throws {
        for isGiven in [true, false] {
            do {
                _ = try plan(address, isGiven: isGiven)
                Issue.record("taken: \(address)")
            } catch {
                #expect(error.kind == .proxy(status: nil) && !error.mayHaveReachedServer)
                #expect(error.message.contains("http://host:port"))
                #expect(error.message.contains("HTTPS_PROXY") == !isGiven)
                #expect(!error.message.contains("hunter2"))
            }
        }
    }
}
