import ExportCore
import Model
import Testing

@testable import ExportCoreWorlds

/// A breaker with randomness of its own: a class, as expectations may not change values.
private final class Bench {
    private(set) var breaker: Breaker
    private var rng: PRNG

    init(seed: UInt64 = 1) {
        let settings = RetrySettings(
            initialMilliseconds: 1_000, maxMilliseconds: 60_000, windowMilliseconds: 86_400_000)
        breaker = Breaker(policy: RetryPolicy(settings))
        rng = PRNG(seed: seed)
    }

    func fails(at now: Tick, refusesSettings: Bool = false, retryAfter: UInt64? = nil) -> Bool {
        breaker.failed(refusesSettings: refusesSettings, retryAfter: retryAfter, now: now, rng: &rng)
    }

    func succeeds() -> Bool { breaker.succeeded() }

    func admits(inFlight: Int, now: Tick) -> Bool { breaker.admits(inFlight: inFlight, now: now) }
}

@Suite struct BreakerTests {
    private let start = Tick(nanoseconds: 5_000_000_000)

    private func after(_ milliseconds: UInt64) -> Tick { start.adding(milliseconds: milliseconds) }

    @Test func fiveFailuresInARowOpenIt() {
        let bench = Bench()
        for round in 0..<3 {
            for _ in 0..<4 {
                #expect(!bench.fails(at: start), "\(round)")
                #expect(bench.admits(inFlight: 7, now: start))
            }
            #expect(!bench.succeeds())
        }
        for count in 1...5 {
            #expect(bench.fails(at: start) == (count == 5))
        }
        guard case .open(let since, let until) = bench.breaker.state else {
            Issue.record("\(bench.breaker.state)")
            return
        }
        #expect(since == start && 500...1_000 ~= until.milliseconds(since: start))
        #expect(bench.breaker.openings == 1 && bench.breaker.consecutiveFailures == 5)
    }

    @Test func twoFailuresOverThePeriodOpenIt() {
        let bench = Bench()
        #expect(!bench.fails(at: start))
        #expect(!bench.fails(at: after(29_999)))
        #expect(bench.fails(at: after(30_000)))
        // A single failure is none in a row, however late the next one comes after a success.
        let other = Bench()
        _ = other.fails(at: start)
        _ = other.succeeds()
        #expect(!other.fails(at: after(90_000)))
    }

    @Test func refusedSettingsOpenItAtOnce() {
        let bench = Bench()
        #expect(bench.fails(at: start, refusesSettings: true))
    }

    @Test func oneProbeOnceThePauseIsOverAndTheRestHasEnded() {
        let bench = Bench()
        _ = bench.fails(at: start, refusesSettings: true)
        let until = bench.breaker.pauseEnd ?? start
        #expect(!bench.admits(inFlight: 0, now: Tick(nanoseconds: until.nanoseconds - 1)))
        #expect(!bench.admits(inFlight: 1, now: until))
        // Sent before it opened: the probe decides.
        #expect(!bench.succeeds())
        #expect(bench.breaker.pauseEnd == until)
        #expect(bench.admits(inFlight: 0, now: until))
        #expect(bench.breaker.state == .halfOpen(since: start))
        #expect(!bench.admits(inFlight: 1, now: until))
        #expect(bench.succeeds())
        #expect(bench.breaker.isClosed && bench.admits(inFlight: 1, now: until))
    }

    /// The pause grows from opening to opening, and what it has grown to outlives a single success.
    @Test func pauseGrowsUntilSeveralSuccesses() {
        let bench = Bench()
        var now = start
        func fails() -> UInt64 {
            _ = bench.fails(at: now, refusesSettings: true)
            return bench.breaker.pauseEnd?.milliseconds(since: now) ?? 0
        }
        func probe() {
            now = bench.breaker.pauseEnd ?? now
            #expect(bench.admits(inFlight: 0, now: now))
        }
        for bound in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] as [UInt64] {
            let pause = fails()
            #expect(bound / 2...bound ~= pause, "\(pause) of \(bound)")
            probe()
        }
        #expect(bench.succeeds())
        for _ in 0..<3 { _ = bench.succeeds() }
        #expect(fails() >= 30_000)
        probe()
        for _ in 0..<5 { _ = bench.succeeds() }
        #expect(fails() <= 1_000)
    }

    @Test func retryAfterIsAFloorAlsoWhenItComesLate() {
        let bench = Bench()
        for _ in 0..<5 { _ = bench.fails(at: start, retryAfter: 9_000) }
        #expect(bench.breaker.pauseEnd == after(9_000))
        #expect(!bench.fails(at: after(1_000), retryAfter: 20_000))
        #expect(bench.breaker.pauseEnd == after(21_000))
        #expect(!bench.fails(at: after(2_000), retryAfter: 1))
        #expect(!bench.fails(at: after(2_000), refusesSettings: true))
        #expect(bench.breaker.pauseEnd == after(21_000))
        // Nobody is obeyed for ever.
        _ = bench.fails(at: after(3_000), retryAfter: .max)
        #expect(bench.breaker.pauseEnd == after(3_603_000))
    }

    // MARK: in Delivery

    /// With eight batches in back-off a dead receiver gets one request per pause, not eight.
    @Test func deadReceiverIsAskedByOneBatchAtATime() {
        let bench = DeliveryBench(initial: 1_000, max: 8_000, concurrency: 8)
        for id in 0..<8 as Range<UInt64> { _ = bench.submit(id, items: 1) }
        for id in 0..<8 as Range<UInt64> { #expect(bench.answer(id, .unknown(why)) == [failed(id, .unknown)]) }
        var asked: [BatchID: Int] = [:]
        var elapsed: UInt64 = 0
        for _ in 0..<40 {
            elapsed += bench.pause ?? 0
            let effects = bench.wait()
            guard case .send(let id, _)? = effects.first, effects.count == 1 else {
                Issue.record("\(effects)")
                return
            }
            asked[id, default: 0] += 1
            #expect(bench.handle(.tick) == [])
            _ = bench.answer(id.number, .retry(why, retryAfterMilliseconds: nil))
        }
        #expect(elapsed > 36 * 4_000, "\(elapsed) ms for 40 probes")
        // In turn, so that none stands in the way of the others.
        #expect(asked.count == 8 && asked.values.allSatisfy { $0 == 5 }, "\(asked)")
    }

    @Test func whenItClosesNobodyWaitsAnyLonger() {
        let bench = DeliveryBench(initial: 60_000, max: 600_000, concurrency: 3)
        for id in 0..<3 as Range<UInt64> { _ = bench.submit(id, items: 1) }
        for id in 0..<2 as Range<UInt64> { _ = bench.answer(id, .retry(why, retryAfterMilliseconds: nil)) }
        _ = bench.answer(2, .configuration(why))
        guard case .send(let probe, _)? = bench.wait().first else {
            Issue.record("no probe")
            return
        }
        let others = [0, 1, 2].filter { $0 != probe.number }.map { send(UInt64($0), 0..<1) }
        #expect(bench.answer(probe.number, delivered) == [commit(probe.number)] + others)
    }

    @Test func blamelessAnswerToTheProbeAsksAgainAtOnce() {
        let bench = DeliveryBench(concurrency: 2)
        _ = bench.submit(0, items: 2)
        _ = bench.submit(1, items: 1)
        _ = bench.answer(1, .retry(why, retryAfterMilliseconds: nil))
        _ = bench.answer(0, .configuration(why))
        guard case .send(let id, let items)? = bench.wait().first else {
            Issue.record("no probe")
            return
        }
        let effects = bench.answer(id.number, .poison(why))
        #expect(effects.first == failed(id.number, .poison))
        let sends = effects.filter { if case .send = $0 { true } else { false } }
        #expect(sends.count <= 1 && bench.delivery.status.inFlight <= 1, "\(items) \(effects)")
        #expect(bench.delivery.status.breaker != .closed)
    }
}
