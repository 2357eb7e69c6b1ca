import Foundation
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

    /// Plain http to this machine goes straight even if the request names a proxy, where it would travel in clear.
    @Test(arguments: ["localhost:4566", "127.0.0.1:4566", "127.9.9.9", "[::1]:80", "localhost.:80"])
    func plainHTTPNeverLeavesThisMachine(place: String) throws {
        for (scheme, isStraight) in [("http", true), ("https", false)] {
            var request = HTTPRequest(method: .post, url: "\(scheme)://\(place)/", proxy: "http://proxy:3128")
            request.proxyUser = Secret("own")
            request.proxyPassword = Secret("word")
            #expect((try CheckedRequest(request, environment: .none).proxy == nil) == isStraight)
        }
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
        #expect(plain.url == "http://proxy.example.com:3128")
        #expect(try plan("HTTPS://proxy")?.shown == "proxy:443")
        #expect(try plan("proxy:8080", isGiven: false)?.url == "http://proxy:8080")
        #expect(try plan("http://[fd00::1]:3128")?.shown == "[fd00::1]:3128")
        #expect(try plan("") == nil)
        let named = try #require(try plan("http://user:hunter2@proxy:3128", isGiven: false))
        #expect(named.shown == "proxy:3128")
        #expect(named.url == "http://proxy:3128")
        #expect(named.user?.reveal() == "user" && named.password?.reveal() == "hunter2")
        var dumped = ""
        dump(named, to: &dumped)
        #expect(!"\(named) \(dumped)".contains("hunter2"))
    }

    /// What stands before the host, user, password.
    @Test(arguments: [
        ("user:p@ss@", "user", "p@ss"), ("user:pa#ss@", "user", "pa#ss"), ("user:pa?ss@", "user", "pa?ss"),
        ("user:1234#x@", "user", "1234#x"), ("user:a:b@", "user", "a:b"), ("user:%41%2f%25@", "user", "A/%"),
        ("user:100%@", "user", "100%"), ("us%40er:%c3%a9@", "us@er", "é"), ("user@", "user", ""),
        (":word@", "", "word"),
    ])
    func credentialsNeverReachTheURL(before: String, user: String, password: String) throws {
        for address in ["http://\(before)proxy:3128", "https://\(before)proxy:3128/", "\(before)proxy:3128"] {
            let plan = try #require(try plan(address, isGiven: false))
            #expect(plan.shown == "proxy:3128")
            #expect(plan.url == (address.hasPrefix("https:") ? "https" : "http") + "://proxy:3128")
            #expect(plan.user?.reveal() == user && plan.password?.reveal() == password)
        }
    }

    @Test func credentialsOfTheTargetComeFirst() throws {
        var request = HTTPRequest(method: .post, url: "https://siem.example.com/")
        request.proxyUser = Secret("own")
        request.proxyPassword = Secret("word")
        let environment = environment(["HTTPS_PROXY": "http://common:hunter2@proxy:3128"])
        let plan = try #require(try CheckedRequest(request, environment: environment).proxy)
        #expect(plan.user?.reveal() == "own" && plan.password?.reveal() == "word")
        #expect(try self.plan("http://proxy:3128", isGiven: false)?.user == nil)
    }

    /// The vectors of RFC 7617, and all lengths of the last group.
    @Test(arguments: [
        ("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), ("test", "123£", "dGVzdDoxMjPCow=="),
        ("", "", "Og=="), ("a", "", "YTo="), ("a", "b", "YTpi"), ("~", "\u{7FF}?>", "fjrfvz8+"),
    ])
    func basicIsBase64(user: String, password: String, expected: String) throws {
        var request = HTTPRequest(method: .post, url: "https://siem.example.com/", proxy: "http://proxy:3128")
        (request.proxyUser, request.proxyPassword) = (Secret(user), Secret(password))
        let plan = try #require(try CheckedRequest(request, environment: .none).proxy)
        #expect(plan.basicCredentials?.reveal() == expected)
    }

    /// libcurl gets them as they are, and decodes nothing a second time.
    @Test func credentialsArriveAsTheyAre() async throws {
        try await withServer({ connection in
            while let (head, _) = connection.nextRequest() { connection.answer(head) }
        }) { server, client in
            var plain = request(.get, "http://receiver.invalid/")
            plain.proxy = "http://us%40er:p@%2541#?@" + server.url("").dropFirst("http://".count)
            let text = try await client.send(plain).text
            let field = "Proxy-Authorization: Basic \(Data("us@er:p@%41#?".utf8).base64EncodedString())\r\n"
            #expect(text.contains(field), "\(text)")
            // Those of a secret too.
            plain.proxy = server.url("")
            plain.proxyUser = Secret("us@er")
            plain.proxyPassword = Secret("p@%41#?")
            #expect(try await client.send(plain).text.contains(field))
        }
    }

    @Test(arguments: [
        "socks5://hunter2@proxy:1", "http://hunter2@proxy:1/path", "http://hunter2@:1", "http://hunter2@proxy:0",
        "http://hunter2@pro\u{0}xy:1", "http://hunter2\n@proxy:1", "http://", "http://hunter2@proxy:99999",
        "http://u:hunter2%0a@proxy:1", "http://u:hunter2%00@proxy:1", "http://u%3Ax:hunter2@proxy:1",
        "http://u:hunter2%ff@proxy:1", "http://u:hunter2/@proxy:1", "http://u:hunter2@proxy:1#x",
        "http://u:hunter2@", "http://user:hunter2#x",
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
