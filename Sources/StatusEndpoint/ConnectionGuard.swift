internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// The connections there are, and which of them only wait for a next request.
///
/// When all places are taken, the connection that has been idle the longest gives way to a new one, or else the one whose
/// client has taken nothing for the longest: whoever opens connections and says nothing, or asks and does not read, cannot
/// keep an orchestrator's probes out.
final class Connections: Sendable {
    /// What a connection waits for: in this order they give way to others.
    enum Pace: Int, Comparable {
        case idle, stalled, busy

        static func < (one: Pace, other: Pace) -> Bool { one.rawValue < other.rawValue }
    }

    private struct Place {
        var channel: any Channel
        var pace = Pace.idle
        var since: UInt64
    }

    private struct State {
        var open: [ObjectIdentifier: Place] = [:]
        var moments: UInt64 = 0
        var isClosed = false
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) { self.limit = max(limit, 1) }

    /// A place for a new connection; false if it has to be closed.
    func add(_ channel: any Channel) -> Bool {
        let (isAdmitted, evicted) = state.withLock { state -> (Bool, (any Channel)?) in
            guard !state.isClosed else { return (false, nil) }
            var evicted: (any Channel)?
            if state.open.count >= limit {
                let first = state.open.min { ($0.value.pace, $0.value.since) < ($1.value.pace, $1.value.since) }
                guard let first, first.value.pace < .busy else { return (false, nil) }
                evicted = state.open.removeValue(forKey: first.key)?.channel
            }
            state.moments += 1
            state.open[ObjectIdentifier(channel)] = Place(channel: channel, since: state.moments)
            return (true, evicted)
        }
        evicted?.close(promise: nil)
        return isAdmitted
    }

    /// Gives the place back.
    func remove(_ channel: any Channel) { state.withLock { $0.open[ObjectIdentifier(channel)] = nil } }

    /// What this connection waits for from now on.
    func mark(_ channel: any Channel, _ pace: Pace) {
        state.withLock { state in
            state.moments += 1
            state.open[ObjectIdentifier(channel)]?.pace = pace
            state.open[ObjectIdentifier(channel)]?.since = state.moments
        }
    }

    /// Closes all, and admits none any more.
    func close() async {
        let all = state.withLock { state in
            state.isClosed = true
            return state.open.values.map(\.channel)
        }
        // One that is closed already says so by an error, and closed is what it should be.
        for channel in all { try? await channel.close().get() }
    }
}

/// Counts the bytes of a request before anything reads them.
final class ByteBound: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let limit: Int
    private var count = 0

    init(limit: Int) { self.limit = limit }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        count += unwrapInboundIn(data).readableBytes
        if count > limit { context.close(promise: nil) } else { context.fireChannelRead(data) }
    }

    /// A request has arrived in full.
    func reset() { count = 0 }
}

/// Bounds a connection in time: a request has to arrive within one span, and a client that takes nothing for another is
/// given up. Throws bodies away, since nothing here reads any. Closes after an answer that says so.
final class ConnectionGuard: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private let connections: Connections
    private let bytes: ByteBound
    private let request: TimeAmount
    private let write: TimeAmount
    private var deadline: Scheduled<Void>?
    private var stall: Scheduled<Void>?
    private var closesAfterAnswer = false
    private var isAnswering = false

    init(_ settings: StatusEndpointSettings, _ connections: Connections, _ bytes: ByteBound) {
        self.connections = connections
        self.bytes = bytes
        request = .milliseconds(settings.requestMilliseconds)
        write = .milliseconds(settings.writeMilliseconds)
    }

    func handlerAdded(context: ChannelHandlerContext) { awaitRequest(context) }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.cancel()
        stall?.cancel()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        stall?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: context.fireChannelRead(data)
        case .body: break
        case .end:
            deadline?.cancel()
            bytes.reset()
            isAnswering = true
            connections.mark(context.channel, .busy)
            context.fireChannelRead(data)
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head): closesAfterAnswer = head.headers["Connection"].contains("close")
        case .body: break
        case .end:
            guard !closesAfterAnswer else {
                let channel = context.channel
                let done = promise ?? context.eventLoop.makePromise()
                done.futureResult.whenComplete { _ in channel.close(promise: nil) }
                context.writeAndFlush(data, promise: done)
                return
            }
            isAnswering = false
            connections.mark(context.channel, .idle)
            awaitRequest(context)
        }
        context.write(data, promise: promise)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stall?.cancel()
        let isWritable = context.channel.isWritable
        if !isWritable { stall = close(context, in: write) }
        connections.mark(context.channel, !isWritable ? .stalled : isAnswering ? .busy : .idle)
        context.fireChannelWritabilityChanged()
    }

    private func awaitRequest(_ context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = close(context, in: request)
    }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) -> Scheduled<Void> {
        let channel = context.channel
        return context.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }
}
