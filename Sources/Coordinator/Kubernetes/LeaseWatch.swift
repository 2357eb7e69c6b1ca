import ExportCore
import KubernetesAPI
import Logging
import Model
import Synchronization
import Threading

/// Watches one Lease, for whoever waits for its next change.
///
/// Nothing depends on it but how soon a change is seen: what does not come is looked for every retry period anyway.
final class LeaseWatch: Sendable {
    private struct State {
        var news = LeaseNews()
        var waiters: [UInt64: (since: LeaseVersion?, continuation: CheckedContinuation<Void, Never>)] = [:]
        /// Waiters that were woken before they waited.
        var woken: Set<UInt64> = []
        var last: UInt64 = 0
    }

    private let feed: ObjectFeed
    private let name: String
    private let state = Mutex(State())
    private let reading = Mutex<Task<Void, Never>?>(nil)
    private let complaints = Mutex(Complaints())
    private let log: Logger

    init(_ client: KubernetesClient, namespace: String, name: String, log: Logger, seed: UInt64) {
        self.name = name
        self.log = log
        var settings = ListWatch.Settings()
        // Whoever stands by is to learn within seconds that the server is there again.
        settings.longestPause = 4_000
        feed = ObjectFeed(
            client, .leases, namespace: namespace, fieldSelector: "metadata.name=\(name)", settings: settings,
            seed: seed)
    }

    /// Returns when the Lease seems not to be in version `since` any more, or after a time, and says which.
    func wait(since: LeaseVersion?, milliseconds: UInt64) async -> Bool {
        begin()
        let id = state.withLock { state in
            state.last += 1
            return state.last
        }
        let timer = Task {
            try? await Task.sleep(for: .milliseconds(Int64(clamping: milliseconds)))
            self.wake(id)
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.news.isNews(since: since) || state.woken.contains(id) { return true }
                    state.waiters[id] = (since, continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            wake(id)
        }
        timer.cancel()
        await timer.value
        return state.withLock { state in
            state.woken.remove(id)
            return state.news.isNews(since: since)
        }
    }

    /// Ends the watch. Whoever waits comes back by its time.
    func close() async {
        let task = reading.withLock { $0 }
        await feed.close()
        task?.cancel()
        await task?.value
    }

    private func wake(_ id: UInt64) {
        let waiter = state.withLock { state in
            let waiter = state.waiters.removeValue(forKey: id)
            if waiter == nil { state.woken.insert(id) }
            return waiter
        }
        waiter?.continuation.resume()
    }

    private func begin() {
        reading.withLock { task in
            guard task == nil else { return }
            task = Task { [self] in
                var revision: UInt64 = 0
                while let output = await feed.next() {
                    switch output {
                    case .restarted:
                        revision = 0
                        told { $0.restarted() }
                    case .page(let page):
                        revision = UInt64(page.resourceVersion) ?? 0
                        told { self.show(page.batch, &$0) }
                    case .changes(let piece): told { self.show(piece.batch, &$0) }
                    case .listed: told { [revision] in $0.listed(revision: revision) }
                    case .trouble(let failure): complain(failure)
                    case .relisted, .selectorUnknown: break
                    }
                }
            }
        }
    }

    /// A watch that ends is nothing; one that is not allowed costs time with every change of the leader, and nobody would know why.
    private func complain(_ failure: APIFailure) {
        let level: Logger.Level
        switch failure.kind {
        case .noCredential, .unauthorized, .forbidden, .rejected, .unreadable: level = .warning
        default: level = .debug
        }
        guard complaints.withLock({ $0.isNew(failure.description, now: SystemClock.now()) }) else { return }
        log.log(
            level: level,
            "the leader's Lease is not watched; a change of it is found a little later, by looking",
            metadata: ["cause": "\(failure)"])
    }

    private func show(_ batch: ObjectBatch, _ news: inout LeaseNews) {
        for entry in batch.entries where batch.name(entry) == name {
            news.shown(revision: entry.revision, isDeleted: entry.change == .deleted)
        }
    }

    private func told(_ change: (inout LeaseNews) -> Void) {
        let ready = state.withLock { state in
            change(&state.news)
            let ready = state.waiters.filter { state.news.isNews(since: $0.value.since) }
            for id in ready.keys { state.waiters[id] = nil }
            return ready.values.map(\.continuation)
        }
        for continuation in ready { continuation.resume() }
    }
}
