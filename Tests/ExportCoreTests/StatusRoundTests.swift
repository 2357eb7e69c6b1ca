import ExportCore
import Protocol
import Testing

@testable import ExportCoreWorlds

/// What is written about results, one answer at a time, and in thousands of histories.
@Suite struct StatusRoundTests {
    private let both = TargetMask(first: 2)

    private func word(delivered: UInt32 = 0, dead: UInt32 = 0, failed: UInt32 = 0) -> ResultStatus.Word {
        var word = ResultStatus.Word()
        (word.delivered.bits, word.dead.bits, word.failed.bits) = (delivered, dead, failed)
        return word
    }

    private func key(_ number: UInt64) -> RecordKey { RecordKey(high: number, low: 1) }

    private func seen(_ version: String, _ word: ResultStatus.Word = .init(), _ state: ResultStatus.State = .pending)
        -> StatusRound.Seen
    { StatusRound.Seen(version: version, status: ResultStatus(word: word, state: state), others: ",o") }

    @Test func theStateFollowsFromTheTargets() {
        let fresh = ResultStatus()
        #expect(fresh.told(word(delivered: 1), targets: both).state == .pending)
        #expect(fresh.told(word(delivered: 1, failed: 2), targets: both).state == .failed)
        #expect(fresh.told(word(dead: 4), targets: both).state == .pending, "that target is not today's")
        let failed = fresh.told(word(failed: 3), targets: both)
        let half = failed.told(word(delivered: 1), targets: both)
        #expect(half == ResultStatus(word: word(delivered: 1, failed: 2), state: .failed))
        let dead = half.told(word(dead: 2), targets: both)
        #expect(dead == ResultStatus(word: word(delivered: 1, dead: 2), state: .failed))
        #expect(dead.told(word(failed: 3), targets: both) == dead)
        let done = dead.told(word(delivered: 2), targets: both)
        #expect(done == ResultStatus(word: word(delivered: 3), state: .exported), "revived")
        #expect(done.told(word(dead: 3, failed: 3), targets: TargetMask(first: 3)) == done, "final")
        #expect(ResultStatus(word: word(delivered: 3), state: .failed).isConsistent(targets: TargetMask(first: 3)))
        #expect(!ResultStatus(word: word(delivered: 3), state: .failed).isConsistent(targets: both))
        #expect(!ResultStatus(word: word(dead: 1)).isConsistent(targets: both))
        #expect(ResultStatus().told(word(), targets: TargetMask(bits: 0)).state == .pending, "no target took it")
    }

    @Test func aConflictIsFollowedByALook() {
        var round = StatusRound(targets: both)
        var ended: [(RecordKey, StatusRound.End)] = []
        round.add(key(1), word(delivered: 1), seen("5"))
        round.add(key(1), word(delivered: 2), seen("5"))
        round.add(key(2), word(failed: 1), seen("6"))
        let first = StatusRound.Seen(
            version: "5", status: ResultStatus(word: word(delivered: 3), state: .exported), others: ",o")
        #expect(round.next(&ended) == .patch(key(1), to: first))
        #expect(round.answer(key(1), .conflict) == nil)
        #expect(round.next(&ended) == .patch(key(2), to: seen("6", word(failed: 1), .failed)), "its turn comes first")
        #expect(round.next(&ended) == .read(key(1)))
        #expect(round.next(&ended) == nil)
        #expect(round.answer(key(1), .found(seen("9", word(dead: 1), .failed))) == nil)
        #expect(round.next(&ended) == .patch(key(1), to: seen("9", word(delivered: 3), .exported)))
        #expect(
            round.answer(key(1), .written(version: nil)) == .written(seen("9", word(delivered: 3), .exported)),
            "its version does not matter any more")
        #expect(round.answer(key(2), .written(version: "7")) == .written(seen("7", word(failed: 1), .failed)))
        #expect(round.isComplete && ended.isEmpty)
    }

    /// More is to be written about it, and nobody knows to which version.
    @Test func whatIsNotExportedNeedsItsVersion() {
        for news in [word(failed: 1), word(delivered: 1), word(dead: 3)] {
            var round = StatusRound(targets: both)
            var ended: [(RecordKey, StatusRound.End)] = []
            round.add(key(1), news, seen("5"))
            _ = round.next(&ended)
            #expect(round.answer(key(1), .written(version: nil)) == .written(nil) && round.isComplete)
        }
    }

    @Test func whatSaysItAlreadyIsNotAskedAbout() {
        var round = StatusRound(targets: both)
        var ended: [(RecordKey, StatusRound.End)] = []
        round.add(key(1), word(failed: 1), seen("5", word(failed: 1), .failed))
        round.add(key(2), word(dead: 1), seen("5", word(delivered: 3), .exported))
        #expect(round.next(&ended) == nil && round.isComplete && ended.map(\.0) == [key(1), key(2)])
    }

    @Test func oneThatIsRefusedOrGoneHoldsUpNoOther() {
        var round = StatusRound(targets: both)
        var ended: [(RecordKey, StatusRound.End)] = []
        for number in 1...3 as ClosedRange<UInt64> {
            round.add(key(number), word(delivered: 3), seen("\(number)"))
            _ = round.next(&ended)
        }
        #expect(round.answer(key(1), .refused) == .refused && round.answer(key(2), .gone) == .gone)
        #expect(!round.isComplete && round.answer(key(3), .written(version: "8")) != nil && round.isComplete)
    }

    @Test func aFailureEndsTheRound() {
        var round = StatusRound(targets: both)
        var ended: [(RecordKey, StatusRound.End)] = []
        for number in 1...2 as ClosedRange<UInt64> { round.add(key(number), word(delivered: 3), seen("1")) }
        _ = round.next(&ended)
        #expect(round.answer(key(1), .failed) == nil && round.next(&ended) == nil)
        #expect(!round.isComplete && round.isStopped)
    }

    /// What may be one object's own trouble is left, and the others have their turn.
    @Test func oneThatIsTroubledHoldsUpNoOther() {
        var round = StatusRound(targets: both)
        var ended: [(RecordKey, StatusRound.End)] = []
        for number in 1...30 as ClosedRange<UInt64> { round.add(key(number), word(delivered: 3), seen("1")) }
        var asked = 0
        while case .patch(let key, _)? = round.next(&ended) {
            asked += 1
            _ = round.answer(key, key.high % 3 == 1 ? .troubled : .written(version: nil))
        }
        #expect(asked == 30 && round.left.count == 10 && round.writtenCount == 20)
        #expect(!round.isComplete && !round.isStopped && round.isOpen(key(1)) && !round.isOpen(key(2)))
    }

    @Test func aServerThatFailsIsSpared() {
        for (bad, most) in [(0..<1_000 as Range<UInt64>, StatusRound.mostTroubled), (1..<1_000, StatusRound.mostLeft)] {
            var round = StatusRound(targets: both)
            var ended: [(RecordKey, StatusRound.End)] = []
            for number in 0..<1_000 as Range<UInt64> { round.add(key(number), word(delivered: 3), seen("1")) }
            while case .patch(let key, _)? = round.next(&ended) {
                _ = round.answer(key, bad.contains(key.high) ? .troubled : .written(version: nil))
            }
            #expect(round.isStopped && round.left.count == most)
        }
    }

    @Test func whoIsAlwaysBeatenLeavesTheRoundIncomplete() {
        var round = StatusRound(targets: both)
        var ended: [(RecordKey, StatusRound.End)] = []
        round.add(key(1), word(delivered: 3), seen("1"))
        var patches = 0
        while let step = round.next(&ended) {
            if case .read = step {
                _ = round.answer(key(1), .found(seen("1")))
            } else {
                patches += 1
                _ = round.answer(key(1), .conflict)
            }
        }
        #expect(patches == StatusRound.mostConflicts && !round.isComplete && round.left == [key(1)])
    }

    @Test(arguments: [UInt64(1), 2, 3, 4]) func histories(part: UInt64) {
        for seed in part * 1_000..<part * 1_000 + 500 {
            var world = StatusRoundWorld(seed: seed)
            let trouble = world.run()
            #expect(trouble == nil, "seed \(seed)")
            if trouble != nil { return }
        }
    }
}
