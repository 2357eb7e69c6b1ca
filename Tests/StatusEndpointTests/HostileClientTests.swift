import ExportCore
import Foundation
import HTTPClient
import StatusEndpoint
import Testing

@Suite struct HostileClientTests {
    private static let local = "Host: localhost\r\n"

    @Test func whatIsNotThereAndWhatIsNotAllowedSaysSoInJSON() async throws {
        try await withEndpoint(FakeCluster()) { port in
            let missing = try await get("/v1/nothing", port)
            #expect(missing.status == 404)
            #expect((try object(missing.body)["message"] as? String)?.contains("/v1/status") == true)
            for method in [HTTPMethod.post, .put, .delete] {
                let refused = try await get("/v1/gate", port, method: method)
                #expect(refused.status == 405)
                #expect(refused.header("Allow") == "GET, HEAD")
                #expect(try object(refused.body)["status"] as? Int == 405)
            }
            // A stream has no end that HEAD could speak of.
            let stream = try await get("/v1/events", port, method: .head)
            #expect(stream.status == 405)
            #expect(stream.header("Allow") == "GET")
        }
    }

    @Test(arguments: ["/", "/v1/status", "/v1/gate", "/metrics", "/nothing"])
    func headIsGetWithoutTheBody(path: String) async throws {
        try await withEndpoint(FakeCluster()) { port in
            let client = try RawClient(port)
            await client.say("HEAD \(path) HTTP/1.1\r\n\(Self.local)Connection: close\r\n\r\n")
            let answer = try #require(await client.hearAll())
            #expect(answer.hasPrefix(path == "/nothing" ? "HTTP/1.1 404" : "HTTP/1.1 200"))
            #expect(answer.hasSuffix("\r\n\r\n"))
            #expect(answer.firstRange(of: "\r\n\r\n")?.upperBound == answer.endIndex)
            #expect(answer.contains("Content-Length: "))
        }
    }

    @Test func oneConnectionCarriesManyRequests() async throws {
        try await withEndpoint(FakeCluster()) { port in
            let client = try RawClient(port)
            for _ in 0..<3 {
                await client.say("GET /healthz HTTP/1.1\r\n\(Self.local)\r\n")
                let head = try #require(await client.hear(until: "\r\n\r\n"))
                #expect(head.hasPrefix("HTTP/1.1 200"))
                #expect(await client.hear(until: "}\n") == "{\"ok\":true,\"reason\":\"\"}\n")
            }
            // Two at once, with a body nobody wants.
            await client.say(
                "POST /healthz HTTP/1.1\r\n\(Self.local)Content-Length: 5\r\n\r\nhello"
                    + "GET /healthz HTTP/1.1\r\n\(Self.local)Connection: close\r\n\r\n")
            let both = try #require(await client.hearAll())
            #expect(both.hasPrefix("HTTP/1.1 405"))
            #expect(both.contains("HTTP/1.1 200"))
        }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nHost: localhost.evil.example:80\r\n\r\n",
    ])
    func aNameOfSomebodyElseIsNotAnswered(request: String) async throws {
        try await withEndpoint(FakeCluster()) { port in
            let client = try RawClient(port)
            await client.say(request)
            #expect(await client.hear(until: "\r\n")?.hasPrefix("HTTP/1.1 421") == true)
        }
    }

    @Test func garbageIsRefused() async throws {
        try await withEndpoint(FakeCluster()) { port in
            let client = try RawClient(port)
            await client.say("\u{16}\u{3}\u{1} this is no HTTP\r\n\r\n")
            #expect(await client.hearAll()?.hasPrefix("HTTP/1.1 400") == true)
            #expect(try await get("/healthz", port).status == 200)
        }
    }

    @Test(arguments: [
        "GET /" + String(repeating: "a", count: 80_000),
        "GET / HTTP/1.1\r\nX: " + String(repeating: "a", count: 80_000),
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n"
            + String(repeating: "a", count: 80_000),
    ])
    func whatIsTooLongEndsTheConnection(request: String) async throws {
        try await withEndpoint(FakeCluster()) { port in
            let client = try RawClient(port)
            await client.say(request)
            let answer = try #require(await client.hearAll())
            #expect(!answer.contains("200 OK"))
            #expect(try await get("/healthz", port).status == 200)
        }
    }

    @Test func aRequestThatDoesNotComeEndsTheConnection() async throws {
        var settings = StatusEndpointSettings()
        settings.requestMilliseconds = 300
        try await withEndpoint(FakeCluster(), settings: settings) { port in
            let silent = try RawClient(port)
            let slow = try RawClient(port)
            for byte in "GET /v1/stat" {
                await slow.say(String(byte))
                try await Task.sleep(for: .milliseconds(40))
            }
            #expect(await silent.hearAll() == "")
            #expect(await slow.hearAll() == "")
        }
    }

    @Test func idleConnectionsMakeRoomForNewOnes() async throws {
        var settings = StatusEndpointSettings()
        settings.maxConnections = 4
        try await withEndpoint(FakeCluster(), settings: settings) { port in
            var crowd: [RawClient] = []
            for _ in 0..<12 { crowd.append(try RawClient(port)) }
            #expect(try await get("/healthz", port).status == 200)
            #expect(await crowd[0].hearAll() == "")
            let last = crowd[11]
            await last.say("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(await last.hear(until: "\r\n") == "HTTP/1.1 200 OK\r\n")
        }
    }

    /// Who asks for much and reads nothing keeps no place from those who ask for little.
    @Test func clientsThatReadNothingMakeRoomForNewOnes() async throws {
        var settings = StatusEndpointSettings()
        settings.maxConnections = 4
        // The document is so large that the kernel's buffers do not hold it.
        try await withEndpoint(FakeCluster(.sample(workers: 20_000)), settings: settings) { port in
            var crowd: [RawClient] = []
            for _ in 0..<4 {
                let client = try RawClient(port)
                await client.say("GET /v1/status HTTP/1.1\r\n\(Self.local)\r\n")
                #expect(await client.hear(until: "\r\n") == "HTTP/1.1 200 OK\r\n")
                crowd.append(client)
            }
            #expect(try await get("/healthz", port).status == 200)
            for client in crowd { await client.close() }
        }
    }

    @Test func listenersAreBoundedAndTheirPlacesComeBack() async throws {
        var settings = StatusEndpointSettings()
        settings.maxListeners = 2
        try await withEndpoint(FakeCluster(), settings: settings) { port in
            let ask = "GET /v1/events HTTP/1.1\r\n\(Self.local)\r\n"
            let first = try RawClient(port)
            await first.say(ask)
            #expect(await first.hear(until: "event: status") != nil)
            let second = try RawClient(port)
            await second.say(ask)
            #expect(await second.hear(until: "event: status") != nil)
            let third = try RawClient(port)
            await third.say(ask)
            #expect(await third.hear(until: "\r\n") == "HTTP/1.1 503 Service Unavailable\r\n")
            await first.close()
            var code = 503
            for _ in 0..<100 where code == 503 {
                try await Task.sleep(for: .milliseconds(50))
                let next = try RawClient(port)
                await next.say(ask)
                code = await next.hear(until: "\r\n")?.contains("200") == true ? 200 : 503
            }
            #expect(code == 200)
        }
    }

    @Test func aListenerThatTakesNothingIsClosed() async throws {
        var settings = StatusEndpointSettings()
        settings.writeMilliseconds = 300
        settings.maxListeners = 1
        // So large that the kernel's buffers do not hold many.
        let cluster = FakeCluster(.sample(workers: 20_000))
        try await withEndpoint(cluster, settings: settings) { port in
            let lazy = try RawClient(port)
            await lazy.say("GET /v1/events HTTP/1.1\r\n\(Self.local)\r\n")
            var code = 503
            for _ in 0..<200 where code == 503 {
                try await Task.sleep(for: .milliseconds(50))
                let next = try RawClient(port)
                await next.say("GET /v1/events HTTP/1.1\r\n\(Self.local)\r\n")
                code = await next.hear(until: "\r\n")?.contains("200") == true ? 200 : 503
            }
            #expect(code == 200)
        }
    }
}
