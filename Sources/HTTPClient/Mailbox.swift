import Model
import Synchronization

/// A request handed to the loop, and whom to tell.
struct Submission: Sendable {
    let id: UInt64
    let checked: CheckedRequest
    let submittedAt: Tick
    let receiver: Receiver

    /// Who gets the answer.
    enum Receiver: Sendable {
        /// All of it at once.
        case whole(CheckedContinuation<Result<HTTPResponse, HTTPFailure>, Never>)
        /// Piece by piece.
        case stream(StreamCore)
    }

    /// The other end of a stream; nil for an answer that is given whole.
    var stream: StreamCore? {
        if case .stream(let core) = receiver { core } else { nil }
    }

    /// The request has ended; to be called once.
    func end(_ outcome: Result<HTTPResponse, HTTPFailure>) {
        switch receiver {
        case .whole(let continuation): continuation.resume(returning: outcome)
        case .stream(let core): core.finish(outcome.map { _ in })
        }
    }

    /// Milliseconds left of the total time; 0 if it has passed.
    func remaining(now: Tick) -> UInt64 {
        let total = max(1, checked.request.timeouts.total)
        let waited = now.milliseconds(since: submittedAt)
        return waited < total ? total - waited : 0
    }
}

/// Where callers leave work and the loop fetches it. Bounded: ``HTTPClient/maxOutstanding`` requests, and one
/// cancellation for each; a stream is resumed once for each time that it paused.
final class Mailbox: Sendable {
    /// Everything that came since the last look.
    struct Delivery {
        var submissions: [Submission] = []
        var cancellations: [UInt64] = []
        var resumptions: [UInt64] = []
        var stop = false
    }

    private struct State {
        var delivery = Delivery()
        var outstanding = 0
        var nextID: UInt64 = 0
        /// A wake-up is under way that the loop has not yet answered.
        var woken = false
        /// The loop takes nothing any more.
        var ended = false
        var waiters: [CheckedContinuation<Void, Never>] = []

        /// One wake-up is enough until the loop has looked.
        mutating func needsWake() -> Bool {
            defer { woken = true }
            return !woken
        }
    }

    private enum Verdict {
        case queued(wake: Bool)
        case refused(HTTPFailure)
    }

    private let state = Mutex(State())
    private let multi: MultiHandle

    init(multi: MultiHandle) { self.multi = multi }

    /// A number for a request that is to come.
    func newID() -> UInt64 {
        state.withLock {
            $0.nextID += 1
            return $0.nextID
        }
    }

    /// Queues the request, or answers at once why not.
    func submit(_ submission: Submission) {
        let verdict = state.withLock { state -> Verdict in
            if state.ended || state.delivery.stop {
                return .refused(submission.checked.notSent(.shutDown, "the client was shut down"))
            }
            // Asked under the lock: a cancellation that comes later finds the submission in the queue before it.
            if Task.isCancelled { return .refused(submission.checked.notSent(.cancelled, "the task was cancelled")) }
            if state.outstanding >= HTTPClient.maxOutstanding {
                return .refused(submission.checked.tooManyOutstanding)
            }
            state.outstanding += 1
            state.delivery.submissions.append(submission)
            return .queued(wake: state.needsWake())
        }
        switch verdict {
        case .queued(let wake): if wake { multi.wakeUp() }
        case .refused(let failure): submission.end(.failure(failure))
        }
    }

    /// Asks the loop to give a request up. Does nothing if it has ended.
    func cancel(_ id: UInt64) {
        let wake = state.withLock { state in
            guard !state.ended, state.outstanding > 0 else { return false }
            state.delivery.cancellations.append(id)
            return state.needsWake()
        }
        if wake { multi.wakeUp() }
    }

    /// Asks the loop to go on with a paused stream. Does nothing if it has ended.
    func resume(_ id: UInt64) {
        let wake = state.withLock { state in
            guard !state.ended else { return false }
            state.delivery.resumptions.append(id)
            return state.needsWake()
        }
        if wake { multi.wakeUp() }
    }

    /// Asks the loop to end, and calls `waiter` when it has.
    func stop(_ waiter: CheckedContinuation<Void, Never>? = nil) {
        let (wake, ended) = state.withLock { state in
            if state.ended { return (false, true) }
            state.delivery.stop = true
            if let waiter { state.waiters.append(waiter) }
            return (state.needsWake(), false)
        }
        if wake { multi.wakeUp() }
        if ended { waiter?.resume() }
    }

    /// What came since the last call. Only for the loop.
    func take() -> Delivery {
        state.withLock { state in
            state.woken = false
            let delivery = state.delivery
            state.delivery = Delivery(stop: delivery.stop)
            return delivery
        }
    }

    /// One request has ended. Only for the loop.
    func release() { state.withLock { $0.outstanding -= 1 } }

    /// The loop takes nothing any more. Answers what came too late, then those that wait for the end.
    func end() {
        let (late, waiters) = state.withLock { state in
            state.ended = true
            let late = state.delivery.submissions
            let waiters = state.waiters
            state.delivery = Delivery(stop: true)
            state.waiters = []
            return (late, waiters)
        }
        for submission in late {
            submission.end(.failure(submission.checked.notSent(.shutDown, "the client was shut down")))
        }
        for waiter in waiters { waiter.resume() }
    }
}
