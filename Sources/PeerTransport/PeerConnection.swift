public import Model
internal import NIOCore
public import Protocol

/// Who is on the other side.
public struct Peer: Sendable, Equatable, CustomStringConvertible {
    /// What its certificate says, verified; nil without mutual TLS. Hold the name in `hello` against
    /// ``PeerIdentity/name``.
    public let identity: PeerIdentity?
    /// Its address, such as `10.0.0.7:40112`.
    public let address: String

    /// For logs.
    public var description: String { identity.map { "\($0) at \(address)" } ?? address }
}

/// What has passed over a connection since it was made, and what waits.
public struct PeerTraffic: Sendable, Equatable {
    /// Given to TLS, bytes of frames.
    public internal(set) var bytesSent: UInt64 = 0
    /// Given to TLS to their last byte.
    public internal(set) var framesSent: UInt64 = 0
    /// Arrived, bytes of frames, whole or in part.
    public internal(set) var bytesReceived: UInt64 = 0
    /// Arrived whole.
    public internal(set) var framesReceived: UInt64 = 0
    /// Waiting to be sent, bytes with 64 for each frame.
    public internal(set) var queuedBytes = 0
    /// Arrived and not received, bytes with 64 for each frame.
    public internal(set) var unreadBytes = 0
    /// Allocated for a frame of which a part has arrived.
    public internal(set) var partialBytes = 0
}

/// A connection to an identified peer, which carries whole frames both ways: four bytes of length, most significant first,
/// that count what follows them, then anything.
///
/// Promises:
/// 1. Frames arrive whole, unaltered and in the order of their lane, or not at all; an urgent frame may overtake others.
/// 2. Memory is bounded by ``PeerSettings``: a peer that does not read makes ``send(_:)`` wait, a consumer that does not
///    receive makes the network wait.
/// 3. Every end has a reason.
///
/// Not promised: that a frame which was sent arrived. When a connection ends, what was sent last may have arrived or not.
///
/// When the last reference goes, the connection is closed at once.
public final class PeerConnection: Sendable {
    /// Who is on the other side.
    public let peer: Peer
    /// The connection's own thread: a task that prefers it receives and sends without another thread being woken. It shares
    /// the thread with other connections, so it does no work there that takes long.
    public let executor: any TaskExecutor
    private let link: PeerLink

    init(_ peer: Peer, _ link: PeerLink, _ executor: any TaskExecutor) {
        self.peer = peer
        self.link = link
        self.executor = executor
    }

    deinit { link.abort() }

    /// Queues a frame, with its length field. Suspends while ``PeerSettings/maxQueuedBytes`` are waiting.
    /// - Throws: ``PeerError`` with the reason why the connection ended; `cancelled` if the task was, and then the frame is
    ///   not sent; `badFrame` if the length field does not fit.
    public func send(_ frame: SealedBytes) async throws(PeerError) { try await link.send(OutgoingFrame(frame)) }

    /// The same with a frame that lies in several places.
    public func send(_ frame: OutgoingFrame) async throws(PeerError) { try await link.send(frame) }

    /// Queues a frame behind those that wait. Never waits: false if there is no room, or others wait for it.
    /// - Throws: ``PeerError`` as ``send(_:)-(OutgoingFrame)``.
    public func offer(_ frame: OutgoingFrame) throws(PeerError) -> Bool { try link.offer(frame) }

    /// Queues a small frame in front of all that have not begun, such as a heartbeat. Never waits.
    /// - Returns: false if the connection has ended or ``PeerSettings/maxUrgentBytes`` are waiting.
    /// - Throws: ``PeerError`` of kind `badFrame` if the length field does not fit.
    public func trySend(_ frame: SealedBytes) throws(PeerError) -> Bool { try link.trySend(OutgoingFrame(frame)) }

    /// The next frame, with its length field. For one task at a time.
    /// - Returns: nil when the connection was closed in order, by whichever side, and when the task is cancelled.
    /// - Throws: ``PeerError`` with the reason why the connection ended otherwise, once all that arrived was received. With
    ///   TLS 1.3 a coordinator's refusal of our certificate comes here, as the handshake is complete before it.
    public func receive() async throws(PeerError) -> SealedBytes? { try await link.receive() }

    /// Accepts no more, sends what is queued, and closes so that the peer gets all of it. Returns when that is done, or
    /// after ``PeerSettings/writeTimeout`` without progress and ``PeerSettings/lingerTimeout``.
    public func close() async { await link.close() }

    /// Closes at once; what is queued is lost.
    public func abort() { link.abort() }

    /// Why the connection ended; nil while it is open.
    public var endReason: PeerError? { link.end?.reason }

    /// Counts of what has passed, and what waits.
    public var traffic: PeerTraffic { link.traffic }
}
