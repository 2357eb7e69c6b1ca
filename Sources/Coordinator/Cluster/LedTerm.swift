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
    private let tasks = Mutex<[Task<Void, Never>]>([])

    init(number: UInt64, holder: String, began: Tick) {
        self.number = number
        fence = Fence(holder: holder, term: number)
        self.began = began
    }

    /// Ends with the term.
    func adopt(_ task: Task<Void, Never>) { tasks.withLock { $0.append(task) } }

    func end() {
        feedSignal.signal()
        for task in tasks.withLock({ $0 }) { task.cancel() }
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
