import CoreMetrics
import Testing

@testable import Telemetry

@Suite struct RegistryTests {
    private let counter = MetricDefinition(.counter, "a_total", labels: ["target"], "Counts.")
    private let gauge = MetricDefinition(.gauge, "b", "Goes \\ up\nand down.")
    private let histogram = MetricDefinition(.histogram, "c_seconds", labels: ["x"], buckets: [0.1, 1], "Times.")

    private func text(_ registry: MetricRegistry) -> String { String(decoding: registry.render(), as: UTF8.self) }

    @Test func writesEachKind() {
        let registry = MetricRegistry([counter, gauge, histogram])
        counter.counter("one", in: registry).increment(by: 3)
        gauge.meter(in: registry).set(-1.5)
        let timer = histogram.timer("y", in: registry)
        for nanoseconds in [50_000_000, 100_000_000, 700_000_000, 3_000_000_000] as [Int64] {
            timer.recordNanoseconds(nanoseconds)
        }
        #expect(
            text(registry) == """
                # HELP a_total Counts.
                # TYPE a_total counter
                a_total{target="one"} 3
                # HELP b Goes \\\\ up\\nand down.
                # TYPE b gauge
                b -1.5
                # HELP c_seconds Times.
                # TYPE c_seconds histogram
                c_seconds_bucket{x="y",le="0.1"} 2
                c_seconds_bucket{x="y",le="1"} 3
                c_seconds_bucket{x="y",le="+Inf"} 4
                c_seconds_sum{x="y"} 3.85
                c_seconds_count{x="y"} 4

                """)
    }

    @Test func aGaugeThatIsNoNumberIsLeftOut() {
        let registry = MetricRegistry([gauge])
        let meter = gauge.meter(in: registry)
        meter.set(2)
        meter.set(Double.nan)
        #expect(text(registry) == "")
        meter.set(3)
        #expect(text(registry).hasSuffix("\nb 3\n"))
    }

    @Test func escapesLabelValues() {
        let registry = MetricRegistry([counter])
        counter.counter("a\"b\\c\nd{}é", in: registry).increment()
        #expect(text(registry).contains(#"a_total{target="a\"b\\c\nd{}é"} 1"#))
    }

    @Test func theSameLabelsAreTheSameSeries() {
        let registry = MetricRegistry([counter])
        for _ in 0..<3 { counter.counter("one", in: registry).increment(by: 2) }
        counter.counter("two", in: registry).increment()
        #expect(text(registry).hasSuffix("a_total{target=\"one\"} 6\na_total{target=\"two\"} 1\n"))
    }

    /// Whatever others report, and however they label it: it makes no new series.
    @Test func knowsNothingButItsSet() {
        let registry = MetricRegistry([counter])
        Counter(label: "other_total", dimensions: [], factory: registry).increment()
        Counter(label: "a_total", dimensions: [], factory: registry).increment()
        Counter(label: "a_total", dimensions: [("target", "x"), ("uid", "y")], factory: registry).increment()
        Meter(label: "a_total", dimensions: [("target", "x")], factory: registry).set(1)
        Timer(label: "a_total", dimensions: [("target", "x")], factory: registry).recordNanoseconds(1)
        Recorder(label: "a_total", dimensions: [("target", "x")], factory: registry).record(1)
        #expect(text(registry) == "")
    }

    @Test func seriesAreBounded() {
        let registry = MetricRegistry([counter])
        for number in 0..<MetricRegistry.maxSeries + 50 { counter.counter("\(number)", in: registry).increment() }
        #expect(text(registry).split(separator: "\n").count == 2 + MetricRegistry.maxSeries)
    }

    @Test func gaugeWithoutAValueIsLeftOut() {
        let registry = MetricRegistry([gauge])
        let meter = gauge.meter(in: registry)
        #expect(text(registry) == "")
        meter.increment(by: 2)
        meter.decrement(by: 0.5)
        #expect(text(registry).hasSuffix("\nb 1.5\n"))
    }

    @Test func countersOnlyGrow() {
        let registry = MetricRegistry([counter])
        let handle = counter.counter("x", in: registry)
        handle.increment(by: 5)
        handle.increment(by: -3)
        #expect(text(registry).hasSuffix(" 5\n"))
    }

    @Test(arguments: [
        (Double.nan, "NaN"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (0.25, "0.25"), (-0.0, "0"),
        (1e18, "1000000000000000000"),
        (1.5e300, "1.5e+300"), (1_774_000_000.123, "1774000000.123"),
    ])
    func writesNumbersAsPrometheusReadsThem(value: Double, expected: String) {
        #expect(PrometheusText.number(value) == expected)
    }
}
