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
