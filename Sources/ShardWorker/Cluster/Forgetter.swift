import Ledger
import Logging
import Model
import Synchronization
import Threading

/// Rows that the leader has for good: the ledger forgets them with the next commit of a lane, which is synchronized anyway,
/// or in one of its own if none comes soon.
final class Forgetter: Sendable {
    private struct State {
        /// Up to which row it may forget, and up to which it was asked to.
        var (wanted, asked): (UInt64, UInt64) = (0, 0)
        var alarm = Alarm()
    }

    private let ledger: any LedgerSink
    private let log: Logger
    private let state = Mutex(State())
    private static let patienceMilliseconds: UInt64 = 1_000

    init(_ ledger: any LedgerSink, log: Logger) {
        self.ledger = ledger
        self.log = log
    }

    deinit { state.withLock { $0.alarm.cancel() } }

    func forget(through row: UInt64) {
        let due = SystemClock.now().adding(milliseconds: Self.patienceMilliseconds)
        state.withLock { state in
            let waits = state.wanted > state.asked
            state.wanted = max(state.wanted, row)
            guard !waits else { return }
            state.alarm.set(for: due) { [weak self] time in self?.ring(time) }
        }
    }

    /// What a commit that is made now is to take along, if anything. If that commit fails, the rows are told once more after
    /// a restart, and the leader knows them: it costs only room, and until the next ones are forgotten.
    func take() -> LedgerChange? {
        state.withLock { state in
            guard state.wanted > state.asked else { return nil }
            state.asked = state.wanted
            return .forgotten(through: state.wanted)
        }
    }

    /// Forgets what waits to be.
    func flush() async {
        guard let change = take() else { return }
        do throws(LedgerError) {
            try await ledger.commit([change])
        } catch {
            log.warning("the ledger did not forget what the leader has: \(error)")
        }
    }

    private func ring(_ time: Tick) {
        guard state.withLock({ $0.alarm.hasRung(time) }) else { return }
        Task { await flush() }
    }
}
