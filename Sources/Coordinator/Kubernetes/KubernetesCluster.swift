import ExportCore
public import KubernetesAPI
import Model
import Synchronization
import Threading

/// The Kubernetes cluster in whose objects its coordinators keep what outlives them. What every store of it shares: the client,
/// where things lie, and whether this process leads.
///
/// | object | is |
/// |---|---|
/// | Lease `sidereal-export-leader` | who leads (``KubernetesLeases``) |
/// | Lease `sidereal-export-gate` | the gate, which the API server enforces (``KubernetesGate``), and the highest term ever |
/// | SiderealSystemAlert | an episode in which exporting does not work (``KubernetesAlerts``) |
/// | Event | a change of the gate (``KubernetesEvents``) |
/// | SiderealProbeResult, in all namespaces | a result, and what became of it |
///
/// One object is read and replaced in one step (by its resourceVersion), two never are. So what is written in the name of a
/// term is fenced twice: by ``require(_:)`` right before, and by the version of the object that is changed. Events are not: they say
/// what was decided, upon which nobody acts.
public final class KubernetesCluster: Sendable {
    /// What the objects are called.
    public struct Names: Sendable, Equatable {
        /// The leader's Lease.
        public var leader = "sidereal-export-leader"
        /// The gate's Lease, as the admission policy names it.
        public var gate = "sidereal-export-gate"

        /// As the chart's rules have them.
        public init() {}
    }

    /// Asks the API server.
    public let client: KubernetesClient
    /// The system namespace: of the Leases, the alerts and the events. Results lie in all namespaces.
    public let namespace: String
    /// Names in it.
    public let names: Names
    /// How long a request about a Lease, the gate or an alert may take, milliseconds.
    public let requestMilliseconds: UInt64
    private let proof: Mutex<LeaderProof>

    /// - Parameters:
    ///   - requestMilliseconds: the election's request time-out.
    ///   - confirmedMilliseconds: the election's renew deadline: for so long after it began to write the lease its holder may act.
    public init(
        client: KubernetesClient, namespace: String, names: Names = Names(), requestMilliseconds: UInt64 = 4_000,
        confirmedMilliseconds: UInt64 = 10_000
    ) {
        self.client = client
        self.namespace = namespace
        self.names = names
        self.requestMilliseconds = requestMilliseconds
        proof = Mutex(LeaderProof(lastsMilliseconds: confirmedMilliseconds))
    }

    // MARK: Fence

    /// Refuses whoever does not lead in the term of `fence`: with `.fenced` if that is certain, else with why it cannot be told.
    ///
    /// Costs nothing while the lease is renewed: a renewal that succeeded proves it for the renew deadline, counted from when it
    /// was begun. Past that the lease is read. To be asked right before every request that changes something, of requests that
    /// go out together once for all; what follows may take as long as the lease is longer than the renew deadline.
    public func require(_ fence: Fence) async throws(StoreError) {
        if proof.withLock({ $0.holds(fence, now: SystemClock.now()) }) { return }
        let record = try await readLeader().map(LeaseForm.record)
        if proof.withLock({ $0.admits(fence, record) }) { return }
        let now = record.map { $0.isHeld ? "\($0.holder) holds it in term \($0.term)" : "nobody holds it" }
        throw StoreError(
            .fenced,
            "the Lease \(namespace)/\(names.leader) is not that of \(fence.holder) in term \(fence.term) any more: "
                + (now ?? "it is gone") + ". Nothing was written")
    }

    /// The leader's Lease as of now; nil if there is none.
    func readLeader() async throws(StoreError) -> Lease? {
        let begun = SystemClock.now()
        let lease = try await read(names.leader)
        let record = lease.map(LeaseForm.record)
        proof.withLock { $0.saw(record, begun: begun) }
        return lease
    }

    /// The lease was written, by a request that began then.
    func wroteLeader(_ record: LeaseRecord, begun: Tick) { proof.withLock { $0.wrote(record, begun: begun) } }

    // MARK: Leases

    /// A Lease of the system namespace as of now; nil if there is none.
    func read(_ name: String) async throws(StoreError) -> Lease? {
        do throws(APIFailure) {
            return try await client.lease(namespace: namespace, name: name, milliseconds: requestMilliseconds)
        } catch {
            throw StoreError(error)
        }
    }

    /// Makes a Lease that has no version, or writes one that was read; as it was stored, or nil if it is not what it was.
    func put(_ lease: Lease) async throws(StoreError) -> Lease? {
        do throws(APIFailure) {
            return lease.resourceVersion.isEmpty
                ? try await client.createLease(lease, milliseconds: requestMilliseconds)
                : try await client.updateLease(lease, milliseconds: requestMilliseconds)
        } catch {
            switch error.kind {
            case .alreadyExists, .conflict: return nil
            // Of a Lease that is to be made it is the namespace that is missing.
            case .notFound where !lease.resourceVersion.isEmpty: return nil
            default: throw StoreError(error)
            }
        }
    }
}

extension StoreError {
    /// What a failed call means to whoever asked a store.
    public init(_ failure: APIFailure) {
        switch failure.kind {
        case .notSent, .throttled, .noAnswer, .cancelled, .shutDown: self.init(.busy, failure.description)
        // etcd's words when its quota is used up ("mvcc: database space exceeded").
        case .serverError where failure.description.contains("database space exceeded"):
            self.init(.full, failure.description + "; make room in etcd, or raise its quota")
        case .serverError, .conflict, .alreadyExists, .expired: self.init(.busy, failure.description)
        case .noCredential, .unauthorized, .forbidden, .notFound, .rejected, .tooLarge, .unreadable:
            self.init(.unusable, failure.description)
        }
    }
}
