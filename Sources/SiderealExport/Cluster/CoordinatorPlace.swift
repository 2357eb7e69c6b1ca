import Configuration
import Coordinator
import HTTPClient
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
    init(_ setup: CoordinatorSetup, _ log: Logger, seed: UInt64) throws(SetupRefusal) {
        switch setup.home {
        case .directory(let directory): self = try Self(directory: directory, setup, log)
        case .kubernetes(let access, let namespace): self = Self(access, namespace, setup, log, seed)
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
        stores = CoordinatorStores(lease: store, gate: store, alerts: store, status: store) { settled in
            store.results(settled: settled, shardCount: shards, limits: limits)
        }
        close = { await store.close() }
        description = directory
    }
}
