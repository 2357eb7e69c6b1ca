import ExportCore
import Model
import Protocol
import Testing

@testable import ExportCoreWorlds

/// `Dispatch` and `WorkerHands` against one another and a model, in random histories.
@Suite struct HandsTests {
    @Test(arguments: [1, 2, 3, 4])
    func nothingIsLostOrInventedInRandomHistories(part: UInt64) {
        for seed in part * 1_000..<part * 1_000 + 60 {
            var bench = HandsBench(seed: seed)
            for _ in 0..<300 { bench.step(faults: true) }
            bench.settleDown()
            #expect(bench.violations == [], "seed \(seed)")
            #expect(bench.isDone, "seed \(seed)")
            guard bench.isDone, bench.violations.isEmpty else { return }
        }
    }

    @Test func withoutFaultsEachReceiverHasEveryRecordOnce() {
        for seed in 0..<30 as Range<UInt64> {
            var bench = HandsBench(seed: seed)
            for _ in 0..<100 { bench.step(faults: false) }
            bench.settleDown()
            #expect(bench.violations == [] && bench.isDone)
            for target in 0..<2 {
                for (key, count) in bench.accepted[target] {
                    #expect(count == 1, "\(key) \(count) times, seed \(seed)")
                }
            }
        }
    }
}
