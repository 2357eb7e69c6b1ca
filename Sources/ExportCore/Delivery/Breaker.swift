public import Model

/// Decides whether a target is asked at all: a circuit breaker (Nygard, "Release It!").
///
/// Promises:
/// 1. Closed: nothing is held back. It opens after ``Settings/failures`` failed attempts in a row, after two or more in a
///    row over ``Settings/periodMilliseconds``, and at once when the target's settings are refused, since no other
///    request would fare better.
/// 2. Open: nothing is sent until the pause is over and every request that was under way has ended. The pause grows from
///    opening to opening like any back-off, never below half of its bound, nor below what the receiver asked for.
/// 3. Half-open: one request at a time. A success closes it, a failure opens it for longer; an answer that blames the
///    records and not the target decides nothing, and the next request asks again.
/// 4. Answers of requests that were sent before it opened do not close it; the probe decides.
///
/// The growth of the pause is forgotten after as many successes in a row as failures open it, so that a receiver which
/// fails again and again is not asked ever more often.
public struct Breaker: Sendable {
    /// Whether the target is asked.
    public enum State: Sendable, Equatable {
        /// As usual.
        case closed
        /// Not before `until`. `since` is when the target was given up, however often it was tried since.
        case open(since: Tick, until: Tick)
        /// One request finds out.
        case halfOpen(since: Tick)
    }

    /// When it opens.
    public struct Settings: Sendable, Equatable {
        /// Failed attempts in a row.
        public var failures = 5
        /// Milliseconds from the first to the last of at least two failed attempts in a row.
        public var periodMilliseconds: UInt64 = 30_000

        /// The documented ones: 5 attempts, or 30 s.
        public init() {}
    }

    private let policy: RetryPolicy
    private let settings: Settings
    /// Whether the target is asked.
    public private(set) var state = State.closed
    /// Failed attempts since the last success.
    public private(set) var consecutiveFailures = 0
    /// How often it has opened, ever.
    public private(set) var openings = 0
    private var firstFailure: Tick?
    /// Openings that count for the growth of the pause.
    private var openingsInRow = 0
    private var successes = 0

    /// A closed one.
    public init(policy: RetryPolicy, settings: Settings = Settings()) {
        self.policy = policy
        self.settings = settings
    }

    /// Whether the target is asked without restriction.
    public var isClosed: Bool { state == .closed }

    /// When the pause is over; nil unless it is open.
    public var pauseEnd: Tick? {
        guard case .open(_, let until) = state else { return nil }
        return until
    }

    /// Whether a request may leave while `inFlight` are under way; if it is not closed, that request is the probe.
    public mutating func admits(inFlight: Int, now: Tick) -> Bool {
        switch state {
        case .closed: return true
        case .halfOpen: return inFlight == 0
        case .open(let since, let until):
            guard until <= now, inFlight == 0 else { return false }
            state = .halfOpen(since: since)
            return true
        }
    }

    /// An attempt brought records to the target. True if that closed it.
    public mutating func succeeded() -> Bool {
        consecutiveFailures = 0
        firstFailure = nil
        successes += 1
        switch state {
        case .closed:
            if successes >= settings.failures { openingsInRow = 0 }
            return false
        case .open: return false
        case .halfOpen:
            state = .closed
            successes = 1
            return true
        }
    }

    /// An attempt failed, and the target is to blame. True if that opened it.
    ///
    /// - Parameters:
    ///   - refusesSettings: nobody but a person can help.
    ///   - retryAfter: milliseconds that the receiver asked for.
    public mutating func failed(
        refusesSettings: Bool, retryAfter: UInt64?, now: Tick, rng: inout PRNG
    ) -> Bool {
        consecutiveFailures += 1
        successes = 0
        let first = firstFailure ?? now
        firstFailure = first
        switch state {
        case .closed:
            let isLong = consecutiveFailures > 1 && now.milliseconds(since: first) >= settings.periodMilliseconds
            guard refusesSettings || isLong || consecutiveFailures >= settings.failures else { return false }
            open(since: now, retryAfter, now, &rng)
            return true
        case .halfOpen(let since):
            open(since: since, retryAfter, now, &rng)
            return true
        case .open(let since, let until):
            guard let retryAfter else { return false }
            let asked = policy.bounded(retryAfter: retryAfter)
            state = .open(since: since, until: max(until, now.adding(milliseconds: asked)))
            return false
        }
    }

    private mutating func open(since: Tick, _ retryAfter: UInt64?, _ now: Tick, _ rng: inout PRNG) {
        openings += 1
        openingsInRow += 1
        let pause = policy.delay(failures: openingsInRow, retryAfter: retryAfter, atLeastHalf: true, rng: &rng)
        state = .open(since: since, until: now.adding(milliseconds: pause))
    }
}
