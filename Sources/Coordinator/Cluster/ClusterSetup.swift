public import ExportCore
public import Model
public import Protocol

/// What a coordinator has to know to take part in a cluster. The same for all of them but for who it is.
public struct CoordinatorSettings: Sendable {
    /// Its name, the same after a restart.
    public var name: String
    /// Its name and which start of the process this is: who holds the lease.
    public var identity: String
    /// Where workers reach it, `host:port`.
    public var address: String
    /// Where people reach its status endpoint, as a URL; empty if they do not.
    public var endpoint: String
    /// Version of the program.
    public var program: String
    /// Name of the cluster.
    public var cluster: String
    /// Targets, in the order in which sessions count them; at most ``TargetMask``'s 32.
    public var targets: [Target]
    /// Number of shards.
    public var shardCount: Int
    /// Times of the election.
    public var election: ElectionSettings
    /// Times on which leader and workers agree.
    public var timing: ClusterTiming
    /// When exporting counts as failed.
    public var gate: ExportGateSettings
    /// Bounds of what a leader has in hand.
    public var bounds: Dispatch.Bounds
    /// Which versions of the protocol it speaks.
    public var release: ProtocolRelease

    /// Of a coordinator that waits for nothing longer than `timing` and `election` say.
    public init(
        name: String, identity: String, address: String, endpoint: String = "", program: String, cluster: String,
        targets: [Target], shardCount: Int, election: ElectionSettings, timing: ClusterTiming,
        gate: ExportGateSettings, bounds: Dispatch.Bounds? = nil, release: ProtocolRelease = .current
    ) {
        self.name = name
        self.identity = identity
        self.address = address
        self.endpoint = endpoint
        self.program = program
        self.cluster = cluster
        self.targets = targets
        self.shardCount = shardCount
        self.election = election
        self.timing = timing
        self.gate = gate
        self.release = release
        self.bounds = bounds ?? Self.bounds(targetCount: targets.count)
    }

    /// Bytes that all targets together may have in hand when each reads for itself. With frames on their way to workers
    /// as much again may be in memory.
    private static let windowBytes = 40 << 20

    private static func bounds(targetCount: Int) -> Dispatch.Bounds {
        var bounds = Dispatch.Bounds()
        bounds.windowBytes = min(bounds.windowBytes, max(2 << 20, windowBytes / max(1, targetCount)))
        return bounds
    }

    /// From one look at the clock to the next, milliseconds: an eighth of the shortest lease, and short enough for
    /// people not to notice.
    var beatMilliseconds: UInt64 {
        max(5, min(100, timing.workerLeaseMilliseconds / 8, election.retryPeriod / 4))
    }
}

/// Where a cluster keeps what outlives its processes.
public struct CoordinatorStores: Sendable {
    /// The leader's lease.
    public var lease: any LeaseStore
    /// The gate's record.
    public var gate: any GateStore
    /// The alerts.
    public var alerts: any AlertStore
    /// Where people are told of changes of the gate, besides the log; nil where there is no such place.
    public var events: (any GateEventStore)?
    /// What became of records.
    public var status: any StatusStore
    /// The results to export, for a leader that begins with what is settled.
    public var results: @Sendable (SettledSources) -> any ResultSource

    /// All parts.
    public init(
        lease: any LeaseStore, gate: any GateStore, alerts: any AlertStore, events: (any GateEventStore)? = nil,
        status: any StatusStore, results: @escaping @Sendable (SettledSources) -> any ResultSource
    ) {
        self.lease = lease
        self.gate = gate
        self.alerts = alerts
        self.events = events
        self.status = status
        self.results = results
    }
}
