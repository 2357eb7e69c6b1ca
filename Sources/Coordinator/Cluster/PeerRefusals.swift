public import CoreMetrics
import ExportCore
public import Logging
import Model
import Synchronization
import Telemetry
import Threading

/// Tells and counts connections that were refused, at a pace that no flood of them can raise. Used from any thread.
public final class PeerRefusals: Sendable {
    private let log: Logger
    private let factory: any MetricsFactory
    private let pace = Mutex(RefusalPace())

    /// - Parameter metrics: where to count.
    public init(log: Logger, metrics: any MetricsFactory) {
        self.log = log
        factory = metrics
    }

    /// Tells and counts one.
    ///
    /// - Parameter kind: one of a few, for the metric.
    public func tell(_ kind: String, _ message: Logger.Message, _ about: Logger.Metadata) {
        ExportMetrics.clusterRefusals.counter(kind, in: factory).increment()
        flush()
        guard pace.withLock({ $0.refused(kind, now: SystemClock.now()) }) else { return }
        log.warning(message, metadata: about.merging(["kind": "\(kind)"]) { first, _ in first })
    }

    /// Tells how many were not told one by one, when it is time for that.
    func flush() {
        let now = SystemClock.now()
        let seconds = RefusalPace.periodMilliseconds / 1_000
        for withheld in pace.withLock({ $0.due(now: now) }) {
            log.warning(
                "\(withheld.count) more connections were refused in \(seconds) s, and not told one by one",
                metadata: ["kind": "\(withheld.kind)", "count": "\(withheld.count)"])
        }
    }
}
