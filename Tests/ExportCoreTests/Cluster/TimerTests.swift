import ExportCore
import Model
import Protocol
import Testing

/// A timer that was handled is over: one that is due again at once would make its owner run in a circle.
@Suite struct TimerTests {
    private func claim(_ shard: UInt16, _ term: UInt64, _ epoch: UInt32) -> ShardClaim {
        ShardClaim(term: term, grant: ShardGrant(shard: shard, epoch: epoch))
    }

    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    /// What it claimed is lost to a better claim while it is away: there is nobody who could give it back.
    @Test func aClaimThatLosesWhileItsWorkerIsAwayIsAwaitedFromNobody() {
        var settings = ShardTable.Settings(shardCount: 2, term: 5, isFirstTerm: false)
        settings.quietSince = at(0)
        var table = ShardTable(settings, now: at(0))
        _ = table.handle(.joined(WorkerID(0), identity: "w0", capacity: 4, claims: [claim(0, 3, 1)]), now: at(10))
        _ = table.handle(.lost(WorkerID(0)), now: at(20))
        _ = table.handle(.joined(WorkerID(1), identity: "w1", capacity: 4, claims: [claim(0, 4, 1)]), now: at(30))
        var (rounds, expelled) = (0, 0)
        while let due = table.nextDeadline, due < at(120_000), rounds < 1_000 {
            rounds += 1
            for effect in table.handle(.timer, now: due) {
                if case .expel = effect { expelled += 1 }
            }
        }
        #expect(rounds < 100)
        #expect(expelled == 0)
        #expect(table.owner(of: ShardID(0))?.worker == WorkerID(1))
    }

    @Test(arguments: [1, 2, 3, 4])
    func theTableOfShardsIsNeverDueAgainAtOnce(part: UInt64) {
        for seed in part * 1_000..<part * 1_000 + 250 {
            var rng = PRNG(seed: seed)
            var settings = ShardTable.Settings(shardCount: 8, term: 5, isFirstTerm: rng.below(4) == 0)
            var now = at(100_000)
            settings.quietSince = rng.below(2) == 0 ? nil : at(100_000 - rng.below(20_000))
            var table = ShardTable(settings, now: now)
            for step in 0..<150 {
                let event = tableEvent(&rng)
                let waited = rng.below(rng.below(10) == 0 ? 12_000 : 400)
                now = now.adding(milliseconds: waited)
                _ = table.handle(event, now: now)
                _ = table.handle(.timer, now: now)
                guard let due = table.nextDeadline, due <= now else { continue }
                Issue.record("seed \(seed), step \(step), after \(event): due at once")
                return
            }
        }
    }

    private func tableEvent(_ rng: inout PRNG) -> ShardTable.Event {
        let number = UInt32(rng.below(4))
        let worker = WorkerID(number)
        switch rng.below(12) {
        case 0...4:
            let claims = (0..<rng.below(6)).map { _ in
                claim(UInt16(rng.below(9)), 3 + rng.below(4), UInt32(rng.below(4)))
            }
            return .joined(worker, identity: "w\(number)", capacity: UInt16(rng.below(5)), claims: claims)
        case 5: return .lapsed(worker, milliseconds: UInt32(rng.below(9_000)), welcomed: at(100_000))
        case 6, 7: return .lost(worker)
        case 8: return .dead(worker)
        case 9: return .drain(worker)
        case 10: return .reweigh(worker, capacity: UInt16(rng.below(5)))
        default:
            return .released(
                worker, [ShardGrant(shard: UInt16(rng.below(8)), epoch: UInt32(rng.below(4)))])
        }
    }

    @Test(arguments: [1, 2, 3, 4])
    func membershipIsNeverDueAgainAtOnce(part: UInt64) {
        for seed in part * 1_000..<part * 1_000 + 250 {
            var rng = PRNG(seed: seed)
            var membership = Membership(
                Membership.Settings(leader: "c0", term: 5, versions: 1...3, shardCount: 8, targets: ["a"]))
            var now = at(1_000)
            for step in 0..<150 {
                let event = membershipEvent(&rng)
                now = now.adding(milliseconds: rng.below(rng.below(10) == 0 ? 20_000 : 900))
                _ = membership.handle(event, now: now)
                _ = membership.handle(.timer, now: now)
                guard let due = membership.nextDeadline, due <= now else { continue }
                Issue.record("seed \(seed), step \(step), after \(event): due at once")
                return
            }
        }
    }

    private func membershipEvent(_ rng: inout PRNG) -> Membership.Event {
        let session = SessionID(rng.below(12))
        switch rng.below(10) {
        case 0, 1: return .connected(session, name: nil)
        case 2, 3, 4:
            return .hello(
                session,
                Hello(
                    versions: 1...2, identity: "w\(rng.below(4))", boot: RecordKey(high: 0, low: rng.below(3)),
                    capacity: 4, windowBytes: 1, term: 3 + rng.below(4), targets: ["a"], claims: []))
        case 5, 6: return .heartbeat(session, term: 4 + rng.below(2), number: rng.below(50))
        case 7: return .closed(session)
        case 8: return .drain(session)
        default: return .expel(WorkerID(UInt32(rng.below(6))), reason: "it is to go")
        }
    }
}
