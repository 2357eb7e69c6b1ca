import Synchronization

/// How much of a streamed body may wait, and how long nothing may come.
public struct StreamBounds: Sendable, Equatable {
    /// Bytes that may wait for their reader before the server is slowed down; one piece of libcurl's (16 KiB) may come on top.
    public var window: Int
    /// Milliseconds without a byte of the body after which the stream has failed, as long as the reader has room. Zero: no
    /// such bound.
    public var silence: UInt64

    /// Both bounds.
    public init(window: Int = 256 << 10, silence: UInt64 = 0) {
        self.window = max(1, window)
        self.silence = silence
    }
}

/// An answer whose body is handed over as it comes.
///
/// Promises:
/// 1. No byte is lost, doubled or out of order. ``next()`` gives nil only when the body is complete, as far as its framing
///    can tell (``HTTPResponse/isBodyDelimited``); when it broke off, the failure comes behind the last piece that came.
/// 2. What waits to be fetched is bounded (``StreamBounds/window``). A reader that does not fetch has the server wait, by
///    TCP's flow control, for as long as ``HTTPTimeouts/total`` lasts.
/// 3. When nobody has this object any more, the connection is closed.
///
/// For one reader at a time.
public final class HTTPStream: Sendable {
    /// Status and header; the body of this is empty.
    public let head: HTTPResponse
    private let core: StreamCore
    /// Kept alive, or its end would be the stream's.
    private let client: HTTPClient

    init(head: HTTPResponse, core: StreamCore, client: HTTPClient) {
        self.head = head
        self.core = core
        self.client = client
    }

    deinit { core.cancel() }

    /// Until the next call of ``next()``, what comes is left where it is: whoever means to wait for more of it spares the thread
    /// that moves it a wake-up for each piece. At most one piece of libcurl's is taken from the connection meanwhile.
    public func hold() { core.hold() }

    /// What has come since the last call, waiting for it if there is nothing; nil at the end of the body.
    ///
    /// Cancelling the task ends the stream; its connection is closed.
    public func next() async throws(HTTPFailure) -> [UInt8]? {
        let core = core
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { core.take($0) }
        } onCancel: {
            core.cancel()
        }
        return try outcome.get()
    }
}

/// Between the loop, which puts pieces in, and the reader, who takes them out.
final class StreamCore: Sendable {
    typealias Piece = Result<[UInt8]?, HTTPFailure>

    private struct State {
        var headWaiter: CheckedContinuation<Result<HTTPResponse, HTTPFailure>, Never>?
        var waiter: CheckedContinuation<Piece, Never>?
        var waiting: [UInt8] = []
        /// The loop was told that there is no room, and has not been told otherwise.
        var isPaused = false
        /// There is none until the reader comes back.
        var isHeld = false
        var end: Result<Void, HTTPFailure>?
    }

    let id: UInt64
    let bounds: StreamBounds
    private let mailbox: Mailbox
    private let state = Mutex(State())

    init(id: UInt64, bounds: StreamBounds, mailbox: Mailbox) {
        self.id = id
        self.bounds = bounds
        self.mailbox = mailbox
    }

    /// To be called before the request is submitted.
    func awaitHead(_ continuation: CheckedContinuation<Result<HTTPResponse, HTTPFailure>, Never>) {
        state.withLock { $0.headWaiter = continuation }
    }

    /// The header is complete. Only for the loop.
    func begin(_ head: HTTPResponse) {
        let waiter = state.withLock { $0.headWaiter.take() }
        waiter?.resume(returning: .success(head))
    }

    /// Takes a piece in; false if there is no room, and then nothing of it was taken. Only for the loop.
    func offer(_ piece: UnsafeRawBufferPointer) -> Bool {
        let (taken, waiter) = state.withLock { state -> (Bool, CheckedContinuation<Piece, Never>?) in
            guard state.waiting.count < bounds.window, !state.isHeld else {
                state.isPaused = true
                return (false, nil)
            }
            unsafe state.waiting.append(contentsOf: piece)
            return (true, state.waiter.take())
        }
        if let waiter { hand(to: waiter) }
        return taken
    }

    /// Whether the loop waits for the reader.
    var isPaused: Bool { state.withLock { $0.isPaused } }

    /// The request has ended. Only for the loop and for whoever refuses the request.
    func finish(_ outcome: Result<Void, HTTPFailure>) {
        let (headWaiter, waiter) = state.withLock { state in
            state.end = outcome
            return (state.headWaiter.take(), state.waiter.take())
        }
        if let headWaiter, case .failure(let failure) = outcome { headWaiter.resume(returning: .failure(failure)) }
        if let waiter { hand(to: waiter) }
    }

    /// There is no room until the next ``take(_:)``.
    func hold() { state.withLock { $0.isHeld = true } }

    /// Answers with what there is, or keeps `continuation` until something comes.
    func take(_ continuation: CheckedContinuation<Piece, Never>) {
        let (mayAnswer, resumes) = state.withLock { state -> (Bool, Bool) in
            precondition(state.waiter == nil, "a stream has one reader at a time")
            state.isHeld = false
            if !state.waiting.isEmpty || state.end != nil { return (true, false) }
            state.waiter = continuation
            // What was held is all there is.
            defer { state.isPaused = false }
            return (false, state.isPaused)
        }
        if resumes { mailbox.resume(id) }
        if mayAnswer { hand(to: continuation) }
    }

    private func hand(to continuation: CheckedContinuation<Piece, Never>) {
        let (piece, resumes) = state.withLock { state -> (Piece, Bool) in
            guard state.waiting.isEmpty else {
                let piece = state.waiting
                state.waiting = []
                let wasPaused = state.isPaused
                state.isPaused = false
                return (.success(piece), wasPaused && state.end == nil)
            }
            return ((state.end ?? .success(())).map { nil }, false)
        }
        if resumes { mailbox.resume(id) }
        continuation.resume(returning: piece)
    }

    /// The reader has gone.
    func cancel() {
        if state.withLock({ $0.end == nil }) { mailbox.cancel(id) }
    }
}
