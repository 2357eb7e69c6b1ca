internal import Glibc
internal import Synchronization
import Threading

/// The one thread that may touch the database.
///
/// SQLite's calls block in fsync, so they may not run on the cooperative pool; and one thread gives one order to
/// everything asked. While a commit is on its way to the disk further ones gather, and share the next
/// transaction: the more callers, the fewer fsyncs each.
///
/// The queue holds one entry per suspended caller, so it is as bounded as the tasks that use the ledger.
@safe final class LedgerThread: Sendable {
    typealias Opening = @Sendable () throws(LedgerError) -> LedgerStore
    typealias Reply = @Sendable (Result<Void, LedgerError>) -> Void

    private enum Request: Sendable {
        case commit([LedgerChange], Reply)
        case work(@Sendable (Result<LedgerStore, LedgerError>) -> Void)
        case stop(Reply)
    }

    private struct State {
        var queue: [Request] = []
        var isStopped = false
    }

    /// Commits that share a transaction at the most: bounds what one failure takes back.
    private static let maxGroup = 1_024

    private let state = Mutex(State())
    private let wake = WakeUp()

    /// Starts the thread; the first thing it does is `open`, whose outcome `opened` is told.
    func start(open: @escaping Opening, opened: @escaping Reply) {
        switch SystemThread.start({ self.run(open: open, opened: opened) }) {
        case .success(let thread): pthread_detach(thread)
        case .failure(let error):
            state.withLock { $0.isStopped = true }
            let said = "cannot start the ledger's thread: \(error). Raise the limit of threads"
            opened(.failure(LedgerError(.other, said, systemError: error.code)))
        }
    }

    /// Queues a commit. `reply` is called on the ledger's thread, after the fsync.
    func commit(_ changes: [LedgerChange], reply: @escaping Reply) {
        if !enqueue(.commit(changes, reply)) { reply(.failure(.closed)) }
    }

    /// Queues `body`, which gets the store, or the reason why there is none any more.
    func work(_ body: @escaping @Sendable (Result<LedgerStore, LedgerError>) -> Void) {
        if !enqueue(.work(body)) { body(.failure(.closed)) }
    }

    /// Everything queued before is done first; then the database is closed and the thread ends.
    func stop(reply: @escaping Reply) {
        if !enqueue(.stop(reply), andStop: true) { reply(.success(())) }
    }

    private func enqueue(_ request: Request, andStop: Bool = false) -> Bool {
        let isQueued = state.withLock { state in
            guard !state.isStopped else { return false }
            state.queue.append(request)
            state.isStopped = andStop
            return true
        }
        if isQueued { wake.signal() }
        return isQueued
    }

    private func run(open: Opening, opened: Reply) {
        guard let (reply, result) = serve(open: open, opened: opened) else { return }
        // Only now that the store is freed may another opener have the state directory.
        reply(result)
    }

    /// Owns the store: opens it and carries out requests until one says stop. Returns whom to tell what.
    private func serve(open: Opening, opened: Reply) -> (Reply, Result<Void, LedgerError>)? {
        let store: LedgerStore
        do throws(LedgerError) {
            store = try open()
        } catch {
            // Nobody has the ledger yet, so nothing can be queued.
            state.withLock { $0.isStopped = true }
            opened(.failure(error))
            return nil
        }
        opened(.success(()))
        while true {
            wake.wait()
            let requests = state.withLock { state in
                let taken = state.queue
                state.queue = []
                return taken
            }
            if let reply = carryOut(requests, store) { return (reply, store.close()) }
        }
    }

    /// Carries out what was queued, in order, and returns whom to tell if the end was reached.
    private func carryOut(_ requests: [Request], _ store: LedgerStore) -> Reply? {
        var group: [([LedgerChange], Reply)] = []
        func commitGroup() {
            guard !group.isEmpty else { return }
            let result = store.commit(group.map(\.0))
            for (_, reply) in group { reply(result) }
            group.removeAll()
        }
        for request in requests {
            switch request {
            case .commit(let changes, let reply):
                group.append((changes, reply))
                if group.count == Self.maxGroup { commitGroup() }
            case .work(let body):
                commitGroup()
                body(.success(store))
            case .stop(let reply):
                commitGroup()
                return reply
            }
        }
        commitGroup()
        return nil
    }
}
