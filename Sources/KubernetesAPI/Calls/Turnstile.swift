import Synchronization

/// Lets so many callers in at once, the others in the order they came; urgent ones before them, and into places of their own.
///
/// A client with few requests under way is what priority and fairness of an API server serves best: its seats are counted by
/// requests, and what queues on this side costs the server nothing.
final class Turnstile: Sendable {
    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Entry, Never>
    }

    private struct State {
        var inside = 0
        var nextID: UInt64 = 0
        var urgent: [Waiter] = []
        var others: [Waiter] = []
    }

    private let places: Int
    private let reserved: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - places: for everybody; at least 1.
    ///   - reserved: more of them, for urgent callers only; at least 1.
    init(places: Int, reserved: Int) {
        self.places = max(1, places)
        self.reserved = max(1, reserved)
    }

    /// Callers that may wait at once, of each kind; more are turned away.
    static let mostWaiting = 4_096

    /// How somebody came out of the queue.
    enum Entry: Equatable {
        /// Inside; the place is to be given back by ``Turnstile/leave()``.
        case inside
        case cancelled
        /// No place became free in time.
        case late
        /// Too many wait already.
        case full
    }

    /// Returns when there is a place, when it is certain that there will be none, or after a time.
    func enter(isUrgent: Bool, within milliseconds: UInt64) async -> Entry {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        return await withTaskCancellationHandler {
            var timer: Task<Void, Never>?
            defer { timer?.cancel() }
            return await withCheckedContinuation { continuation in
                let answer = state.withLock { state -> Entry? in
                    // Asked under the lock: a cancellation that comes later finds the waiter.
                    if Task.isCancelled { return .cancelled }
                    let limit = isUrgent ? places + reserved : places
                    let queue = isUrgent ? state.urgent.count : state.others.count
                    if state.inside < limit, queue == 0 {
                        state.inside += 1
                        return .inside
                    }
                    if queue >= Self.mostWaiting { return .full }
                    let waiter = Waiter(id: id, continuation: continuation)
                    if isUrgent { state.urgent.append(waiter) } else { state.others.append(waiter) }
                    return nil
                }
                if let answer { return continuation.resume(returning: answer) }
                timer = Task {
                    guard (try? await Task.sleep(for: .milliseconds(milliseconds))) != nil else { return }
                    self.turnAway(id, .late)
                }
            }
        } onCancel: {
            turnAway(id, .cancelled)
        }
    }

    /// Whoever still waits goes without.
    private func turnAway(_ id: UInt64, _ entry: Entry) {
        let waiter = state.withLock { state -> Waiter? in
            if let index = state.urgent.firstIndex(where: { $0.id == id }) { return state.urgent.remove(at: index) }
            if let index = state.others.firstIndex(where: { $0.id == id }) { return state.others.remove(at: index) }
            return nil
        }
        waiter?.continuation.resume(returning: entry)
    }

    /// How many wait.
    var waiting: Int { state.withLock { $0.urgent.count + $0.others.count } }

    /// Gives a place back.
    func leave() {
        let next = state.withLock { state -> Waiter? in
            state.inside -= 1
            if !state.urgent.isEmpty, state.inside < places + reserved {
                state.inside += 1
                return state.urgent.removeFirst()
            }
            guard !state.others.isEmpty, state.inside < places else { return nil }
            state.inside += 1
            return state.others.removeFirst()
        }
        next?.continuation.resume(returning: .inside)
    }
}
