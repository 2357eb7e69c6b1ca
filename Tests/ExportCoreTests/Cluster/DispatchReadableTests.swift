import Model
import Protocol
import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

/// What workers say of records of which no page comes.
@Suite struct DispatchReadableTests {
    private let worker = WorkerID(0)
    private let now = Tick(nanoseconds: 0)

    private func dispatch(maxHints: Int = 1 << 20) -> Dispatch {
        var bounds = Dispatch.Bounds()
        bounds.maxHints = maxHints
        var dispatch = Dispatch(
            term: 2, shardCount: 1, targetCount: 2, index: SettledIndex(targetCount: 2), bounds: bounds)
        dispatch.opened(worker, windowBytes: 1 << 20)
        _ = dispatch.assigned([ShardGrant(shard: 0, epoch: 1)], to: worker)
        return dispatch
    }

    /// Two records of ten bytes.
    private func page(_ source: UInt64) -> FeedPage {
        var page = FeedPage(
            targets: TargetMask(first: 2), source: source, range: 0..<20, sourceSize: 20, ageMilliseconds: 0,
            bytes: SealedBytes(Array("123456789\n123456789\n".utf8)))
        for number in 0..<2 as Range<UInt64> {
            page.append(position: number * 10, shard: 0, start: UInt32(number * 10), length: 10)
        }
        return page
    }

    private func told(
        _ row: UInt64, _ target: UInt8, _ source: UInt64, _ positions: [UInt64], _ kind: Outcomes.Kind = .delivered
    ) -> Outcomes {
        Outcomes(
            row: row, term: 1, target: target, kind: kind, reason: kind == .dead ? "no" : "",
            keys: positions.map { RecordKey(high: source, low: $0) },
            grants: positions.map { _ in ShardGrant(shard: 0, epoch: 1) })
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

    /// Somebody tells of two records of a file that the leader before could read and this one cannot.
    @Test func rowsBehindOneOfAFileThatCannotBeReadAreSettled() {
        var dispatch = dispatch()
        _ = dispatch.take(page(8), now: now)
        #expect(settled(dispatch.outcomes(told(1, 0, 7, [0]), from: worker)) == nil)
        #expect(settled(dispatch.outcomes(told(2, 1, 7, [10], .dead), from: worker)) == nil)
        #expect(settled(dispatch.outcomes(told(3, 0, 8, [0, 10]), from: worker)) == nil)
        #expect(settled(dispatch.written(through: 1)) == nil)
        // As long as a page may come, it is waited for.
        #expect(dispatch.readable(ReadableSources(sources: [7, 8], isComplete: false)).isEmpty)
        let effects = dispatch.readable(ReadableSources(sources: [8], isComplete: false))
        let facts = written(effects)
        #expect(facts.map(\.kind) == [.delivered, .dead] && facts.map(\.target) == [0, 1])
        #expect(facts.map(\.keys) == [[RecordKey(high: 7, low: 0)], [RecordKey(high: 7, low: 10)]])
        #expect(facts.map(\.lengths) == [[1], [1]] && facts.map(\.reason) == ["", "no"])
        // Not before it is kept for good.
        #expect(settled(effects) == nil && !dispatch.hasHints)
        #expect(settled(dispatch.written(through: 2)) == 3)
        // Should it be read one day, the rest of it is owed, and nothing else.
        _ = dispatch.take(page(7), now: now)
        #expect(dispatch.targets.map(\.inHand) == [1, 3])
        let rest = dispatch.outcomes(told(4, 0, 7, [0, 10]), from: worker)
        #expect(written(rest).flatMap(\.keys) == [RecordKey(high: 7, low: 10)])
    }

    /// Nothing is there that cannot be read, so what has no page was settled before or is gone.
    @Test func rowsBehindOneOfAFileThatIsGoneAreSettledAndNothingIsWritten() {
        var dispatch = dispatch()
        _ = dispatch.outcomes(told(1, 0, 7, [0]), from: worker)
        _ = dispatch.outcomes(told(2, 1, 9, [0]), from: worker)
        let effects = dispatch.readable(ReadableSources(sources: [9], isComplete: true))
        #expect(written(effects).isEmpty && settled(effects) == 1)
        #expect(dispatch.hintCounts == [0, 1])
    }

    /// What nobody has room to remember cannot wait for a page either.
    @Test func rowsThatCannotBeKeptDoNotWaitForWhatCannotBeRead() {
        var dispatch = dispatch(maxHints: 1)
        _ = dispatch.outcomes(told(1, 0, 7, [0, 10]), from: worker)
        _ = dispatch.outcomes(told(2, 1, 7, [0]), from: worker)
        #expect(settled(dispatch.readable(ReadableSources(sources: [7], isComplete: true))) == nil)
        _ = dispatch.readable(ReadableSources(sources: [], isComplete: false))
        #expect(settled(dispatch.written(through: 9)) == 2)
    }

    /// A term in which millions of files are settled and removed.
    @Test func whatIsGoneIsNotRemembered() {
        var dispatch = dispatch()
        for source in 1...100 as ClosedRange<UInt64> {
            _ = dispatch.take(page(source), now: now)
            _ = dispatch.outcomes(told(source * 2, 0, source, [0, 10]), from: worker)
            dispatch.forget(source)
            _ = dispatch.outcomes(told(source * 2 + 1, 1, source, [0, 10]), from: worker)
            #expect(dispatch.index.isFinished(source), "not before it is finished")
            dispatch.forget(source)
        }
        #expect(dispatch.index == SettledIndex(targetCount: 2))
    }
}
