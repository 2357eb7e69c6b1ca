import ExportCore
import Model
import Testing

@Suite struct RetryPolicyTests {
    private let policy = RetryPolicy(RetrySettings())

    @Test func defaultsAreTheDocumentedPolicy() {
        #expect(policy.settings.initialMilliseconds == 5_000)
        #expect(policy.settings.maxMilliseconds == 300_000)
        #expect(policy.settings.windowMilliseconds == 86_400_000)
    }

    /// Full jitter: anything from nothing to the bound, the whole range used.
    @Test(
        arguments: [
            (1, 5_000), (2, 10_000), (3, 20_000), (6, 160_000), (7, 300_000), (8, 300_000), (64, 300_000),
            (Int.max, 300_000), (0, 5_000), (-1, 5_000),
        ] as [(Int, UInt64)])
    func jitterUsesTheWholeRange(failures: Int, bound: UInt64) {
        var rng = PRNG(seed: 42)
        var low = UInt64.max
        var high: UInt64 = 0
        var sum: UInt64 = 0
        for _ in 0..<4_000 {
            let delay = policy.delay(failures: failures, retryAfter: nil, rng: &rng)
            low = min(low, delay)
            high = max(high, delay)
            sum += delay
        }
        #expect(high <= bound)
        #expect(high > bound * 99 / 100)
        #expect(low < bound / 100)
        let mean = sum / 4_000
        #expect(mean > bound * 48 / 100 && mean < bound * 52 / 100)
    }

    @Test func upperHalfForMistakesThatAPersonMends() {
        var rng = PRNG(seed: 7)
        for failures in 1...12 {
            let bound = min(300_000 as UInt64, 5_000 << UInt64(failures - 1))
            for _ in 0..<200 {
                let delay = policy.delay(failures: failures, retryAfter: nil, atLeastHalf: true, rng: &rng)
                #expect(delay >= bound / 2 && delay <= bound)
            }
        }
    }

    @Test func retryAfterIsAFloorAndBounded() {
        var rng = PRNG(seed: 3)
        for _ in 0..<200 {
            // A receiver that asks for a day, or sends nonsense, is asked again within the hour.
            let floors: [UInt64] = [120_000, 1_000, 86_400_000, .max]
            let delays = floors.map { policy.delay(failures: 1, retryAfter: $0, rng: &rng) }
            #expect(delays[0] == 120_000)
            #expect((1_000...5_000).contains(delays[1]))
            #expect(delays[2] == 3_600_000)
            #expect(delays[3] == 3_600_000)
        }
    }

    @Test func extremeSettingsDoNotTrap() {
        var rng = PRNG(seed: 9)
        for initial in [0, 1, UInt64.max] {
            for most in [0, 1, UInt64.max] {
                let settings = RetrySettings(
                    initialMilliseconds: initial, maxMilliseconds: most, windowMilliseconds: .max)
                for failures in [1, 2, 21, 1_000] {
                    for half in [false, true] {
                        let delay = RetryPolicy(settings).delay(
                            failures: failures, retryAfter: nil, atLeastHalf: half, rng: &rng)
                        #expect(delay <= most)
                    }
                }
            }
        }
    }

    @Test func windowClosesAtItsEnd() {
        let start = Tick(nanoseconds: 5)
        let policy = RetryPolicy(RetrySettings(windowMilliseconds: 1_000))
        #expect(!policy.isExpired(firstAttempt: start, now: start))
        #expect(!policy.isExpired(firstAttempt: start, now: start.adding(milliseconds: 999)))
        #expect(policy.isExpired(firstAttempt: start, now: start.adding(milliseconds: 1_000)))
        // A clock that seems to go backwards ends nothing.
        #expect(!policy.isExpired(firstAttempt: start.adding(milliseconds: 5_000), now: start))
    }
}
