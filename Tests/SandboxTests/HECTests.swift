import Compression
import Model
import Sandbox
import Testing

/// Starts a sandbox for one test and stops it, whatever happens.
func withSandbox(
    _ change: (inout SandboxOptions) -> Void = { _ in },
    _ body: (SandboxServer) async throws -> Void
) async throws {
    var options = SandboxOptions()
    options.threads = 1
    options.token = Secret("t0ken")
    change(&options)
    let server = try await SandboxServer.start(options)
    do {
        try await body(server)
    } catch {
        await server.stop()
        throw error
    }
    await server.stop()
}

@Suite struct HECTests {
    static let authorized = ["Authorization": "Splunk t0ken"]

    static func post(
        _ server: SandboxServer, _ body: String, headers: [String: String] = authorized,
        path: String = "/services/collector/event"
    ) async throws -> RawHTTP.Answer {
        try await RawHTTP(port: server.hecPort).send("POST", path, headers: headers, body: Array(body.utf8))
    }

    static func event(_ uid: String) -> String { #"{"time":1.5,"event":{"metadata":{"uid":"\#(uid)"}}}"# }

    @Test(arguments: ["/services/collector", "/services/collector/event"])
    func acceptsEnvelopesOneAfterAnother(path: String) async throws {
        try await withSandbox { server in
            let body =
                Self.event("a") + Self.event("b") + "\n"
                + #" {"event":"CEF:0|x","fields":{"uid":"c","list":["x","y"]},"host":"h","index":"i"}"# + "\n"
                + #"{"event":"no id","source":"s","sourcetype":"t","time":"1700000000.123456"}"# + Self.event("a")
            let answer = try await Self.post(server, body, path: path)
            #expect(answer.status == 200)
            #expect(answer.text == #"{"text":"Success","code":0}"#)
            #expect(answer.headers["content-type"] == "application/json")
            let stats = server.stats().hec
            #expect(stats.recordsReceived == 5)
            #expect(stats.uniqueIDs == 3)
            #expect(stats.duplicates == 1)
            #expect(stats.recordsWithoutID == 1)
            let counts = Dictionary(uniqueKeysWithValues: server.identities(of: .hec).map { ($0.id, $0.count) })
            #expect(counts == ["a": 2, "b": 1, "c": 1])
        }
    }

    @Test(arguments: [
        ("", 401, "Token is required", 2), ("Basic t0ken", 401, "Invalid authorization", 3),
        ("Splunk other", 403, "Invalid token", 4),
    ])
    func refusesOtherTokens(credentials: String, status: Int, text: String, code: Int) async throws {
        try await withSandbox { server in
            let headers = credentials.isEmpty ? [:] : ["Authorization": credentials]
            let answer = try await Self.post(server, Self.event("a"), headers: headers)
            #expect(answer.status == status)
            #expect(answer.text == #"{"text":"\#(text)","code":\#(code)}"#)
            #expect(server.stats().hec.recordsReceived == 0)
            #expect(server.stats().hec.requestsRefused == 1)
        }
    }

    @Test(arguments: [
        ("", "No data", 5), (" \n", "No data", 5), ("[]", "Invalid data format", 6), ("{", "Invalid data format", 6),
        (#"{"event":1,}"#, "Invalid data format", 6), (#"{"event":"\#u{1}"}"#, "Invalid data format", 6),
        (#"{"event":01}"#, "Invalid data format", 6), (#"{"event":"\x"}"#, "Invalid data format", 6),
        (#"{"event":"a","time":1e9}"#, "Invalid data format", 6),
        (#"{"event":"a","time":1.1234567}"#, "Invalid data format", 6),
        (#"{"event":"a","time":-1}"#, "Invalid data format", 6),
        (#"{"event":"a","time":"now"}"#, "Invalid data format", 6),
        (#"{"event":"a","host":1}"#, "Invalid data format", 6), (#"{"host":"h"}"#, "Event field is required", 12),
        (#"{"event":""}"#, "Event field cannot be blank", 13), (#"{"event":" "}"#, "Event field cannot be blank", 13),
        (#"{"event":null}"#, "Event field cannot be blank", 13),
        (#"{"event":false}"#, "Event field cannot be blank", 13),
        (#"{"event":"a","fields":{"x":{"y":"z"}}}"#, "Error in handling indexed fields", 15),
        (#"{"event":"a","fields":{"x":[1]}}"#, "Error in handling indexed fields", 15),
        (#"{"event":"a","fields":"x"}"#, "Error in handling indexed fields", 15),
    ])
    func namesTheFirstBadEvent(bad: String, text: String, code: Int) async throws {
        try await withSandbox { server in
            let alone = try await Self.post(server, bad)
            #expect(alone.status == 400)
            let number = code == 5 ? "" : #","invalid-event-number":0"#
            #expect(alone.text == #"{"text":"\#(text)","code":\#(code)\#(number)}"#)
            guard code != 5 else { return }
            let third = try await Self.post(server, Self.event("a") + Self.event("b") + bad + Self.event("c"))
            #expect(third.status == 400)
            #expect(third.text == #"{"text":"\#(text)","code":\#(code),"invalid-event-number":2}"#)
            #expect(Set(server.identities(of: .hec).map(\.id)) == ["a", "b"])
            #expect(server.stats().hec.recordsRejected == 2)
        }
    }

    @Test func invalidUTF8IsMalformed() async throws {
        try await withSandbox { server in
            let body = Array(#"{"event":""#.utf8) + [0xC3, 0x28] + Array(#""}"#.utf8)
            let answer = try await RawHTTP(port: server.hecPort).send(
                "POST", "/services/collector", headers: Self.authorized, body: body)
            #expect(answer.status == 400)
            #expect(answer.text.contains(#""code":6"#))
        }
    }

    @Test func anUnknownKeyDropsTheRestInSilence() async throws {
        try await withSandbox { server in
            let body = Self.event("a") + #"{"event":"x","uid":"b"}"# + Self.event("c") + Self.event("d") + "{broken"
            let answer = try await Self.post(server, body)
            #expect(answer.status == 200)
            #expect(answer.text == #"{"text":"Success","code":0}"#)
            #expect(server.identities(of: .hec).map(\.id) == ["a"])
            #expect(server.stats().hec.droppedByUnknownKey == 3)
        }
    }

    @Test func gzipIsReadAndOtherEncodingsAreNot() async throws {
        try await withSandbox { server in
            let packed = try Gzip.compress(Array((Self.event("a") + Self.event("b")).utf8).span).array
            var headers = Self.authorized
            headers["Content-Encoding"] = "gzip"
            let client = RawHTTP(port: server.hecPort)
            let good = try await client.send("POST", "/services/collector", headers: headers, body: packed)
            #expect(good.status == 200)
            let cut = try await client.send(
                "POST", "/services/collector", headers: headers, body: Array(packed.dropLast(4)))
            #expect(cut.status == 400)
            headers["Content-Encoding"] = "deflate"
            let deflate = try await client.send("POST", "/services/collector", headers: headers, body: packed)
            #expect(deflate.status == 415)
            #expect(server.stats().hec.recordsReceived == 2)
            #expect(server.stats().hec.bytesUncompressed > server.stats().hec.bytes / 3)
        }
    }

    @Test func aBodyOverTheLimitIs413HoweverItIsSent() async throws {
        try await withSandbox({ $0.maxBodyBytes = 1_000 }) { server in
            let long = #"{"event":"\#(String(repeating: "x", count: 2_000))"}"#
            #expect(try await Self.post(server, long).status == 413)
            var headers = Self.authorized
            headers["Content-Encoding"] = "gzip"
            let packed = try Gzip.compress(Array(long.utf8).span).array
            let client = RawHTTP(port: server.hecPort)
            #expect(packed.count < 1_000)
            #expect(try await client.send("POST", "/services/collector", headers: headers, body: packed).status == 413)
            let exact = #"{"event":"\#(String(repeating: "x", count: 1_000 - 12))"}"#
            #expect(try await Self.post(server, exact).status == 200)
            let chunked =
                "POST /services/collector HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk t0ken\r\n"
                + "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + String(repeating: "x", count: 2_000) + "\r\n0\r\n\r\n"
            #expect(try client.exchange(Array(chunked.utf8)).status == 413)
            #expect(server.stats().hec.requestsRefused == 3)
        }
    }

    @Test func otherPathsAndMethods() async throws {
        try await withSandbox { server in
            let client = RawHTTP(port: server.hecPort)
            let health = try await client.send("GET", "/services/collector/health")
            #expect(health.status == 200)
            #expect(health.text == #"{"text":"HEC is healthy","code":17}"#)
            #expect(try await client.send("GET", "/services/collector/event").status == 405)
            #expect(try await client.send("POST", "/services/collector/raw", headers: Self.authorized).status == 404)
            let ack = try await client.send("POST", "/services/collector/ack", headers: Self.authorized)
            #expect(ack.text == #"{"text":"ACK is disabled","code":14}"#)
        }
    }

    @Test func expectContinueIsAnswered() async throws {
        try await withSandbox { server in
            let body = Self.event("a")
            let request =
                "POST /services/collector HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk t0ken\r\nConnection: close\r\n"
                + "Expect: 100-continue\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body
            let answer = try RawHTTP(port: server.hecPort).exchange(Array(request.utf8))
            #expect(answer.status == 200)
        }
    }
}
