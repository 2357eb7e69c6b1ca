import ExportCore
import Model
import Testing

@Suite struct BatchingTests {
    private let start = Tick(nanoseconds: 1_000)

    /// Adds records of these sizes; whether each one closes the batch.
    private func add(_ sizes: [Int], to batching: inout Batching) -> [Bool] {
        sizes.map { batching.add(size: $0, now: start) }
    }

    @Test func closesByCount() {
        var batching = Batching(BatchBounds(maxRecords: 3, maxBytes: 1_000, maxAgeMilliseconds: 10))
        let closes = add([1, 1, 1], to: &batching)
        #expect(closes == [false, false, true])
        #expect(batching.records == 3 && batching.bytes == 3)
    }

    @Test func closesByBytes() {
        var batching = Batching(BatchBounds(maxRecords: 100, maxBytes: 1_000, maxAgeMilliseconds: 10))
        let first = add([999], to: &batching)
        #expect(first == [false])
        #expect(!batching.mustClose(before: 1))
        #expect(batching.mustClose(before: 2))
        let second = add([1], to: &batching)
        #expect(second == [true])
    }

    /// A record larger than a batch travels alone instead of not at all.
    @Test func oversizeRecordTravelsAlone() {
        var batching = Batching(BatchBounds(maxRecords: 100, maxBytes: 1_000, maxAgeMilliseconds: 10))
        #expect(!batching.mustClose(before: 5_000))
        let closes = add([5_000], to: &batching)
        #expect(closes == [true])
    }

    @Test func aLullEndsTheWaitOfABatchThatIsWorthARequest() {
        let lull = Batching.Lull(milliseconds: 200, minBytes: 500)
        var batching = Batching(BatchBounds(maxRecords: 100, maxBytes: 1_000, maxAgeMilliseconds: 60_000), lull: lull)
        #expect(batching.dueAt == nil)
        _ = batching.add(size: 499, now: start)
        // Too small: it waits for its age.
        #expect(batching.dueAt == start.adding(milliseconds: 60_000))
        _ = batching.add(size: 1, now: start.adding(milliseconds: 150))
        #expect(batching.dueAt == start.adding(milliseconds: 350))
        // What comes puts the end off, but never past the age.
        _ = batching.add(size: 1, now: start.adding(milliseconds: 59_900))
        #expect(batching.dueAt == start.adding(milliseconds: 60_000))
        batching.reset()
        #expect(batching.dueAt == nil)
    }

    @Test func ageCountsFromTheFirstRecord() {
        var batching = Batching(BatchBounds(maxRecords: 100, maxBytes: 1_000, maxAgeMilliseconds: 10))
        #expect(batching.dueAt == nil)
        _ = batching.add(size: 1, now: start)
        _ = batching.add(size: 1, now: start.adding(milliseconds: 9))
        #expect(batching.dueAt == start.adding(milliseconds: 10))
        batching.reset()
        #expect(batching.dueAt == nil && batching.records == 0 && batching.bytes == 0)
        #expect(!batching.mustClose(before: 2_000))
        _ = batching.add(size: 1, now: start.adding(milliseconds: 50))
        #expect(batching.dueAt == start.adding(milliseconds: 60))
    }

    @Test func noBatchPassesItsBounds() {
        var rng = PRNG(seed: 11)
        for _ in 0..<200 {
            let bounds = BatchBounds(
                maxRecords: 1 + Int(rng.below(20)), maxBytes: 1 + Int(rng.below(500)), maxAgeMilliseconds: 10)
            var batching = Batching(bounds)
            for _ in 0..<200 {
                let size = Int(rng.below(200))
                if batching.mustClose(before: size) { batching.reset() }
                let closes = batching.add(size: size, now: start)
                #expect(batching.records <= bounds.maxRecords)
                #expect(batching.bytes <= bounds.maxBytes || batching.records == 1)
                if closes { batching.reset() }
            }
        }
    }
}
