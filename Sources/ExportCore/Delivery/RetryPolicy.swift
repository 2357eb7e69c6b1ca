public import Model

/// How long to wait before the next attempt: exponential with full jitter ("Exponential Backoff And Jitter", AWS
/// Architecture Blog), with the receiver's Retry-After as a floor.
public struct RetryPolicy: Sendable, Equatable {
    /// The target's settings.
    public var settings: RetrySettings

    /// A policy with `settings`.
    public init(_ settings: RetrySettings) { self.settings = settings }

    /// Milliseconds until attempt `failures` + 1, after `failures` (at least 1) failed ones in a row.
    ///
    /// `atLeastHalf` keeps the wait in the upper half of its range: for mistakes that only a person mends.
    public func delay(
        failures: Int, retryAfter: UInt64?, atLeastHalf: Bool = false, rng: inout PRNG
    ) -> UInt64 {
        let doublings = UInt64(min(max(failures - 1, 0), 20))
        let (grown, over) = settings.initialMilliseconds.multipliedReportingOverflow(by: 1 << doublings)
        // One below the largest number, so that the range 0...cap can be counted.
        let cap = min(settings.maxMilliseconds, over ? .max : grown, .max - 1)
        let jittered = atLeastHalf ? cap / 2 + rng.below(cap / 2 + 1) : rng.below(cap + 1)
        return max(jittered, bounded(retryAfter: retryAfter ?? 0))
    }

    /// A receiver's wish for a pause, milliseconds: followed, but not beyond what would look like a dead exporter.
    func bounded(retryAfter: UInt64) -> UInt64 { min(retryAfter, max(settings.maxMilliseconds, 3_600_000)) }

    /// Whether the window for trying has closed.
    public func isExpired(firstAttempt: Tick, now: Tick) -> Bool {
        now.milliseconds(since: firstAttempt) >= settings.windowMilliseconds
    }
}
