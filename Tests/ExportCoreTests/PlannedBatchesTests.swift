import ExportCore
import Model
import Testing

@Suite struct PlannedBatchesTests {
    private static func batch(_ stretches: (Int64, Range<UInt64>)..., receipt: Receipt? = nil) -> BatchInFlight {
        BatchInFlight(stretches: stretches.map { .init(source: $0.0, range: $0.1) }, receipt: receipt, sentAt: 0)
    }

    @Test func cutsLieWhereBatchesBeginAndEnd() {
        let planned = PlannedBatches([Self.batch((1, 100..<200)), Self.batch((1, 20..<50)), Self.batch((1, 200..<300))])
        var found: [UInt64] = []
        var position: UInt64 = 0
        while case let next = planned.cut(in: 1, after: position), next != .max {
            found.append(next)
            position = next
        }
        #expect(found == [20, 50, 100, 200, 300])
        #expect(planned.cut(in: 2, after: 0) == .max)
        #expect(planned.begins(at: 100, of: 1) && !planned.begins(at: 50, of: 1) && !planned.begins(at: 100, of: 2))
    }

    /// A batch that reaches over the end of one input into the next is not cut there.
    @Test func noCutBetweenTheInputsOfOneBatch() {
        let planned = PlannedBatches([Self.batch((1, 80..<100), (2, 0..<30), (3, 0..<10))])
        #expect(planned.cut(in: 1, after: 0) == 80 && planned.cut(in: 1, after: 80) == .max)
        #expect(planned.cut(in: 2, after: 0) == .max)
        #expect(planned.cut(in: 3, after: 0) == 10)
        #expect(!planned.begins(at: 0, of: 2))
    }

    @Test func onlyTheVeryBatchIsTakenAndOnlyOnce() {
        let receipt = Receipt(channel: "c", id: 3)
        let whole = Self.batch((1, 0..<10), (2, 0..<5), receipt: receipt)
        var planned = PlannedBatches([whole])
        for other in [
            Self.batch((1, 0..<10)), Self.batch((1, 0..<10), (2, 0..<6)), Self.batch((2, 0..<5), (1, 0..<10)),
            Self.batch((1, 1..<10), (2, 0..<5)),
        ] {
            #expect(planned.take(other.stretches) == nil)
        }
        #expect(planned.take(whole.stretches)?.receipt == receipt)
        #expect(planned.isEmpty && planned.take(whole.stretches) == nil)
    }
}
