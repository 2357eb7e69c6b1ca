public import Protocol

/// One worker.
public struct WorkerStatus: Sendable, Equatable, Codable {
    /// How it stands to the cluster.
    public enum State: String, Sendable, Codable, CaseIterable {
        /// In session.
        case live
        /// In session, giving its shards back because it leaves.
        case draining
        /// In session, without shards because it alone cannot reach a target.
        case shunned
        /// Not in session; it may still hold shards until its lease is certainly over.
        case lost
    }

    /// Its stable name.
    public var identity: String
    /// Where its connection comes from, `host:port`; empty if it has none.
    public var address = ""
    /// How it stands to the cluster.
    public var state: State
    /// Why it is not live; empty if it is.
    public var reason = ""
    /// Version of the program; empty if it does not say.
    public var program = ""
    /// Shards it owns, those that it is giving back included.
    public var shards = 0
    /// Shards it should own by its capacity: a fraction, and zero for those that are not live.
    public var fairShards = 0.0
    /// Weight in placement.
    public var capacity = 1
    /// Bytes of records sent to it and not settled.
    public var bytesInHand = 0
    /// Since it was last heard, ms.
    public var heardMilliseconds: UInt64 = 0
    /// How each target fares there, in the order of ``ClusterStatus/targets``; empty before its first heartbeat.
    public var targets: [TargetAtWorker] = []

    /// A worker without shards.
    public init(identity: String, state: State) {
        self.identity = identity
        self.state = state
    }
}

/// How a target fares at one worker.
public struct TargetAtWorker: Sendable, Equatable, Codable {
    /// The circuit breaker there.
    public var breaker = BreakerState.closed
    /// Failed attempts since the last success.
    public var consecutiveFailures = 0
    /// Since the last success, ms; nil if there was none.
    public var successMilliseconds: UInt64?
    /// Since the oldest record in hand came, ms; nil if there is none.
    public var oldestMilliseconds: UInt64?
    /// Encoded bytes that wait or are under way.
    public var queuedBytes = 0
    /// Median time of recent requests, µs; 0 before the first.
    public var latencyMicroseconds = 0
    /// Requests under way.
    public var inFlight = 0
    /// Limit of requests at once.
    public var limit = 0
    /// Why the last attempt failed; nil after a success.
    public var failure: String?

    /// Nothing happened yet.
    public init() {}

    /// As the worker said.
    public init(_ health: TargetHealth) {
        breaker = BreakerState(health.breaker)
        consecutiveFailures = Int(health.consecutiveFailures)
        successMilliseconds = health.sinceSuccessMilliseconds
        oldestMilliseconds = health.oldestMilliseconds
        // So that a sum over all workers is a number, whatever they say.
        queuedBytes = Int(min(health.queuedBytes, 1 << 48))
        latencyMicroseconds = Int(health.latencyMicroseconds)
        inFlight = Int(health.inFlight)
        limit = Int(health.concurrencyLimit)
        failure = health.reason.isEmpty ? nil : health.reason
    }
}

/// State of a circuit breaker.
public enum BreakerState: String, Sendable, Codable, CaseIterable {
    /// Requests are made.
    case closed
    /// None until a pause is over.
    case open
    /// One at a time, to see.
    case halfOpen

    /// As on the wire.
    public init(_ breaker: TargetHealth.Breaker) {
        self =
            switch breaker {
            case .closed: .closed
            case .open: .open
            case .halfOpen: .halfOpen
            }
    }
}

/// One target, all workers together.
public struct TargetStatus: Sendable, Equatable, Codable {
    /// Its name.
    public var name: String
    /// Its backend and format, as the configuration says.
    public var backend: String
    /// See ``backend``.
    public var format: String
    /// Records that it accepted in this term.
    public var delivered = 0
    /// Their encoded bytes.
    public var deliveredBytes = 0
    /// Records given up in this term.
    public var dead = 0
    /// Attempts that failed for reasons of the target in this term.
    public var failures = 0
    /// Failed attempts in a row, cluster-wide, without a success of any worker between.
    public var consecutiveFailures = 0
    /// Records known to the leader that it has neither accepted nor that were given up.
    public var backlog = 0
    /// Since the oldest of them was read, ms; nil if there is none.
    public var oldestMilliseconds: UInt64?
    /// Since any worker's last success, ms; nil if there was none.
    public var successMilliseconds: UInt64?
    /// Accepted records per second, over the last seconds; nil until two looks can be compared. Filled in by
    /// ``StatusHistory``.
    public var recordsPerSecond: Double?
    /// Accepted encoded bytes per second, likewise.
    public var bytesPerSecond: Double?
    /// Median time of a request: the mean of the workers' medians, weighted by what they have in flight, µs; nil before
    /// the first request.
    public var latencyMicroseconds: Int?
    /// The breaker: closed if it is at every worker or at none is known, open if it is closed at none, else half-open.
    public var breaker = BreakerState.closed
    /// Workers whose breaker is not closed.
    public var openBreakers = 0
    /// Workers that report on the target.
    public var reporting = 0
    /// Requests under way.
    public var inFlight = 0
    /// Sum of the workers' limits of requests at once.
    public var limit = 0
    /// Encoded bytes that wait or are under way at workers.
    public var queuedBytes = 0
    /// Why the last attempt failed, of the worker with the most failures in a row; nil if nobody fails.
    public var failure: String?

    /// Nothing happened yet.
    public init(name: String, backend: String, format: String) {
        self.name = name
        self.backend = backend
        self.format = format
    }

    /// Fills in what follows from how the target fares at each worker: breaker, limit, latency and the like.
    public mutating func take(_ reports: some Sequence<TargetAtWorker>) {
        var (weight, weighted, worst) = (0, 0, 0)
        (reporting, openBreakers, inFlight, limit, queuedBytes) = (0, 0, 0, 0, 0)
        (failure, successMilliseconds) = (nil, nil)
        for report in reports {
            reporting += 1
            if report.breaker != .closed { openBreakers += 1 }
            inFlight += report.inFlight
            limit += report.limit
            queuedBytes += report.queuedBytes
            if report.latencyMicroseconds > 0 {
                weight += report.inFlight + 1
                weighted += report.latencyMicroseconds * (report.inFlight + 1)
            }
            if let success = report.successMilliseconds {
                successMilliseconds = min(successMilliseconds ?? .max, success)
            }
            if let reason = report.failure, failure == nil || report.consecutiveFailures > worst {
                (failure, worst) = (reason, report.consecutiveFailures)
            }
        }
        breaker = openBreakers == 0 ? .closed : openBreakers == reporting ? .open : .halfOpen
        latencyMicroseconds = weight > 0 ? weighted / weight : nil
    }
}
