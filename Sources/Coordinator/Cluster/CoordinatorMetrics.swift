import CoreMetrics
import ExportCore
import Telemetry

/// What happens in a cluster, counted; how it stands is measured by whoever shows its status.
struct CoordinatorMetrics: Sendable {
    /// What happens to workers, as labels have it.
    enum WorkerEvent: String, CaseIterable, Sendable {
        case joined, back, drain, lost, dead, refused
    }

    private let factory: any MetricsFactory
    private let terms: Counter
    private let workers: [WorkerEvent: Counter]

    init(in factory: any MetricsFactory) {
        self.factory = factory
        terms = ExportMetrics.clusterTermsLed.counter(in: factory)
        workers = Dictionary(
            uniqueKeysWithValues: WorkerEvent.allCases.map {
                ($0, ExportMetrics.clusterWorkerEvents.counter($0.rawValue, in: factory))
            })
    }

    func leads() { terms.increment() }

    func saw(_ event: WorkerEvent) { workers[event]?.increment() }

    func changes(_ change: ExportGate.Transition) {
        if !change.isNews {
            ExportMetrics.clusterGateChanges.counter(change.from.rawValue, change.to.rawValue, in: factory).increment()
        }
        for kind in change.kinds { ExportMetrics.clusterGateCauses.counter(kind.rawValue, in: factory).increment() }
    }
}
