import CoreMetrics
public import ExportCore
public import Model
import Synchronization
import Threading

/// How one target fares: what progress bars, summaries and the feed read.
public struct LaneStatus: Sendable {
    /// Records written for the target in this run.
    public var taken = 0
    /// Records it accepted in this run.
    public var delivered = 0
    /// Their encoded bytes, before compression.
    public var deliveredBytes = 0
    /// Bytes of the input that are settled, in this run.
    public var settledInput: UInt64 = 0
    /// Batches settled.
    public var batches = 0
    /// Attempts that failed and were or will be made again.
    public var retries = 0
    /// Records that the receiver took and did not confirm, each time they were sent again for it.
    public var unconfirmed = 0
    /// Records given up in this run.
    public var dead = 0
    /// Records carried no further, because somebody else has them now.
    public var withdrawn = 0
    /// Attempts that ended, however.
    public var attempts = 0
    /// Attempts that ended with something accepted.
    public var successes = 0
    /// When the last of these ended; nil if there was none.
    public var lastSuccess: Tick?
    /// What the last requests took.
    public var times = RecentTimes()
    /// Batches that wait or are under way.
    public var queuedBatches = 0
    /// Since when the oldest of them has been in hand; nil if there is none.
    public var oldest: Tick?
    /// Encoded bytes that wait or are under way.
    public var queuedBytes = 0
    /// Breaker, limit, requests under way, failures in a row.
    public var delivery: Delivery.Status
    /// Why the last attempt failed; nil after a success.
    public var lastFailure: Reason?
    /// When something was last settled.
    public var lastProgress: Tick
    /// Nothing waits and nothing is under way.
    public var isIdle = true
    /// Some request or commit is under way right now.
    public var isActive = false
}

/// A lane's status, shared between the parts that change it and those that look. Touched per batch, not per record.
public final class LaneGauge: Sendable {
    /// The target.
    public let target: Target
    let metrics: LaneMetrics
    private let state: Mutex<LaneStatus>

    init(target: Target, metrics: any MetricsFactory = NOOPMetricsHandler.instance, now: Tick) {
        self.target = target
        self.metrics = LaneMetrics(target, in: metrics)
        let delivery = Delivery.Status(concurrencyLimit: target.minConcurrency)
        state = Mutex(LaneStatus(delivery: delivery, lastProgress: now))
    }

    /// The status as it is now.
    public func snapshot() -> LaneStatus { state.withLock { $0 } }

    /// Brings those of the target's metrics up to date that change while nothing happens.
    public func publish(now: Tick) { metrics.shows(snapshot(), now: now) }

    /// An attempt with `records` ended, and counts as `outcome`.
    func hears(_ verdict: Verdict, as outcome: Outcome, records: Int, nanoseconds: UInt64) {
        metrics.hears(outcome, nanoseconds: nanoseconds)
        let now = SystemClock.now()
        update {
            $0.attempts += 1
            $0.times.add(nanoseconds: nanoseconds)
            guard verdict.accepts(of: records) else { return }
            $0.successes += 1
            $0.lastSuccess = now
        }
    }

    func update(_ change: (inout LaneStatus) -> Void) { state.withLock { change(&$0) } }
}

/// Wakes the one task that waits for any lane to have made progress.
///
/// A wait that ends early leaves its alarm, which the next one puts off: a timer that is set and taken back for every frame
/// costs more than what is in a small frame.
final class Doorbell: Sendable {
    private struct State {
        var isRung = false
        var waiter: CheckedContinuation<Void, Never>?
        var alarm = Alarm()
    }

    private let state = Mutex(State())

    deinit { state.withLock { $0.alarm.cancel() } }

    /// Wakes the waiter, or the next one to come.
    func ring() {
        let waiter = state.withLock { state in
            let waiter = state.waiter
            state.waiter = nil
            state.isRung = waiter == nil
            return waiter
        }
        waiter?.resume()
    }

    /// Returns at the next ring, or after `milliseconds` at the latest. At once if it rang since the last time.
    func wait(milliseconds: UInt64) async {
        let due = SystemClock.now().adding(milliseconds: milliseconds)
        state.withLock { $0.alarm.set(for: due) { [weak self] in self?.strike($0) } }
        await pause()
    }

    private func strike(_ time: Tick) {
        if state.withLock({ $0.alarm.hasRung(time) }) { ring() }
    }

    /// Returns at the next ring. At once if it rang since the last time.
    func wait() async {
        state.withLock { $0.alarm.cancel() }
        await pause()
    }

    private func pause() async {
        await withCheckedContinuation { continuation in
            let isRung = state.withLock { state in
                let isRung = state.isRung
                state.isRung = false
                if !isRung { state.waiter = continuation }
                return isRung
            }
            if isRung { continuation.resume() }
        }
    }
}
