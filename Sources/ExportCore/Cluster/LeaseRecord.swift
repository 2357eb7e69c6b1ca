/// What a lease says: who holds it, in which term, for how long at most.
///
/// Times of day are not part of it: they are for people, whoever stores it adds them, and no decision looks at them.
public struct LeaseRecord: Sendable, Equatable {
    /// In place of a holder where a lease was missing and is made anew: it has to be waited out like any other, since
    /// whoever held the one that was deleted may still act.
    public static let vacant = "(vacant)"

    /// Identity of the holder, unique for each start of its process; empty if it was given back; or ``vacant``.
    public var holder: String
    /// Where the holder listens, `host:port`; empty if nobody holds it.
    public var address: String
    /// Where the holder shows the cluster's status, such as `http://host:port`; empty if it does not, or nobody holds it.
    public var endpoint = ""
    /// The last holder's term, from 1; zero if there never was one. Kept when the lease is given back.
    public var term: UInt64
    /// Grows with every write of the holder, so that each one is a change that others see, even if no clock moved.
    public var renewal: UInt64
    /// How long after a change it stays the holder's, milliseconds.
    public var durationMilliseconds: UInt64

    /// All parts.
    public init(holder: String, address: String, term: UInt64, renewal: UInt64, durationMilliseconds: UInt64) {
        self.holder = holder
        self.address = address
        self.term = term
        self.renewal = renewal
        self.durationMilliseconds = durationMilliseconds
    }

    /// Whether its holder gave it back. One without a holder that still says where the holder listens was emptied by somebody
    /// else, and the holder acts until it learns of that.
    var isGivenBack: Bool { holder.isEmpty && address.isEmpty }

    /// Whether somebody holds it.
    public var isHeld: Bool { !holder.isEmpty && holder != Self.vacant }
}

/// Which writing of a lease was seen: whatever the store tells them apart by, such as `metadata.resourceVersion`.
public struct LeaseVersion: Sendable, Hashable {
    /// As the store spells it; compared for equality and nothing else.
    public var text: String

    /// The version that the store spells `text`.
    public init(_ text: String) { self.text = text }
}

/// What a store knows of a lease.
public struct LeaseState: Sendable, Equatable {
    /// The lease with its version; nil if there is none.
    public var stored: Stored?
    /// The highest term of which the store has a trace apart from the lease itself, so that a deleted lease does not
    /// begin again at 1. Zero only where nobody ever held it.
    public var highestTerm: UInt64

    /// A lease that exists.
    public struct Stored: Sendable, Equatable {
        /// What it says.
        public var record: LeaseRecord
        /// Which writing of it this is.
        public var version: LeaseVersion

        /// `record`, written as `version`.
        public init(record: LeaseRecord, version: LeaseVersion) {
            self.record = record
            self.version = version
        }
    }

    /// Both parts.
    public init(stored: Stored?, highestTerm: UInt64) {
        self.stored = stored
        self.highestTerm = highestTerm
    }
}

/// Times of an election, in milliseconds.
public struct ElectionSettings: Sendable, Equatable {
    /// How long a lease that does not change stays its holder's in the eyes of the others.
    public let lease: UInt64
    /// How long the holder acts, from the moment at which it began the last write that succeeded.
    public let renewDeadline: UInt64
    /// From one renewal, or one look, to the next. Up to a fifth is taken off at random.
    public let retryPeriod: UInt64
    /// After this long an answer of the store does not count any more.
    public let requestTimeout: UInt64

    /// Two settings that do not go together.
    public struct Mistake: Error, Sendable, Equatable, CustomStringConvertible {
        /// Which ones, why, and what to do.
        public var description: String
    }

    /// The defaults, which are client-go's: 15, 10 and 2 s.
    public static let standard = ElectionSettings(
        unchecked: 15_000, renewDeadline: 10_000, retryPeriod: 2_000, requestTimeout: 4_000)

    /// Refuses times with which a leader could be replaced while it acts, or could not renew in time.
    public init(
        lease: UInt64, renewDeadline: UInt64, retryPeriod: UInt64, requestTimeout: UInt64
    ) throws(Mistake) {
        self.init(
            unchecked: lease, renewDeadline: renewDeadline, retryPeriod: retryPeriod, requestTimeout: requestTimeout)
        guard retryPeriod > 0, requestTimeout > 0 else {
            throw Mistake(description: "retry period and request time-out of the election must not be zero")
        }
        // client-go demands 1.2 for its jitter; one lost write must not cost the lease either.
        guard Double(renewDeadline) > 1.2 * Double(retryPeriod) else {
            throw Mistake(
                description: "the renew deadline (\(renewDeadline) ms) must be longer than 1.2 times the retry period"
                    + " (\(retryPeriod) ms); make it longer, or renew more often")
        }
        guard renewDeadline > requestTimeout else {
            throw Mistake(
                description: "the renew deadline (\(renewDeadline) ms) must be longer than a request may take"
                    + " (\(requestTimeout) ms), or a single slow answer costs the lease")
        }
        guard lease > renewDeadline else {
            throw Mistake(
                description: "the lease (\(lease) ms) must be longer than the renew deadline (\(renewDeadline) ms): the"
                    + " difference is what clocks may run apart; two thirds is a good deadline")
        }
    }

    /// Without the checks, for tests of what they prevent.
    init(unchecked lease: UInt64, renewDeadline: UInt64, retryPeriod: UInt64, requestTimeout: UInt64) {
        self.lease = lease
        self.renewDeadline = renewDeadline
        self.retryPeriod = retryPeriod
        self.requestTimeout = requestTimeout
    }
}
