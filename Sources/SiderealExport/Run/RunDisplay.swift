import ExportCore
import Logging
import Model
import ShardWorker
import Threading

/// Shows how a session fares: bars on a terminal, a log line every few seconds elsewhere.
struct RunDisplay: Sendable {
    let session: RunSession
    let console: Console
    let log: Logger
    let startedAt: Tick

    private static let logEveryMilliseconds: UInt64 = 5_000

    /// Returns when cancelled.
    func run() async {
        var lastLog = SystemClock.now()
        while (try? await Task.sleep(for: .milliseconds(100))) != nil {
            if console.isTerminal {
                console.live(lines())
            } else if SystemClock.now().milliseconds(since: lastLog) >= Self.logEveryMilliseconds {
                lastLog = SystemClock.now()
                for gauge in session.worker.gauges { log(gauge) }
            }
        }
    }

    private func log(_ gauge: LaneGauge) {
        let status = gauge.snapshot()
        var metadata: Logger.Metadata = [
            "target": "\(gauge.target.name)", "delivered": "\(status.delivered)",
            "queuedBytes": "\(status.queuedBytes)",
            "retries": "\(status.retries)", "deadLetters": "\(status.dead)",
        ]
        if let waiting = Self.waiting(status.delivery.breaker) { metadata["breaker"] = "\(waiting)" }
        if let failure = status.lastFailure { metadata["lastFailure"] = "\(failure)" }
        log.info("progress", metadata: metadata)
    }

    private func lines() -> [String] {
        let elapsed = SystemClock.now().milliseconds(since: startedAt)
        let width = session.worker.gauges.map(\.target.name.count).max() ?? 0
        return session.worker.gauges.enumerated().map { index, gauge in
            let status = gauge.snapshot()
            // A target that is done keeps its rate while the others go on.
            let busy = status.isIdle ? status.lastProgress.milliseconds(since: startedAt) : elapsed
            let name = gauge.target.name + String(repeating: " ", count: width - gauge.target.name.count)
            let fraction = session.fraction(index)
            var parts = [
                name, Self.bar(fraction), "\(Human.count(status.delivered)) records",
                Human.rate(status.delivered, milliseconds: busy),
            ]
            if let fraction, fraction > 0.01, fraction < 1, !status.isIdle {
                let left = Double(elapsed) * (1 - fraction) / fraction
                parts.append("\(Human.duration(milliseconds: UInt64(left))) left")
            }
            if status.dead > 0 { parts.append("\(Human.count(status.dead)) dead letters") }
            if let failure = status.lastFailure {
                parts.append("\(Self.waiting(status.delivery.breaker) ?? "retrying"): \(failure.code)")
            }
            return parts.joined(separator: "  ")
        }
    }

    /// How long the target is left alone; nil if it is asked as usual.
    private static func waiting(_ breaker: Breaker.State) -> String? {
        switch breaker {
        case .closed: return nil
        case .halfOpen: return "trying again"
        case .open(_, let until):
            let left = until.milliseconds(since: SystemClock.now())
            return left > 0 ? "waiting \(Human.duration(milliseconds: left))" : "trying again soon"
        }
    }

    private static func bar(_ fraction: Double?) -> String {
        guard let fraction else { return "[  reading a pipe  ]" }
        let full = Int(fraction * 20)
        let percent = String(Int(fraction * 100))
        return "[" + String(repeating: "█", count: full) + String(repeating: "·", count: 20 - full) + "] "
            + String(repeating: " ", count: 3 - percent.count) + percent + " %"
    }
}
