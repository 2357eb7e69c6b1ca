import ExportCore
import Model
import Protocol
import Synchronization

/// What belongs to one term of this process as leader, and ends with it.
final class LedTerm: Sendable {
    let number: UInt64
    let fence: Fence
    let began: Tick
    /// The feed looks for room and results when this is signalled.
    let feedSignal = Signal()
    private struct Tasks {
        var running: [UInt64: Task<Void, Never>] = [:]
        var last: UInt64 = 0
    }

    private let tasks = Mutex(Tasks())

    init(number: UInt64, holder: String, began: Tick) {
        self.number = number
        fence = Fence(holder: holder, term: number)
        self.began = began
    }

    /// Begins what ends with the term, and forgets it once it is done: a term may last for months.
    func adopt(_ work: @escaping @Sendable () async -> Void) {
        tasks.withLock { tasks in
            tasks.last += 1
            let id = tasks.last
            tasks.running[id] = Task {
                await work()
                self.forget(id)
            }
        }
    }

    /// How many are not done.
    var adopted: Int { tasks.withLock { $0.running.count } }

    private func forget(_ id: UInt64) { tasks.withLock { $0.running[id] = nil } }

    func end() {
        feedSignal.signal()
        for task in tasks.withLock({ $0.running.values.map { $0 } }) { task.cancel() }
    }
}

/// Lets one task wait for something to happen; what happens while it does not wait is not missed.
final class Signal: Sendable {
    private struct State {
        var isSet = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func signal() {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            defer { state.waiter = nil }
            if state.waiter == nil { state.isSet = true }
            return state.waiter
        }
        waiter?.resume()
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isSet = state.withLock { state in
                defer { state.isSet = false }
                if !state.isSet { state.waiter = continuation }
                return state.isSet
            }
            if isSet { continuation.resume() }
        }
    }
}
