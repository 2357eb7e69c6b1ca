import ExportCore
import Model
import Protocol
import Testing

@testable import ExportCoreWorlds

/// What a worker makes of its grants when sessions change: each counts for the session in which it was given.
@Suite struct WorkerSessionTests {
    private static func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    private static func frame(term: UInt64, _ grants: [ShardGrant], targets: UInt32 = 1) -> RecordsFrame {
        RecordsFrame(
            term: term, targets: targets, keys: grants.map { RecordKey(high: 1, low: UInt64($0.shard)) },
            grants: grants,
            lengths: grants.map { _ in 10 }, bytes: SealedBytes(Array(repeating: 0x0A, count: 10 * grants.count)))
    }

    private static let (kept, gone) = (ShardGrant(shard: 1, epoch: 1), ShardGrant(shard: 2, epoch: 1))

    @Test func grantOfAnEarlierSessionOfTheSameTermIsNotTakenForOneOfThis() {
        var hands = WorkerHands(targetCount: 1, windowBytes: 1_000, rows: [], nextRow: 1)
        _ = hands.begin(SessionID(1), term: 3, order: [0])
        hands.assign(term: 3, [Self.kept, Self.gone])
        #expect(hands.take(Self.frame(term: 3, [Self.kept, Self.gone])) != nil)
        hands.leave()
        _ = hands.begin(SessionID(2), term: 3, order: [0])
        hands.assign(term: 3, [ShardGrant(shard: 1, epoch: 2)])
        #expect(hands.formerSessions == [SessionID(1)])
        // The second record's shard was not confirmed: it goes, and the first one stays.
        guard case .withdraw(0, let ranges)? = hands.withdrawUnconfirmed().first else {
            return #expect(Bool(false), "nothing was withdrawn")
        }
        #expect(ranges == [10..<20])
        guard case .cutOff(0, let cut)? = hands.cutOff(grantedIn: SessionID(1)).first else {
            return #expect(Bool(false), "nothing was cut off")
        }
        #expect(cut == [10..<20] && hands.cutOff(grantedIn: SessionID(7)).isEmpty)
    }

    @Test func revocationOfAnEarlierSessionOfTheSameTermReleasesNothing() {
        var hands = WorkerHands(targetCount: 1, windowBytes: 1_000, rows: [], nextRow: 1)
        _ = hands.begin(SessionID(1), term: 3, order: [0])
        hands.assign(term: 3, [Self.kept])
        #expect(hands.take(Self.frame(term: 3, [Self.kept])) != nil)
        _ = hands.revoke(term: 3, [Self.kept])
        hands.leave()
        _ = hands.begin(SessionID(2), term: 3, order: [0])
        // The claim is with the leader, who may grant it anew: to give it back now would be about another ownership.
        #expect(hands.withdrawn(target: 0, [0..<10]).isEmpty && hands.claims.count == 1)
        hands.assign(term: 3, [ShardGrant(shard: 1, epoch: 2)])
        #expect(hands.claims.map(\.grant.epoch) == [2])
    }

    /// Its lanes hear of what is withdrawn only later; and that the leader asks a lost claim back gives no right to it.
    @Test func aNewLeaseFreesOnlyWhatItsSessionGranted() {
        var bench = Bench()
        bench.join(term: 1)
        bench.hear(.assign(term: 1, grants: [Self.kept, Self.gone]))
        bench.hear(.records(Self.frame(term: 1, [Self.kept, Self.gone])))
        #expect(bench.mayStart(0..<20))
        bench.wait(until: 700)
        #expect(bench.core.session == nil && bench.mayStart(0..<20), "the lease outlives the session")
        bench.wait(until: 1_500)
        #expect(!bench.mayStart(0..<10))
        bench.join(term: 1)
        bench.hear(.revoke(term: 1, grants: [Self.gone]))
        #expect(!bench.mayStart(0..<10) && !bench.mayStart(10..<20))
        bench.hear(.assign(term: 1, grants: [ShardGrant(shard: 1, epoch: 2)]))
        #expect(bench.core.leaseEnd.map { bench.now < $0 } ?? false)
        #expect(bench.mayStart(0..<10) && !bench.mayStart(10..<20) && !bench.mayStart(0..<20))
        bench.tell(.withdrawn(target: 0, [10..<20]))
        #expect(bench.mayStart(0..<10) && !bench.core.hands.hasUnconfirmed)
    }

    /// Neither is said by a leader that keeps to the rules; the certificate of one is no reason to crash or to forget.
    @Test func aLeaderWithATargetOfItsOwnIsLeft() {
        var bench = Bench()
        bench.join(term: 1, targets: ["t", "u"])
        #expect(bench.core.session == nil && bench.faults.map(\.code) == [.targets])
        #expect(bench.faults.first?.message.contains(" u ") ?? false)
        bench.hear(.assign(term: 1, grants: [Self.kept]))
        bench.hear(.records(Self.frame(term: 1, [Self.kept], targets: .max)))
        #expect(bench.core.hands.isEmpty && bench.core.hands.shardCount == 0)
        bench.wait(until: 500)
        bench.join(term: 1)
        #expect(bench.core.session != nil)
    }

    @Test func nothingIsForgottenThatTheLeaderWasNotTold() {
        var hands = WorkerHands(targetCount: 1, windowBytes: 1_000, rows: [], nextRow: 1)
        _ = hands.begin(SessionID(1), term: 3, order: [0])
        hands.assign(term: 3, [Self.kept, Self.gone])
        _ = hands.take(Self.frame(term: 3, [Self.kept, Self.gone]))
        let rows = ([0..<10, 10..<20] as [Range<UInt64>]).flatMap { hands.settle(target: 0, [$0], dead: []) }
        // The second one is in the ledger first, and is not told before the first one.
        #expect(hands.committed([rows[1].number]).isEmpty)
        #expect(hands.settled(term: 3, through: .max).isEmpty && hands.unsettledRows == 1)
        #expect(hands.committed([rows[0].number]).count == 2)
        #expect(hands.settled(term: 3, through: .max).count == 1 && hands.unsettledRows == 0)
    }

    @Test func whatThisSessionGrantedMayLeaveUntilItIsGivenBack() {
        var bench = Bench()
        bench.join(term: 1)
        bench.hear(.assign(term: 1, grants: [Self.kept]))
        bench.hear(.records(Self.frame(term: 1, [Self.kept])))
        bench.hear(.revoke(term: 1, grants: [Self.kept]))
        #expect(bench.mayStart(0..<10))
    }

    /// Another process has delivered it: told after the commit, in its turn, and not taken again.
    @Test func whatWasRevivedIsARowLikeOthers() {
        var hands = WorkerHands(targetCount: 1, windowBytes: 1_000, rows: [], nextRow: 7)
        _ = hands.begin(SessionID(1), term: 3, order: [0])
        hands.assign(term: 3, [Self.kept, ShardGrant(shard: 0, epoch: 1)])
        let key = RecordKey(high: 1, low: UInt64(Self.kept.shard))
        #expect(hands.revive(target: 0, []).isEmpty && !hands.hasRevivals(of: 0))
        let rows = hands.revive(target: 0, [key])
        #expect(rows.map(\.number) == [7] && rows[0].kind == .delivered && rows[0].keys == [key])
        #expect(rows[0].grants == [ShardGrant(shard: 0, epoch: 0)])
        #expect(hands.take(Self.frame(term: 3, [Self.kept])) == nil && hands.hasRevivals(of: 0) && !hands.isEmpty)
        #expect(hands.revoke(term: 3, [ShardGrant(shard: 0, epoch: 1)]).isEmpty, "not before the row is committed")
        let told = hands.committed([7]).map { effect -> String in
            if case .send(let message) = effect { message.name } else { "something" }
        }
        #expect(told == ["outcomes", "released"])
        #expect(hands.take(Self.frame(term: 3, [Self.kept])) == nil && hands.hasRevivals(of: 0) && hands.isEmpty)
        guard case .forget(through: 7)? = hands.settled(term: 3, through: 7).first else {
            return #expect(Bool(false), "it is not forgotten")
        }
        #expect(!hands.hasRevivals(of: 0) && hands.take(Self.frame(term: 3, [Self.kept])) != nil)
    }

    // MARK: Leaving

    @Test func whoLeavesWaitsUntilTheLeaderHasItsRows() {
        var bench = Bench()
        bench.join(term: 1)
        bench.hear(.assign(term: 1, grants: [Self.kept]))
        bench.hear(.records(Self.frame(term: 1, [Self.kept])))
        bench.tell(.stop(graceMilliseconds: 20_000))
        bench.hear(.revoke(term: 1, grants: [Self.kept]))
        let rows = bench.core.settle(target: 0, [0..<10], dead: [])
        bench.tell(.committed(rows.map(\.number)))
        bench.hear(.drain(term: 1, reason: ""))
        #expect(bench.core.hands.isEmpty && bench.core.hands.shardCount == 0 && bench.exit == nil)
        // The leader dies before it has written that down: the next one is told, and settles it.
        bench.wait(until: 1_500)
        #expect(bench.core.session == nil && bench.exit == nil)
        bench.join(term: 2)
        #expect(bench.exit == nil)
        bench.hear(.settled(term: 2, through: rows[0].number))
        #expect(bench.exit == true)
    }

    /// A leader without this target never speaks of it, and nobody at all speaks without one.
    @Test func whoLeavesDoesNotWaitForWhatNobodySays() {
        let row = WorkerHands.Row(
            number: 1, target: 1, kind: .delivered, reason: "", keys: [RecordKey(high: 1, low: 1)], grants: [Self.kept])
        var bench = Bench(targets: ["t", "former"], rows: [row])
        bench.join(term: 1)
        bench.tell(.stop(graceMilliseconds: 20_000))
        #expect(bench.exit == true)
        bench = Bench(targets: ["t", "former"], rows: [row])
        bench.tell(.stop(graceMilliseconds: 3_000))
        bench.wait(until: 2_999)
        #expect(bench.exit == nil)
        bench.wait(until: 3_000)
        #expect(bench.exit == true)
    }

    // MARK: Lapses and cutting off

    /// A worker with one target; what its machine wants done is kept.
    private struct Bench {
        var core: WorkerCore
        var rng = PRNG(seed: 1)
        var now = WorkerSessionTests.at(0)
        var dialled: SessionID?
        var beats: [(number: UInt64, lapsed: UInt32)] = []
        var cut: [Range<UInt64>] = []
        var faults: [PeerFault] = []
        /// Whether nothing was in hand at the end; nil before.
        var exit: Bool?

        init(targets: [String] = ["t"], rows: [WorkerHands.Row] = []) {
            let settings = WorkerCore.Settings(
                identity: "w", boot: RecordKey(high: 1, low: 1), capacity: 1, windowBytes: 1_000, targets: targets)
            core = WorkerCore(
                settings, dial: CoordinatorDial(addresses: ["c"], first: 0, now: now), rows: rows, nextRow: 1)
            tell(.timer)
        }

        mutating func tell(_ event: WorkerCore.Event) {
            for effect in core.handle(event, now: now, rng: &rng) {
                switch effect {
                case .dial(let session, _): dialled = session
                case .heartbeat(_, _, let number, _, let lapsed): beats.append((number, lapsed))
                case .cutOff(_, let ranges): cut += ranges
                case .exit(let isClean): exit = isClean
                case .close(_, let fault?): faults.append(fault)
                default: break
                }
            }
        }

        mutating func hear(_ message: Message) {
            if let dialled { tell(.received(dialled, message)) }
        }

        mutating func join(term: UInt64, targets: [String] = ["t"]) {
            if let dialled { tell(.connected(dialled)) }
            hear(
                .welcome(
                    Welcome(
                        version: 1, term: term, leader: "c", leaseMilliseconds: 1_000, shardCount: 8,
                        releaseMilliseconds: 500, targets: targets, marginMilliseconds: 400)))
        }

        func mayStart(_ range: Range<UInt64>) -> Bool { core.mayStart(target: 0, [range], at: now) }

        /// Lets time pass; timers fire when they are due.
        mutating func wait(until milliseconds: UInt64) {
            let end = WorkerSessionTests.at(milliseconds)
            while let due = core.nextDeadline, due <= end {
                now = max(now, due)
                tell(.timer)
            }
            now = end
        }
    }

    @Test func heartbeatTellsHowLongTheLeaseUnderTheClaimsIsOver() {
        var bench = Bench()
        bench.join(term: 1)
        #expect(bench.beats.last?.lapsed == 0)
        bench.hear(.assign(term: 1, grants: [Self.kept]))
        // Silence: the session is given up, its lease ends at 1 000.
        bench.wait(until: 600)
        bench.join(term: 2)
        #expect(bench.core.session != nil && bench.beats.last?.lapsed == 0)
        bench.wait(until: 1_300)
        bench.join(term: 2)
        #expect(bench.beats.last?.lapsed == 301)
        bench.hear(.assign(term: 2, grants: [ShardGrant(shard: 1, epoch: 2)]))
        bench.hear(.heartbeat(Heartbeat(term: 2, number: bench.beats.last?.number ?? 0, health: [])))
        bench.wait(until: 1_600)
        #expect(bench.beats.last?.lapsed == 0)
    }

    @Test func requestsAreCutOffBeforeTheirShardsCanBeOthers() {
        var bench = Bench()
        bench.join(term: 1)
        bench.hear(.assign(term: 1, grants: [Self.kept]))
        bench.hear(.records(Self.frame(term: 1, [Self.kept])))
        bench.wait(until: 1_299)
        #expect(bench.cut.isEmpty)
        bench.wait(until: 1_300)
        #expect(bench.cut == [0..<10])
    }

    @Test func requestsOfShardsThatWereConfirmedAreNotCutOff() {
        var bench = Bench()
        bench.join(term: 1)
        bench.hear(.assign(term: 1, grants: [Self.kept]))
        bench.hear(.records(Self.frame(term: 1, [Self.kept])))
        bench.wait(until: 700)
        bench.join(term: 1)
        bench.hear(.assign(term: 1, grants: [ShardGrant(shard: 1, epoch: 2)]))
        bench.wait(until: 1_400)
        #expect(bench.cut.isEmpty)
    }
}
