import CoreMetrics
import Telemetry

/// What a worker of the cluster reports of itself.
struct WorkerFigures: Sendable {
    struct Values: Sendable {
        var shards: Int
        var rows: Int
        var term: UInt64
        var hasLease: Bool
        var carried: UInt64
    }

    private let shards, rows, term, lease, carried: Meter

    init(in factory: any MetricsFactory) {
        shards = ExportMetrics.workerShards.meter(in: factory)
        rows = ExportMetrics.workerRows.meter(in: factory)
        term = ExportMetrics.workerTerm.meter(in: factory)
        lease = ExportMetrics.workerLease.meter(in: factory)
        carried = ExportMetrics.workerCarried.meter(in: factory)
    }

    func shows(_ values: Values) {
        shards.set(values.shards)
        rows.set(values.rows)
        term.set(Double(values.term))
        lease.set(values.hasLease ? 1 : 0)
        carried.set(Double(values.carried))
    }
}
