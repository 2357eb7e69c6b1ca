import CoreMetrics
import ExportCore
import Model
import Telemetry

/// What one lane reports. Handles are made once, and touched per batch or request.
struct LaneMetrics: Sendable {
    private let taken, delivered, bytes, batches, dead, attempts, retries, failures, openings, unconfirmed: Counter
    private let outcomes: [Outcome: Counter]
    private let duration: Timer
    private let queueBatches, queueBytes, oldestAge, consecutiveFailures, limit, inFlight, lastSuccess: Meter
    private let closed, open, halfOpen: Meter

    init(_ target: Target, in factory: any MetricsFactory) {
        typealias M = ExportMetrics
        let name = target.name
        let (backend, format) = (target.backend.rawValue, target.format.rawValue)
        M.targetInfo.meter(name, backend, format, in: factory).set(1)
        taken = M.recordsTaken.counter(name, in: factory)
        delivered = M.recordsDelivered.counter(name, in: factory)
        bytes = M.bytesDelivered.counter(name, in: factory)
        batches = M.batchesSettled.counter(name, in: factory)
        dead = M.deadLetters.counter(name, in: factory)
        attempts = M.attempts.counter(name, in: factory)
        retries = M.retries.counter(name, in: factory)
        failures = M.failures.counter(backend, format, in: factory)
        openings = M.breakerOpenings.counter(name, in: factory)
        unconfirmed = M.unconfirmed.counter(name, in: factory)
        outcomes = Dictionary(
            uniqueKeysWithValues: Outcome.allCases.map {
                ($0, M.attemptOutcomes.counter(name, $0.rawValue, in: factory))
            })
        duration = M.requestDuration.timer(name, in: factory)
        queueBatches = M.queueBatches.meter(name, in: factory)
        queueBytes = M.queueBytes.meter(name, in: factory)
        oldestAge = M.oldestAge.meter(name, in: factory)
        consecutiveFailures = M.consecutiveFailures.meter(name, in: factory)
        limit = M.concurrencyLimit.meter(name, in: factory)
        inFlight = M.requestsInFlight.meter(name, in: factory)
        lastSuccess = M.lastSuccess.meter(name, in: factory)
        closed = M.breakerState.meter(name, "closed", in: factory)
        open = M.breakerState.meter(name, "open", in: factory)
        halfOpen = M.breakerState.meter(name, "half_open", in: factory)
    }

    func takes(records: Int) { taken.increment(by: records) }

    func sends() { attempts.increment() }

    func hears(_ outcome: Outcome, nanoseconds: UInt64) {
        outcomes[outcome]?.increment()
        duration.recordNanoseconds(Int64(clamping: nanoseconds))
    }

    /// An attempt failed for reasons of the target.
    func fails() {
        retries.increment()
        failures.increment()
    }

    /// Records were taken and not acknowledged.
    func misses(records: Int) { unconfirmed.increment(by: records) }

    func opens(times: Int) { openings.increment(by: times) }

    /// A batch is settled; `unixMilliseconds` is now.
    func settles(delivered records: Int, bytes count: Int, dead letters: Int, unixMilliseconds: Int64) {
        delivered.increment(by: records)
        bytes.increment(by: count)
        dead.increment(by: letters)
        if records + letters > 0 { batches.increment() }
        if records > 0 { lastSuccess.set(Double(unixMilliseconds) / 1_000) }
    }

    /// What is measured when somebody looks.
    func shows(_ status: LaneStatus, now: Tick) {
        queueBatches.set(status.queuedBatches)
        queueBytes.set(status.queuedBytes)
        oldestAge.set(Double(status.oldest.map { now.milliseconds(since: $0) } ?? 0) / 1_000)
        consecutiveFailures.set(status.delivery.consecutiveFailures)
        limit.set(status.delivery.concurrencyLimit)
        inFlight.set(status.delivery.inFlight)
        var state = (closed: 0, open: 0, halfOpen: 0)
        switch status.delivery.breaker {
        case .closed: state.closed = 1
        case .open: state.open = 1
        case .halfOpen: state.halfOpen = 1
        }
        closed.set(state.closed)
        open.set(state.open)
        halfOpen.set(state.halfOpen)
    }
}
