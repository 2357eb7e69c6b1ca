internal import Crypto
internal import Model
internal import NIOCore
internal import Protocol

/// The end of a peer's pipeline: frames in and out, patience, and the order in which a connection ends.
final class PeerHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    /// What tasks ask of the loop.
    enum Command: Sendable {
        /// There is something to send.
        case pump
        /// The consumer has caught up.
        case resume
        /// Send what is queued, then close.
        case drain
        /// Close now.
        case abort
    }

    private enum Phase {
        case handshake, open, draining, lingering, ended
    }

    /// Bytes given to TLS at a time, and how many may be on their way to the kernel.
    private static let pieceBytes = 256 << 10
    private static let windowBytes = 512 << 10

    private let link: PeerLink
    private let settings: PeerSettings
    private let role: PeerRole
    private let tls: TLSHandler?
    private let outcome: (Result<Peer, PeerError>) -> Void
    private var place = "peer"
    private let intake: FrameIntake
    private var phase = Phase.handshake
    private var isAnnounced = false
    /// Without TLS; used again once it was written.
    private var outgoing = ByteBuffer()
    private var checksum = OutgoingFrame.Checksum()
    private var inFlight = 0
    private var isPumping = false
    private var lastHeard = NIODeadline.now()
    private var lastProgress = NIODeadline.now()
    private var lingerUntil: NIODeadline?
    private var expiry: Int64?
    private var timer: Scheduled<Void>?

    /// - Parameters:
    ///   - role: of this side.
    ///   - tls: the handler in front of this one; nil without TLS.
    ///   - outcome: is called once: with the peer when it is let in, or with the reason why there is no connection.
    init(
        _ link: PeerLink, _ settings: PeerSettings, role: PeerRole, tls: TLSHandler?,
        outcome: @escaping (Result<Peer, PeerError>) -> Void
    ) {
        self.link = link
        self.settings = settings
        self.role = role
        self.tls = tls
        self.outcome = outcome
        intake = FrameIntake(settings)
        tls?.intake = intake
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { begin(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end(PeerError(.closed, "\(place): the connection was closed"), isOrderly: true)
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard timer == nil, phase == .handshake else { return }
        place = "\(role.other) at \(PeerAddress.text(context.channel.remoteAddress))"
        watch(context)
        if tls == nil { announce(context) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is TLSHandler.Established { announce(context) } else { context.fireUserInboundEventTriggered(event) }
    }

    /// The peer is let in.
    private func announce(_ context: ChannelHandlerContext) {
        guard phase == .handshake else { return }
        var identity: PeerIdentity?
        if let tls {
            guard case .admitted(let facts) = tls.peerVerdict, let known = try? PeerIdentity(facts) else {
                return fail(PeerError(.wrongRole, "\(place): it was not identified"), context)
            }
            identity = known
            expiry = facts.notAfter
        }
        phase = .open
        lastHeard = .now()
        isAnnounced = true
        outcome(
            .success(Peer(identity: identity, address: PeerAddress.text(context.channel.remoteAddress))))
        pump(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // With TLS it is empty: what came is in the intake already.
        let buffer = unwrapInboundIn(data)
        intake.feed(buffer.readableBytesUInt8Span)
        let (frames, bytes, partial) = intake.takeAll()
        guard phase == .open else { return }
        lastHeard = .now()
        let isFull = link.deliver(frames, bytes: bytes, partial: partial)
        if let error = intake.failure {
            fail(
                PeerError(
                    .badFrame,
                    "\(place): it announces a frame of \(error.length) bytes, and \(error.limit) are allowed here; it "
                        + "is out of step, or no \(role.other) of this system"), context)
        } else if isFull {
            setReading(false, context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let limit = settings.handshakeTimeout
        switch error {
        case _ where phase == .lingering:
            // All was sent and nothing more is expected: how the peer goes does not matter.
            fail(PeerError(.closed, "\(place): closed on this side"), context)
        case let error as CryptoError where error.kind == .tlsTruncated:
            fail(
                PeerError(.truncated, "\(place): it went away without saying so; its process or host may be down"),
                context)
        case let error as CryptoError:
            // The handler of TLS closes, when its alert had time to arrive.
            end(.tls(error, verdict: tls?.peerVerdict, role: role, at: place), isOrderly: false)
        case ChannelError.connectTimeout where phase == .handshake:
            end(
                PeerError(
                    .handshakeTimeout,
                    "\(place): no handshake within \(limit) ms; is it overloaded, or not set up for mutual TLS?"),
                isOrderly: false)
        default: fail(PeerError(.broken, "\(place): the connection broke: \(error)"), context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !intake.isAtBoundary, phase == .open || phase == .draining {
            end(PeerError(.truncated, "\(place): it went away in the middle of a frame"), isOrderly: false)
        } else if phase == .handshake {
            end(
                PeerError(.broken, "\(place): it closed the connection before the handshake was complete; see its log"),
                isOrderly: false)
        } else {
            end(PeerError(.closed, "\(place): the connection was closed"), isOrderly: true)
        }
        context.fireChannelInactive()
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let command = event as? Command else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        switch command {
        case .pump: pump(context)
        case .resume:
            lastHeard = .now()
            setReading(true, context)
        case .drain:
            guard phase == .open else { return fail(PeerError(.closed, "\(place): closed on this side"), context) }
            phase = .draining
            pump(context)
        case .abort: fail(PeerError(.closed, "\(place): closed on this side"), context)
        }
        promise?.succeed(())
    }

    // MARK: Sending

    private func pump(_ context: ChannelHandlerContext) {
        guard !isPumping, phase == .open || phase == .draining else { return }
        isPumping = true
        while inFlight < Self.windowBytes {
            let pieces = link.takePieces(Self.pieceBytes)
            guard !pieces.isEmpty else { break }
            write(pieces, context)
        }
        isPumping = false
        if phase == .draining, inFlight == 0, link.hasNothingToSend { linger(context) }
    }

    private func write(_ pieces: [OutboundLanes.Piece], _ context: ChannelHandlerContext) {
        let count = pieces.reduce(0) { $0 + $1.range.count }
        if inFlight == 0 { lastProgress = .now() }
        inFlight += count
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenSuccess {
            self.inFlight -= count
            self.lastProgress = .now()
            self.pump(context)
        }
        if let tls { return tls.send(pieces, promise: promise) }
        outgoing.clear(minimumCapacity: count)
        for piece in pieces {
            unsafe piece.frame.withStretches(of: piece.range, checksum: &checksum) { bytes in
                _ = unsafe outgoing.writeBytes(bytes)
            }
        }
        context.writeAndFlush(wrapOutboundOut(outgoing), promise: promise)
    }

    /// Says that nothing more comes, and reads on until the peer has seen it: bytes nobody read would make the kernel
    /// send a reset, which can take from the peer what it was sent last.
    private func linger(_ context: ChannelHandlerContext) {
        phase = .lingering
        lingerUntil = .now() + .milliseconds(Int64(settings.lingerTimeout))
        setReading(true, context)
        context.close(mode: .output, promise: nil)
    }

    // MARK: Ending

    private func fail(_ reason: PeerError, _ context: ChannelHandlerContext) {
        end(reason, isOrderly: reason.kind == .closed)
        context.close(promise: nil)
    }

    private func end(_ reason: PeerError, isOrderly: Bool) {
        guard phase != .ended else { return }
        phase = .ended
        timer?.cancel()
        link.end(PeerLink.End(reason: reason, isOrderly: isOrderly))
        if !isAnnounced { outcome(.failure(reason)) }
    }

    private func setReading(_ isReading: Bool, _ context: ChannelHandlerContext) {
        // Fails only on a channel that is closed.
        try? context.channel.syncOptions?.setOption(.autoRead, value: isReading)
    }

    // MARK: Patience

    private func watch(_ context: ChannelHandlerContext) {
        let shortest = min(settings.idleTimeout, settings.writeTimeout, settings.lingerTimeout, 8_000)
        let interval = TimeAmount.milliseconds(Int64(max(shortest / 8, 5)))
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: interval) {
            self.check(context)
            if self.phase != .ended { self.watch(context) }
        }
    }

    private func check(_ context: ChannelHandlerContext) {
        let now = NIODeadline.now()
        if let lingerUntil, now >= lingerUntil {
            return fail(PeerError(.closed, "\(place): closed on this side; the peer was not heard to agree"), context)
        }
        if inFlight > 0, now - lastProgress > .milliseconds(Int64(settings.writeTimeout)) {
            return fail(
                PeerError(
                    .writeTimeout,
                    "\(place): it took nothing for \(settings.writeTimeout) ms; its process hangs, or the network is cut"
                ),
                context)
        }
        guard phase == .open else { return }
        if now - lastHeard > .milliseconds(Int64(settings.idleTimeout)), !link.isPaused {
            return fail(
                PeerError(
                    .idle,
                    "\(place): nothing was heard for \(settings.idleTimeout) ms; its process hangs, or the network is cut"
                ),
                context)
        }
        if let expiry, expiry <= settings.unixSeconds() {
            fail(PeerError(.expired, "\(place): its certificate has expired meanwhile; renew it"), context)
        }
    }
}
