public import Model

/// Decides which coordinator a worker tries next, and when.
///
/// Promises:
/// 1. All addresses are tried in turn, one at a time. Rounds without success begin apart by a pause that doubles from round to
///    round, with full jitter above a tenth of it, so that workers which lost the same leader do not come at once. What attempts
///    take is part of it: a standby that does not know who leads has whoever asks wait until it does.
/// 2. A coordinator that does not lead and names another one is believed: that address is next, without a pause. But only
///    ``Settings/maxRedirects`` times in a row, so that two standbys which name one another are no loop, and not if it
///    knows an older term than the worker does.
/// 3. A success makes the address the first to be tried again.
public struct CoordinatorDial: Sendable {
    /// Pauses and bounds.
    public struct Settings: Sendable, Equatable {
        /// The first pause, milliseconds.
        public var initialMilliseconds: UInt64 = 100
        /// The longest pause, milliseconds.
        public var maxMilliseconds: UInt64 = 3_000
        /// Redirections that are followed one after the other.
        public var maxRedirects = 3
        /// Longest address that is followed, bytes: a DNS name and a port.
        public var maxAddressBytes = 260

        /// The documented ones.
        public init() {}
    }

    private let addresses: [String]
    private let settings: Settings
    private var next: Int
    /// Tried in this round.
    private var tried = 0
    private var roundBegan: Tick
    private var rounds = 0
    private var redirects = 0
    private var redirect: String?
    private var current: String?
    /// Not before this.
    public private(set) var notBefore: Tick

    /// - Parameters:
    ///   - addresses: `host:port` each, at least one.
    ///   - first: the place in `addresses` to begin with, modulo their number; workers should differ in it.
    public init(addresses: [String], first: Int, now: Tick, settings: Settings = Settings()) {
        self.addresses = addresses
        self.settings = settings
        next = addresses.isEmpty ? 0 : abs(first % addresses.count)
        notBefore = now
        roundBegan = now
    }

    /// The address to dial now; nil if it is too early, or there is none.
    public mutating func address(now: Tick) -> String? {
        guard notBefore <= now, !addresses.isEmpty else { return nil }
        if let target = redirect {
            redirect = nil
            current = target
            return target
        }
        if tried == 0 { roundBegan = now }
        tried += 1
        let address = addresses[next]
        next = (next + 1) % addresses.count
        current = address
        return address
    }

    /// The connection could not be made, or ended before a welcome.
    public mutating func failed(now: Tick, rng: inout PRNG) {
        redirects = 0
        current = nil
        guard tried >= addresses.count else { return }
        tried = 0
        let cap = min(settings.maxMilliseconds, settings.initialMilliseconds << UInt64(min(rounds, 20)))
        rounds += 1
        notBefore = max(now, roundBegan.adding(milliseconds: cap / 10 + rng.below(cap - cap / 10 + 1)))
    }

    /// The coordinator says that `address` leads; empty if it does not know who does. `isOutdated`: it knows an older term
    /// than the worker.
    public mutating func redirected(to address: String, isOutdated: Bool, now: Tick, rng: inout PRNG) {
        guard !address.isEmpty, address.utf8.count <= settings.maxAddressBytes, address != current, !isOutdated,
            redirects < settings.maxRedirects
        else { return failed(now: now, rng: &rng) }
        redirects += 1
        redirect = address
    }

    /// A session with a leader works.
    public mutating func welcomed(now: Tick) {
        if let current, let place = addresses.firstIndex(of: current) { next = place }
        tried = 0
        rounds = 0
        redirects = 0
        redirect = nil
        notBefore = now
    }
}
