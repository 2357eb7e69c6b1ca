import ExportCore
import Model
import Testing

@testable import ExportCoreWorlds

/// When something is sent: back-off, holds and pauses.
@Suite struct DeliveryPaceTests {
    @Test func backOffGrowsWithFailuresAndStartsAnewAfterProgress() {
        // Full jitter is random; the upper bound of each delay is what grows.
        var longest: [UInt64] = Array(repeating: 0, count: 8)
        for seed in 0..<200 as Range<UInt64> {
            let bench = DeliveryBench(initial: 1_000, max: 20_000, seed: seed)
            _ = bench.submit(0, items: 2)
            for failure in 0..<8 {
                _ = bench.answer(0, .retry(why, retryAfterMilliseconds: nil))
                // A jitter of zero is sent at once.
                let pause = bench.pause ?? 0
                #expect(pause <= min(20_000, 1_000 << UInt64(failure)), "seed \(seed)")
                longest[failure] = max(longest[failure], pause)
                _ = bench.wait()
            }
            _ = bench.answer(0, .items([.delivered, .retry(why)], retryAfterMilliseconds: nil))
            #expect((bench.pause ?? 0) <= 1_000, "seed \(seed): progress begins a new series")
        }
        for (failure, pause) in longest.enumerated() {
            #expect(pause > min(20_000, 1_000 << UInt64(failure)) * 9 / 10)
        }
    }

    @Test func retryAfterIsAFloorForTheWholeTarget() {
        for seed in 0..<100 as Range<UInt64> {
            let bench = DeliveryBench(initial: 1_000, max: 60_000, concurrency: 3, seed: seed)
            _ = bench.submit(0, items: 1)
            _ = bench.submit(1, items: 1)
            _ = bench.answer(0, .retry(why, retryAfterMilliseconds: 7_000))
            #expect(bench.pause == 7_000, "a second of jitter is less than the floor")
            // The receiver asked for a pause, not the batch: a new one waits too.
            #expect(bench.submit(2, items: 1) == [])
            #expect(bench.answer(1, delivered) == [commit(1)])
            bench.now = bench.now.adding(milliseconds: 6_999)
            #expect(bench.handle(.tick) == [])
            bench.now = bench.now.adding(milliseconds: 1)
            #expect(bench.handle(.tick) == [send(0, 0..<1), send(2, 0..<1)])
        }
    }

    @Test func retryAfterOfItemsIsObeyed() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 2)
        _ = bench.answer(0, .items([.delivered, .retry(why)], retryAfterMilliseconds: 9_000))
        #expect(bench.pause == 9_000)
    }

    @Test func failureOfOneBatchDoesNotDelayTheOthers() {
        let bench = DeliveryBench(concurrency: 2)
        _ = bench.submit(0, items: 1)
        _ = bench.answer(0, .unknown(why))
        #expect(bench.submit(1, items: 4) == [send(1, 0..<4)])
    }

    @Test func configurationHoldsTheWholeTarget() {
        for seed in 0..<100 as Range<UInt64> {
            let bench = DeliveryBench(initial: 2_000, max: 60_000, concurrency: 3, seed: seed)
            _ = bench.submit(0, items: 1)
            _ = bench.answer(0, .configuration(why))
            #expect(bench.submit(1, items: 1) == [])
            let pause = bench.pause ?? 0
            // Only a person can help: never sooner than half the delay.
            #expect(1_000...2_000 ~= pause, "seed \(seed)")
            bench.now = bench.now.adding(milliseconds: pause - 1)
            #expect(bench.handle(.tick) == [])
            #expect(bench.submit(2, items: 1) == [])
            // One asks whether it is mended; the others follow when it was.
            #expect(bench.wait() == [send(1, 0..<1)])
            #expect(bench.answer(1, delivered) == [commit(1), send(0, 0..<1), send(2, 0..<1)])
        }
    }

    @Test func configurationOfOneItemHoldsTheTargetAndOutranksRetry() {
        let bench = DeliveryBench(concurrency: 2)
        _ = bench.submit(0, items: 3)
        let settings = Reason(code: "http-404", message: "no such index")
        let verdicts: [ItemVerdict] = [.retry(why), .configuration(settings), .delivered]
        #expect(
            bench.answer(0, .items(verdicts, retryAfterMilliseconds: nil)) == [failed(0, .configuration, settings)])
        #expect(bench.submit(1, items: 1) == [])
        #expect(bench.wait() == [send(0, 0..<2), send(1, 0..<1)])
    }

    @Test func slowDownPausesLongerWhileItIsRepeated() {
        let bench = DeliveryBench(initial: 1_000, max: 8_000)
        #expect(bench.submit(0, items: 1) == [send(0, 0..<1)])
        let bounds: [ClosedRange<UInt64>] = [500...1_000, 1_000...2_000, 2_000...4_000, 4_000...8_000, 4_000...8_000]
        for (round, bound) in bounds.enumerated() {
            let id = UInt64(round)
            // What was accepted is committed at once; only the next request waits.
            #expect(bench.answer(id, .delivered(slowDown: true)) == [commit(id)])
            _ = bench.handle(.committed(BatchID(id)))
            #expect(bench.submit(id + 1, items: 1) == [])
            #expect(bound.contains(bench.pause ?? 0), "round \(round): \(bench.pause ?? 0) ms")
            #expect(bench.wait() == [send(id + 1, 0..<1)])
        }
        _ = bench.answer(5, delivered)
        _ = bench.handle(.committed(BatchID(5)))
        #expect(bench.submit(6, items: 1) == [send(6, 0..<1)])
        _ = bench.answer(6, .delivered(slowDown: true))
        _ = bench.handle(.committed(BatchID(6)))
        #expect(bench.submit(7, items: 1) == [])
        #expect((bench.pause ?? .max) <= 1_000, "the series began anew")
    }

    /// Sixteen requests were under way when the wish was first heard: that is one wish, not sixteen.
    @Test func wishesOfRequestsSentBeforeThePauseAreOneWish() {
        for seed in 0..<50 as Range<UInt64> {
            let bench = DeliveryBench(initial: 1_000, max: 600_000, concurrency: 16, seed: seed)
            for id in 0..<16 as Range<UInt64> { #expect(bench.submit(id, items: 1) == [send(id, 0..<1)]) }
            for id in 0..<16 as Range<UInt64> {
                bench.now = bench.now.adding(milliseconds: 1)
                #expect(bench.answer(id, .delivered(slowDown: true)) == [commit(id)])
                _ = bench.handle(.committed(BatchID(id)))
            }
            #expect(bench.submit(16, items: 1) == [])
            #expect(500...1_000 ~= bench.pause ?? 0, "seed \(seed): \(bench.pause ?? 0) ms")
            // One that left after the pause and hears the same is a second wish.
            #expect(bench.wait() == [send(16, 0..<1)])
            bench.now = bench.now.adding(milliseconds: 1)
            #expect(bench.answer(16, .delivered(slowDown: true)) == [commit(16)])
            _ = bench.submit(17, items: 1)
            #expect(1_000...2_000 ~= bench.pause ?? 0, "seed \(seed): \(bench.pause ?? 0) ms")
        }
    }

    /// Not even a late answer that wishes for nothing ends the series: it left before the wish was known.
    @Test func anEarlierRequestsAnswerEndsNoSeries() {
        let bench = DeliveryBench(initial: 1_000, max: 600_000, concurrency: 2)
        _ = bench.submit(0, items: 1)
        _ = bench.submit(1, items: 1)
        bench.now = bench.now.adding(milliseconds: 1)
        _ = bench.answer(0, .delivered(slowDown: true))
        _ = bench.handle(.committed(BatchID(0)))
        _ = bench.answer(1, delivered)
        _ = bench.handle(.committed(BatchID(1)))
        #expect(bench.submit(2, items: 1) == [])
        #expect(bench.wait() == [send(2, 0..<1)])
        _ = bench.answer(2, .delivered(slowDown: true))
        _ = bench.submit(3, items: 1)
        #expect(1_000...2_000 ~= bench.pause ?? 0)
    }

    /// The verdict of the one that heard it may take minutes: what leaves meanwhile heeds the wish, and the verdict, when
    /// it comes, neither ends nor repeats it.
    @Test func aWishIsHeededBeforeItsVerdict() {
        let bench = DeliveryBench(initial: 1_000, max: 600_000, concurrency: 8, floor: 2)
        _ = bench.submit(0, items: 1)
        bench.now = bench.now.adding(milliseconds: 1)
        #expect(bench.handle(.slowDown(BatchID(0))) == [])
        #expect(bench.submit(1, items: 1) == [])
        #expect(500...1_000 ~= bench.pause ?? 0)
        let due = bench.delivery.nextTick
        #expect(bench.answer(0, delivered) == [commit(0)])
        #expect(bench.delivery.nextTick == due)
        #expect(bench.delivery.status.concurrencyLimit == 2)
        #expect(bench.wait() == [send(1, 0..<1)])
        #expect(bench.handle(.slowDown(BatchID(1))) == [])
        _ = bench.submit(2, items: 1)
        #expect(1_000...2_000 ~= bench.pause ?? 0, "it left after the first wish, so this is a second one")
        #expect(bench.handle(.slowDown(BatchID(2))) == [], "nobody asked on its behalf")
    }

    @Test func slowDownIsNoFailure() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 1)
        #expect(bench.answer(0, .delivered(slowDown: true)) == [commit(0)])
        #expect(bench.delivery.status.consecutiveFailures == 0)
    }

    /// What the ledger kept from leaving is nobody's failure, counts as no attempt and begins no window.
    @Test func whatWasNotSentBlamesNobody() {
        let bench = DeliveryBench(window: 5_000, concurrency: 2)
        let before = bench.delivery.status
        #expect(bench.submit(0, items: 2) == [send(0, 0..<2)])
        for _ in 0..<20 {
            #expect(bench.handle(.notSent(BatchID(0))) == [])
            #expect(bench.delivery.status == before && !bench.delivery.isActive && !bench.delivery.isIdle)
            #expect(bench.pause == 1_000)
            #expect(bench.wait() == [send(0, 0..<2)])
        }
        // The window begins with the first request that left, twenty seconds later.
        #expect(bench.answer(0, .poisonAt(delivered: 0, why)) == [failed(0, .poison), send(0, 1..<2)])
        let first = bench.now
        #expect(bench.handle(.notSent(BatchID(0))) == [])
        #expect(bench.wait() == [send(0, 1..<2)])
        // It left before: this window has begun.
        bench.now = first.adding(milliseconds: 5_000)
        let effects = bench.answer(0, .retry(why, retryAfterMilliseconds: nil))
        #expect(effects.buried == [0: 1, 1: 2])
        for case .commit(_, let dead) in effects { #expect(dead.allSatisfy { $0.firstAttempt == first }) }
    }

    /// A probe that did not leave leaves its place to another batch.
    @Test func aProbeThatWasNotSentIsGivenBack() {
        let bench = DeliveryBench(initial: 2_000, concurrency: 2)
        _ = bench.submit(0, items: 1)
        _ = bench.submit(1, items: 1)
        _ = bench.answer(0, .configuration(why))
        _ = bench.answer(1, .retry(why, retryAfterMilliseconds: nil))
        let probe = bench.wait()
        #expect(probe.count == 1)
        guard case .send(let id, _) = probe.first, case .halfOpen = bench.delivery.status.breaker else {
            Issue.record("no probe: \(probe)")
            return
        }
        let other = BatchID(1 - id.number)
        bench.now = bench.now.adding(milliseconds: 60_000)
        #expect(bench.handle(.notSent(id)) == [.send(other, items: [0..<1])])
        #expect(bench.delivery.status.inFlight == 1 && bench.delivery.status.openings == 1)
        #expect(bench.handle(.notSent(other)) == [])
        #expect(bench.wait() == [.send(min(id, other), items: [0..<1])])
        #expect(bench.answer(min(id, other).number, delivered).first == .commit(min(id, other), dead: []))
        #expect(bench.delivery.status.breaker == .closed)
    }

    @Test func consecutiveFailuresCountUntilASuccess() {
        let bench = DeliveryBench()
        _ = bench.submit(0, items: 2)
        for count in 1...5 {
            _ = bench.answer(0, count % 2 == 0 ? .configuration(why) : .unknown(why))
            #expect(bench.delivery.status.consecutiveFailures == count)
            _ = bench.wait()
        }
        // A bad record is the record's trouble, not the receiver's.
        _ = bench.answer(0, .poison(why))
        #expect(bench.delivery.status.consecutiveFailures == 5)
        _ = bench.answer(0, delivered)
        #expect(bench.delivery.status.consecutiveFailures == 0)
    }

    @Test func nextTickIsTheEarliestOfAllThatWait() {
        let bench = DeliveryBench(initial: 50_000, max: 50_000, concurrency: 3)
        for id in 0..<3 as Range<UInt64> { _ = bench.submit(id, items: 1) }
        _ = bench.answer(0, .retry(why, retryAfterMilliseconds: nil))
        let first = bench.pause ?? 0
        _ = bench.answer(1, .retry(why, retryAfterMilliseconds: nil))
        let second = bench.pause ?? 0
        #expect(second <= first)
        _ = bench.answer(2, delivered)
        _ = bench.handle(.commitFailed(BatchID(2)))
        #expect(bench.pause == min(second, 1_000))
    }
}
