import Compression
import Glibc
import Model
import Sandbox
import Testing

@Suite struct ControlTests {
    static func fault(_ server: SandboxServer, _ body: String) async throws -> RawHTTP.Answer {
        try await RawHTTP(port: server.hecPort).send("POST", "/sandbox/fault", body: Array(body.utf8))
    }

    @Test func statsAndIdentitiesAreServedOnBothPorts() async throws {
        try await withSandbox { server in
            let uuid = "0123abcd-4567-89ef-0000-fedcba987654"
            _ = try await HECTests.post(server, HECTests.event(uuid) + HECTests.event(uuid) + HECTests.event("q\\\"x"))
            _ = try await ElasticsearchTests.post(server, ElasticsearchTests.create("e1"))
            for port in [server.hecPort, server.elasticsearchPort] {
                let client = RawHTTP(port: port)
                let stats = try await client.send("GET", "/sandbox/stats")
                #expect(stats.text == server.stats().json + "\n")
                #expect(
                    stats.text.contains(#""hec":{"requests":1,"requestsRefused":0,"recordsReceived":3,"uniqueIDs":2"#))
                let all = try await client.send("GET", "/sandbox/ids")
                #expect(
                    Set(all.text.split(separator: "\n")) == [
                        #"{"target":"hec","id":"\#(uuid)","count":2}"#, #"{"target":"hec","id":"q\"x","count":1}"#,
                        #"{"target":"elasticsearch","id":"e1","index":"i","count":1}"#,
                    ])
                let one = try await client.send("GET", "/sandbox/ids?target=elasticsearch")
                #expect(one.text.split(separator: "\n").count == 1)
                #expect(try await client.send("GET", "/sandbox/ids?target=s3").status == 400)
                #expect(try await client.send("GET", "/sandbox/other").status == 404)
            }
        }
    }

    @Test func whatIsAbsentIsToldOfWhatIsAskedFor() async throws {
        try await withSandbox { server in
            let (uuid, other) = ("0123abcd-4567-89ef-0000-fedcba987654", "0123abcd-4567-89ef-0000-fedcba987655")
            _ = try await HECTests.post(server, HECTests.event(uuid) + HECTests.event("plain"))
            _ = try await ElasticsearchTests.post(server, ElasticsearchTests.create("e1", index: "i1"))
            func absent(_ target: String, _ ids: [String]) async throws -> RawHTTP.Answer {
                let body = Array(ids.joined(separator: "\n").utf8)
                return try await RawHTTP(port: server.hecPort).send("POST", "/sandbox/absent\(target)", body: body)
            }
            #expect(try await absent("?target=hec", [uuid, other, "plain", "e1"]).text == "\(other)\ne1\n")
            #expect(try await absent("?target=elasticsearch", [uuid, "e1"]).text == "\(uuid)\n")
            #expect(try await absent("?target=hec", []).text == "")
            for target in ["", "?target=s3"] { #expect(try await absent(target, ["a"]).status == 400) }
        }
    }

    @Test func manyIdentitiesComeInManyPieces() async throws {
        try await withSandbox { server in
            let ids = (0..<5_000).map { "some-rather-long-identity-\($0)" }
            #expect(try await HECTests.post(server, ids.map { HECTests.event($0) }.joined()).status == 200)
            let answer = try await RawHTTP(port: server.hecPort).send("GET", "/sandbox/ids?target=hec")
            #expect(answer.headers["transfer-encoding"] == "chunked")
            let expected = Set(ids.map { #"{"target":"hec","id":"\#($0)","count":1}"# })
            #expect(Set(answer.text.split(separator: "\n").map(String.init)) == expected)
        }
    }

    @Test func pastTheBoundRecordsAreOnlyCounted() async throws {
        try await withSandbox({ $0.maxIdentities = 3 }) { server in
            let body = ["a", "b", "c", "d", "a", "d"].map { HECTests.event($0) }.joined()
            let answer = try await HECTests.post(server, body)
            #expect(answer.status == 200)
            let stats = server.stats().hec
            #expect(stats.recordsReceived == 6)
            #expect(stats.uniqueIDs == 3)
            #expect(stats.duplicates == 1)
            #expect(stats.idsNotRemembered == 2)
            let documents = (0..<6).map { ElasticsearchTests.create("\($0)", index: "i\($0)") }.joined()
            #expect(try await ElasticsearchTests.post(server, documents).text.contains(#""errors":false"#))
            #expect(server.stats().elasticsearch.uniqueIDs == 3)
            #expect(server.stats().elasticsearch.idsNotRemembered == 3)
        }
    }

    @Test func failuresCarryStatusAndRetryAfterAndStoreNothing() async throws {
        try await withSandbox { server in
            #expect(
                try await Self.fault(server, #"{"target":"hec","failRate":1,"status":429,"retryAfter":7}"#).status
                    == 200)
            let refused = try await HECTests.post(server, HECTests.event("a"))
            #expect(refused.status == 429)
            #expect(refused.headers["retry-after"] == "7")
            #expect(refused.text == #"{"text":"Queue at capacity","code":26}"#)
            #expect(server.stats().hec.failuresInjected == 1)
            #expect(server.stats().hec.recordsReceived == 0)
            // The other look-alike and health checks go on.
            #expect(try await ElasticsearchTests.post(server, ElasticsearchTests.create("a")).status == 200)
            let health = try await RawHTTP(port: server.hecPort).send("GET", "/services/collector/health")
            #expect(health.status == 200)
            _ = try await Self.fault(server, #"{"target":"hec","status":503}"#)
            let busy = try await HECTests.post(server, HECTests.event("a"))
            #expect(busy.text == #"{"text":"Server is busy","code":9}"#)
            _ = try await Self.fault(server, #"{"target":"hec","failRate":0}"#)
            #expect(try await HECTests.post(server, HECTests.event("a")).status == 200)
        }
    }

    @Test func anOutageTakesHealthChecksDownAndEnds() async throws {
        try await withSandbox { server in
            _ = try await Self.fault(server, #"{"target":"elasticsearch","outageMs":3600000}"#)
            let client = RawHTTP(port: server.elasticsearchPort)
            #expect(try await client.send("GET", "/").status == 503)
            #expect(try await ElasticsearchTests.post(server, ElasticsearchTests.create("a")).status == 503)
            // A change of something else leaves the outage alone.
            _ = try await Self.fault(server, #"{"target":"elasticsearch","failRate":0}"#)
            #expect(try await client.send("GET", "/").status == 503)
            _ = try await Self.fault(server, #"{"target":"elasticsearch","outageMs":0}"#)
            #expect(try await client.send("GET", "/").status == 200)
            _ = try await Self.fault(server, #"{"target":"elasticsearch","outageMs":1}"#)
            try await Task.sleep(for: .milliseconds(20))
            #expect(try await client.send("GET", "/").status == 200)
        }
    }

    @Test func aResetStoresNothingAndCommitThenResetStores() async throws {
        try await withSandbox { server in
            var faults = SandboxFaults()
            faults.resetRate = 1
            try server.setFaults(faults, of: .hec)
            let failure = await #expect(throws: RawHTTP.Failure.self) {
                try await HECTests.post(server, HECTests.event("a"))
            }
            #expect(failure == RawHTTP.Failure(what: "recv", code: ECONNRESET))
            #expect(server.stats().hec.recordsReceived == 0)
            faults.resetRate = 0
            faults.commitThenResetRate = 1
            try server.setFaults(faults, of: .hec)
            let second = await #expect(throws: RawHTTP.Failure.self) {
                try await HECTests.post(server, HECTests.event("a"))
            }
            #expect(second == RawHTTP.Failure(what: "recv", code: ECONNRESET))
            #expect(server.identities(of: .hec).map(\.id) == ["a"])
            #expect(server.stats().hec.resetsInjected == 2)
        }
    }

    @Test func singleItemsFailWith429AndAreNotStored() async throws {
        try await withSandbox({ $0.faults.itemFailRate = 0.5 }) { server in
            let body = (0..<200).map { ElasticsearchTests.create("\($0)") }.joined()
            let answer = try await ElasticsearchTests.post(server, body)
            let failed = answer.text.ranges(of: #""status":429"#).count
            let stored = answer.text.ranges(of: #""status":201"#).count
            #expect(failed + stored == 200)
            #expect((60...140).contains(failed))
            #expect(answer.text.contains("es_rejected_execution_exception"))
            #expect(server.stats().elasticsearch.itemFailuresInjected == failed)
            #expect(server.stats().elasticsearch.uniqueIDs == stored)
        }
    }

    @Test func aRateIsMetAndASeedRepeatsIt() async throws {
        var patterns: [[Int]] = []
        for _ in 0..<2 {
            try await withSandbox({ $0.faults.failRate = 0.3 }) { server in
                var pattern: [Int] = []
                for number in 0..<100 {
                    pattern.append(try await HECTests.post(server, HECTests.event("\(number)")).status)
                }
                patterns.append(pattern)
            }
        }
        #expect(patterns[0] == patterns[1])
        #expect((15...45).contains(patterns[0].count { $0 == 503 }))
    }

    @Test func latencyDelaysTheAnswer() async throws {
        try await withSandbox({ $0.faults.latencyMilliseconds = 150 }) { server in
            let clock = ContinuousClock()
            let elapsed = try await clock.measure { _ = try await HECTests.post(server, HECTests.event("a")) }
            #expect(elapsed >= .milliseconds(150))
        }
    }

    @Test(arguments: [
        "", "[]", "{}", #"{"target":"s3"}"#, #"{"target":"hec","failrate":1}"#, #"{"target":"hec","failRate":1.5}"#,
        #"{"target":"hec","failRate":"1"}"#, #"{"target":"hec","status":200}"#, #"{"target":"hec"} x"#,
        #"{"target":"hec","latencyMs":-1}"#, #"{"target":"hec","latencyMs":1e300}"#,
    ])
    func badFaultsAreRefusedWithAReason(body: String) async throws {
        try await withSandbox { server in
            let answer = try await Self.fault(server, body)
            #expect(answer.status == 400)
            #expect(answer.text.hasPrefix(#"{"error":""#))
            #expect(try await HECTests.post(server, HECTests.event("a")).status == 200)
        }
    }

    @Test func oneConnectionServesManyRequests() async throws {
        try await withSandbox { server in
            let one = "GET /services/collector/health HTTP/1.1\r\nHost: x\r\n\r\n"
            let last = "GET /services/collector/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            let answer = try RawHTTP(port: server.hecPort).exchange(Array((one + one + last).utf8))
            #expect(answer.text.ranges(of: "HEC is healthy").count == 3)
        }
    }

    @Test func badOptionsAreRefusedWithAReason() async throws {
        let changes: [(String, (inout SandboxOptions) -> Void)] = [
            ("hecPort", { $0.hecPort = 70_000 }), ("username", { $0.username = "u" }),
            ("host", { $0.host = "0.0.0.0" }), ("failRate", { $0.faults.failRate = 2 }),
            ("maxBody", { $0.maxBodyBytes = 0 }),
            ("token", { $0.token = Secret("") }), ("threads", { $0.threads = 0 }),
            ("/no/such.pem", { $0.tls = SandboxTLS(certificateFile: "/no/such.pem", keyFile: "/no/such.key") }),
        ]
        for (name, change) in changes {
            var options = SandboxOptions()
            change(&options)
            let failure = await #expect(throws: SandboxError.self) { try await SandboxServer.start(options) }
            #expect(failure?.description.contains(name) == true)
        }
    }

    @Test func aTakenPortIsNamed() async throws {
        try await withSandbox { server in
            var options = SandboxOptions()
            options.elasticsearchPort = server.hecPort
            let failure = await #expect(throws: SandboxError.self) { try await SandboxServer.start(options) }
            #expect(failure?.description.contains("127.0.0.1:\(server.hecPort)") == true)
        }
    }
}
