import Coordinator
import Formats
import Ledger
import Logging
import Model
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
    private let deadlineMilliseconds: UInt64
    private let counter = Atomic<Int>(0)
    private let hasHinted = Atomic<Bool>(false)

    /// What is wrong with lines that are something else than a result, such as a List.
    private static let whole = ["record", "apiVersion", "kind", "metadata"]
    /// For whoever has such lines.
    private static let hint =
        "each line has to be one result: `kubectl get … -o json` gives them with `jq -c '.items[]'`, pretty-printed objects with `jq -c .`"

    /// - Parameter deadlineMilliseconds: how long the ledger may refuse before the run is ended.
    init(
        ledger: Ledger, reader: InputReader, console: Console, log: Logger, stop: StopSignal,
        deadlineMilliseconds: UInt64
    ) {
        self.ledger = ledger
        self.reader = reader
        self.console = console
        self.log = log
        self.stop = stop
        self.deadlineMilliseconds = deadlineMilliseconds
    }

    /// Records refused so far that the ledger has.
    var count: Int { counter.load(ordering: .relaxed) }

    /// Returns when the ledger has them, for what lies behind them may be settled only then; false if the run was
    /// asked to stop before, or the ledger refused until the deadline: then the run is asked to stop, as no target's
    /// deadline passes while all of them wait for this.
    func take(_ records: [BadRecord]) async -> Bool {
        let start = SystemClock.now()
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
        if records.contains(where: { Self.whole.contains($0.error.field) }),
            !hasHinted.exchange(true, ordering: .relaxed)
        {
            if console.isTerminal { console.line(Self.hint) } else { log.notice("\(Self.hint)") }
        }
        while true {
            do throws(LedgerError) {
                try await ledger.commit(changes)
                counter.add(records.count, ordering: .relaxed)
                return true
            } catch {
                log.error("the ledger did not take refused records; trying again: \(error)")
                if stop.isSet { return false }
                let waited = SystemClock.now().milliseconds(since: start)
                guard waited < deadlineMilliseconds else {
                    log.error("giving up at the deadline: refused records could not be written down")
                    stop.set()
                    return false
                }
                try? await Task.sleep(for: .milliseconds(min(1_000, deadlineMilliseconds - waited)))
            }
        }
    }
}
