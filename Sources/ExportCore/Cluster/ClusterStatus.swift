/// How the cluster fares, as one coordinator sees it: what `/v1/status`, the page, `status` and the metrics show.
///
/// Spans of time count back from the moment the status was taken, in whole milliseconds, so that no clock of a machine
/// enters; ``time`` says when that was. Counts of records and bytes are of this coordinator's term and only grow in it.
/// A part that is not known is nil, and absent in JSON. docs/endpoint.md lists the fields; they may grow, and none
/// changes its meaning within a ``version``.
public struct ClusterStatus: Sendable, Equatable, Codable {
    /// What a coordinator does.
    public enum Role: String, Sendable, Codable, CaseIterable {
        /// It has not looked at the lease yet.
        case starting
        /// It waits for the lease, and can say who holds it.
        case standby
        /// It holds the lease, and does not yet know what all shards' owners hold.
        case takingOver
        /// It holds the lease and leads.
        case leader
    }

    /// The coordinator that speaks.
    public struct Coordinator: Sendable, Equatable, Codable {
        /// Its name, unique per start of the process.
        public var name: String
        /// Where workers reach it, `host:port`.
        public var address: String
        /// What it does.
        public var role: Role
        /// Version of the program.
        public var program: String
        /// Since the process started, ms.
        public var upMilliseconds: UInt64

        /// All parts.
        public init(name: String, address: String, role: Role, program: String, upMilliseconds: UInt64) {
            self.name = name
            self.address = address
            self.role = role
            self.program = program
            self.upMilliseconds = upMilliseconds
        }
    }

    /// Who holds the lease, as far as this coordinator knows.
    public struct Leader: Sendable, Equatable, Codable {
        /// Its name.
        public var name: String
        /// Where workers reach it, `host:port`; empty if that is not known.
        public var address: String
        /// Where people and programs reach its endpoint, `http://host:port`; empty if that is not known.
        public var endpoint: String
        /// The term it leads in; only grows.
        public var term: UInt64
        /// Since it was elected, or since this coordinator first saw it lead, ms.
        public var sinceMilliseconds: UInt64
        /// Since the last renewal of the lease that this coordinator saw or made, ms.
        public var renewedMilliseconds: UInt64

        /// All parts.
        public init(
            name: String, address: String, endpoint: String, term: UInt64, sinceMilliseconds: UInt64,
            renewedMilliseconds: UInt64
        ) {
            self.name = name
            self.address = address
            self.endpoint = endpoint
            self.term = term
            self.sinceMilliseconds = sinceMilliseconds
            self.renewedMilliseconds = renewedMilliseconds
        }
    }

    /// The layout of the document that this release writes and reads.
    public static let documentVersion = 1

    /// Layout of this document.
    public var version = documentVersion
    /// When it was taken, RFC 3339 in UTC; the endpoint fills it in.
    public var time = ""
    /// `global.clusterName`; empty if there is none.
    public var cluster = ""
    /// The coordinator that speaks.
    public var coordinator: Coordinator
    /// Who leads; nil if nobody does or nobody is known to.
    public var leader: Leader?
    /// Whether probing may go on.
    public var gate = GateStatus()
    /// Records that the leader has in hand.
    public var feed = FeedStatus()
    /// Element `n` is shard `n`; empty on a standby.
    public var shards: [ShardStatus] = []
    /// Workers that the leader knows, in the order of their names; empty on a standby.
    public var workers: [WorkerStatus] = []
    /// The targets of the configuration, in its order.
    public var targets: [TargetStatus] = []
    /// The last 15 minutes, oldest first; the endpoint fills it in, from ``StatusHistory``.
    public var history: StatusHistory.Record?

    /// A coordinator that knows nothing but itself.
    public init(coordinator: Coordinator) { self.coordinator = coordinator }
}

/// Whether probing may go on, and why not.
public struct GateStatus: Sendable, Equatable, Codable {
    /// What the gate is in.
    public enum State: String, Sendable, Codable, CaseIterable {
        /// Nobody knows yet. Schedulers take it for halted.
        case unknown
        /// Exporting works; probes are admitted.
        case open
        /// Exporting has failed, and probes are admitted all the same: fail-closed is off, or the store has not yet said that
        /// the gate's record is closed.
        case degraded
        /// Exporting has failed; no probe is admitted.
        case halted
        /// Exporting works again; no probe is admitted until the backlog is small and, if asked for, a person has
        /// acknowledged the alert.
        case recovering

        /// One that a later release may add is nothing to go on: ``unknown``.
        public init(from decoder: any Decoder) throws {
            self = State(rawValue: try decoder.singleValueContainer().decode(String.self)) ?? .unknown
        }

        /// Whether probes are admitted.
        public var admits: Bool { self == .open || self == .degraded }
    }

    /// What the gate is in.
    public var state = State.unknown
    /// Why, in words for people; of an open gate, empty or what to keep an eye on.
    public var reason = ""
    /// Since it is in this state, ms.
    public var sinceMilliseconds: UInt64 = 0
    /// Whether a failure halts (`audit.failClosedOnExportFailure`, by default at impact level high).
    public var failClosed = true
    /// Number or name of the current episode of failure; nil if there is none.
    public var episode: String?
    /// Name of the `SiderealSystemAlert` of that episode; nil if there is none.
    public var alert: String?
    /// Whether a person has to acknowledge the alert before the episode ends, whether or not probes are admitted meanwhile.
    public var needsAcknowledgement = false
    /// The last changes of state, oldest first: those that are recorded where the cluster is kept, whoever decided them, and else
    /// those of this coordinator while it led. Nil from an older release.
    public var changes: [GateChange]?
    /// `audit.ageLimit`: a target whose oldest record waits for so long counts as broken, ms. Nil from an older release.
    public var ageLimitMilliseconds: UInt64?

    /// Unknown.
    public init() {}

    /// What a scheduler is told that asks: no as soon as probing is to be halted, even while the gate's record still admits
    /// the probes of those who do not ask.
    public var letsAskersStart: Bool { state.admits && !(failClosed && state == .degraded) }
}

/// A change of the gate's state, as its leader recorded it.
public struct GateChange: Sendable, Equatable, Codable {
    /// How many are shown.
    public static let most = 32

    /// When, by the leader's clock: RFC 3339, UTC.
    public var time: String
    /// The state before, as the gate itself has it: finer than ``GateStatus/State``.
    public var from: String
    /// The state from here on.
    public var to: String
    /// Why, in words for people.
    public var cause: String
    /// The leader's term.
    public var term: UInt64
    /// The episode it belongs to; nil if to none.
    public var episode: String?

    /// All parts.
    public init(time: String, from: String, to: String, cause: String, term: UInt64, episode: String?) {
        self.time = time
        self.from = from
        self.to = to
        self.cause = cause
        self.term = term
        self.episode = episode
    }

    /// What was recorded at `time`.
    public init(_ change: ExportGate.Transition, time: String) {
        self.time = time
        from = change.from.rawValue
        to = change.to.rawValue
        cause = change.cause
        term = change.term
        episode = change.episode.map { "\($0.term)-\($0.number)" }
    }
}

/// What the leader has read and not yet settled.
public struct FeedStatus: Sendable, Equatable, Codable {
    /// Inputs begun and not finished.
    public var files = 0
    /// Inputs that nobody has begun yet.
    public var waitingFiles = 0
    /// Inputs that cannot be read. They count as not delivered at any target.
    public var unreadFiles = 0
    /// Why one of them, or everything, cannot be read; empty if nothing hinders.
    public var trouble = ""
    /// Results whose status the API server does not take. They keep the one they have, and it is tried again.
    public var refusedStatuses: UInt64 = 0
    /// What it said to the last of them; empty if there is none.
    public var statusTrouble = ""
    /// Records in hand.
    public var records = 0
    /// Their bytes.
    public var bytes = 0
    /// Bound of ``bytes``; past it nothing is read.
    public var maxBytes = 0
    /// Since the oldest record in hand was read, ms; nil if there is none.
    public var oldestMilliseconds: UInt64?

    /// Nothing in hand.
    public init() {}
}

/// One shard.
public struct ShardStatus: Sendable, Equatable, Codable {
    /// Who has it.
    public enum State: String, Sendable, Codable, CaseIterable {
        /// Nobody.
        case unowned
        /// Its owner.
        case owned
        /// Its owner, who is giving it back.
        case revoking
    }

    /// Who has it.
    public var state = State.unowned
    /// Index of its owner in ``ClusterStatus/workers``; nil if it has none.
    public var owner: Int?
    /// Number of its last grant in this term; 0 before the first.
    public var epoch: UInt64 = 0
    /// Since when it has had no owner, ms; nil if it has one.
    public var unownedMilliseconds: UInt64?

    /// Without an owner.
    public init() {}
}
