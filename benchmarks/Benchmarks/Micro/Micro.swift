import AllocationCount
import Benchmark
import Cases

/// One iteration is one round of a case; its figures are of one record, or of what else the case is named after.
let benchmarks: @Sendable () -> Void = {
    let allocations = BenchmarkMetric.custom("Allocations", polarity: .prefersSmaller, useScalingFactor: false)
    let configuration = Benchmark.Configuration(
        metrics: [.wallClock, .throughput, allocations], warmupIterations: 3, scalingFactor: .kilo,
        maxDuration: .milliseconds(500), maxIterations: 1_000,
        thresholds: [allocations: BenchmarkThresholds(absolute: [.p90: 2])])
    for measured in MicroCase.all {
        Benchmark(measured.name, configuration: configuration) { benchmark, round in
            let before = allocation_count()
            let result: Int
            switch round.work {
            case .plain(let work): result = try work()
            case .waiting(let work): result = try await work()
            }
            benchmark.measurement(allocations, Int(allocation_count() - before))
            blackHole(result)
        } setup: {
            try await measured.prepare()
        }
    }
}
