public import Model

/// Everything that coordinators and workers say to one another.
public enum Message: Sendable, Equatable {
    /// Worker, first: who it is and what it holds.
    case hello(Hello)
    /// Leader: the session begins.
    case welcome(Welcome)
    /// Standby: somebody else leads.
    case notLeader(NotLeader)
    /// Worker: its health. Leader: an echo, which renews the session's lease.
    case heartbeat(Heartbeat)
    /// Leader: these shards are the worker's.
    case assign(term: UInt64, grants: [ShardGrant])
    /// Leader: these shards are to be given back.
    case revoke(term: UInt64, grants: [ShardGrant])
    /// Worker: nothing of these shards is in its hands any more, and what it knows of them was told before.
    case released(term: UInt64, grants: [ShardGrant])
    /// Leader: records to deliver.
    case records(RecordsFrame)
    /// Worker: what became of records.
    case outcomes(Outcomes)
    /// Leader: what rows up to this one told is kept for good; the worker may forget them.
    case settled(term: UInt64, through: UInt64)
    /// Leader: the state of the gate, for logs and metrics of workers.
    case gate(term: UInt64, isOpen: Bool, reason: String)
    /// Worker: it wants to leave. Leader: the worker shall leave.
    case drain(term: UInt64, reason: String)
    /// Either: why the connection is closed.
    case error(PeerFault)
}

/// A worker's introduction.
public struct Hello: Sendable, Equatable {
    /// Lowest and highest protocol version spoken.
    public var versions: ClosedRange<UInt8>
    /// Stable name, the same after a restart; also the name in its certificate.
    public var identity: String
    /// Random for each start of the process: 16 bytes as two halves.
    public var boot: RecordKey
    /// Weight in placement: processor cores, at least 1.
    public var capacity: UInt16
    /// Bytes of records it takes per target before outcomes must come back.
    public var windowBytes: UInt64
    /// Highest term it has heard of.
    public var term: UInt64
    /// Names of the targets it can serve.
    public var targets: [String]
    /// Shards it still holds.
    public var claims: [ShardClaim]

    /// All parts.
    public init(
        versions: ClosedRange<UInt8>, identity: String, boot: RecordKey, capacity: UInt16, windowBytes: UInt64,
        term: UInt64, targets: [String], claims: [ShardClaim]
    ) {
        self.versions = versions
        self.identity = identity
        self.boot = boot
        self.capacity = capacity
        self.windowBytes = windowBytes
        self.term = term
        self.targets = targets
        self.claims = claims
    }
}

/// The leader's answer to ``Hello``.
public struct Welcome: Sendable, Equatable {
    /// The version both speak from here on.
    public var version: UInt8
    /// The leader's term.
    public var term: UInt64
    /// The leader's name.
    public var leader: String
    /// How long the session lasts without an echo, milliseconds.
    public var leaseMilliseconds: UInt32
    /// Number of shards in the cluster.
    public var shardCount: UInt16
    /// Longest a revoked shard may be held, milliseconds.
    public var releaseMilliseconds: UInt32
    /// Targets in the order that masks and indices of this session count.
    public var targets: [String]
    /// From the lease's end until the worker's shards may be others': no request of its may be under way then, milliseconds.
    public var marginMilliseconds: UInt32

    /// All parts.
    public init(
        version: UInt8, term: UInt64, leader: String, leaseMilliseconds: UInt32, shardCount: UInt16,
        releaseMilliseconds: UInt32, targets: [String], marginMilliseconds: UInt32
    ) {
        self.version = version
        self.term = term
        self.leader = leader
        self.leaseMilliseconds = leaseMilliseconds
        self.shardCount = shardCount
        self.releaseMilliseconds = releaseMilliseconds
        self.targets = targets
        self.marginMilliseconds = marginMilliseconds
    }
}

/// The answer of a coordinator that does not lead.
public struct NotLeader: Sendable, Equatable {
    /// The highest term it knows.
    public var term: UInt64
    /// The leader's name; empty if it knows none.
    public var leader: String
    /// Where the leader listens, `host:port`; empty if that is not known.
    public var address: String

    /// All parts.
    public init(term: UInt64, leader: String, address: String) {
        self.term = term
        self.leader = leader
        self.address = address
    }
}

/// A sign of life.
public struct Heartbeat: Sendable, Equatable {
    /// The session's term.
    public var term: UInt64
    /// Worker: counts its heartbeats. Leader: the last number heard.
    public var number: UInt64
    /// Worker: how each target fares, in the session's order. Leader: empty.
    public var health: [TargetHealth]
    /// Worker: how long ago the lease ended under which it held what it claimed in `hello` and what this session has not
    /// assigned anew, milliseconds; the longest, if there are several. 0 if it lasts or nothing is so held; the largest
    /// number if it is not known any more. Leader: 0.
    public var lapsedMilliseconds: UInt32

    /// All parts.
    public init(term: UInt64, number: UInt64, health: [TargetHealth], lapsedMilliseconds: UInt32 = 0) {
        self.term = term
        self.number = number
        self.health = health
        self.lapsedMilliseconds = lapsedMilliseconds
    }
}

/// How one target fares at one worker. Counters start at zero with the process and only grow.
public struct TargetHealth: Sendable, Equatable {
    /// State of the circuit breaker.
    public enum Breaker: UInt8, Sendable {
        /// Requests are made.
        case closed = 0
        /// None until a pause is over.
        case open = 1
        /// One at a time, to see.
        case halfOpen = 2
    }

    /// Attempts that ended, however.
    public var attempts: UInt64
    /// Attempts that ended with something accepted.
    public var successes: UInt64
    /// Attempts that failed since the last success.
    public var consecutiveFailures: UInt32
    /// Records accepted.
    public var delivered: UInt64
    /// Their bytes as encoded.
    public var deliveredBytes: UInt64
    /// Records given up.
    public var dead: UInt64
    /// Milliseconds since the last success; nil if there was none.
    public var sinceSuccessMilliseconds: UInt64?
    /// Milliseconds that the oldest record in hand has waited; nil if none waits.
    public var oldestMilliseconds: UInt64?
    /// Encoded bytes that wait or are under way.
    public var queuedBytes: UInt64
    /// Median time of recent requests, microseconds.
    public var latencyMicroseconds: UInt32
    /// Requests under way.
    public var inFlight: UInt16
    /// Limit of requests at once.
    public var concurrencyLimit: UInt16
    /// State of the breaker.
    public var breaker: Breaker
    /// Why the last attempt failed, at most 256 bytes; empty after a success.
    public var reason: String

    /// All zero.
    public init() {
        attempts = 0
        successes = 0
        consecutiveFailures = 0
        delivered = 0
        deliveredBytes = 0
        dead = 0
        queuedBytes = 0
        latencyMicroseconds = 0
        inFlight = 0
        concurrencyLimit = 0
        breaker = .closed
        reason = ""
    }
}

/// Records on their way to a worker. Columns, not rows: element `i` of each belongs to record `i`.
public struct RecordsFrame: Sendable, Equatable {
    /// The leader's term.
    public var term: UInt64
    /// Bit `t`: target `t` of the session's order still needs these records.
    public var targets: UInt32
    /// Who they are.
    public var keys: [RecordKey]
    /// The owner's grant under which each is sent.
    public var grants: [ShardGrant]
    /// How many bytes of ``lines`` each takes, line end included.
    public var lengths: [UInt32]
    /// The records' lines, one after the other.
    public var lines: RecordLines

    /// All parts.
    public init(
        term: UInt64, targets: UInt32, keys: [RecordKey], grants: [ShardGrant], lengths: [UInt32], lines: RecordLines
    ) {
        self.term = term
        self.targets = targets
        self.keys = keys
        self.grants = grants
        self.lengths = lengths
        self.lines = lines
    }

    /// All parts, with the lines in one place.
    public init(
        term: UInt64, targets: UInt32, keys: [RecordKey], grants: [ShardGrant], lengths: [UInt32], bytes: SealedBytes
    ) {
        self.init(
            term: term, targets: targets, keys: keys, grants: grants, lengths: lengths, lines: RecordLines(bytes))
    }

    /// ``lines`` in one place, as they are when a frame was decoded.
    public var bytes: SealedBytes { lines.gathered }
}

/// What became of records at one target.
public struct Outcomes: Sendable, Equatable {
    /// What happened to all of ``keys``.
    public enum Kind: UInt8, Sendable {
        /// The target accepted them. A fact, whoever says so and whenever.
        case delivered = 0
        /// Given up, and kept as dead letters. A fact.
        case dead = 1
        /// An attempt failed; attempts go on. Counts only under the current grant.
        case failed = 2
    }

    /// Number of the row in the worker's ledger that says so; grows from one commit to the next. Zero for `failed`,
    /// which is not kept.
    public var row: UInt64
    /// The session's term.
    public var term: UInt64
    /// The target, in the session's order.
    public var target: UInt8
    /// What happened.
    public var kind: Kind
    /// Why, for `dead` and `failed`, at most 1 024 bytes.
    public var reason: String
    /// The records.
    public var keys: [RecordKey]
    /// The grant under which each was taken; for rows of an earlier session as it was then.
    public var grants: [ShardGrant]

    /// All parts.
    public init(
        row: UInt64, term: UInt64, target: UInt8, kind: Kind, reason: String, keys: [RecordKey], grants: [ShardGrant]
    ) {
        self.row = row
        self.term = term
        self.target = target
        self.kind = kind
        self.reason = reason
        self.keys = keys
        self.grants = grants
    }
}

/// Why a connection is closed.
public struct PeerFault: Sendable, Equatable {
    /// Kinds of faults, fixed on the wire.
    public enum Code: UInt16, Sendable {
        /// No version in common.
        case version = 1
        /// A frame could not be read.
        case malformed = 2
        /// A frame is longer than allowed.
        case tooLarge = 3
        /// The checksum of records does not match.
        case checksum = 4
        /// The name is not the certificate's, or is in use.
        case identity = 5
        /// The targets are not the leader's.
        case targets = 6
        /// Said in a state in which it cannot be said.
        case unexpected = 7
        /// The term is over.
        case staleTerm = 8
        /// The process ends.
        case shutdown = 9
        /// A bound was reached.
        case overloaded = 10
    }

    /// The kind.
    public var code: Code
    /// What is wrong, where, why and what to do; at most 1 024 bytes.
    public var message: String

    /// `code` with its text.
    public init(code: Code, message: String) {
        self.code = code
        self.message = message
    }
}
