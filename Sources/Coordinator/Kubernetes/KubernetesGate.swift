public import ExportCore
import KubernetesAPI
public import Model
import Synchronization
import Threading

/// The gate's record in a Kubernetes cluster: a Lease of the system namespace that the API server itself enforces
/// (``GateForm``).
///
/// Promises:
/// 1. A record is written only over the version of the Lease that was held against it, and only by whoever leads for certain
///    (``KubernetesCluster/require(_:)``).
/// 2. The time of the renewal is taken before the deadline, and right before the request. Whatever becomes of a request on its
///    way, it opens the gate for no longer than from then on.
/// 3. Annotations of others stay as they are.
public final class KubernetesGate: GateStore {
    private let cluster: KubernetesCluster
    /// The Lease as we wrote it last: as long as nobody else writes it, a renewal is one request.
    private let written = Mutex<Lease?>(nil)
    private static let attempts = 8

    /// The gate of `cluster`.
    public init(_ cluster: KubernetesCluster) { self.cluster = cluster }

    /// The record as of now; nil if there is none.
    public func readGate() async throws(StoreError) -> GateRecord? {
        try await cluster.read(cluster.names.gate).flatMap(GateForm.record)
    }

    /// See ``GateStore/writeGate(_:fence:before:)``.
    public func writeGate(
        _ record: GateRecord, fence: Fence, before deadline: Tick
    ) async throws(StoreError) -> GateRecord? {
        let (namespace, name) = (cluster.namespace, cluster.names.gate)
        for _ in 0..<Self.attempts {
            try await cluster.require(fence)
            let there = try await takeWritten()
            let stored = there.flatMap(GateForm.record)
            guard record.mayReplace(stored) else { return stored }
            let microseconds = SystemClock.unixMilliseconds() * 1_000
            // What was asked for before a long pause must not be seen to happen after it.
            guard SystemClock.now() < deadline else {
                throw StoreError(
                    .late,
                    "the Lease \(namespace)/\(name) was to be written by a time that has passed; nothing was written. This"
                        + " process was stopped, or the API server is slow")
            }
            let lease = GateForm.lease(
                record, replacing: there, namespace: namespace, name: name, microseconds: microseconds)
            if let stored = try await cluster.put(lease) {
                written.withLock { $0 = stored }
                return nil
            }
        }
        throw StoreError(
            .busy,
            "the Lease \(namespace)/\(name) was changed by others \(Self.attempts) times while it was to be written; who changes"
                + " it? Only the leader should")
    }

    /// The Lease as we know it, once; then as of now.
    private func takeWritten() async throws(StoreError) -> Lease? {
        let known = written.withLock { written in
            defer { written = nil }
            return written
        }
        if let known { return known }
        return try await cluster.read(cluster.names.gate)
    }
}
