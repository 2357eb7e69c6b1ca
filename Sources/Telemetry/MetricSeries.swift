internal import CoreMetrics
internal import Synchronization

/// What a series holds at one moment.
enum SeriesValue: Sendable, Equatable {
    case whole(Int64)
    case number(Double)
    /// Counts per bucket, the infinite one last, and the sum of the values.
    case buckets([Int64], sum: Double)
}

/// A series that can be looked at; nil if it has no value yet.
protocol MetricSeries: AnyObject, Sendable {
    func value() -> SeriesValue?
}

final class CounterSeries: MetricSeries, CounterHandler {
    private let count = Atomic<Int64>(0)

    /// Counters only grow: less than nothing is taken for nothing.
    func increment(by amount: Int64) { count.wrappingAdd(max(amount, 0), ordering: .relaxed) }
    func reset() { count.store(0, ordering: .relaxed) }
    func value() -> SeriesValue? { .whole(count.load(ordering: .relaxed)) }
}

/// One that is set to what is no number has no value, until it is set to one again.
final class GaugeSeries: MetricSeries, MeterHandler {
    private let state = Mutex<Double?>(nil)

    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { state.withLock { $0 = value.isNaN ? nil : value } }
    func increment(by amount: Double) { state.withLock { $0 = ($0 ?? 0) + amount } }
    func decrement(by amount: Double) { increment(by: -amount) }
    func value() -> SeriesValue? { state.withLock { $0 }.map { .number($0) } }
}

final class HistogramSeries: MetricSeries, RecorderHandler, TimerHandler {
    private struct State {
        var counts: [Int64]
        var sum = 0.0
    }

    private let bounds: [Double]
    private let state: Mutex<State>

    init(bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    func record(_ value: Int64) { record(Double(value)) }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1_000_000_000) }

    func record(_ value: Double) {
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock {
            $0.counts[bucket] += 1
            $0.sum += value
        }
    }

    func value() -> SeriesValue? { state.withLock { .buckets($0.counts, sum: $0.sum) } }
}
