import CoreMetrics
import Telemetry

/// What the intake reports, per chunk.
struct IntakeMetrics: Sendable {
    private let read, refused: Counter

    init(in factory: any MetricsFactory) {
        read = ExportMetrics.recordsRead.counter(in: factory)
        refused = ExportMetrics.recordsRefused.counter(in: factory)
    }

    func takes(read records: Int, refused bad: Int) {
        read.increment(by: records)
        if bad > 0 { refused.increment(by: bad) }
    }
}
