import Model
import Protocol
import Synchronization

/// What waits to be said in one session, in order. Filled by the coordinator, which never waits; emptied by one task. What
/// nothing waits in front of is said at once, if there is room for it: to wake the task costs more than to say it.
final class Outbox: Sendable {
    /// What comes out.
    enum Item: Sendable {
        /// The next message.
        case message(Message)
        /// The last message, if there is one; then the connection is closed.
        case last(Message?)
        /// The connection is gone.
        case ended
    }

    private enum Ending {
        case none
        case last(Message?)
        case gone
    }

    private struct State {
        /// Those before the head are gone: they would keep results in memory.
        var messages: [Message?] = []
        var head = 0
        var bytes = 0
        var limit: Int
        var ending = Ending.none
        var waiter: CheckedContinuation<Void, Never>?
        /// The task has taken something and not come back yet.
        var isTaskBusy = false
        /// Something is being said without the task.
        var isPassing = false

        mutating func takeWaiter() -> CheckedContinuation<Void, Never>? {
            defer { waiter = nil }
            return waiter
        }

        var isEmpty: Bool { head == messages.count }

        /// Whether the task has nothing to do.
        var isIdle: Bool {
            guard !isPassing else { return true }
            guard case .none = ending else { return false }
            return isEmpty
        }

        /// The next item; nil if there is none yet.
        mutating func take() -> Item? {
            isTaskBusy = false
            guard !isIdle else { return nil }
            isTaskBusy = true
            switch ending {
            case .none: break
            case .last(let message):
                ending = .gone
                return .last(message)
            case .gone: return .ended
            }
            guard let message = messages[head].take() else { return nil }
            bytes -= Outbox.size(of: message)
            head += 1
            if head == messages.count || head > 64 {
                messages.removeFirst(head)
                head = 0
            }
            return .message(message)
        }
    }

    private let state: Mutex<State>

    /// - Parameter limit: bytes that may wait.
    init(limit: Int) { state = Mutex(State(limit: limit)) }

    /// Whether the end was asked for or has come.
    var isEnding: Bool {
        state.withLock { state in
            if case .none = state.ending { false } else { true }
        }
    }

    /// Bytes that may wait from here on.
    func setLimit(_ bytes: Int) { state.withLock { $0.limit = bytes } }

    private enum Way { case refused, kept, pass }

    /// Adds a message. False if too much waits already: whoever is to hear it does not listen. For one caller at a time.
    ///
    /// - Parameter pass: says it at once, or returns false if that cannot be.
    func put(_ message: Message, pass: (Message) -> Bool = { _ in false }) -> Bool {
        let size = Self.size(of: message)
        let (way, waiter) = state.withLock { state -> (Way, CheckedContinuation<Void, Never>?) in
            guard case .none = state.ending else { return (.kept, nil) }
            if state.isEmpty, !state.isTaskBusy {
                state.isPassing = true
                return (.pass, nil)
            }
            guard state.isEmpty || state.bytes + size <= state.limit else { return (.refused, nil) }
            state.messages.append(message)
            state.bytes += size
            return (.kept, state.takeWaiter())
        }
        waiter?.resume()
        guard way == .pass else { return way == .kept }
        let isSaid = pass(message)
        let idler = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.isPassing = false
            if !isSaid, case .none = state.ending {
                state.messages.append(message)
                state.bytes += size
            }
            return state.isIdle ? nil : state.takeWaiter()
        }
        idler?.resume()
        return true
    }

    /// Drops what waits; `message` is the last that is said.
    func finish(_ message: Message?) {
        end { state in
            if case .none = state.ending { state.ending = .last(message) }
        }
    }

    /// The connection is gone: nothing more comes out.
    func end() { end { $0.ending = .gone } }

    private func end(_ change: (inout State) -> Void) {
        let waiter = state.withLock { state in
            change(&state)
            state.messages = []
            state.head = 0
            state.bytes = 0
            return state.isIdle ? nil : state.takeWaiter()
        }
        waiter?.resume()
    }

    /// The next item; waits for it. For one task.
    func next() async -> Item {
        while true {
            if let item = state.withLock({ $0.take() }) { return item }
            await withCheckedContinuation { continuation in
                let isReady = state.withLock { state in
                    guard state.isIdle else { return true }
                    state.waiter = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        }
    }

    /// About what a message takes in memory, bytes.
    private static func size(of message: Message) -> Int {
        switch message {
        case .records(let frame): Frame.recordsSize(count: frame.keys.count, bytes: frame.lines.count)
        case .assign(_, let grants), .revoke(_, let grants): 64 + grants.count * 8
        default: 64
        }
    }
}
