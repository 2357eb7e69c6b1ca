public import ExportCore
import KubernetesAPI
public import Logging
import Model
import Synchronization
import Threading

/// The leader's lease in a Kubernetes cluster: a Lease of the system namespace (``LeaseForm``).
///
/// Promises:
/// 1. A write is conditional on the version that was seen: of two writers one is told that the lease is not what it was. To
///    make a Lease is conditional on there being none.
/// 2. A reading sees every write that was carried out before it began: it is never answered from a cache.
/// 3. Before a Lease of a new term is written, the gate's Lease tells of that term. So a Lease that was deleted, or made anew by
///    somebody else, does not begin again at 1. If both are deleted, only what runs remembers.
/// 4. Times of day are written for people, and never read.
public final class KubernetesLeases: LeaseStore {
    private struct Known {
        /// The highest term of which the gate's Lease has a trace.
        var traced: UInt64 = 0
        /// The last one that was written.
        var written: LeaseRecord?
    }

    private let cluster: KubernetesCluster
    private let watch: LeaseWatch
    private let known = Mutex(Known())
    private static let attempts = 4

    /// - Parameters:
    ///   - log: for a watch that is refused.
    ///   - seed: of the jitter with which a broken watch is opened again.
    public init(_ cluster: KubernetesCluster, log: Logger = Logger(label: "leases"), seed: UInt64) {
        self.cluster = cluster
        watch = LeaseWatch(
            cluster.client, namespace: cluster.namespace, name: cluster.names.leader, log: log, seed: seed)
    }

    /// Ends the watch; nothing may be asked after.
    public func close() async { await watch.close() }

    /// The lease as of now.
    public func readLease() async throws(StoreError) -> LeaseState {
        let lease = try await cluster.readLeader()
        var highest = known.withLock { $0.traced }
        if lease.map({ !LeaseForm.tellsTerm($0) }) ?? true {
            highest = max(highest, try await tracedTerm())
        }
        guard let lease else { return LeaseState(stored: nil, highestTerm: highest) }
        let record = LeaseForm.record(lease)
        return LeaseState(
            stored: LeaseState.Stored(record: record, version: LeaseVersion(lease.resourceVersion)),
            highestTerm: max(highest, record.term))
    }

    /// See ``LeaseStore/writeLease(_:replacing:)``.
    public func writeLease(
        _ record: LeaseRecord, replacing: LeaseVersion?
    ) async throws(StoreError) -> LeaseVersion? {
        try await trace(record.term)
        let begun = SystemClock.now()
        let before = known.withLock { $0.written }
        let isTaken = record.isHeld && (before?.holder != record.holder || before?.term != record.term)
        let lease = LeaseForm.lease(
            record, namespace: cluster.namespace, name: cluster.names.leader, replacing: replacing, acquired: isTaken,
            microseconds: SystemClock.unixMilliseconds() * 1_000)
        guard let stored = try await cluster.put(lease) else { return nil }
        cluster.wroteLeader(record, begun: begun)
        known.withLock { $0.written = record }
        return LeaseVersion(stored.resourceVersion)
    }

    /// By a watch; without one, by its time.
    public func waitForLeaseChange(since: LeaseVersion?, milliseconds: UInt64) async -> Bool {
        await watch.wait(since: since, milliseconds: milliseconds)
    }

    // MARK: The highest term

    private func tracedTerm() async throws(StoreError) -> UInt64 {
        let traced = try await cluster.read(cluster.names.gate).map(LeaseForm.highestTerm) ?? 0
        return known.withLock { known in
            known.traced = max(known.traced, traced)
            return known.traced
        }
    }

    /// Has the gate's Lease tell of `term`. If the leader's is not written after it, the next term is one higher, and that is all.
    private func trace(_ term: UInt64) async throws(StoreError) {
        guard known.withLock({ $0.traced < term }) else { return }
        for _ in 0..<Self.attempts {
            var gate =
                try await cluster.read(cluster.names.gate)
                ?? Lease(namespace: cluster.namespace, name: cluster.names.gate)
            if LeaseForm.highestTerm(gate) < term {
                // Nothing else of it changes; one that is made without a holder admits nothing, as if it were missing.
                gate.annotations = [LeaseForm.highestTerm: "\(term)"]
                guard try await cluster.put(gate) != nil else { continue }
            }
            return known.withLock { $0.traced = max($0.traced, term) }
        }
        throw StoreError(
            .busy,
            "the Lease \(cluster.namespace)/\(cluster.names.gate) was changed by others \(Self.attempts) times while term \(term)"
                + " was to be noted in it; it is tried again")
    }
}
