import Crypto
import Ledger
import Logging
import ShardWorker
import Synchronization
import Threading

/// Stands before the ledger while dead letters are tried again: lanes speak of places in a file, the ledger hears of
/// letters.
final class RetryLedger: LedgerSink, Refusals {
    private let ledger: Ledger
    private let revival: Revival
    private let entries: [Int64: Revival.Entry]
    private let log: Logger
    /// On a terminal the table at the end says enough.
    private let isQuiet: Bool
    /// Where the letters lie that the intake refused.
    private let refused = Mutex<Set<UInt64>>([])

    init(_ ledger: Ledger, _ revival: Revival, log: Logger, isQuiet: Bool) {
        self.ledger = ledger
        self.revival = revival
        entries = Dictionary(revival.entries.map { ($0.id, $0) }) { first, _ in first }
        self.log = log
        self.isQuiet = isQuiet
    }

    var count: Int { refused.withLock { $0.count } }

    func commit(_ changes: [LedgerChange]) async throws(LedgerError) {
        let changes = try revival.translate(
            changes, refused: refused.withLock { $0 }, time: SystemClock.unixMilliseconds())
        try await ledger.commit(changes)
        for change in changes { report(change) }
    }

    func take(_ records: [BadRecord]) async -> Bool {
        let now = SystemClock.unixMilliseconds()
        var changes: [LedgerChange] = []
        for record in records {
            guard let entry = revival.entry(at: record.range.lowerBound) else { return false }
            changes.append(
                .deadLetterRefusedAgain(
                    id: entry.id, reason: "\(record.error)", code: "invalid-record", lastAttempt: now, attempts: 1))
        }
        do throws(LedgerError) {
            try await ledger.commit(changes)
        } catch {
            log.error("the ledger did not take refused records; they stay as they are: \(error)")
            return false
        }
        for change in changes { report(change) }
        refused.withLock { places in
            for record in records { places.insert(record.range.lowerBound) }
        }
        return true
    }

    private func report(_ change: LedgerChange) {
        guard !isQuiet else { return }
        switch change {
        case .deadLetterRemoved(let removal):
            guard let entry = entries[removal.id] else { return }
            log.notice(
                "dead letter delivered",
                metadata: [
                    "id": "\(entry.id)", "target": "\(entry.target)", "uid": "\(entry.uid)",
                    "sha256": "\(Hexadecimal.encode(entry.digest))", "by": "\(removal.person)",
                ])
        case .deadLetterRefusedAgain(let id, let reason, let code, _, _):
            guard let entry = entries[id] else { return }
            log.warning(
                "dead letter refused again",
                metadata: [
                    "id": "\(id)", "target": "\(entry.target)", "uid": "\(entry.uid)", "code": "\(code)",
                    "reason": "\(reason)",
                ])
        default: return
        }
    }
}
