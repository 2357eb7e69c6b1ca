import ExportCore
import Model
import Testing

@testable import ExportCoreWorlds

/// A worker that is fenced, and one that gives records back to somebody else.
@Suite struct DeliveryWithdrawalTests {
    private func withdraw(_ bench: DeliveryBench, _ items: Range<Int>...) -> [Delivery.Effect] {
        bench.handle(.withdraw(BatchID(0), items: items))
    }

    private func withdrawn(_ items: Range<Int>...) -> Delivery.Effect { .withdrawn(BatchID(0), items: items) }

    private let ended = Delivery.Effect.ended(BatchID(0))

    @Test func nothingLeavesInAPauseAndAnswersCount() {
        let bench = DeliveryBench(concurrency: 2)
        _ = bench.submit(0, items: 3)
        #expect(bench.handle(.pause) == [])
        #expect(bench.submit(1, items: 2) == [])
        #expect(bench.delivery.nextTick == nil)
        // The answer to what left before counts, and its commit goes on.
        #expect(bench.answer(0, .poisonAt(delivered: 2, why)).buried == [2: 1])
        #expect(bench.handle(.commitFailed(BatchID(0))) == [])
        #expect(bench.wait().buried == [2: 1])
        #expect(bench.handle(.committed(BatchID(0))) == [])
        #expect(bench.handle(.tick) == [])
        #expect(bench.handle(.resume) == [send(1, 0..<2)])
    }

    @Test func aFailureInAPauseIsSentAgainAfterIt() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 3)
        _ = bench.handle(.pause)
        #expect(bench.answer(0, .unknown(why)) == [failed(0, .unknown)])
        bench.now = bench.now.adding(milliseconds: 3_600_000)
        #expect(bench.handle(.tick) == [])
        #expect(bench.handle(.resume) == [send(0, 0..<3)])
    }

    @Test func whatWaitsGoesAtOnce() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 6)
        _ = bench.answer(0, .retry(why, retryAfterMilliseconds: nil))
        #expect(withdraw(bench, 1..<3, 5..<9) == [withdrawn(1..<3, 5..<6)])
        #expect(bench.delivery.owed(BatchID(0)) == [0..<1, 3..<5])
        #expect(bench.wait() == [send(0, 0..<1, 3..<5)])
        #expect(bench.answer(0, delivered) == [commit(0)])
    }

    @Test func aBatchOfWhichEverythingWasWithdrawnEndsWithoutACommit() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 4)
        _ = bench.answer(0, .retry(why, retryAfterMilliseconds: nil))
        #expect(withdraw(bench, 0..<3) == [withdrawn(0..<3)])
        #expect(withdraw(bench, 0..<4) == [withdrawn(3..<4), ended])
        #expect(bench.delivery.isIdle && bench.delivery.hasPermit && bench.delivery.nextTick == nil)
    }

    /// What its answer settles is a fact, whoever the record belongs to by now.
    @Test func acceptedUnderWayIsSettled() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 4)
        #expect(withdraw(bench, 0..<4) == [])
        #expect(bench.answer(0, delivered) == [commit(0)])
        #expect(withdraw(bench, 0..<4) == [])
    }

    @Test(arguments: [
        Verdict.retry(why, retryAfterMilliseconds: nil), .unknown(why), .configuration(why),
    ])
    func failedUnderWayDoesNotComeBack(verdict: Verdict) {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 4)
        #expect(withdraw(bench, 1..<3) == [])
        #expect(bench.answer(0, verdict).last == withdrawn(1..<3))
        #expect(bench.wait() == [send(0, 0..<1, 3..<4)])
        #expect(withdraw(bench, 0..<4) == [])
        #expect(bench.answer(0, verdict).suffix(2) == [withdrawn(0..<1, 3..<4), ended])
        #expect(bench.delivery.isIdle)
    }

    @Test func itemsAreJudgedOneByOne() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 5)
        _ = withdraw(bench, 0..<4)
        let verdicts: [ItemVerdict] = [.delivered, .retry(why), .poison(why), .retry(why), .retry(why)]
        let effects = bench.answer(0, .items(verdicts, retryAfterMilliseconds: nil))
        #expect(effects.last == withdrawn(1..<2, 3..<4))
        #expect(bench.wait() == [send(0, 4..<5)])
        #expect(bench.answer(0, delivered).buried == [2: 1])
    }

    /// Halves of a request that was too large wait behind one another.
    @Test func halvesGoToo() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 8)
        #expect(bench.answer(0, .tooLarge(why)) == [failed(0, .tooLarge), send(0, 0..<4)])
        // 4..<8 waits, 0..<4 is under way.
        #expect(withdraw(bench, 2..<6) == [withdrawn(4..<6)])
        #expect(bench.answer(0, .tooLarge(why)) == [failed(0, .tooLarge), withdrawn(2..<4), send(0, 0..<2)])
        #expect(bench.answer(0, delivered) == [send(0, 6..<8)])
        #expect(bench.answer(0, delivered) == [commit(0)])
    }

    /// At the end of its window a batch is given up; what somebody else has by then is no dead letter.
    @Test func withdrawnIsNotGivenUp() {
        let bench = DeliveryBench(window: 0)
        _ = bench.submit(0, items: 3)
        _ = withdraw(bench, 0..<2)
        let effects = bench.answer(0, .retry(why, retryAfterMilliseconds: nil))
        #expect(effects.contains(withdrawn(0..<2)))
        #expect(effects.buried == [2: 1])
    }

    @Test func whatDidNotLeaveIsWithdrawnAsWell() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 3)
        #expect(withdraw(bench, 0..<1) == [])
        #expect(bench.handle(.notSent(BatchID(0))) == [withdrawn(0..<1)])
        #expect(bench.wait() == [send(0, 1..<3)])
        _ = withdraw(bench, 1..<3)
        #expect(bench.handle(.notSent(BatchID(0))) == [withdrawn(1..<3), ended])
    }

    /// A receiver that does not answer cannot keep records from somebody else.
    @Test func abandonedUnderWayIsWithdrawnAtOnce() {
        let bench = DeliveryBench(concurrency: 2)
        _ = bench.submit(0, items: 6)
        #expect(withdraw(bench, 0..<2) == [])
        #expect(bench.handle(.abandon(BatchID(0), items: [1..<4])) == [withdrawn(1..<4)])
        #expect(bench.handle(.abandon(BatchID(0), items: [1..<4])) == [])
        // Its answer settles none of these, buries none, and sends none again.
        let verdicts: [ItemVerdict] = [.delivered, .delivered, .poison(why), .retry(why), .retry(why), .poison(why)]
        let effects = bench.answer(0, .items(verdicts, retryAfterMilliseconds: nil))
        #expect(!effects.contains { if case .withdrawn = $0 { true } else { false } })
        #expect(bench.wait() == [send(0, 4..<5)])
        #expect(bench.answer(0, delivered).buried == [5: 1])

        _ = bench.submit(1, items: 2)
        #expect(
            bench.handle(.abandon(BatchID(1), items: [0..<2])) == [.withdrawn(BatchID(1), items: [0..<2])])
        #expect(bench.answer(1, delivered) == [.ended(BatchID(1))])
    }

    /// An ended batch gives its place to the next.
    @Test func thePlaceOfAnEndedBatchIsFree() {
        let bench = DeliveryBench(concurrency: 2, floor: 1)
        _ = bench.submit(0, items: 3)
        #expect(bench.submit(1, items: 2) == [])
        _ = withdraw(bench, 0..<3)
        let effects = bench.answer(0, .poison(why))
        #expect(effects == [failed(0, .poison), withdrawn(0..<3), ended, send(1, 0..<2)])
    }
}
