public import Model

/// Decides how many requests of one target may be in flight at once: additive increase, multiplicative decrease, as TCP
/// finds its share of a line (RFC 5681).
///
/// Promises:
/// 1. ``limit`` is never below the floor nor above the ceiling.
/// 2. It grows only after a round trip without a sign of overload in which it was used up: by one, or twofold until the
///    first overload after a start (slow start, RFC 5681 section 3.1).
/// 3. It shrinks at most once per round trip: a request that was sent before the last cut says nothing about the cut.
/// 4. What a request took is compared only with requests of like size (``LatencyBaseline``).
///
/// Signs of overload are what the receiver says (429, 503, a wish for a pause), silence (a time-out, a lost connection),
/// and a round trip whose *quickest* answer took more than twice as long as usual: a receiver that queues makes every
/// answer late, a pause within it only some. The first two halve the limit, the last one takes a quarter off.
///
/// It starts at the floor: what stopped us, if anything did, may have been the load.
///
/// Not promised: fairness between exporters, which nothing here can see.
public struct ConcurrencyController: Sendable {
    /// What an answer says of the receiver's load.
    public enum Sign: Sendable, Equatable {
        /// It took records and did not complain.
        case good
        /// It has too much to do, or does not answer.
        case overloaded
        /// Nothing: the records or the settings were at fault.
        case neutral
    }

    private struct RoundTrip {
        var start: Tick
        /// The quickest answer, as a multiple of what is usual for its size; nil if none could be compared.
        var quickest: Double?
        /// Whether the limit was used up.
        var isFull = false
    }

    private static let lateFactor = 2.0
    /// How often a look is taken at the receiver at ease: for some round trips a quarter of the limit. Where answers may
    /// take twice the usual time, twice as much may be in flight as the receiver works on at once, so a quarter is less.
    private static let lookMilliseconds: UInt64 = 300_000
    private static let lookRoundTrips = 3

    private let floor: Int
    private let ceiling: Int
    /// Requests that may be in flight.
    public private(set) var limit: Int
    /// Below this the limit doubles.
    private var slowStartEnd: Int
    private var roundTrip = RoundTrip(start: Tick(nanoseconds: 0))
    private var lastCut = Tick(nanoseconds: 0)
    private var usual = LatencyBaseline()
    private var nextLook: Tick?
    /// The limit that a look interrupted, and how many round trips it still takes.
    private var look: (limit: Int, roundTrips: Int)?

    /// - Parameters:
    ///   - floor: what overload never brings it below, at least 1.
    ///   - ceiling: what it never grows above, at least `floor`.
    public init(floor: Int, ceiling: Int) {
        precondition(1 <= floor && floor <= ceiling)
        self.floor = floor
        self.ceiling = ceiling
        limit = floor
        slowStartEnd = ceiling
    }

    /// A request has left; `inFlight` counts it.
    public mutating func sent(inFlight: Int) {
        if inFlight >= limit { roundTrip.isFull = true }
    }

    /// An answer has come, or the lack of one is known.
    ///
    /// - Parameters:
    ///   - sign: what it says.
    ///   - records: how many the request carried.
    ///   - sentAt: when it left.
    ///   - nanoseconds: what it took.
    public mutating func answered(_ sign: Sign, records: Int, sentAt: Tick, nanoseconds: UInt64, now: Tick) {
        switch sign {
        case .neutral: return
        case .overloaded:
            if sentAt >= lastCut { cut(to: limit / 2, now) }
        case .good:
            let isAtEase = sentAt >= lastCut && (limit == floor || look != nil)
            let multiple = usual.note(nanoseconds: nanoseconds, records: records, isAtEase: isAtEase)
            if let multiple { roundTrip.quickest = min(roundTrip.quickest ?? multiple, multiple) }
            if sentAt >= roundTrip.start { endRoundTrip(now) }
        }
    }

    /// The receiver was given up for a while: begins at the floor again, and slowly from half of the old limit on.
    public mutating func restart(now: Tick) {
        cut(to: limit / 2, now)
        limit = floor
    }

    private mutating func endRoundTrip(_ now: Tick) {
        defer { roundTrip = RoundTrip(start: now) }
        if let (before, left) = look {
            // What left before the look may still be late; being late is judged again after it.
            look = left > 1 ? (before, left - 1) : nil
            if look == nil { limit = before }
        } else if let quickest = roundTrip.quickest, quickest > Self.lateFactor {
            cut(to: limit * 3 / 4, now)
        } else if roundTrip.isFull {
            grow(now)
        }
    }

    private mutating func grow(_ now: Tick) {
        let due = nextLook ?? now.adding(milliseconds: Self.lookMilliseconds)
        nextLook = due
        if due <= now, limit > floor {
            nextLook = now.adding(milliseconds: Self.lookMilliseconds)
            look = (limit, Self.lookRoundTrips)
            limit = max(floor, limit / 4)
            lastCut = now
            return
        }
        let grown = limit < slowStartEnd ? min(limit * 2, max(slowStartEnd, limit + 1)) : limit + 1
        limit = min(grown, ceiling)
    }

    private mutating func cut(to lower: Int, _ now: Tick) {
        limit = max(lower, floor)
        slowStartEnd = limit
        look = nil
        lastCut = now
        roundTrip = RoundTrip(start: now)
    }
}
