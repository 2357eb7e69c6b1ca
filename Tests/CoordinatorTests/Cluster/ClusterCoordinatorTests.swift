import ExportCore
import Logging
import Model
import PeerTransport
import Protocol
import Telemetry
import Testing

@testable import Coordinator

/// A coordinator with a real server on loopback. Leases are long, because a machine that tests everything at once may
/// leave any of them without a turn for seconds; nothing here waits for one to run out unless it says so.
final class TestCoordinator: Sendable {
    let coordinator: ClusterCoordinator
    let server: PeerServer
    let running: Task<String?, Never>
    let metrics = MetricRegistry()

    var shown: String { String(decoding: metrics.render(), as: UTF8.self) }

    var port: Int { server.port }

    static let shardCount = 16

    convenience init(
        _ name: String, _ store: MemoryStore, records: Int = 0, lease: UInt64 = 30_000, debounce: UInt64 = 20,
        events: (any GateEventStore)? = nil, results: (@Sendable (SettledSources) -> any ResultSource)? = nil
    ) async throws {
        let stores = CoordinatorStores(lease: store, gate: store, alerts: store, events: events, status: store) {
            results?($0) ?? ScriptedResults(count: records, perPage: 500, shardCount: UInt16(Self.shardCount))
        }
        try await self.init(name, stores, lease: lease, debounce: debounce)
    }

    /// - Parameter start: which start of the process of this name it is.
    init(
        _ name: String, _ stores: CoordinatorStores, start: Int = 1, lease: UInt64 = 30_000, debounce: UInt64 = 20,
        release: ProtocolRelease = .current
    ) async throws {
        var peers = PeerSettings()
        peers.maxQueuedBytes = 64 << 10
        server = try await PeerServer.start(host: "127.0.0.1", port: 0, security: .loopbackOnly, settings: peers) { _ in
        }
        var timing = ClusterTiming()
        timing.workerLeaseMilliseconds = 30_000
        timing.debounceMilliseconds = debounce
        var gate = ExportGateSettings()
        gate.pace(lease: lease, retryPeriod: 150, workerLease: 30_000)
        var bounds = Dispatch.Bounds()
        bounds.frameBytes = 32 << 10
        let endpoint = Endpoint(scheme: "https", host: "localhost", port: 1, path: "")
        let settings = CoordinatorSettings(
            name: name, identity: "\(name)/\(start)", address: server.address, program: "test", cluster: "test",
            targets: [Target(name: "t0", backend: .splunk, format: .json, endpoint: endpoint)],
            shardCount: Self.shardCount,
            election: try ElectionSettings(
                lease: lease, renewDeadline: lease * 2 / 3, retryPeriod: 150, requestTimeout: lease / 4),
            timing: timing, gate: gate, bounds: bounds, release: release)
        let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let made = ClusterCoordinator(
            settings: settings, stores: stores, log: log, metrics: metrics,
            refusals: PeerRefusals(log: log, metrics: metrics), seed: 1)
        coordinator = made
        let connections = server.connections
        running = Task { await made.run(connections) }
    }

    var role: ClusterStatus.Role {
        get async { await coordinator.status().coordinator.role }
    }

    func stop() async {
        await coordinator.stop()
        _ = await running.value
        await server.shutdown()
    }
}

/// Waits until something holds, at most a minute.
func until(
    _ what: Comment, _ condition: () async -> Bool, location: SourceLocation = #_sourceLocation
) async {
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(60)
    while clock.now < deadline {
        if await condition() { return }
        try? await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("never happened: \(what)", sourceLocation: location)
}

@Suite(.serialized) struct ClusterCoordinatorTests {
    @Test func recordsFlowFromTheFeedToTheStoreAndTheWorkerMayForget() async throws {
        let store = MemoryStore()
        let leader = try await TestCoordinator("c0", store, records: 5_000)
        await until("it leads") { await leader.role == .leader }
        let worker = try await ScriptedWorker("w0", port: leader.port)
        await until("everything is delivered") { await store.delivered[0]?.count == 5_000 }
        await until("the source is finished") { await store.finished == [ScriptedResults.source] }
        await until("the worker may forget every row") { worker.now.settledThrough > 0 && worker.now.echoes > 2 }
        #expect(await Set(store.delivered[0] ?? []).count == 5_000)
        #expect(worker.now.assigned.count == TestCoordinator.shardCount)
        #expect(worker.now.records == 5_000)
        let status = await leader.coordinator.status()
        #expect(status.targets[0].delivered == 5_000)
        #expect(status.workers.map(\.identity) == ["w0"])
        #expect(status.shards.allSatisfy { $0.state == .owned && $0.owner == 0 })
        await until("the gate is open") { await leader.coordinator.status().gate.state == .open }
        #expect(worker.now.gateWords.last == true)
        #expect(leader.shown.contains(#"sidereal_cluster_gate_transitions_total{from="unknown",to="open"} 1"#))
        #expect(leader.shown.contains(#"sidereal_cluster_worker_events_total{event="joined"} 1"#))
        #expect(leader.shown.contains("sidereal_cluster_terms_led_total 1"))
        await worker.leave()
        await leader.stop()
    }

    @Test func aStandbyNamesTheLeaderAndTakesOverAtOnceWhenItGoes() async throws {
        let store = MemoryStore()
        let leader = try await TestCoordinator("c0", store, records: 1_000)
        await until("the first leads") { await leader.role == .leader }
        let other = try await TestCoordinator("c1", store, records: 1_000)
        await until("the second stands by") { await other.role == .standby }
        let lost = try await ScriptedWorker("w0", port: other.port)
        await until("it is told who leads") { lost.now.notLeader != nil }
        #expect(lost.now.notLeader?.address == leader.server.address)
        #expect(lost.now.notLeader?.leader == "c0/1")
        await until("and the connection is closed") { lost.now.hasEnded }
        await lost.leave()

        let worker = try await ScriptedWorker("w1", port: leader.port)
        await until("records flow") { worker.now.records > 0 }
        await until("the gate is open") { await leader.coordinator.status().gate.state == .open }
        // Both see it so, and whoever takes over says nothing else meanwhile.
        await until("the standby sees it") { await other.coordinator.status().gate.state == .open }
        let clock = ContinuousClock()
        let began = clock.now
        await leader.stop()
        var seen: Set<GateStatus.State> = []
        await until("the second leads") {
            let status = await other.coordinator.status()
            seen.insert(status.gate.state)
            return status.leader?.name == "c1" && status.coordinator.role != .standby
        }
        #expect(seen == [.open])
        // Far below the lease: it was given back, and its change was seen.
        #expect(clock.now - began < .seconds(15))
        await until("the worker is told to go elsewhere") { worker.now.faults.contains { $0.code == .shutdown } }
        let again = try await ScriptedWorker("w1", port: other.port, term: 1)
        await until("it is welcome there, in the next term") { again.now.welcome?.term == 2 }
        await worker.leave()
        await again.leave()
        await other.stop()
    }

    @Test func whoeverAsksWhileNobodyLeadsWaitsForWhoWill() async throws {
        let store = MemoryStore()
        await store.cutLease()
        let first = try await TestCoordinator("c0", store, records: 100)
        let worker = try await ScriptedWorker("w0", port: first.port)
        let impatient = try await ScriptedWorker("w1", port: first.port)
        // Nobody is kept for longer than workers wait.
        await until("it is told that nobody leads") { impatient.now.notLeader?.address == "" }
        await impatient.leave()
        await worker.leave()
        let patient = try await ScriptedWorker("w2", port: first.port)
        await store.mendLease()
        await until("it is welcome where it asked") { patient.now.welcome?.term == 1 }
        #expect(patient.now.notLeader == nil)
        await until("records flow") { patient.now.records > 0 }
        await patient.leave()
        await first.stop()
    }

    @Test func whoeverWaitsIsSentToTheLeaderAsSoonAsThereIsOne() async throws {
        let store = MemoryStore()
        await store.usurp()
        let standby = try await TestCoordinator("c0", store)
        await until("it stands by") { await standby.role == .standby }
        // More than three times the retry period without a renewal.
        try await Task.sleep(for: .milliseconds(700))
        let clock = ContinuousClock()
        let asked = clock.now
        let worker = try await ScriptedWorker("w0", port: standby.port)
        try await Task.sleep(for: .milliseconds(300))
        #expect(worker.now.notLeader == nil)
        await store.usurp()
        await until("it is told who leads") { worker.now.notLeader != nil }
        #expect(worker.now.notLeader?.leader == "usurper/1" && worker.now.notLeader?.term == 2)
        #expect(clock.now - asked < .seconds(2))
        await worker.leave()
        await standby.stop()
    }

    @Test func aLeaderWithoutAStoreStepsDownAndClosesItsSessions() async throws {
        let store = MemoryStore()
        let leader = try await TestCoordinator("c0", store, lease: 3_000)
        await until("it leads") { await leader.role == .leader }
        let worker = try await ScriptedWorker("w0", port: leader.port)
        await until("the worker is in") { worker.now.welcome != nil }
        // The lease runs out.
        await store.cutLease()
        await until("the session ends with the term") { worker.now.hasEnded }
        #expect(worker.now.faults.map(\.code) == [.staleTerm])
        #expect(await leader.role == .standby)
        let (isReady, _) = await leader.coordinator.health()
        #expect(!isReady)
        await worker.leave()
        await leader.stop()
    }

    @Test func aFencedWriteEndsTheTerm() async throws {
        let store = MemoryStore()
        let leader = try await TestCoordinator("c0", store, records: 200_000)
        await until("it leads") { await leader.role == .leader }
        let worker = try await ScriptedWorker("w0", port: leader.port)
        await until("records flow") { await (store.delivered[0]?.count ?? 0) > 0 }
        await store.usurp()
        let written = await store.delivered[0]?.count ?? 0
        await until("the session ends") { worker.now.hasEnded }
        #expect(await store.delivered[0]?.count == written)
        #expect(await leader.role == .standby)
        #expect(await leader.coordinator.status().leader?.name == "usurper")
        await worker.leave()
        await leader.stop()
    }

    @Test func aWorkerThatDoesNotReadDelaysNobodyElse() async throws {
        let store = MemoryStore()
        // Long enough for both to be there when shards are placed.
        let leader = try await TestCoordinator("c0", store, records: 20_000, debounce: 3_000)
        await until("it leads") { await leader.role == .leader }
        let deaf = try await ScriptedWorker("w0", port: leader.port, manner: .stopsReading)
        let worker = try await ScriptedWorker("w1", port: leader.port)
        await until("both have shards") { !deaf.now.assigned.isEmpty && !worker.now.assigned.isEmpty }
        let share = worker.now.assigned.count
        #expect(share < TestCoordinator.shardCount)
        await until("everything of the other's shards is delivered") {
            await store.delivered[0]?.count == 20_000 / TestCoordinator.shardCount * share
        }
        await deaf.leave()
        await worker.leave()
        await leader.stop()
    }

    @Test func garbageIsRefusedByName() async throws {
        let store = MemoryStore()
        let leader = try await TestCoordinator("c0", store)
        await until("it leads") { await leader.role == .leader }
        let client = try PeerClient(security: .loopbackOnly)
        let connection = try await client.connect(host: "127.0.0.1", port: leader.port)
        try await connection.send(SealedBytes([0, 0, 0, 4, 9, 9, 9, 9]))
        var codec = FrameCodec()
        let frame = try #require(try await connection.receive())
        guard case .error(let fault) = try codec.decode(frame) else {
            Issue.record("no fault")
            return
        }
        #expect(fault.code == .malformed)
        #expect(try await connection.receive() == nil)
        await client.shutdown()
        await leader.stop()
    }
}
