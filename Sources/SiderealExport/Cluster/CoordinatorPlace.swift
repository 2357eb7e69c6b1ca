import Configuration
import Coordinator
import CoreMetrics
import ExportCore
import KubernetesAPI
import Logging
import Model

/// The stores of a coordinator, opened.
struct CoordinatorPlace: Sendable {
    /// Everything that outlives the process.
    let stores: CoordinatorStores
    /// Ends what is under way; nothing may be asked after.
    let close: @Sendable () async -> Void
    /// Where it is, for the log.
    let description: String

    /// Opens what `setup` says. A Kubernetes cluster is not asked anything yet: one that is away now may come.
    init(
        _ setup: CoordinatorSetup, _ log: Logger, _ metrics: any MetricsFactory, seed: UInt64
    ) throws(SetupRefusal) {
        switch setup.home {
        case .directory(let directory): self = try Self(directory: directory, setup, log)
        case .kubernetes(let access, let namespace): self = Self(access, namespace, setup, log, metrics, seed)
        }
    }

    private init(directory: String, _ setup: CoordinatorSetup, _ log: Logger) throws(SetupRefusal) {
        let store: FileClusterStore
        do throws(StoreError) {
            store = try FileClusterStore(directory: directory, log: log)
        } catch {
            throw SetupRefusal(lines: ["error: --standalone: \(error.description)"])
        }
        let (shards, limits) = (setup.configuration.cluster.shards, setup.configuration.limits)
        stores = CoordinatorStores(lease: store, gate: store, alerts: store, events: store, status: store) { settled in
            store.results(settled: settled, shardCount: shards, limits: limits)
        }
        close = { await store.close() }
        description = directory
    }

    private init(
        _ access: ClusterAccess, _ namespace: String, _ setup: CoordinatorSetup, _ log: Logger,
        _ metrics: any MetricsFactory, _ seed: UInt64
    ) {
        let client = KubernetesClient(access, approvedOnly: setup.configuration.fips, seed: seed)
        let cluster = KubernetesCluster(
            client: client, namespace: namespace, requestMilliseconds: setup.election.requestTimeout,
            confirmedMilliseconds: setup.election.renewDeadline)
        let leases = KubernetesLeases(cluster, log: log, seed: seed &+ 1)
        let status = KubernetesStatusStore(cluster, log: log, metrics: metrics)
        let shards = setup.configuration.cluster.shards
        stores = CoordinatorStores(
            lease: leases, gate: KubernetesGate(cluster), alerts: KubernetesAlerts(cluster),
            events: KubernetesEvents(cluster), status: status
        ) { settled in
            status.results(settled: settled, shardCount: shards, seed: seed &+ 2)
        }
        close = {
            await leases.close()
            await client.shutdown()
        }
        description = "\(access.server) (\(access.origin)), namespace \(namespace)"
    }
}
