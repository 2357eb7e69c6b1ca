internal import Model
internal import NIOCore
internal import Protocol
internal import Synchronization

/// What the channel's event loop and the tasks on both ends of a connection share.
///
/// 1. State changes under the lock; continuations are resumed after it.
/// 2. The loop is told something only as long as the connection has not ended, which the loop itself says. So nothing is
///    ever handed to a loop that was shut down.
final class PeerLink: Sendable {
    /// Why and how a connection ended.
    struct End: Sendable {
        let reason: PeerError
        /// Both sides know that nothing is missing.
        let isOrderly: Bool
    }

    private typealias Sender = CheckedContinuation<Result<Void, PeerError>, Never>
    private typealias Receiver = CheckedContinuation<Result<SealedBytes?, PeerError>, Never>

    private struct Waiter {
        let id: UInt64
        let frame: OutgoingFrame
        let sender: Sender
    }

    private struct State {
        var lanes = OutboundLanes()
        var waiters: [Waiter] = []
        var lastWaiter: UInt64 = 0
        var isPumpPosted = false
        /// Those before the first one are gone.
        var inbound: [SealedBytes?] = []
        var firstInbound = 0
        var unreadBytes = 0
        var isPaused = false
        var receiver: Receiver?
        var closers: [CheckedContinuation<Void, Never>] = []
        var isClosing = false
        var channel: (any Channel)?
        var end: End?
        var traffic = PeerTraffic()
    }

    private let settings: PeerSettings
    private let state = Mutex(State())

    init(_ settings: PeerSettings) { self.settings = settings }

    // MARK: For tasks

    /// Queues a frame, at once or when there is room.
    func send(_ frame: OutgoingFrame) async throws(PeerError) {
        try check(frame)
        if let result = state.withLock({ queue(frame, &$0) }) { return try result.get() }
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (sender: Sender) in
                let early = state.withLock { state -> Result<Void, PeerError>? in
                    if let result = queue(frame, &state) { return result }
                    state.waiters.append(Waiter(id: id, frame: frame, sender: sender))
                    return nil
                }
                if let early { return sender.resume(returning: early) }
                if Task.isCancelled { giveUpWaiting(id) }
            }
        } onCancel: {
            giveUpWaiting(id)
        }
        try result.get()
    }

    /// Queues a frame if there is room at once; false if there is not.
    func offer(_ frame: OutgoingFrame) throws(PeerError) -> Bool {
        try check(frame)
        guard let result = state.withLock({ queue(frame, &$0) }) else { return false }
        try result.get()
        return true
    }

    /// Queues a frame in front of all others that have not begun; false if the connection has ended or too many wait.
    func trySend(_ frame: OutgoingFrame) throws(PeerError) -> Bool {
        try check(frame)
        return state.withLock { state in
            guard state.end == nil, !state.isClosing,
                state.lanes.urgentBytes + frame.count + OutboundLanes.overhead <= settings.maxUrgentBytes
            else { return false }
            state.lanes.append(frame, isUrgent: true)
            postPump(&state)
            return true
        }
    }

    /// The next frame that arrived; nil after the last one of a connection that ended in order, and when cancelled.
    func receive() async throws(PeerError) -> SealedBytes? {
        if let result = state.withLock({ nextInbound(&$0) }) { return try result.get() }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (receiver: Receiver) in
                let early = state.withLock { state -> Result<SealedBytes?, PeerError>? in
                    if let result = nextInbound(&state) { return result }
                    guard state.receiver == nil else {
                        return .failure(PeerError(.settings, "frames of one connection are received by one task only"))
                    }
                    state.receiver = receiver
                    return nil
                }
                if let early { return receiver.resume(returning: early) }
                if Task.isCancelled { stopReceiving() }
            }
        } onCancel: {
            stopReceiving()
        }
        return try result.get()
    }

    /// Accepts no more frames, has what is queued sent, and closes. Returns when the connection has ended.
    func close() async {
        let (waiters, receiver) = state.withLock { state -> ([Waiter], Receiver?) in
            if !state.isClosing { post(.drain, state) }
            state.isClosing = true
            defer { (state.waiters, state.receiver) = ([], nil) }
            return (state.waiters, state.receiver)
        }
        for waiter in waiters { waiter.sender.resume(returning: .failure(Self.closedHere)) }
        receiver?.resume(returning: .success(nil))
        await withCheckedContinuation { closer in
            let hasEnded = state.withLock { state in
                guard state.end == nil else { return true }
                state.closers.append(closer)
                return false
            }
            if hasEnded { closer.resume() }
        }
    }

    /// Closes at once; what is queued is lost.
    func abort() {
        state.withLock { state in
            state.isClosing = true
            post(.abort, state)
        }
    }

    var end: End? { state.withLock(\.end) }

    var traffic: PeerTraffic {
        state.withLock { state in
            var traffic = state.traffic
            traffic.queuedBytes = state.lanes.queuedBytes + state.lanes.urgentBytes
            traffic.unreadBytes = state.unreadBytes
            return traffic
        }
    }

    // MARK: For the event loop

    func attach(_ channel: any Channel) { state.withLock { $0.channel = channel } }

    /// Parts of frames that are to be sent next; those who waited for room move up.
    func takePieces(_ limit: Int) -> [OutboundLanes.Piece] {
        let (pieces, served) = state.withLock { state -> ([OutboundLanes.Piece], [Waiter]) in
            state.isPumpPosted = false
            let pieces = state.lanes.take(limit)
            for piece in pieces {
                state.traffic.bytesSent += UInt64(piece.range.count)
                if piece.range.upperBound == piece.frame.count { state.traffic.framesSent += 1 }
            }
            var count = 0
            for waiter in state.waiters {
                guard state.lanes.hasRoom(waiter.frame.count, limit: settings.maxQueuedBytes) else { break }
                state.lanes.append(waiter.frame, isUrgent: false)
                count += 1
            }
            let served = Array(state.waiters.prefix(count))
            state.waiters.removeFirst(count)
            return (pieces, served)
        }
        for waiter in served { waiter.sender.resume(returning: .success(())) }
        return pieces
    }

    var hasNothingToSend: Bool { state.withLock { $0.lanes.isEmpty } }

    /// Takes frames that arrived. Returns whether reading must pause.
    func deliver(_ frames: [SealedBytes], bytes: Int, partial: Int) -> Bool {
        let (isFull, receiver, first) = state.withLock { state -> (Bool, Receiver?, SealedBytes?) in
            state.traffic.bytesReceived += UInt64(bytes)
            state.traffic.framesReceived += UInt64(frames.count)
            state.traffic.partialBytes = partial
            guard !state.isClosing, !frames.isEmpty else { return (false, nil, nil) }
            for frame in frames {
                state.inbound.append(frame)
                state.unreadBytes += frame.count + OutboundLanes.overhead
            }
            let receiver = state.receiver.take()
            let first = receiver == nil ? nil : popInbound(&state)
            guard state.unreadBytes > settings.maxUnreadBytes, !state.isPaused else { return (false, receiver, first) }
            state.isPaused = true
            return (true, receiver, first)
        }
        receiver?.resume(returning: .success(first))
        return isFull
    }

    var isPaused: Bool { state.withLock(\.isPaused) }

    /// The connection has ended. The first reason stays.
    func end(_ end: End) {
        let (waiters, receiver, closers) = state.withLock { state in
            if state.end == nil { state.end = end }
            state.lanes = OutboundLanes()
            state.traffic.partialBytes = 0
            defer { (state.waiters, state.receiver, state.closers) = ([], nil, []) }
            return (state.waiters, state.receiver, state.closers)
        }
        for waiter in waiters { waiter.sender.resume(returning: .failure(end.reason)) }
        receiver?.resume(returning: end.isOrderly ? .success(nil) : .failure(end.reason))
        for closer in closers { closer.resume() }
    }

    // MARK: Under the lock

    private static let closedHere = PeerError(.closed, "the connection was closed on this side")

    /// Queues the frame if it may; nil if it has to wait.
    private func queue(_ frame: OutgoingFrame, _ state: inout State) -> Result<Void, PeerError>? {
        if let end = state.end { return .failure(end.reason) }
        if state.isClosing { return .failure(Self.closedHere) }
        guard state.waiters.isEmpty, state.lanes.hasRoom(frame.count, limit: settings.maxQueuedBytes) else {
            return nil
        }
        state.lanes.append(frame, isUrgent: false)
        postPump(&state)
        return .success(())
    }

    private func nextInbound(_ state: inout State) -> Result<SealedBytes?, PeerError>? {
        if state.isClosing { return .success(nil) }
        if let frame = popInbound(&state) { return .success(frame) }
        guard let end = state.end else { return nil }
        return end.isOrderly ? .success(nil) : .failure(end.reason)
    }

    private func popInbound(_ state: inout State) -> SealedBytes? {
        guard state.firstInbound < state.inbound.count, let frame = state.inbound[state.firstInbound].take() else {
            return nil
        }
        state.firstInbound += 1
        if state.firstInbound == state.inbound.count || state.firstInbound > 256 {
            state.inbound.removeFirst(state.firstInbound)
            state.firstInbound = 0
        }
        state.unreadBytes -= frame.count + OutboundLanes.overhead
        if state.isPaused, state.unreadBytes <= settings.maxUnreadBytes / 2 {
            state.isPaused = false
            post(.resume, state)
        }
        return frame
    }

    private func postPump(_ state: inout State) {
        guard !state.isPumpPosted else { return }
        state.isPumpPosted = true
        post(.pump, state)
    }

    private func post(_ command: PeerHandler.Command, _ state: State) {
        guard state.end == nil, let channel = state.channel else { return }
        // Executed rather than triggered: on the loop itself, triggering would come back here while the lock is held.
        channel.eventLoop.execute { channel.triggerUserOutboundEvent(command, promise: nil) }
    }

    // MARK: Cancellation

    private func giveUpWaiting(_ id: UInt64) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
            return state.waiters.remove(at: index)
        }
        let words = "the task was cancelled while the frame waited for room; it was not sent"
        waiter?.sender.resume(returning: .failure(PeerError(.cancelled, words)))
    }

    private func stopReceiving() {
        let receiver = state.withLock { $0.receiver.take() }
        receiver?.resume(returning: .success(nil))
    }

    /// A frame that would put the peer out of step must not leave.
    private func check(_ frame: OutgoingFrame) throws(PeerError) {
        let prefix = Frame.lengthBytes
        guard frame.count >= prefix, frame.count <= prefix + settings.maxFrameLength else {
            throw PeerError(
                .badFrame,
                "a frame of \(frame.count) bytes cannot be sent; it may have \(prefix) to \(prefix + settings.maxFrameLength)"
            )
        }
        guard let length = frame.announcedLength, length == frame.count - prefix else {
            throw PeerError(
                .badFrame,
                "a frame of \(frame.count) bytes says that \(frame.announcedLength ?? 0) follow its length field")
        }
    }
}
