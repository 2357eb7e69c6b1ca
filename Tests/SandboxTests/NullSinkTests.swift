import Compression
import Model
import Sandbox
import Synthetic
import Testing

/// The sink that only counts: it counts right, in whatever pieces records come, and refuses what is no record.
@Suite struct NullSinkTests {
    private static func records(_ count: Int, at time: UInt64? = nil) -> [[UInt8]] {
        var generator = ProbeResultGenerator(seed: 3)
        return (0..<count).map { _ in
            var out = ByteWriter()
            if let time { generator.next(at: time, into: &out) } else { generator.next(into: &out) }
            return Array(out.seal().array.dropLast())
        }
    }

    private static func lines(_ parts: [[UInt8]]) -> [UInt8] { Array(parts.map { $0 + [0x0A] }.joined()) }

    private static func bulk(_ records: [[UInt8]], action: String = #"{"create":{"_index":"i","_id":"x"}}"#) -> [UInt8]
    {
        lines(records.flatMap { [Array(action.utf8), $0] })
    }

    @Test(arguments: [true, false])
    func everyServiceCountsRecords(isPacked: Bool) async throws {
        // Enough for several pieces of what is inflated, so that records lie across their borders.
        let records = Self.records(700)
        let headers = isPacked ? ["Content-Encoding": "gzip"] : [:]
        func body(_ plain: [UInt8]) throws -> [UInt8] { isPacked ? try Gzip.compress(plain.span).array : plain }
        try await withSandbox({ $0.null = true }) { server in
            let bulk = try await RawHTTP(port: server.elasticsearchPort).send(
                "POST", "/_bulk", headers: headers, body: try body(Self.bulk(records)))
            #expect(bulk.status == 200)
            #expect(bulk.text.ranges(of: #"{"create":{"status":201}}"#).count == 700)
            let envelopes = records.map { Array(#"{"time":1.5,"event":"#.utf8) + $0 + [0x7D] }
            let hec = try await RawHTTP(port: server.hecPort).send(
                "POST", "/services/collector", headers: headers, body: try body(Array(envelopes.joined())))
            #expect(hec.text == #"{"text":"Success","code":0}"#)
            let stored = try await RawHTTP(port: try #require(server.s3Port)).send(
                "PUT", "/bench/a", headers: headers.merging(["x-amz-meta-records": "700"]) { one, _ in one },
                body: try body(Self.lines(records)))
            #expect(stored.status == 200)
            #expect(stored.headers["x-amz-server-side-encryption"] == "aws:kms")
            let stats = server.stats()
            #expect(stats.hec.recordsReceived == 700)
            #expect(stats.elasticsearch.recordsReceived == 700)
            #expect(stats.s3?.recordsReceived == 700)
            #expect(stats.s3?.bytesUncompressed == Self.lines(records).count)
            #expect(server.identities(of: .hec).isEmpty)
        }
    }

    @Test(arguments: [
        ("nonsense", "record 2 is no JSON object"), ("{}", "record 2 has no identity"),
        (#"{"metadata":{"uid":""}}"#, "record 2 has no identity"), (#"{"uid":"x"}"#, "record 2 has no identity"),
        (#"{"metadata":{"uid":7}}"#, "record 2 has no identity"),
        (#"{"metadata":{"uid":"x"}"#, "record 2 is no JSON object"),
        (#"{"metadata":{"uid":"x"}}}"#, "record 2 is no JSON object"),
        (#"{"metadata":{"uid":"x",}}"#, "record 2 is no JSON object"),
        (#"{"metadata":{"uid":"x"},"a":[1,2}}"#, "record 2 is no JSON object"),
        (#"{"metadata":{"uid":"x"} "a":1}"#, "record 2 is no JSON object"),
        (#"{"metadata":{"uid":"\q"}}"#, "record 2 is no JSON object"),
        (#"{"metadata":{"uid":"x"},"a":tru}"#, "record 2 is no JSON object"),
        (#"{"metadata":{"uid":"x"},"a":}"#, "record 2 is no JSON object"),
        ("{\"metadata\":{\"uid\":\"x\t\"}}", "record 2 is no JSON object"),
        (String(repeating: #"{"a":"#, count: 80), "record 2 is no JSON object"),
    ])
    func whatIsNoRecordIsRefusedWithItsRequest(second: String, reason: String) async throws {
        try await withSandbox({ $0.null = true }) { server in
            let body = Self.lines([Self.records(1)[0], Array(second.utf8)])
            for (port, method, path) in [
                (server.hecPort, "POST", "/services/collector"), (try #require(server.s3Port), "PUT", "/bench/a"),
            ] {
                let answer = try await RawHTTP(port: port).send(method, path, body: body)
                #expect(answer.status == 400)
                // Envelopes may follow each other without an end of line.
                #expect(answer.text.contains(reason) || (port == server.hecPort && answer.text.contains("record 3")))
            }
            #expect(server.stats().hec.recordsReceived == 0)
            #expect(server.stats().hec.requestsRefused == 1)
            #expect(server.stats().s3?.recordsReceived == 0)
        }
    }

    @Test func anActionMayNameTheRecordAndMustHaveASource() async throws {
        try await withSandbox({ $0.null = true }) { server in
            func post(_ text: String) async throws -> RawHTTP.Answer {
                try await RawHTTP(port: server.elasticsearchPort).send("POST", "/_bulk", body: Array(text.utf8))
            }
            #expect(try await post("{\"create\":{\"_id\":\"a\"}}\n{\"x\":1}\n").status == 200)
            let indexed = try await post("{\"index\":{}}\n{\"metadata\":{\"uid\":\"a\"}}\n")
            #expect(indexed.text == #"{"errors":false,"items":[{"index":{"status":201}}]}"#)
            #expect(try await post("{\"create\":{\"_id\":\"a\"}}\n").status == 400)
            #expect(try await post("{\"create\":{}}\n{\"x\":1}\n").status == 400)
            #expect(try await post("{\"delete\":{\"_id\":\"a\"}}\n{\"x\":1}\n").status == 400)
            #expect(try await post("{\"x\":1}\n{\"x\":1}\n").status == 400)
            #expect(server.stats().elasticsearch.recordsReceived == 2)
        }
    }

    @Test func anObjectThatMiscountsIsRefused() async throws {
        try await withSandbox({ $0.null = true }) { server in
            let answer = try await RawHTTP(port: try #require(server.s3Port)).send(
                "PUT", "/bench/a", headers: ["x-amz-meta-records": "3"], body: Self.lines(Self.records(2)))
            #expect(answer.status == 400)
            #expect(answer.text.contains("there are 2 records, and the request says 3"))
        }
    }

    private static func frame(_ message: [UInt8]) -> [UInt8] { Array("\(message.count) ".utf8) + message }

    private static func message(_ record: [UInt8], data: String = "-") -> [UInt8] {
        Array("<110>1 2026-01-01T00:00:00.544Z host app 1 Blocked \(data) ".utf8) + record
    }

    /// Sends bytes, and gives what was counted once the connection is closed or `count` have come.
    private static func syslog(
        _ server: SandboxServer, _ bytes: [UInt8], until done: (SandboxTargetStats) -> Bool
    ) async throws -> SandboxTargetStats {
        let connection = try RawConnection(port: try #require(server.syslogPort))
        try connection.send(bytes)
        let limit = ContinuousClock.now + .seconds(120)
        while true {
            let stats = try #require(server.stats().syslog)
            if done(stats) { return stats }
            try #require(ContinuousClock.now < limit, "nothing more is counted, and nothing refused: \(stats)")
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    @Test func syslogMessagesAreCountedByTheirOctets() async throws {
        let records = Self.records(300)
        let messages =
            records.map { Self.message($0) } + [
                Self.message([], data: #"[a@1 x="]\""][b@1 uid="u"]"#), Self.message([0xEF, 0xBB, 0xBF] + records[0]),
                Self.message(records[0] + [0x0A]),
            ]
        try await withSandbox({ $0.null = true }) { server in
            let stats = try await Self.syslog(server, Array(messages.map(Self.frame).joined())) {
                $0.recordsReceived >= 303 || $0.requestsRefused > 0
            }
            #expect(stats.recordsReceived == 303)
            #expect(stats.requestsRefused == 0)
        }
    }

    @Test(arguments: [
        "12 hello, world", "x", "99999999999 ", "1000000000 <110>1",
        "60 <110>1 2026-01-01T00:00:00.544Z host app 1 Blocked - {}         ",
        "<110>2 2026-01-01T00:00:00.544Z host app 1 Blocked - ", "<110>1 2026-01-01T00:00:00.544Z host app 1 - ",
        "<>1 2026-01-01T00:00:00.544Z host app 1 Blocked - ", "110>1 2026-01-01T00:00:00.544Z host app 1 Blocked - ",
        "<110>1 2026-01-01T00:00:00.544Z host app 1 Blocked -",
        "60 <110>1 2026-01-01T00:00:00.544Z host app 1 Blocked [a uid=\"u     ",
    ])
    func whatIsNoSyslogMessageEndsTheConnection(tail: String) async throws {
        try await withSandbox({ $0.null = true }) { server in
            let good = Self.frame(Self.message(Self.records(1)[0]))
            // A header gets a record that would count behind a right one.
            let isHeader = tail.hasPrefix("<") || tail.hasPrefix("110>")
            let bad = isHeader ? Self.frame(Array(tail.utf8) + Self.records(1)[0]) : Array(tail.utf8)
            let stats = try await Self.syslog(server, good + bad) {
                $0.requestsRefused > 0 || $0.recordsReceived > 1
            }
            #expect(stats.recordsReceived == 1)
            #expect(stats.recordsRejected == 1)
        }
    }

    @Test func arrivalsTellHowLongRecordsWereUnderWay() async throws {
        try await withSandbox({ $0.null = true }) { server in
            func arrivals() async throws -> String {
                try await RawHTTP(port: server.hecPort).send("GET", "/sandbox/arrivals").text
            }
            #expect(
                try await arrivals().hasPrefix(
                    #"{"elasticsearch":{"records":0,"firstNanoseconds":null,"lastNanoseconds":null,"delays":[]},"hec""#)
            )
            // Long ago, so that it is the last bucket whenever this runs; and in the future, which is no time at all.
            let old = Self.bulk(Self.records(2, at: 1_000_000_000_000_000_000))
            let future = Self.bulk(Self.records(1, at: 4_000_000_000_000_000_000))
            _ = try await RawHTTP(port: server.elasticsearchPort).send("POST", "/_bulk", body: old + future)
            let text = try await arrivals()
            #expect(text.contains(#""records":3,"#))
            #expect(text.contains(#""delays":[[0,1],[4831838207,2]]"#))
        }
    }
}
