import ExportCore
import Testing

@testable import Coordinator

/// Takes changes of the gate, perhaps not at the first attempt.
actor HeardEvents: GateEventStore {
    private(set) var told: [(change: ExportGate.Transition, fence: Fence)] = []
    private(set) var attempts = 0
    private let failing: Int
    private let kind: StoreError.Kind

    init(failing: Int, as kind: StoreError.Kind = .busy) {
        self.failing = failing
        self.kind = kind
    }

    func tell(_ change: ExportGate.Transition, fence: Fence) async throws(StoreError) {
        attempts += 1
        guard attempts > failing else { throw StoreError(kind, "not now") }
        told.append((change, fence))
    }

    func recorded() async throws(StoreError) -> [GateChange]? { told.map { GateChange($0.change) } }
}

@Suite(.serialized) struct GateEventTests {
    @Test func changesOfTheGateAreToldUntilSomebodyTakesThem() async throws {
        let events = HeardEvents(failing: 1)
        let leader = try await TestCoordinator("c0", MemoryStore(), events: events)
        let worker = try await ScriptedWorker("w0", port: leader.port)
        await until("it is told") { await events.told.count == 1 }
        let (change, fence) = try #require(await events.told.first)
        #expect(change.from == .unknown && change.to == .open && change.term == 1)
        #expect(fence == Fence(holder: "c0/1", term: 1))
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

    /// Who does not lead any more has nothing to tell.
    @Test func changesOfAnOldTermAreNotToldAgain() async throws {
        let events = HeardEvents(failing: .max, as: .fenced)
        let leader = try await TestCoordinator("c0", MemoryStore(), events: events)
        let worker = try await ScriptedWorker("w0", port: leader.port)
        await until("it tries") { await events.attempts == 1 }
        await until("the gate is open") { await leader.coordinator.status().gate.state == .open }
        #expect(await events.attempts == 1)
        await worker.leave()
        await leader.stop()
    }
}
