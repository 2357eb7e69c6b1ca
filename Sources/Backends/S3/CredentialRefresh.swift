import Model

/// Decides when credentials that expire are fetched again.
///
/// 1. One fetch at a time.
/// 2. They are renewed 15 minutes before they end (half-way, if they live less than half an hour), a little earlier by
///    chance, so that a fleet does not ask all at once.
/// 3. While they are valid, a fetch that fails costs nothing but a warning, and is made again after half a minute to a
///    minute. Once they have ended, whoever wants them learns why there are none.
struct CredentialRefresh: Sendable {
    /// What happens.
    enum Event: Sendable, Equatable {
        /// A request needs credentials.
        case wanted
        /// They came, and are valid for so long.
        case fetched(lifetimeMilliseconds: UInt64)
        /// They did not come.
        case failed
        /// The receiver says that they are valid no more.
        case rejected
    }

    /// What is to be done, in this order.
    enum Effect: Sendable, Equatable {
        /// Begin to fetch.
        case fetch
        /// Use those at hand.
        case use
        /// Wait for the fetch under way.
        case wait
        /// Tell that renewing failed while the old ones are still valid.
        case warn
    }

    static let marginMilliseconds: UInt64 = 900_000
    private static let jitterMilliseconds: UInt64 = 60_000
    /// A request takes time, so credentials are not begun with in their last seconds.
    private static let lastMilliseconds: UInt64 = 10_000

    private var endsAt: Tick?
    private var renewAt = Tick(nanoseconds: 0)
    private var isFetching = false

    mutating func handle(_ event: Event, now: Tick, rng: inout PRNG) -> [Effect] {
        switch event {
        case .wanted:
            let isValid = isValid(now)
            if isFetching { return [isValid ? .use : .wait] }
            if isValid, now < renewAt { return [.use] }
            isFetching = true
            return [.fetch, isValid ? .use : .wait]
        case .fetched(let lifetime):
            isFetching = false
            let usable = lifetime - min(lifetime, Self.lastMilliseconds)
            endsAt = now.adding(milliseconds: usable)
            let margin = min(Self.marginMilliseconds, lifetime / 2)
            let early = margin + rng.below(min(Self.jitterMilliseconds, lifetime / 10) + 1)
            renewAt = now.adding(milliseconds: lifetime - min(lifetime, early))
            return []
        case .failed:
            isFetching = false
            guard isValid(now) else { return [] }
            renewAt = now.adding(milliseconds: 30_000 + rng.below(30_001))
            return [.warn]
        case .rejected:
            endsAt = nil
            return []
        }
    }

    private func isValid(_ now: Tick) -> Bool { endsAt.map { now < $0 } ?? false }
}
