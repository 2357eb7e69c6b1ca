import Model
import Protocol
import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

/// What a leader says in sessions, and in which order.
@Suite struct CoordinatorSessionTests {
    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    /// A worker that leaves dials anew while its old connection stands; with that, nothing is left with it.
    @Test func nothingIsSaidInASessionBeforeItsWelcome() {
        var about = Membership.Settings(leader: "c0", term: 1, versions: 1...1, shardCount: 4, targets: ["splunk"])
        about.timing.workerLeaseMilliseconds = 60
        about.timing.marginMilliseconds = 1
        about.timing.debounceMilliseconds = 1
        var core = CoordinatorCore(
            .init(membership: about, isFirstTerm: true, cluster: "prod", gate: ExportGateSettings()),
            index: SettledIndex(targetCount: 1), leadUntil: at(1_000_000), now: at(0))
        func say(_ session: UInt64, _ message: Message, _ time: UInt64) -> [CoordinatorCore.Effect] {
            core.handle(.received(SessionID(session), message), now: at(time))
        }
        func greet(
            _ session: UInt64, _ name: String, _ time: UInt64, claims: [ShardClaim] = []
        ) -> [CoordinatorCore.Effect] {
            _ = core.handle(.connected(SessionID(session), name: nil), now: at(time))
            let hello = Hello(
                versions: 1...1, identity: name, boot: RecordKey(high: 1, low: 1), capacity: 1, windowBytes: 1_000,
                term: 1, targets: ["splunk"], claims: claims)
            return say(session, .hello(hello), time)
        }
        func tick(_ times: ClosedRange<UInt64>) {
            for time in times where time % 10 == 0 {
                _ = core.handle(.tick(leadUntil: at(1_000_000), wallMilliseconds: 0), now: at(time))
            }
        }
        _ = greet(1, "a", 0)
        tick(1...30)
        #expect(core.table.load(of: WorkerID(0)) == 4)
        _ = core.handle(.closed(SessionID(1)), now: at(31))
        tick(32...200)
        _ = greet(2, "b", 201)
        tick(202...220)
        #expect(core.table.load(of: WorkerID(1)) == 4)
        // It comes back with what is another's by now, and wants to leave.
        _ = greet(3, "a", 221, claims: [ShardClaim(term: 1, grant: ShardGrant(shard: 0, epoch: 1))])
        _ = say(3, .drain(term: 1, reason: "leaves"), 222)
        var said: [String] = []
        for effect in greet(4, "a", 223) {
            if case .send(SessionID(4), let message) = effect { said.append(message.name) }
        }
        #expect(said.first == "welcome")
    }

    /// It is told when a load cannot be shared out evenly any more, and again at twice as many, not with each worker.
    @Test func tooManyWorkersForTheShardsAreTold() {
        var about = Membership.Settings(leader: "c0", term: 1, versions: 1...1, shardCount: 16, targets: ["splunk"])
        about.timing.workerLeaseMilliseconds = 60
        var core = CoordinatorCore(
            .init(membership: about, isFirstTerm: true, cluster: "prod", gate: ExportGateSettings()),
            index: SettledIndex(targetCount: 1), leadUntil: at(1_000_000), now: at(0))
        var told: [Int] = []
        func greet(_ workers: ClosedRange<UInt64>, _ time: UInt64) {
            for number in workers {
                let hello = Hello(
                    versions: 1...1, identity: "w\(number)", boot: RecordKey(high: 1, low: number), capacity: 1,
                    windowBytes: 1_000, term: 1, targets: ["splunk"], claims: [])
                let session = SessionID(time * 100 + number)
                _ = core.handle(.connected(session, name: nil), now: at(time))
                for case .crowded(let workers) in core.handle(.received(session, .hello(hello)), now: at(time)) {
                    told.append(workers)
                }
            }
        }
        greet(1...4, 1)
        #expect(told == [])
        greet(5...11, 1)
        #expect(told == [5, 10])
        // All are dead, and few come back before many do.
        for time in stride(from: UInt64(10), through: 10_000, by: 10) {
            _ = core.handle(.tick(leadUntil: at(1_000_000), wallMilliseconds: 0), now: at(time))
        }
        #expect(core.membership.members.isEmpty)
        greet(1...6, 10_001)
        #expect(told == [5, 10, 5])
    }
}
