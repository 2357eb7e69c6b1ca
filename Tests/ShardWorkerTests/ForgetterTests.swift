import Ledger
import Logging
import Synchronization
import Testing

@testable import ShardWorker

/// Rows that the leader has are forgotten once, with a commit of somebody else's if one comes in time.
@Suite struct ForgetterTests {
    private final class Commits: LedgerSink {
        let rows = Mutex<[UInt64]>([])

        func commit(_ changes: [LedgerChange]) async throws(LedgerError) {
            for case .forgotten(let row) in changes { rows.withLock { $0.append(row) } }
        }
    }

    private let commits = Commits()

    private func forgetter() -> Forgetter {
        Forgetter(commits, log: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() })
    }

    private func row(_ change: LedgerChange?) -> UInt64? {
        guard case .forgotten(let row)? = change else { return nil }
        return row
    }

    @Test func theNextCommitTakesThemAlong() async {
        let forgetter = forgetter()
        #expect(row(forgetter.take()) == nil)
        forgetter.forget(through: 5)
        forgetter.forget(through: 7)
        forgetter.forget(through: 6)
        #expect(row(forgetter.take()) == 7)
        #expect(row(forgetter.take()) == nil, "once")
        await forgetter.flush()
        #expect(commits.rows.withLock { $0 }.isEmpty, "nothing waits any more")
        forgetter.forget(through: 9)
        await forgetter.flush()
        #expect(commits.rows.withLock { $0 } == [9])
    }

    @Test func withoutAnotherCommitTheyGetOneOfTheirOwn() async {
        let forgetter = forgetter()
        forgetter.forget(through: 3)
        await eventually("forgotten") { commits.rows.withLock { $0 } == [3] }
        forgetter.forget(through: 4)
        await eventually("the next ones too") { commits.rows.withLock { $0 } == [3, 4] }
    }
}
