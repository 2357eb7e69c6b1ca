import Coordinator
import Formats
import Ledger
import Logging
import ShardWorker
import Synchronization
import Threading

/// Takes records that were refused before any target saw them.
protocol Refusals: Sendable {
    /// Records refused so far.
    var count: Int { get }

    /// Returns when they are written down, for what lies behind them may be settled only then; false if that could
    /// not be done.
    func take(_ records: [BadRecord]) async -> Bool
}

/// Writes refused records down as dead letters and says which they were.
final class RefusalLog: Refusals {
    private let ledger: Ledger
    private let reader: InputReader
    private let console: Console
    private let log: Logger
    private let stop: StopSignal
    private let counter = Atomic<Int>(0)

    init(ledger: Ledger, reader: InputReader, console: Console, log: Logger, stop: StopSignal) {
        self.ledger = ledger
        self.reader = reader
        self.console = console
        self.log = log
        self.stop = stop
    }

    /// Records refused so far.
    var count: Int { counter.load(ordering: .relaxed) }

    /// Returns when the ledger has them, for what lies behind them may be settled only then; false if the run was
    /// asked to stop before.
    func take(_ records: [BadRecord]) async -> Bool {
        let now = SystemClock.unixMilliseconds()
        let changes = records.map { record in
            LedgerChange.deadLetter(
                NewDeadLetter(
                    target: "", source: SourceID(rawValue: record.source), range: record.range,
                    uid: RecordIdentity.uid(of: record.bytes), reason: "\(record.error)", code: "invalid-record",
                    firstAttempt: now, lastAttempt: now, attempts: 0, bytes: record.bytes))
        }
        for record in records {
            let place = await reader.place(source: record.source, offset: record.range.lowerBound)
            if console.isTerminal {
                console.line("\(place): \(record.error)")
            } else {
                log.error("\(place): \(record.error)")
            }
        }
        counter.add(records.count, ordering: .relaxed)
        while true {
            do throws(LedgerError) {
                try await ledger.commit(changes)
                return true
            } catch {
                log.error("the ledger did not take refused records; trying again: \(error)")
                if stop.isSet { return false }
                try? await Task.sleep(for: .seconds(1))
            }
        }
    }
}
