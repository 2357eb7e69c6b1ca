import Model
import Testing

@testable import ExportCore

@Suite struct ItemRangesTests {
    @Test func partsAreTakenByPlace() {
        let ranges = [2..<4, 7..<8, 10..<13]
        #expect(ranges.itemCount == 6)
        #expect(ranges.items(0..<6) == ranges)
        #expect(ranges.items(1..<4) == [3..<4, 7..<8, 10..<11])
        #expect(ranges.items(2..<2) == [])
        #expect(ranges.items(5..<6) == [12..<13])
        #expect([Range<Int>]().itemCount == 0)
    }

    @Test func partsAgreeWithTheListThatTheRangesForm() {
        for seed in 0..<200 as Range<UInt64> {
            var rng = PRNG(seed: seed)
            var ranges: [Range<Int>] = []
            var at = 0
            for _ in 0..<rng.below(6) {
                at += 1 + Int(rng.below(3))
                let end = at + 1 + Int(rng.below(5))
                ranges.append(at..<end)
                at = end
            }
            let all = ranges.flatMap { Array($0) }
            let low = Int(rng.below(UInt64(all.count + 1)))
            let high = low + Int(rng.below(UInt64(all.count - low + 1)))
            #expect(ranges.items(low..<high).flatMap { Array($0) } == Array(all[low..<high]), "seed \(seed)")
        }
    }

    @Test func touchingRangesAreJoined() {
        var ranges = [0..<1]
        ranges.appendMerging([1..<2])
        ranges.appendMerging([3..<4, 4..<6])
        #expect(ranges == [0..<2, 3..<6])
    }
}
