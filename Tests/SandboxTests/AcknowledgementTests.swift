import Model
import Sandbox
import Testing

/// Indexer acknowledgement of the HEC look-alike.
@Suite struct AcknowledgementTests {
    private static let channel = "0B1C2D3E-4f50-4617-8a29-3b4c5d6e7f80"
    private static let other = "11111111-4f50-4617-8a29-3b4c5d6e7f80"

    private static func send(_ server: SandboxServer, _ uid: String, channel: String? = channel) async throws -> String
    {
        var headers = HECTests.authorized
        if let channel { headers["X-Splunk-Request-Channel"] = channel }
        return try await HECTests.post(server, HECTests.event(uid), headers: headers).text
    }

    private static func ask(
        _ server: SandboxServer, _ ids: String, channel: String? = channel
    ) async throws -> (status: Int, text: String) {
        let query = channel.map { "?channel=\($0)" } ?? ""
        let answer = try await HECTests.post(
            server, "{\"acks\":[\(ids)]}", path: "/services/collector/ack" + query)
        return (answer.status, answer.text)
    }

    private static func expect(
        _ text: String, _ part: String, _ place: SourceLocation = #_sourceLocation
    ) {
        #expect(text.contains(part), "\(text)", sourceLocation: place)
    }

    @Test func numbersCountPerChannelAndAreTrueOnce() async throws {
        try await withSandbox({ $0.acknowledge = true }) { server in
            Self.expect(try await Self.send(server, "a"), #"{"text":"Success","code":0,"ackId":0}"#)
            Self.expect(try await Self.send(server, "b"), #""ackId":1"#)
            Self.expect(try await Self.send(server, "c", channel: Self.other), #""ackId":0"#)
            Self.expect(try await Self.ask(server, "0,1,2").text, #"{"acks":{"0":true,"1":true,"2":false}}"#)
            Self.expect(try await Self.ask(server, "0,1").text, #"{"acks":{"0":false,"1":false}}"#)
            Self.expect(try await Self.ask(server, "0", channel: Self.other).text, #"{"acks":{"0":true}}"#)
            #expect(server.stats().hec.ackPolls == 3 && server.stats().hec.ackConfirmed == 3)
        }
    }

    @Test func aChannelMustBeGivenAndBeAGUID() async throws {
        try await withSandbox({ $0.acknowledge = true }) { server in
            Self.expect(try await Self.send(server, "a", channel: nil), #""code":10"#)
            Self.expect(try await Self.send(server, "a", channel: "mine"), #""code":11"#)
            Self.expect(try await Self.ask(server, "0", channel: nil).text, #""code":10"#)
            Self.expect(try await Self.ask(server, "x").text, #""code":6"#)
            Self.expect("\(try await Self.ask(server, "-1").status)", "400")
            #expect(server.stats().hec.recordsReceived == 0)
        }
    }

    @Test func aTokenWithoutItSaysSo() async throws {
        try await withSandbox { server in
            Self.expect(try await Self.send(server, "a"), #"{"text":"Success","code":0}"#)
            let (status, text) = try await Self.ask(server, "0")
            #expect(status == 400 && text.contains(#""code":14"#))
        }
    }

    @Test func refusedNeverAndExpired() async throws {
        var faults = SandboxFaults()
        faults.ackRefuseRate = 1
        try await withSandbox({
            $0.acknowledge = true
            $0.faults = faults
        }) { server in
            _ = try await Self.send(server, "a")
            Self.expect("\(try await Self.ask(server, "0").status)", "400")
            faults.ackRefuseRate = 0
            faults.ackFalseRate = 1
            try server.setFaults(faults, of: .hec)
            // The first was taken before; only what is taken from now on is never acknowledged.
            _ = try await Self.send(server, "b")
            Self.expect(try await Self.ask(server, "0,1").text, #"{"acks":{"0":true,"1":false}}"#)
            faults = SandboxFaults()
            faults.ackDelayMilliseconds = 3_600_000
            try server.setFaults(faults, of: .hec)
            _ = try await Self.send(server, "c")
            Self.expect(try await Self.ask(server, "2").text, #"{"acks":{"2":false}}"#)
            faults = SandboxFaults()
            faults.ackExpiryMilliseconds = 1
            try server.setFaults(faults, of: .hec)
            try await Task.sleep(for: .milliseconds(5))
            // A channel that was forgotten counts from zero again.
            Self.expect(try await Self.send(server, "d"), #""ackId":0"#)
        }
    }

    @Test func aLostAnswerWasTheOnlyOne() async throws {
        try await withSandbox({
            $0.acknowledge = true
            $0.faults.ackLoseRate = 1
        }) { server in
            _ = try await Self.send(server, "a")
            let answer = try? await Self.ask(server, "0")
            #expect(answer == nil)
            try server.setFaults(SandboxFaults(), of: .hec)
            Self.expect(try await Self.ask(server, "0").text, #"{"acks":{"0":false}}"#)
        }
    }
}
