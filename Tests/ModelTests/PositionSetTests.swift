import Model
import Testing

@Suite struct PositionSetTests {
    /// What ranges a set of positions makes: sorted, disjoint, not adjacent.
    private static func ranges(of positions: Set<UInt64>) -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        for position in positions.sorted() {
            if let last = result.last, last.upperBound == position {
                result[result.count - 1] = last.lowerBound..<position + 1
            } else {
                result.append(position..<position + 1)
            }
        }
        return result
    }

    @Test(arguments: Array(1...40) as [UInt64])
    func differencesAndCoversAreThoseOfNumbers(seed: UInt64) {
        var rng = PRNG(seed: seed)
        for _ in 0..<50 {
            var sets = [PositionSet(), PositionSet()]
            var models: [Set<UInt64>] = [[], []]
            for _ in 0..<rng.below(12) {
                let which = Int(rng.below(2))
                let low = rng.below(60)
                let range = low..<low + rng.below(10)
                sets[which].insert(range)
                models[which].formUnion(range)
            }
            #expect(sets[0].subtracting(sets[1]).ranges == Self.ranges(of: models[0].subtracting(models[1])))
            #expect(sets[0].total == UInt64(models[0].count))
            let low = rng.below(60)
            let range = low..<low + rng.below(10)
            #expect(sets[0].covers(range) == models[0].isSuperset(of: range))
        }
    }

    @Test(arguments: Array(1...40) as [UInt64])
    func behavesLikeASetOfNumbers(seed: UInt64) {
        var rng = PRNG(seed: seed)
        var set = PositionSet()
        var model: Set<UInt64> = []
        let size = 40 + rng.below(300)
        for _ in 0..<80 {
            let low = rng.below(size)
            let range = low..<low + rng.below(12)
            let before = set.ranges
            let (merged, swallowed) = set.insert(range)
            model.formUnion(range)
            #expect(set.ranges == Self.ranges(of: model))
            if !range.isEmpty {
                #expect(set.ranges.contains(merged))
                #expect(merged.lowerBound <= range.lowerBound && merged.upperBound >= range.upperBound)
                #expect(swallowed == before.filter { !set.ranges.contains($0) || $0 == merged })
            }
            #expect((0..<size + 14).allSatisfy { set.contains($0) == model.contains($0) })
            var mark: UInt64 = 0
            while model.contains(mark) { mark += 1 }
            #expect(set.highWaterMark == mark)
        }
        #expect(PositionSet(set.ranges.reversed()) == set)
    }

    @Test func anEmptyRangeChangesNothing() {
        var set = PositionSet([5..<9])
        let (merged, swallowed) = set.insert(7..<7)
        #expect(merged == 7..<7)
        #expect(swallowed == [])
        #expect(set.ranges == [5..<9])
    }

    @Test func neighboursMerge() {
        var set = PositionSet([0..<5, 10..<15])
        let (merged, swallowed) = set.insert(5..<10)
        #expect(merged == 0..<15)
        #expect(swallowed == [0..<5, 10..<15])
        #expect(set.ranges == [0..<15])
        #expect(set.highWaterMark == 15)
    }

    @Test func holdsTheLastPositions() {
        let set = PositionSet([.max - 2 ..< .max])
        #expect(set.contains(.max - 1))
        #expect(!set.contains(.max - 3))
        #expect(!set.contains(.max), "a half-open range cannot hold it")
        #expect(set.highWaterMark == 0)
    }

    @Test func nothingIsInTheEmptySet() {
        let set = PositionSet()
        #expect(!set.contains(0))
        #expect(set.highWaterMark == 0)
        #expect(set.ranges.isEmpty)
    }
}
