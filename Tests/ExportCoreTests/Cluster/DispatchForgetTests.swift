import Model
import Protocol
import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

/// Sources of one record each, which show themselves what is settled: nothing is remembered of those that are not in hand.
@Suite struct DispatchForgetTests {
    private let worker = WorkerID(0)
    private let now = Tick(nanoseconds: 0)
    private let both = TargetMask(first: 2)

    private func dispatch() -> Dispatch {
        var dispatch = Dispatch(
            term: 2, shardCount: 1, targetCount: 2, index: SettledIndex(targetCount: 2), forgetsSources: true)
        dispatch.opened(worker, windowBytes: 1 << 20)
        _ = dispatch.assigned([ShardGrant(shard: 0, epoch: 1)], to: worker)
        return dispatch
    }

    private func key(_ number: UInt64) -> RecordKey { RecordKey(high: number, low: 1 << 63 | number) }

    private func page(_ number: UInt64, to targets: TargetMask, settled: TargetMask = TargetMask(bits: 0)) -> FeedPage {
        let key = key(number)
        var page = FeedPage(
            targets: targets, source: key.high, range: key.low..<key.low + 1, sourceSize: key.low + 1,
            ageMilliseconds: 0, bytes: SealedBytes(Array("123456789\n".utf8)))
        page.settled = settled
        page.append(position: key.low, shard: 0, start: 0, length: 10)
        return page
    }

    private func told(_ row: UInt64, _ number: UInt64, _ target: UInt8, _ kind: Outcomes.Kind = .delivered) -> Outcomes
    {
        Outcomes(
            row: row, term: 2, target: target, kind: kind, reason: kind == .delivered ? "" : "no", keys: [key(number)],
            grants: [ShardGrant(shard: 0, epoch: 1)])
    }

    private func written(_ effects: [Dispatch.Effect]) -> [String] {
        effects.flatMap { effect -> [String] in
            guard case .write(_, let facts) = effect else { return [] }
            return facts.flatMap { facts in facts.keys.map { "\(facts.kind) \($0.high) at \(facts.target)" } }
        }
    }

    private func isFinished(_ effects: [Dispatch.Effect]) -> Bool {
        effects.contains { if case .finished = $0 { true } else { false } }
    }

    @Test func nothingIsRememberedOfWhatIsSettled() {
        var dispatch = dispatch()
        var row: UInt64 = 0
        for number in 1...1_000 as ClosedRange<UInt64> {
            #expect(dispatch.take(page(number, to: both), now: now).isTaken)
            for target in [UInt8(0), 1] {
                row += 1
                let effects = dispatch.outcomes(told(row, number, target), from: worker)
                #expect(written(effects) == ["delivered \(number) at \(target)"] && !isFinished(effects))
            }
        }
        #expect(dispatch.ends.isEmpty && dispatch.recordsInHand == 0 && dispatch.bytesInHand == 0)
        #expect(dispatch.index == SettledIndex(targetCount: 2))
        // It is shown again by an older view: then it goes out again.
        #expect(dispatch.take(page(5, to: TargetMask(0)), now: now).isTaken && dispatch.recordsInHand == 1)
    }

    /// Which of the two halves of a uid are alike does not matter.
    @Test func twoSourcesOfOneNumberAreTwo() {
        var dispatch = dispatch()
        var other = FeedPage(
            targets: both, source: 7, range: 5..<6, sourceSize: 6, ageMilliseconds: 0,
            bytes: SealedBytes(Array("123456789\n".utf8)))
        other.append(position: 5, shard: 0, start: 0, length: 10)
        #expect(dispatch.take(page(7, to: both), now: now).isTaken && dispatch.take(other, now: now).isTaken)
        #expect(dispatch.recordsInHand == 2)
    }

    @Test func whatIsSettledAlreadyIsNotTakenForUnread() {
        var dispatch = dispatch()
        _ = dispatch.take(page(1, to: TargetMask(0), settled: TargetMask(1)), now: now)
        #expect(written(dispatch.outcomes(told(1, 1, 1, .dead), from: worker)) == [])
        #expect(dispatch.hints.isEmpty)
        #expect(
            written(dispatch.outcomes(told(2, 1, 1), from: worker)) == ["delivered 1 at 1"],
            "it may have been given up before")
        #expect(dispatch.recordsInHand == 1)
    }

    /// A target that takes nothing for days does not keep a worker from forgetting what was told of it and of others.
    @Test func whatIsLookedForHoldsUpNoRows() {
        var dispatch = dispatch()
        _ = dispatch.outcomes(told(1, 1, 1), from: worker)
        _ = dispatch.outcomes(told(2, 2, 1), from: worker)
        _ = dispatch.outcomes(told(3, 3, 1, .dead), from: worker)
        #expect(dispatch.take(page(4, to: TargetMask(0)), now: now).isTaken)
        _ = dispatch.outcomes(told(4, 4, 0), from: worker)
        #expect(settled(dispatch.written(through: 1)) == nil, "rows wait for the first of them")
        let sought = dispatch.sought(most: 9)
        let mine = SoughtRecord(targets: TargetMask(1))
        #expect(sought == [key(1): mine, key(2): mine, key(3): mine])
        #expect(dispatch.sought(most: 2).count == 2)
        // One of them was not settled: its page comes, and costs its target nothing.
        let page = dispatch.take(page(2, to: TargetMask(1)), now: now)
        #expect(written(page.effects) == ["delivered 2 at 1"] && dispatch.recordsInHand == 0)
        let looked = dispatch.looked(for: sought)
        #expect(written(looked) == ["delivered 1 at 1"], "it may have been given up before")
        #expect(dispatch.hints.isEmpty && settled(looked) == nil)
        #expect(settled(dispatch.written(through: 3)) == 4)
        #expect(dispatch.looked(for: sought).isEmpty && dispatch.sought(most: 9).isEmpty)
    }

    /// It had been given up, and another process has delivered it: no row of it is settled before its source says so, or was
    /// looked through.
    @Test func whatWasRevivedIsSettledWhenItIsWritten() {
        var dispatch = dispatch()
        func revived(_ row: UInt64, _ number: UInt64) -> Outcomes {
            var told = told(row, number, 1)
            told.grants = [ShardGrant(shard: 0, epoch: 0)]
            return told
        }
        _ = dispatch.outcomes(revived(1, 1), from: worker)
        _ = dispatch.outcomes(revived(2, 2), from: worker)
        #expect(dispatch.passed(target: 1).isEmpty && dispatch.hintCounts == [0, 2], "one that dies now leaves them")
        var mine = SoughtRecord(targets: TargetMask(1))
        mine.revived = TargetMask(1)
        let sought = dispatch.sought(most: 9)
        #expect(sought == [key(1): mine, key(2): mine])
        // The source shows it as settled, and hands it over all the same.
        let page = dispatch.take(page(1, to: TargetMask(1), settled: both), now: now)
        #expect(written(page.effects) == ["delivered 1 at 1"] && dispatch.recordsInHand == 0)
        #expect(settled(dispatch.written(through: dispatch.lastWrite)) == 1)
        let looked = dispatch.looked(for: sought)
        #expect(written(looked) == ["delivered 2 at 1"])
        #expect(settled(dispatch.written(through: dispatch.lastWrite)) == 2)
        // Of nothing that is settled and of which nobody says anything is a record sent.
        let again = dispatch.take(self.page(1, to: TargetMask(1), settled: both), now: now)
        #expect(written(again.effects) == [] && dispatch.recordsInHand == 0 && dispatch.targets[1].inHand == 0)
    }

    /// A list that looks for it as for one that was given up passes over it where its source says so.
    @Test func whatIsRevivedWhileItIsLookedForIsLookedForOnceMore() {
        var dispatch = dispatch()
        _ = dispatch.outcomes(told(1, 1, 1, .dead), from: worker)
        let former = dispatch.sought(most: 9)
        #expect(former == [key(1): SoughtRecord(targets: TargetMask(1))])
        var revival = told(2, 1, 1)
        revival.grants = [ShardGrant(shard: 0, epoch: 0)]
        _ = dispatch.outcomes(revival, from: worker)
        let early = dispatch.looked(for: former)
        #expect(written(early) == [] && settled(dispatch.written(through: dispatch.lastWrite)) != 2)
        let sought = dispatch.sought(most: 9)
        #expect(sought[key(1)]?.revived == TargetMask(1))
        #expect(written(dispatch.looked(for: sought)) == ["delivered 1 at 1"])
        #expect(settled(dispatch.written(through: dispatch.lastWrite)) == 2)
    }

    /// What has waited since before the machine began has waited as long as that.
    @Test func agesGoBackBeyondTheMachinesBeginning() {
        var dispatch = dispatch()
        var old = page(1, to: both)
        old.ageMilliseconds = 86_400_000
        #expect(dispatch.take(old, now: Tick(nanoseconds: 2_000_000_000)).isTaken)
        #expect(dispatch.take(page(2, to: both), now: Tick(nanoseconds: 3_000_000_000)).isTaken)
        let now = Tick(nanoseconds: 5_000_000_000)
        #expect(dispatch.oldestMilliseconds(of: 0, now: now) == 86_403_000)
        old = page(3, to: TargetMask(1))
        old.ageMilliseconds = .max
        #expect(dispatch.take(old, now: Tick(nanoseconds: 4_000_000_000)).isTaken)
        #expect(dispatch.oldestMilliseconds(of: 1, now: now) == .max)
    }

    private func settled(_ effects: [Dispatch.Effect]) -> UInt64? {
        for case .settled(_, let row) in effects { return row }
        return nil
    }

    @Test func whatIsSaidOfForgottenSourcesIsResolvedByEachPass() {
        var dispatch = dispatch()
        #expect(written(dispatch.outcomes(told(1, 1, 0), from: worker)) == [])
        #expect(written(dispatch.outcomes(told(2, 2, 0, .dead), from: worker)) == [])
        #expect(written(dispatch.passed(target: 1)) == [] && dispatch.hintCounts == [2, 0])
        #expect(written(dispatch.passed(target: 0)) == ["delivered 1 at 0"] && dispatch.hintCounts == [0, 0])
        var settled: [UInt64] = []
        for case .settled(_, let row) in dispatch.written(through: dispatch.lastWrite) { settled.append(row) }
        #expect(settled == [2])
        #expect(written(dispatch.outcomes(told(3, 1, 0), from: worker)) == [])
        #expect(written(dispatch.passed(target: 0)) == ["delivered 1 at 0"], "and by the next one")
        #expect(dispatch.passed(target: 0).isEmpty)
    }
}
