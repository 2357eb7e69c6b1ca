import ExportCore
import Foundation
import HTTPClient
import StatusEndpoint
import Testing

@Suite struct EndpointTests {
    @Test func statusIsWhatTheClusterSaysWithTimeAndHistory() async throws {
        let cluster = FakeCluster()
        try await withEndpoint(cluster) { port in
            let answer = try await get("/v1/status", port)
            #expect(answer.status == 200)
            #expect(answer.header("Content-Type") == "application/json")
            var told = try JSONDecoder().decode(ClusterStatus.self, from: Data(answer.body))
            #expect(told.time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
            #expect(told.history?.targets == ["soc-splunk", "search"])
            #expect(told.history?.samples.count == 1)
            told.time = ""
            told.history = nil
            #expect(told == .sample())
        }
    }

    @Test(arguments: GateStatus.State.allCases, [true, false])
    func gateIsTellableByTheCodeAlone(state: GateStatus.State, failClosed: Bool) async throws {
        let cluster = FakeCluster()
        cluster.change {
            $0.gate.state = state
            $0.gate.failClosed = failClosed
            $0.gate.reason = "why"
        }
        try await withEndpoint(cluster) { port in
            let answer = try await get("/v1/gate", port)
            // Where degraded is on the way to halted, the answer is no before the record is closed.
            #expect(answer.status == (state == .open || state == .degraded && !failClosed ? 200 : 503))
            let told = try object(answer.body)
            #expect(told["admits"] as? Bool == (answer.status == 200))
            let gate = try #require(told["gate"] as? [String: Any])
            #expect(gate["state"] as? String == state.rawValue)
            #expect(gate["reason"] as? String == "why")
        }
    }

    @Test func leaderIsToldByStandbysToo() async throws {
        let cluster = FakeCluster(.sample(role: .standby))
        try await withEndpoint(cluster) { port in
            var answer = try await get("/v1/leader", port)
            #expect(answer.status == 200)
            let told = try object(answer.body)
            #expect((told["leader"] as? [String: Any])?["endpoint"] as? String == "http://10.0.0.1:8080")
            #expect((told["coordinator"] as? [String: Any])?["role"] as? String == "standby")
            cluster.change { $0.leader = nil }
            try await Task.sleep(for: .milliseconds(300))
            answer = try await get("/v1/leader", port)
            #expect(answer.status == 503)
        }
    }

    @Test func probesSayWhetherTheProcessIsWell() async throws {
        let cluster = FakeCluster()
        try await withEndpoint(cluster) { port in
            #expect(try await get("/healthz", port).status == 200)
            #expect(try await get("/readyz", port).status == 200)
            cluster.set(EndpointHealth(isAlive: true, isReady: false, reason: "has not seen the lease for 20 s"))
            #expect(try await get("/healthz", port).status == 200)
            let answer = try await get("/readyz", port)
            #expect(answer.status == 503)
            #expect(try object(answer.body)["reason"] as? String == "has not seen the lease for 20 s")
        }
    }

    @Test func aStuckCoordinatorIsNotTakenForAnOpenGate() async throws {
        let cluster = FakeCluster()
        var settings = StatusEndpointSettings()
        settings.answerMilliseconds = 400
        try await withEndpoint(cluster, settings: settings) { port in
            #expect(try await get("/v1/gate", port).status == 200)
            cluster.set(isStuck: true)
            try await Task.sleep(for: .milliseconds(300))
            #expect(try await get("/v1/gate", port).status == 503)
            #expect(try await get("/v1/status", port).status == 503)
            // The process lives, and says for how long nothing was heard.
            #expect(try await get("/healthz", port).status == 200)
            #expect(try await get("/metrics", port).status == 200)
            cluster.set(isStuck: false)
            try await Task.sleep(for: .milliseconds(300))
            #expect(try await get("/v1/gate", port).status == 200)
        }
    }

    @Test func manyWhoAskAreOneQuestionToTheCoordinator() async throws {
        let cluster = FakeCluster()
        try await withEndpoint(cluster) { port in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<40 { group.addTask { try await get("/v1/leader", port).status } }
                for try await code in group { #expect(code == 200) }
            }
            // Forty requests take well under the four looks a second that are allowed.
            #expect(cluster.asked < 20)
        }
    }

    @Test func metricsTellOfTheCluster() async throws {
        let cluster = FakeCluster()
        try await withEndpoint(cluster) { port in
            _ = try await get("/v1/status", port)
            let text = String(decoding: try await get("/metrics", port).body, as: UTF8.self)
            for line in [
                "sidereal_cluster_leader 1", "sidereal_cluster_term 7", "sidereal_cluster_gate_admits 1",
                #"sidereal_cluster_gate_state{state="open"} 1"#, #"sidereal_cluster_gate_state{state="halted"} 0"#,
                #"sidereal_cluster_workers{state="live"} 3"#, #"sidereal_cluster_workers{state="lost"} 1"#,
                #"sidereal_cluster_shards{state="unowned"} 5"#, "sidereal_cluster_shard_unowned_seconds 4",
                #"sidereal_cluster_records_delivered_total{target="soc-splunk"} 98000"#,
                #"sidereal_cluster_backlog_records{target="search"} 1234"#,
                "sidereal_cluster_largest_backlog_records 1234",
                #"sidereal_cluster_oldest_undelivered_age_seconds{target="search"} 61"#,
                #"sidereal_cluster_open_breakers{target="search"} 4"#,
            ] { #expect(text.contains("\n\(line)\n"), "\(line)") }
        }
    }

    /// Scalers add up what they are told: it must be one number, however many targets lag and coordinators there are.
    @Test func onlyTheLeaderTellsTheLargestBacklog() async throws {
        let cluster = FakeCluster()
        cluster.change { $0.targets[0].backlog = 1_000 }
        func told(_ port: Int) async throws -> [Substring] {
            try await Task.sleep(for: .milliseconds(300))
            _ = try await get("/v1/status", port)
            let text = String(decoding: try await get("/metrics", port).body, as: UTF8.self)
            return text.split(separator: "\n").filter { $0.hasPrefix("sidereal_cluster_largest_backlog_records") }
        }
        try await withEndpoint(cluster) { port in
            var lines = try await told(port)
            #expect(lines == ["sidereal_cluster_largest_backlog_records 1234"])
            for role in [ClusterStatus.Role.standby, .takingOver] {
                cluster.change { $0.coordinator.role = role }
                lines = try await told(port)
                #expect(lines == [])
            }
            cluster.change { $0.coordinator.role = .leader }
            lines = try await told(port)
            #expect(lines == ["sidereal_cluster_largest_backlog_records 1234"])
        }
    }

    @Test func countersGoOnOverTerms() async throws {
        let cluster = FakeCluster()
        try await withEndpoint(cluster) { port in
            _ = try await get("/v1/status", port)
            cluster.change {
                $0.leader?.term = 9
                $0.targets[0].delivered = 1_000
            }
            try await Task.sleep(for: .milliseconds(300))
            _ = try await get("/v1/status", port)
            let text = String(decoding: try await get("/metrics", port).body, as: UTF8.self)
            #expect(text.contains("sidereal_cluster_records_delivered_total{target=\"soc-splunk\"} 99000\n"))
        }
    }

    @Test func pageIsServedFromTheBinaryWithoutAnythingForeign() async throws {
        try await withEndpoint(FakeCluster()) { port in
            let folder = URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../../Sources/StatusEndpoint/Page/")
            for (path, file) in [
                ("/", "index.html"), ("/style.css", "style.css"), ("/page.js", "page.js"), ("/draw.js", "draw.js"),
                ("/favicon.svg", "favicon.svg"),
            ] {
                let answer = try await get(path, port)
                #expect(answer.status == 200)
                #expect(answer.body == Array(try Data(contentsOf: folder.appending(path: file))), "\(file)")
                let text = String(decoding: answer.body, as: UTF8.self)
                // Names of XML vocabularies are no addresses to fetch.
                let urls = text.matches(of: /https?:\/\/[^"'\s]+/).map { String($0.output) }
                #expect(urls.allSatisfy { $0.hasPrefix("http://www.w3.org/") }, "\(file): \(urls)")
                #expect(!text.contains("innerHTML") && !text.contains("insertAdjacentHTML"))
                let policy = try #require(answer.header("Content-Security-Policy"))
                #expect(policy.contains("default-src 'none'") && !policy.contains("unsafe"))
                #expect(answer.header("X-Content-Type-Options") == "nosniff")
                #expect(answer.header("Access-Control-Allow-Origin") == nil)
            }
        }
    }
}
