import ExportCore
import Model
import Testing

@testable import ExportCoreWorlds

/// What each verdict leads to, and the promises in the head of `Delivery`.
@Suite struct DeliveryTests {
    @Test func acceptedBatchIsCommittedOnce() {
        let bench = DeliveryBench()
        #expect(bench.submit(0, items: 3) == [send(0, 0..<3)])
        #expect(bench.answer(0, delivered) == [commit(0)])
        #expect(!bench.delivery.isIdle && bench.delivery.isActive && !bench.delivery.hasPermit)
        #expect(bench.handle(.committed(BatchID(0))) == [])
        #expect(bench.delivery.isIdle && bench.delivery.hasPermit)
        #expect(bench.delivery.nextTick == nil)
    }

    @Test func poisonAtIsolatesTheCulpritAndResendsOnlyTheRest() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 10)
        #expect(bench.answer(0, .poisonAt(delivered: 4, why)) == [failed(0, .poison), send(0, 5..<10)])
        #expect(bench.answer(0, .poisonAt(delivered: 0, why)) == [failed(0, .poison), send(0, 6..<10)])
        // Places count within the request: the last of 6..<10 is record 9.
        let end = bench.answer(0, .poisonAt(delivered: 3, why))
        #expect(end.count == 2)
        #expect(end.buried == [4: 1, 5: 2, 9: 3])
    }

    /// Such an answer speaks of a record that was not sent; believing it would settle others by mistake.
    @Test(arguments: [3, 4, -1, Int.max])
    func poisonAtOutsideTheRequestIsUnknown(place: Int) {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 3)
        #expect(bench.answer(0, .poisonAt(delivered: place, why)) == [failed(0, .unknown)])
        #expect(bench.wait() == [send(0, 0..<3)])
    }

    @Test func itemVerdictsResendJustThose() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 6)
        let other = Reason(code: "other", message: "bad")
        let verdicts: [ItemVerdict] = [.delivered, .retry(why), .retry(why), .poison(other), .delivered, .retry(why)]
        #expect(
            bench.answer(0, .items(verdicts, retryAfterMilliseconds: nil)) == [
                failed(0, .poison, other), failed(0, .retry),
            ])
        #expect(bench.wait() == [send(0, 1..<3, 5..<6)])
        // The request held 1, 2 and 5; now only 2 is left.
        let second = bench.answer(0, .items([.delivered, .retry(why), .delivered], retryAfterMilliseconds: nil))
        #expect(second == [failed(0, .retry)])
        #expect(bench.wait() == [send(0, 2..<3)])
        let end = bench.answer(0, delivered)
        #expect(end.buried == [3: 1])
        guard case .commit(_, let dead) = end.first else {
            Issue.record("no commit in \(end)")
            return
        }
        #expect(dead.first?.reason == other)
    }

    @Test func itemsAllSettledNeedNoFurtherRequest() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 2)
        let effects = bench.answer(0, .items([.delivered, .poison(why)], retryAfterMilliseconds: nil))
        #expect(effects.buried == [1: 1])
        #expect(bench.delivery.nextTick == nil)
    }

    @Test(arguments: [0, 1, 3, 200])
    func wrongNumberOfItemVerdictsIsUnknown(count: Int) {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 2)
        let effects = bench.answer(
            0, .items(Array(repeating: .delivered, count: count), retryAfterMilliseconds: nil))
        guard case .failed(_, .unknown, let reason)? = effects.first, effects.count == 1 else {
            Issue.record("\(effects)")
            return
        }
        #expect(reason.code == "item-count" && reason.message.contains("\(count) records"))
        #expect(bench.wait() == [send(0, 0..<2)])
    }

    @Test func tooLargeIsHalvedDownToOneAndThenBuried() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 4)
        #expect(bench.answer(0, .tooLarge(why)) == [failed(0, .tooLarge), send(0, 0..<2)])
        #expect(bench.answer(0, .tooLarge(why)) == [failed(0, .tooLarge), send(0, 0..<1)])
        #expect(bench.answer(0, .tooLarge(why)) == [failed(0, .tooLarge), send(0, 1..<2)])
        #expect(bench.answer(0, delivered) == [send(0, 2..<4)])
        let end = bench.answer(0, delivered)
        #expect(end.buried == [0: 3])
    }

    @Test func poisonWithoutAPlaceIsFoundByHalving() {
        let bench = DeliveryBench()
        var effects = bench.submit(0, items: 37)
        var requests = 0
        while case .send(_, let items)? = effects.last {
            requests += 1
            effects = bench.answer(0, items.contains { $0.contains(23) } ? .poison(why) : delivered)
        }
        #expect(effects.buried == [23: 6])
        // Two requests for each halving at the most, and the first one.
        #expect(requests <= 2 * 5 + 1)
    }

    @Test func unknownOutcomeIsNeverDelivered() {
        let bench = DeliveryBench(window: 100_000_000)
        _ = bench.submit(0, items: 2)
        for _ in 0..<50 {
            #expect(bench.answer(0, .unknown(why)) == [failed(0, .unknown)])
            #expect(bench.wait() == [send(0, 0..<2)])
        }
        #expect(bench.answer(0, delivered) == [commit(0)])
    }

    @Test func permitIsKeptThroughBackOffAndUntilCommitted() {
        let bench = DeliveryBench(concurrency: 2)
        _ = bench.submit(0, items: 1)
        _ = bench.submit(1, items: 1)
        #expect(!bench.delivery.hasPermit)
        _ = bench.answer(0, .retry(why, retryAfterMilliseconds: nil))
        #expect(!bench.delivery.hasPermit)
        _ = bench.answer(1, delivered)
        #expect(!bench.delivery.hasPermit)
        _ = bench.handle(.commitFailed(BatchID(1)))
        #expect(!bench.delivery.hasPermit)
        #expect(!bench.delivery.isActive)
        bench.now = bench.now.adding(milliseconds: 60_000)
        #expect(bench.handle(.tick) == [commit(1), send(0, 0..<1)])
        #expect(!bench.delivery.hasPermit)
        _ = bench.handle(.committed(BatchID(1)))
        #expect(bench.delivery.hasPermit)
    }

    @Test func failedCommitIsRepeatedAndNothingIsSentAgain() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 3)
        let first = bench.answer(0, .poisonAt(delivered: 2, why))
        guard let wanted = first.last, first.buried == [2: 1] else {
            Issue.record("\(first)")
            return
        }
        for _ in 0..<20 {
            #expect(bench.handle(.commitFailed(BatchID(0))) == [])
            #expect(bench.handle(.tick) == [])
            #expect(bench.pause == 1_000)
            // The same dead letters again, or one would be lost.
            #expect(bench.wait() == [wanted])
        }
        #expect(bench.handle(.committed(BatchID(0))) == [])
        #expect(bench.delivery.isIdle)
    }

    @Test func windowExpiryBuriesEverythingThatIsLeftWithTheReason() {
        let bench = DeliveryBench(initial: 1_000, max: 1_000, window: 10_000)
        _ = bench.submit(0, items: 8)
        _ = bench.answer(0, .tooLarge(why))
        #expect(bench.answer(0, delivered) == [send(0, 4..<8)])
        bench.now = bench.now.adding(milliseconds: 9_999)
        #expect(bench.answer(0, .tooLarge(why)) == [failed(0, .tooLarge), send(0, 4..<6)])
        bench.now = bench.now.adding(milliseconds: 1)
        let last = Reason(code: "http-503", message: "busy")
        let effects = bench.answer(0, .retry(last, retryAfterMilliseconds: nil))
        #expect(effects.first == failed(0, .retry, last))
        guard case .commit(_, let dead)? = effects.last else {
            Issue.record("\(effects)")
            return
        }
        #expect(dead.map(\.item) == [4, 5, 6, 7])
        #expect(dead.map(\.attempts) == [3, 3, 2, 2])
        #expect(dead.allSatisfy { $0.reason == last && $0.lastAttempt == bench.now })
        #expect(dead.allSatisfy { $0.firstAttempt == Tick(nanoseconds: 0) })
    }

    @Test func insideTheWindowNothingIsGivenUp() {
        let bench = DeliveryBench(initial: 1_000, max: 1_000, window: 10_000)
        _ = bench.submit(0, items: 1)
        bench.now = bench.now.adding(milliseconds: 9_999)
        #expect(bench.answer(0, .configuration(why)) == [failed(0, .configuration)])
        #expect(bench.wait() == [send(0, 0..<1)])
    }

    @Test func unexpectedEventsChangeNothing() {
        let bench = DeliveryBench(concurrency: 2)
        #expect(bench.answer(7, delivered) == [])
        #expect(bench.handle(.committed(BatchID(7))) == [])
        #expect(bench.handle(.commitFailed(BatchID(7))) == [])
        _ = bench.submit(0, items: 1)
        // Not committing yet, so these cannot be meant for it.
        #expect(bench.handle(.committed(BatchID(0))) == [])
        #expect(bench.handle(.commitFailed(BatchID(0))) == [])
        _ = bench.answer(0, .retry(why, retryAfterMilliseconds: nil))
        // In back-off no answer is outstanding.
        #expect(bench.answer(0, delivered) == [])
        #expect(bench.wait() == [send(0, 0..<1)])
        #expect(bench.answer(0, delivered) == [commit(0)])
        #expect(bench.answer(0, delivered) == [])
        #expect(bench.answer(0, .poison(why)) == [])
        _ = bench.handle(.committed(BatchID(0)))
        #expect(bench.answer(0, delivered) == [])
        #expect(bench.delivery.isIdle)
    }
}
