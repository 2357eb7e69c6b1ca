import Testing

@testable import Coordinator
@testable import ExportCore

/// Takes changes of the gate, perhaps not at the first attempt.
actor HeardEvents: GateEventStore {
    private(set) var told: [(change: ExportGate.Transition, holder: String)] = []
    private(set) var attempts = 0
    private var failing: Int
    private let kind: StoreError.Kind

    init(failing: Int, as kind: StoreError.Kind = .busy) {
        self.failing = failing
        self.kind = kind
    }

    func mend() { failing = 0 }

    func tell(_ change: ExportGate.Transition, holder: String) async throws(StoreError) {
        attempts += 1
        guard attempts > failing else { throw StoreError(kind, "not now") }
        told.append((change, holder))
    }

    func recorded() async throws(StoreError) -> [GateChange]? { told.map { GateChange($0.change) } }
}

@Suite(.serialized) struct GateEventTests {
    @Test func changesOfTheGateAreToldUntilSomebodyTakesThem() async throws {
        let events = HeardEvents(failing: 1)
        let leader = try await TestCoordinator("c0", MemoryStore(), events: events)
        let worker = try await ScriptedWorker("w0", port: leader.port)
        await until("it is told") { await events.told.count == 1 }
        let (change, holder) = try #require(await events.told.first)
        #expect(change.from == .unknown && change.to == .open && change.term == 1)
        #expect(holder == "c0/1")
        #expect(await events.attempts == 2)
        await worker.leave()
        await leader.stop()
    }

    /// Whoever is asked knows why the gate is as it is, also one that began later.
    @Test func changesAreShownByOtherCoordinatorsAndAfterwards() async throws {
        let (events, store) = (HeardEvents(failing: 0), MemoryStore())
        let leader = try await TestCoordinator("c0", store, events: events)
        let worker = try await ScriptedWorker("w0", port: leader.port)
        await until("it is recorded") { await events.told.count == 1 }
        let other = try await TestCoordinator("c1", store, events: events)
        await until("the standby shows it") { await other.coordinator.status().gate.changes?.count == 1 }
        await worker.leave()
        await leader.stop()
        await until("and as a leader") { await other.role != .standby }
        #expect(await other.coordinator.status().gate.changes?.first?.term == 1)
        await other.stop()
    }

    /// What keeps an event from being told ends the term as well; it is told all the same, whoever leads then.
    @Test func changesOfATermThatIsOverAreTold() async throws {
        let events = HeardEvents(failing: .max)
        let store = MemoryStore()
        let leader = try await TestCoordinator("c0", store, events: events)
        let worker = try await ScriptedWorker("w0", port: leader.port)
        await until("it tries") { await events.attempts >= 1 }
        await until("the gate is open") { await leader.coordinator.status().gate.state == .open }
        await store.usurp()
        await until("another one leads") { await leader.role == .standby }
        #expect(await events.told.isEmpty)
        await events.mend()
        await until("it is told") { await events.told.count == 1 }
        #expect(await events.told.first?.change.term == 1)
        await worker.leave()
        await leader.stop()
    }
}

@Suite struct UntoldChangesTests {
    private func change(_ number: Int) -> ExportGate.Transition {
        ExportGate.Transition(
            from: .open, to: .degraded, cause: "\(number)", kinds: [], episode: nil, term: 1,
            wallMilliseconds: UInt64(number))
    }

    @Test func theOldestGivesWay() {
        var untold = UntoldChanges()
        for number in 0..<UntoldChanges.most {
            let dropped = untold.add(change(number))
            #expect(dropped == nil)
        }
        let dropped = untold.add(change(100))
        #expect(dropped == change(0) && untold.count == UntoldChanges.most)
        #expect(untold.next == change(1))
        // It was under way when it gave way.
        untold.told(change(0))
        #expect(untold.count == UntoldChanges.most)
        untold.told(change(1))
        #expect(untold.next == change(2) && untold.count == UntoldChanges.most - 1)
    }

    @Test func theOrderIsKeptUnlessOneIsNotTaken() {
        var untold = UntoldChanges()
        for number in 0..<3 { _ = untold.add(change(number)) }
        var pauses = [untold.failed(change(0), isBusy: true)]
        #expect(untold.next == change(0))
        pauses.append(untold.failed(change(0), isBusy: false))
        #expect(untold.next == change(1))
        for _ in 0..<3 { pauses.append(untold.failed(change(1), isBusy: true)) }
        untold.told(change(1))
        pauses.append(untold.failed(change(2), isBusy: true))
        #expect(pauses == [5_000, 10_000, 20_000, 30_000, 30_000, 5_000])
        for number in [2, 0] {
            #expect(untold.next == change(number))
            untold.told(change(number))
        }
        #expect(untold.next == nil && untold.count == 0)
    }
}
