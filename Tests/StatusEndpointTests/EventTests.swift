import ExportCore
import Foundation
import StatusEndpoint
import Testing

@Suite struct EventTests {
    /// By HTTP/1.0, so that no chunks have to be put together.
    private static let ask = "GET /v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n"

    /// The next event: its name and its data.
    private static func next(_ client: RawClient) async throws -> (name: String, data: [String: Any]) {
        while true {
            let text = try #require(await client.hear(until: "\n\n"))
            let lines = text.split(whereSeparator: \.isNewline)
            guard let data = lines.first(where: { $0.hasPrefix("data: ") }) else { continue }
            let name = try #require(lines.first { $0.hasPrefix("event: ") })
            return (String(name.dropFirst(7)), try object(Array(data.dropFirst(6).utf8)))
        }
    }

    @Test func listenersHearThePastThenEveryChange() async throws {
        let cluster = FakeCluster()
        try await withEndpoint(cluster) { port in
            _ = try await get("/v1/status", port)
            let client = try RawClient(port)
            await client.say(Self.ask)
            let head = try #require(await client.hear(until: "\r\n\r\n"))
            #expect(head.contains("Content-Type: text/event-stream"))
            let past = try await Self.next(client)
            #expect(past.name == "history")
            #expect((past.data["samples"] as? [Any])?.isEmpty == false)
            let pace = try await Self.next(client)
            #expect(pace.name == "pace")
            #expect(pace.data["milliseconds"] as? Int == 1_000)
            let now = try await Self.next(client)
            #expect(now.name == "status")
            #expect(now.data["history"] == nil)
            cluster.change { $0.gate.state = .halted }
            var state: String?
            for _ in 0..<4 where state != "halted" {
                let event = try await Self.next(client)
                state = (event.data["gate"] as? [String: Any])?["state"] as? String
            }
            #expect(state == "halted")
        }
    }

    @Test func stopEndsTheStreams() async throws {
        var listener: RawClient?
        try await withEndpoint(FakeCluster()) { port in
            let client = try RawClient(port)
            await client.say(Self.ask)
            #expect(await client.hear(until: "event: status") != nil)
            listener = client
        }
        #expect(await listener?.hearAll() != nil)
    }

    @Test func aLargeStatusComesLessOften() async throws {
        try await withEndpoint(FakeCluster(.sample(workers: 1_000))) { port in
            let client = try RawClient(port)
            await client.say(Self.ask)
            var paces: [Int] = []
            for _ in 0..<6 where paces.count < 2 {
                let event = try await Self.next(client)
                if event.name == "pace" { paces.append(try #require(event.data["milliseconds"] as? Int)) }
            }
            #expect(paces.first == 1_000)
            #expect((paces.last ?? 0) > 1_500)
        }
    }
}
