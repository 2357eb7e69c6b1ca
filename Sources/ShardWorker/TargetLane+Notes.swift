import ExportCore
import Ledger
import Logging
import Model
import Threading

/// What a lane writes down of single records, and what it says of its target.
extension TargetLane {
    func letter(
        _ item: Delivery.DeadItem, _ batch: LaneBatch, _ now: Tick, _ wall: Int64
    ) async -> NewDeadLetter {
        let range = batch.starts[item.item]..<batch.starts[item.item] + UInt64(batch.lengths[item.item])
        let source = batch.source(of: item.item)
        let bytes = await lookup(source, range)
        let reason = bytes == nil ? "\(item.reason.message) (its bytes could not be read again)" : item.reason.message
        return NewDeadLetter(
            target: gauge.target.name, source: SourceID(rawValue: source), range: range,
            uid: RecordIdentity.uid(of: bytes ?? []), reason: reason, code: item.reason.code,
            firstAttempt: wall - Int64(now.milliseconds(since: item.firstAttempt)),
            lastAttempt: wall - Int64(now.milliseconds(since: item.lastAttempt)), attempts: item.attempts,
            bytes: bytes ?? [])
    }

    func note(_ kind: Delivery.FailureClass, _ reason: Reason) {
        let isTargets = kind.isTargets
        if isTargets { gauge.metrics.fails() }
        gauge.update {
            $0.lastFailure = reason
            if isTargets { $0.retries += 1 }
        }
        let metadata: Logger.Metadata = [
            "target": "\(gauge.target.name)", "class": "\(kind.rawValue)", "code": "\(reason.code)",
            "failures": "\(delivery.status.consecutiveFailures)",
        ]
        log.warning("\(reason.message)", metadata: metadata)
    }

    /// Says when the target is given up for a while, and when it is back.
    func note(_ before: Delivery.Status, _ after: Delivery.Status) {
        if after.openings > before.openings { gauge.metrics.opens(times: after.openings - before.openings) }
        let metadata: Logger.Metadata = ["target": "\(gauge.target.name)"]
        switch (before.breaker, after.breaker) {
        case (.closed, .open(_, let until)):
            let pause = until.milliseconds(since: SystemClock.now())
            log.notice(
                "no further requests for \(pause) ms, then one at a time until one succeeds", metadata: metadata)
        case (.halfOpen(let since), .closed):
            let out = SystemClock.now().milliseconds(since: since)
            log.info("the target takes records again, after \(out) ms", metadata: metadata)
        default: return
        }
    }

    func noteUnconfirmed(_ count: Int) {
        guard count > 0 else { return }
        gauge.metrics.misses(records: count)
        gauge.update { $0.unconfirmed += count }
        let metadata: Logger.Metadata = ["target": "\(gauge.target.name)", "records": "\(count)"]
        log.warning("taken but not acknowledged: sent again, so they may be there twice", metadata: metadata)
    }
}

extension Delivery.FailureClass {
    /// Whether it speaks of the target, and not of single records.
    var isTargets: Bool { self != .poison && self != .tooLarge }
}
