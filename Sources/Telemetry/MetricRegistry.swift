public import CoreMetrics
internal import Synchronization

/// Where metrics are kept for Prometheus: a factory for swift-metrics that knows a closed set of them.
///
/// Promises:
/// 1. A metric that is not in the set, or whose labels are not the ones the set says, is not kept: whoever reports it
///    reports into the void. So nothing that a record or receiver says can make a new series.
/// 2. A metric has at most ``maxSeries`` series.
/// 3. The same name with the same labels is the same series, whoever asks: it goes on where an earlier lane stopped.
///
/// Making a handle costs a search; using one does not. Handles are made once per lane.
public final class MetricRegistry: MetricsFactory {
    private struct Family {
        var definition: MetricDefinition
        var series: [(values: [String], series: any MetricSeries)] = []
    }

    /// Series of a metric at the most: more than anybody has targets.
    public static let maxSeries = 1_024

    private let families: Mutex<[Family]>

    /// An empty one for these metrics.
    public init(_ definitions: [MetricDefinition] = ExportMetrics.all) {
        families = Mutex(definitions.map { Family(definition: $0) })
    }

    /// Everything as Prometheus text, format version 0.0.4. Metrics without a series are left out.
    public func render() -> [UInt8] {
        let shown = families.withLock { families in
            families.map { family in
                MetricFamily(
                    definition: family.definition,
                    series: family.series.compactMap { values, series in
                        series.value().map { MetricFamily.Series(labels: values, value: $0) }
                    })
            }
        }
        return PrometheusText.render(shown)
    }

    private func series<Series: MetricSeries>(
        _ label: String, _ dimensions: [(String, String)], _ kind: MetricDefinition.Kind,
        make: (MetricDefinition) -> Series
    ) -> Series? {
        families.withLock { families in
            guard let index = families.firstIndex(where: { $0.definition.name == label }),
                families[index].definition.kind == kind,
                families[index].definition.labels == dimensions.map(\.0)
            else { return nil }
            let values = dimensions.map(\.1)
            if let known = families[index].series.first(where: { $0.values == values }) {
                return known.series as? Series
            }
            guard families[index].series.count < Self.maxSeries else { return nil }
            let made = make(families[index].definition)
            families[index].series.append((values, made))
            return made
        }
    }

    // MARK: MetricsFactory

    /// A counter of the set.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions, .counter) { _ in CounterSeries() } ?? NOOPMetricsHandler.instance
    }

    /// A gauge of the set.
    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions, .gauge) { _ in GaugeSeries() } ?? NOOPMetricsHandler.instance
    }

    /// A histogram of the set.
    public func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        series(label, dimensions, .histogram) { HistogramSeries(bounds: $0.buckets) } ?? NOOPMetricsHandler.instance
    }

    /// A histogram of the set, of seconds.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, dimensions, .histogram) { HistogramSeries(bounds: $0.buckets) } ?? NOOPMetricsHandler.instance
    }

    /// Series stay: a counter that vanishes and comes back looks like a restart.
    public func destroyCounter(_ handler: any CounterHandler) {}
    /// Series stay.
    public func destroyMeter(_ handler: any MeterHandler) {}
    /// Series stay.
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    /// Series stay.
    public func destroyTimer(_ handler: any TimerHandler) {}
}

extension MetricDefinition {
    /// A handle for the series with these values, in the order of ``labels``.
    public func counter(_ values: String..., in factory: any MetricsFactory) -> Counter {
        Counter(label: name, dimensions: Array(zip(labels, values)), factory: factory)
    }

    /// A handle for the series with these values, in the order of ``labels``.
    public func meter(_ values: String..., in factory: any MetricsFactory) -> Meter {
        Meter(label: name, dimensions: Array(zip(labels, values)), factory: factory)
    }

    /// A handle for the series with these values, in the order of ``labels``.
    public func timer(_ values: String..., in factory: any MetricsFactory) -> Timer {
        Timer(label: name, dimensions: Array(zip(labels, values)), factory: factory)
    }
}
