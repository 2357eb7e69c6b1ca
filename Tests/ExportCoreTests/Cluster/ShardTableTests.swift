import ExportCore
import Model
import Protocol
import Testing

/// A table with its messages obeyed at once, unless told otherwise.
private struct Desk {
    var table: ShardTable
    var now = Tick(nanoseconds: 0)
    /// What each worker holds.
    var held: [WorkerID: [UInt16: UInt32]] = [:]
    var unreleased: [(WorkerID, [ShardGrant])] = []
    var others: [ShardTable.Effect] = []
    var releases = true
    var revokedAtOnce = 0

    init(shards: Int = 256, term: UInt64 = 1, isFirstTerm: Bool = true, quietSeconds: UInt64? = nil) {
        var settings = ShardTable.Settings(shardCount: shards, term: term, isFirstTerm: isFirstTerm)
        settings.quietSince = quietSeconds.map { Tick(nanoseconds: (100 - $0) * 1_000_000_000) }
        now = Tick(nanoseconds: quietSeconds == nil ? 0 : 100_000_000_000)
        table = ShardTable(settings, now: now)
    }

    mutating func tell(_ event: ShardTable.Event) {
        for effect in table.handle(event, now: now) {
            switch effect {
            case .assign(let worker, let grants):
                for grant in grants { held[worker, default: [:]][grant.shard] = grant.epoch }
            case .revoke(let worker, let grants):
                revokedAtOnce = max(revokedAtOnce, table.revokingCount)
                unreleased.append((worker, grants))
            default: others.append(effect)
            }
        }
        while releases, !unreleased.isEmpty {
            let (worker, grants) = unreleased.removeFirst()
            for grant in grants { held[worker]?[grant.shard] = nil }
            tell(.released(worker, grants))
        }
    }

    /// - Parameter lapsed: what its heartbeat says of the lease under its claims; nil if none comes.
    mutating func join(_ number: UInt32, capacity: UInt16 = 4, claims: [ShardClaim] = [], lapsed: UInt32? = 0) {
        tell(.joined(WorkerID(number), identity: "w\(number)", capacity: capacity, claims: claims))
        if let lapsed { tell(.lapsed(WorkerID(number), milliseconds: lapsed, welcomed: now)) }
    }

    /// Lets time pass up to `milliseconds` after the start; timers fire when they are due.
    mutating func wait(until milliseconds: UInt64) {
        let end = Tick(nanoseconds: milliseconds * 1_000_000)
        while let due = table.nextDeadline, due <= end {
            now = max(now, due)
            tell(.timer)
        }
        now = end
    }

    func load(_ number: UInt32) -> Int { held[WorkerID(number)]?.count ?? 0 }
    var isComplete: Bool { (0..<table.shardCount).allSatisfy { table.owner(of: ShardID(UInt16($0))) != nil } }
}

@Suite struct ShardTableTests {
    @Test func firstWorkerOfAllGetsEverythingAfterTheDebounce() {
        var desk = Desk()
        #expect(desk.table.nextDeadline == nil)
        desk.join(0)
        desk.wait(until: 299)
        #expect(desk.load(0) == 0)
        desk.wait(until: 300)
        #expect(desk.load(0) == 256 && desk.isComplete && desk.table.oldestUnowned == nil)
    }

    @Test func eightThatJoinTogetherMoveThingsOnce() {
        var desk = Desk()
        desk.join(0)
        desk.wait(until: 300)
        for number in 1..<8 as Range<UInt32> {
            desk.wait(until: 1_000 + UInt64(number) * 20)
            desk.join(number)
        }
        desk.wait(until: 2_000)
        #expect(desk.table.counts.placements == 2)
        #expect(desk.table.counts.moved == 7 * 32)
        #expect((0..<8).allSatisfy { desk.load($0) == 32 })
        #expect(desk.revokedAtOnce == 32)
    }

    @Test func shardMovesOnlyWhenItWasReleased() {
        var desk = Desk(shards: 16)
        desk.join(0)
        desk.wait(until: 300)
        desk.releases = false
        desk.join(1)
        desk.wait(until: 700)
        #expect(desk.load(1) == 0 && desk.unreleased.count == 1)
        let (worker, grants) = desk.unreleased[0]
        let shard = ShardID(grants[0].shard)
        #expect(desk.table.owner(of: shard) == nil && desk.table.holder(of: shard)?.worker == worker)
        #expect(desk.table.state(of: shard) == .revoking(worker, epoch: 1, to: WorkerID(1)))
        #expect(desk.table.unownedSince(shard) == Tick(nanoseconds: 600_000_000))
        // The number of another ownership releases nothing.
        desk.tell(.released(worker, [ShardGrant(shard: shard.number, epoch: 7)]))
        #expect(desk.load(1) == 0)
        desk.tell(.released(worker, grants))
        #expect(desk.load(1) == 8 && desk.held[WorkerID(1)]?[shard.number] == 2)
    }

    @Test func whoeverDoesNotReleaseIsToldToGoAndItsShardsWaitForItsDeath() {
        var desk = Desk(shards: 16)
        desk.join(0)
        desk.wait(until: 300)
        desk.join(1)
        desk.releases = false
        desk.wait(until: 600 + 9_999)
        #expect(desk.others.isEmpty)
        desk.wait(until: 600 + 10_000)
        guard case .expel(WorkerID(0), _) = desk.others.first else { return #expect(Bool(false), "not expelled") }
        desk.tell(.lost(WorkerID(0)))
        desk.wait(until: 20_000)
        #expect(desk.load(1) == 0 && desk.others.count == 1)
        desk.tell(.dead(WorkerID(0)))
        #expect(desk.load(1) == 16)
    }

    @Test func lostOneKeepsItsShardsAndGetsThemBackUnderNewEpochs() {
        var desk = Desk(shards: 16)
        desk.join(0)
        desk.join(1)
        desk.wait(until: 300)
        let before = desk.held[WorkerID(0)] ?? [:]
        desk.tell(.lost(WorkerID(0)))
        desk.wait(until: 5_000)
        #expect(desk.load(1) == 8 && !desk.isComplete)
        let claims = before.map { ShardClaim(term: 1, grant: ShardGrant(shard: $0, epoch: $1)) }
        desk.join(0, claims: claims)
        #expect(desk.isComplete && desk.held[WorkerID(0)] == before.mapValues { $0 + 1 })
        // A new process under the same name holds nothing, and gets the same at once.
        desk.join(0)
        #expect(desk.isComplete && desk.held[WorkerID(0)] == before.mapValues { $0 + 2 })
    }

    @Test func deadOnesShardsAreGivenAtOnce() {
        var desk = Desk()
        for number in 0..<4 as Range<UInt32> { desk.join(number) }
        desk.wait(until: 300)
        desk.tell(.lost(WorkerID(3)))
        desk.wait(until: 15_000)
        #expect(desk.table.counts.moved == 0)
        desk.tell(.dead(WorkerID(3)))
        #expect(desk.isComplete && desk.table.counts.moved == 0 && desk.table.load(of: WorkerID(3)) == 0)
    }

    @Test func claimsAreAdoptedAtOnceIfTheyAreComplete() {
        var desk = Desk(shards: 4, term: 7, isFirstTerm: false)
        func claim(_ shard: UInt16, _ epoch: UInt32) -> ShardClaim {
            ShardClaim(term: 6, grant: ShardGrant(shard: shard, epoch: epoch))
        }
        desk.join(0, claims: [claim(0, 3), claim(1, 3)])
        #expect(desk.load(0) == 0 && desk.table.state(of: ShardID(0)) == .claimed(WorkerID(0)))
        desk.releases = false
        desk.join(1, claims: [claim(1, 4), claim(2, 1), claim(3, 9)])
        #expect(desk.held[WorkerID(0)] == [0: 4])
        #expect(desk.held[WorkerID(1)] == [1: 5, 2: 2, 3: 10])
        #expect(desk.unreleased.count == 1 && desk.unreleased[0].0 == WorkerID(0))
        #expect(desk.unreleased.first?.1 == [ShardGrant(shard: 1, epoch: 3)])
    }

    @Test func whatNobodyClaimsWaitsUntilNobodyCanHoldIt() {
        var desk = Desk(shards: 4, term: 7, isFirstTerm: false)
        desk.join(0, claims: [ShardClaim(term: 6, grant: ShardGrant(shard: 0, epoch: 3))])
        desk.wait(until: 300)
        #expect(desk.load(0) == 1)
        desk.wait(until: 14_999)
        #expect(desk.load(0) == 1 && desk.table.awaitedCount == 3)
        // A late one is heard all the same.
        desk.join(1, claims: [ShardClaim(term: 6, grant: ShardGrant(shard: 1, epoch: 3))])
        #expect(desk.load(1) == 1)
        desk.wait(until: 15_000)
        #expect(desk.isComplete && desk.load(0) == 2 && desk.load(1) == 2)
    }

    @Test func claimUnderALeaseThatIsLongOverWaitsForWhoeverGotTheShardLater() {
        var desk = Desk(shards: 2, term: 7, isFirstTerm: false)
        func claim(_ shard: UInt16, _ epoch: UInt32) -> ShardClaim {
            ShardClaim(term: 6, grant: ShardGrant(shard: shard, epoch: epoch))
        }
        // Three quarters of the margin of 5 s: the last leader may have taken it for dead, and given the shard away.
        desk.join(0, claims: [claim(0, 3)], lapsed: 3_750)
        desk.join(2, claims: [claim(1, 3)], lapsed: 3_749)
        desk.wait(until: 1_000)
        #expect(desk.load(0) == 0 && desk.load(2) == 1 && desk.table.awaitedCount == 1)
        #expect(desk.table.state(of: ShardID(0)) == .claimed(WorkerID(0)))
        // Whoever got it comes late, and is the only one who ever acts.
        desk.join(1, claims: [claim(0, 4)])
        #expect(desk.held[WorkerID(1)] == [0: 5] && desk.load(0) == 0 && desk.table.awaitedCount == 0)
    }

    @Test func claimOfWhoeverSaysNothingOfItsLeaseIsConfirmedWhenNobodyElseCanAct() {
        var desk = Desk(shards: 2, term: 7, isFirstTerm: false)
        desk.join(0, claims: [ShardClaim(term: 6, grant: ShardGrant(shard: 0, epoch: 3))], lapsed: nil)
        desk.tell(.lapsed(WorkerID(0), milliseconds: .max, welcomed: desk.now))
        desk.wait(until: 14_999)
        #expect(desk.load(0) == 0)
        desk.wait(until: 15_000)
        #expect(desk.held[WorkerID(0)]?[0] == 4 && desk.load(0) == 2)
    }

    @Test func claimantThatComesBackWithEmptyHandsLeavesTheShardToWhoeverMayHoldIt() {
        var desk = Desk(shards: 1, term: 7, isFirstTerm: false)
        desk.join(0, claims: [ShardClaim(term: 6, grant: ShardGrant(shard: 0, epoch: 3))], lapsed: 60_000)
        desk.wait(until: 1_000)
        desk.tell(.lost(WorkerID(0)))
        desk.join(0)
        desk.wait(until: 2_000)
        #expect(desk.load(0) == 0 && desk.table.state(of: ShardID(0)) == .unclaimed)
        desk.join(1, claims: [ShardClaim(term: 6, grant: ShardGrant(shard: 0, epoch: 4))])
        #expect(desk.load(1) == 1)
    }

    @Test func leaseThatLapsedWhileNobodyLedProvesAClaimAllTheSame() {
        // The last leader acted 5 s ago at the latest; a lease that is over for 8 s was over for 3 s then.
        var desk = Desk(shards: 2, term: 7, isFirstTerm: false, quietSeconds: 5)
        desk.join(0, claims: [ShardClaim(term: 6, grant: ShardGrant(shard: 0, epoch: 3))], lapsed: 8_749)
        desk.join(1, claims: [ShardClaim(term: 6, grant: ShardGrant(shard: 1, epoch: 3))], lapsed: 8_750)
        desk.wait(until: 100_300)
        #expect(desk.load(0) == 1 && desk.load(1) == 0)
        // And what is not proven waits from then on.
        desk.wait(until: 109_999)
        #expect(desk.load(1) == 0)
        desk.wait(until: 110_000)
        #expect(desk.load(1) == 1)
    }

    @Test func claimOfTheFutureIsRefusedAndOneOfAnotherTermHarmless() {
        var desk = Desk(shards: 2)
        desk.releases = false
        desk.join(
            0,
            claims: [
                ShardClaim(term: 1, grant: ShardGrant(shard: 0, epoch: 1)),
                ShardClaim(term: 0, grant: ShardGrant(shard: 1, epoch: .max)),
                ShardClaim(term: 0, grant: ShardGrant(shard: 9, epoch: 1)),
                ShardClaim(term: 9, grant: ShardGrant(shard: 1, epoch: 1)),
            ])
        #expect(desk.load(0) == 0 && desk.unreleased.first?.1.count == 2)
        // Until it has given them back it gets them from nobody.
        desk.wait(until: 1_000)
        #expect(desk.load(0) == 0)
        desk.tell(.released(WorkerID(0), desk.unreleased[0].1))
        #expect(desk.load(0) == 2)
    }

    @Test func whoeverLeavesIsEmptiedAndReceivesNothing() {
        var desk = Desk()
        for number in 0..<3 as Range<UInt32> { desk.join(number) }
        desk.wait(until: 300)
        desk.tell(.drain(WorkerID(0)))
        #expect(desk.load(0) == 0 && desk.isComplete && desk.others == [.drained(WorkerID(0))])
        desk.tell(.lost(WorkerID(1)))
        desk.tell(.dead(WorkerID(1)))
        #expect(desk.load(2) == 256)
        // The last one is emptied too: it wants to go, and somebody will come.
        desk.tell(.drain(WorkerID(2)))
        #expect(desk.load(2) == 0 && desk.others.last == .drained(WorkerID(2)) && desk.load(0) == 0)
        desk.join(3)
        desk.wait(until: 1_000)
        #expect(desk.load(3) == 256)
    }

    @Test func brokenOneGivesToWhoeverCanAndKeepsIfNobodyCan() {
        var desk = Desk()
        desk.join(0)
        desk.join(1)
        desk.wait(until: 300)
        desk.tell(.reweigh(WorkerID(0), capacity: 0))
        desk.wait(until: 700)
        #expect(desk.load(0) == 0 && desk.load(1) == 256)
        desk.tell(.reweigh(WorkerID(1), capacity: 0))
        desk.wait(until: 1_100)
        #expect(desk.isComplete)
        desk.tell(.reweigh(WorkerID(0), capacity: 12))
        desk.tell(.reweigh(WorkerID(1), capacity: 4))
        desk.wait(until: 2_000)
        #expect(desk.load(0) == 192 && desk.load(1) == 64)
    }

    @Test func whatIsGivenBackUnaskedIsNotForcedOnTheSameWorkerAtOnce() {
        var desk = Desk(shards: 16)
        desk.join(0)
        desk.wait(until: 300)
        desk.tell(.released(WorkerID(0), [ShardGrant(shard: 5, epoch: 1)]))
        #expect(desk.table.owner(of: ShardID(5)) == nil)
        desk.wait(until: 599)
        #expect(desk.table.owner(of: ShardID(5)) == nil)
        desk.wait(until: 600)
        #expect(desk.table.owner(of: ShardID(5))?.epoch == 2)
    }

    @Test func eventsOfStrangersChangeNothing() {
        var desk = Desk(shards: 4)
        for event in [.lost(WorkerID(9)), .dead(WorkerID(9)), .drain(WorkerID(9)), .timer] as [ShardTable.Event] {
            desk.tell(event)
        }
        desk.tell(.released(WorkerID(9), [ShardGrant(shard: 60_000, epoch: 1)]))
        desk.tell(.reweigh(WorkerID(9), capacity: 3))
        #expect(desk.table.nextDeadline == nil && desk.others.isEmpty)
    }
}
