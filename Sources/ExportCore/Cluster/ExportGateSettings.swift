public import Model

/// What lets a halted gate open.
public enum ResumeOn: String, Sendable, CaseIterable {
    /// Exporting works again and a person has acknowledged the alert.
    case acknowledgement
    /// Exporting works again.
    case recovery
}

/// The gate's settings. Times are in milliseconds.
public struct ExportGateSettings: Sendable, Equatable {
    /// `audit.failClosedOnExportFailure`: halt probing while exporting does not work. If not, the alert is raised and
    /// probing goes on.
    public var failClosed: Bool
    /// `audit.resumeOn`.
    public var resumeOn: ResumeOn
    /// `audit.failureThreshold`: failed attempts at a target, by all workers together and with no success in between, at
    /// which it counts as broken.
    public var failureThreshold: UInt64 = 5
    /// `audit.ageLimit`: age of the oldest undelivered record at which its target counts as broken.
    public var ageLimit: UInt64 = 900_000
    /// How long there may be no worker that can send. Meanwhile the gate is not renewed.
    public var noWorkerLimit: UInt64 = 60_000
    /// How long the feed may tell nothing of its backlog. It tells several times a second while it can read.
    public var feedSilence: UInt64 = 30_000
    /// For this long, a worker's success at a target is evidence that the target works, unless that worker failed since.
    public var evidence: UInt64 = 60_000
    /// A worker that fails where others succeed is shunned once it has done so for this long.
    public var suspicion: UInt64 = 5_000
    /// How long it is shunned at first; each time it fails again without a success, twice as long.
    public var shun: UInt64 = 60_000
    /// The longest that it is shunned.
    public var maxShun: UInt64 = 900_000
    /// Attempts that must succeed at a target that was broken, unless nothing is left to send there.
    public var recoverySuccesses: UInt64 = 3
    /// A backlog is small if it has no more records than this, or if its oldest is younger than ``recoveryAge``.
    public var backlogMark: UInt64 = 10_000
    /// See ``backlogMark``.
    public var recoveryAge: UInt64 = 60_000
    /// For this long everything must look well before the episode ends.
    public var stability: UInt64 = 10_000
    /// Duration of the gate Lease in seconds. Longer than it takes to replace a leader that died (its lease, a retry, and
    /// the workers' return), or the gate would close with every such change.
    public var leaseSeconds: UInt32 = 45
    /// Time between looks at the alert, and until a request to the store that failed is made again.
    public var retry: UInt64 = 2_000
    /// A request to the store that is not answered within this time is made again.
    public var answer: UInt64 = 10_000

    /// The defaults of an impact level.
    ///
    /// - High: fail-closed. What a probe finds must not happen without being recorded where the assessor looks for it
    ///   (NIST SP 800-53 AU-5), so no probe runs while nothing can be exported, and a person decides when to go on.
    /// - Moderate: the alert is raised and probing goes on: results wait in etcd, which loses none, and to stop
    ///   assessing controls (CA-7) for an outage of a SIEM would be the greater damage. A person acknowledges before the
    ///   episode ends, so that somebody has looked.
    /// - Low: the same, and the episode ends by itself: nobody is expected to watch, and one that was left open would keep
    ///   the next outage from raising an alert of its own.
    public init(impactLevel: ImpactLevel = .high) {
        failClosed = impactLevel == .high
        resumeOn = impactLevel == .low ? .recovery : .acknowledgement
    }

    /// Sets the times that follow from the cluster's, so that a cluster with shorter leases has a faster gate. With the
    /// default leases they are the defaults above.
    ///
    /// - Parameters:
    ///   - lease: duration of the leader's lease.
    ///   - retryPeriod: its retry period.
    ///   - workerLease: how long after the last word a worker's shards are given to others.
    public mutating func pace(lease: UInt64, retryPeriod: UInt64, workerLease: UInt64) {
        leaseSeconds = UInt32(clamping: max(2, (lease * 3 + 999) / 1_000))
        noWorkerLimit = max(lease * 4, workerLease * 2)
        evidence = workerLease * 4
        suspicion = workerLease / 3
        shun = workerLease * 4
        maxShun = shun * 15
        stability = workerLease * 2 / 3
        retry = retryPeriod
        answer = max(retryPeriod, lease * 2 / 3)
    }
}
