import Model
import Protocol
import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

/// What workers say of records that the new leader has not read yet, and when a source is finished.
@Suite struct DispatchHintsTests {
    private let worker = WorkerID(0)
    private let now = Tick(nanoseconds: 0)

    private func dispatch(maxHints: Int = 1 << 20, index: SettledIndex = SettledIndex(targetCount: 1)) -> Dispatch {
        var bounds = Dispatch.Bounds()
        bounds.maxHints = maxHints
        var dispatch = Dispatch(term: 2, shardCount: 1, targetCount: 1, index: index, bounds: bounds)
        dispatch.opened(worker, windowBytes: 1 << 20)
        return dispatch
    }

    /// Records of ten bytes: those of `numbers`, of a source with `count` of them.
    private func page(_ numbers: Range<UInt64>, of count: UInt64) -> FeedPage {
        let bytes = SealedBytes((0..<numbers.count).flatMap { _ in Array("123456789\n".utf8) })
        var page = FeedPage(
            targets: TargetMask(0), source: 7, range: numbers.lowerBound * 10..<numbers.upperBound * 10,
            sourceSize: count * 10, ageMilliseconds: 0, bytes: bytes)
        for (place, number) in numbers.enumerated() {
            page.append(position: number * 10, shard: 0, start: UInt32(place * 10), length: 10)
        }
        return page
    }

    private func told(_ row: UInt64, _ numbers: [UInt64], _ kind: Outcomes.Kind = .delivered) -> Outcomes {
        Outcomes(
            row: row, term: 1, target: 0, kind: kind, reason: kind == .dead ? "no" : "",
            keys: numbers.map { RecordKey(high: 7, low: $0 * 10) },
            grants: numbers.map { _ in ShardGrant(shard: 0, epoch: 1) })
    }

    private func settled(_ effects: [Dispatch.Effect]) -> UInt64? {
        for case .settled(_, let row) in effects { return row }
        return nil
    }

    private func written(_ effects: [Dispatch.Effect]) -> [Dispatch.Facts] {
        effects.flatMap { effect -> [Dispatch.Facts] in
            if case .write(_, let facts) = effect { facts } else { [] }
        }
    }

    private func finished(_ effects: [Dispatch.Effect]) -> [UInt64] {
        effects.compactMap { effect in
            if case .finished(let source, _) = effect { source } else { nil }
        }
    }

    /// The leader before wrote all of the last page and ended; the new one reads only what comes before.
    @Test func aSourceIsFinishedThoughItsLastPageWasSettledBefore() {
        var index = SettledIndex(targetCount: 1)
        index.insert(20..<40, of: 7, target: 0)
        var dispatch = dispatch(index: index)
        _ = dispatch.assigned([ShardGrant(shard: 0, epoch: 1)], to: worker)
        #expect(finished(dispatch.take(page(0..<2, of: 4), now: now).effects) == [])
        #expect(finished(dispatch.outcomes(told(1, [0]), from: worker)) == [])
        #expect(finished(dispatch.outcomes(told(2, [1]), from: worker)) == [7])
    }

    /// A worker whose connection breaks again and again tells the same rows each time.
    @Test func whatIsToldAgainTakesNoMoreRoom() {
        var dispatch = dispatch()
        for _ in 0..<50 {
            _ = dispatch.outcomes(told(1, [0, 1], .delivered), from: worker)
            _ = dispatch.outcomes(told(2, [1, 2], .dead), from: worker)
            _ = dispatch.closed(worker)
            dispatch.opened(worker, windowBytes: 1 << 20)
        }
        #expect(dispatch.hints.values.reduce(0) { $0 + $1.count } == 4)
        #expect(settled(dispatch.outcomes(told(1, [0, 1]), from: worker)) == nil)
        #expect(settled(dispatch.outcomes(told(2, [1, 2], .dead), from: worker)) == nil)
        let (_, effects) = dispatch.take(page(0..<3, of: 3), now: now)
        let facts = written(effects)
        #expect(facts.filter { $0.kind == .delivered }.flatMap(\.keys).map(\.low) == [0, 10])
        #expect(facts.filter { $0.kind == .dead }.flatMap(\.keys).map(\.low) == [20])
        #expect(settled(effects) == nil)
        #expect(settled(dispatch.written(through: 2)) == 2)
        #expect(dispatch.hints.isEmpty && dispatch.hintCounts == [0])
    }

    /// A worker that begins anew knows only of the second attempt; that the first was accepted stays true.
    @Test func deliveredOutlivesWhatIsSaidLater() {
        var dispatch = dispatch()
        _ = dispatch.outcomes(told(1, [0]), from: worker)
        _ = dispatch.closed(worker)
        dispatch.opened(worker, windowBytes: 1 << 20)
        _ = dispatch.outcomes(told(1, [0], .dead), from: worker)
        #expect(written(dispatch.take(page(0..<1, of: 1), now: now).effects).map(\.kind) == [.delivered])
    }

    /// The target is dead since the leader before, and its window is full before the record comes of which a row speaks: it
    /// reads on to that record, or no row of that worker would be settled any more, of whatever target.
    @Test func aRowOfADeadTargetHoldsUpNoOther() {
        var bounds = Dispatch.Bounds()
        bounds.windowBytes = 40
        var dispatch = Dispatch(
            term: 2, shardCount: 1, targetCount: 2, index: SettledIndex(targetCount: 2), bounds: bounds)
        dispatch.opened(worker, windowBytes: 1 << 20)
        _ = dispatch.assigned([ShardGrant(shard: 0, epoch: 1)], to: worker)
        func read(_ numbers: Range<UInt64>, _ targets: [Int]) -> [Dispatch.Effect] {
            var page = page(numbers, of: 40)
            page.targets = TargetMask(bits: targets.reduce(0) { $0 | 1 << UInt32($1) })
            return dispatch.take(page, now: now).effects
        }
        _ = read(0..<2, [0, 1])
        _ = read(2..<4, [0, 1])
        #expect(dispatch.hasRoom == [false, false])
        // It was accepted by the dead target, in the term before.
        _ = dispatch.outcomes(told(1, [5]), from: worker)
        #expect(dispatch.hasRoom == [true, false])
        var alive = told(2, [0, 1, 2, 3])
        alive.target = 1
        #expect(settled(dispatch.outcomes(alive, from: worker)) == nil)
        #expect(dispatch.hasRoom == [true, true])
        _ = read(4..<6, [0, 1])
        #expect(settled(dispatch.written(through: 9)) == 2)
        #expect(dispatch.hasRoom == [false, true])
    }

    /// What nobody shows for long does not make a window without end.
    @Test func aRowOfADeadTargetDoublesItsWindowAtMost() {
        var bounds = Dispatch.Bounds()
        bounds.windowBytes = 40
        var dispatch = Dispatch(
            term: 2, shardCount: 1, targetCount: 1, index: SettledIndex(targetCount: 1), bounds: bounds)
        dispatch.opened(worker, windowBytes: 1 << 20)
        _ = dispatch.outcomes(told(1, [39]), from: worker)
        var next: UInt64 = 0
        while dispatch.hasRoom[0], next < 39 {
            _ = dispatch.take(page(next..<next + 1, of: 40), now: now)
            next += 1
        }
        #expect(dispatch.targets[0].windowBytes == 80)
    }

    /// What the leader has no room to remember stays with the worker, until everything was shown.
    @Test func aRowThatCannotBeKeptIsNotCalledSettled() {
        var dispatch = dispatch(maxHints: 3)
        #expect(settled(dispatch.outcomes(told(1, [0, 1]), from: worker)) == nil)
        #expect(settled(dispatch.outcomes(told(2, [2, 3]), from: worker)) == nil)
        #expect(settled(dispatch.outcomes(told(3, [4]), from: worker)) == nil)
        #expect(dispatch.hintCounts == [3])
        var effects = dispatch.take(page(0..<2, of: 5), now: now).effects
        #expect(written(effects).flatMap(\.keys).count == 2)
        #expect(settled(dispatch.written(through: 1)) == 1)
        // The fourth and fifth are owed: nothing is known of them.
        effects = dispatch.take(page(2..<5, of: 5), now: now).effects
        #expect(written(effects).flatMap(\.keys).map(\.low) == [20])
        #expect(dispatch.targets[0].inHand == 2)
        #expect(settled(dispatch.written(through: 9)) == nil)
        #expect(settled(dispatch.passed(target: 0)) == 3)
    }
}
