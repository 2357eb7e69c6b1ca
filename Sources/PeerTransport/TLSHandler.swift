public import Crypto
internal import Model
public import NIOCore
internal import Protocol

/// One side of TLS in a NIO pipeline, by the system's OpenSSL.
///
/// Promises:
/// 1. Nothing passes to the next handler before the handshake is complete; writes wait for it, at most
///    ``maxPendingBytes`` of them.
/// 2. A handshake that takes longer than its limit closes the channel.
/// 3. Closing sends close_notify first. A peer that goes away without one is reported as an error before
///    `channelInactive`.
/// 4. What the peer makes this side say is bounded as well: ``maxAnswerBytes``.
/// 5. Every error is fired as `errorCaught` and closes the channel, after the alert was sent. Between peers the input is
///    read and forgotten for a moment before that, since bytes nobody read would make the kernel send a reset, which can
///    take the alert from the peer.
///
/// `channelActive` is passed on at once, not after the handshake; ``Established`` tells of that.
public final class TLSHandler: ChannelDuplexHandler {
    /// Ciphertext.
    public typealias InboundIn = ByteBuffer
    /// Plaintext.
    public typealias InboundOut = ByteBuffer
    /// Plaintext.
    public typealias OutboundIn = ByteBuffer
    /// Ciphertext.
    public typealias OutboundOut = ByteBuffer

    /// Fired as a user event when the handshake is complete, before the first plaintext.
    public struct Established: Sendable {}

    /// Plaintext bytes that may wait for the handshake and the next flush.
    public static let maxPendingBytes = 64 << 20

    /// Bytes that the peer had us say by what it sent (answers to requests for new keys) and that it has not taken.
    public static let maxAnswerBytes = 64 << 10

    private static let readBytes = 64 << 10
    /// What a record carries at most (RFC 8446, 5.1).
    private static let recordBytes = 16 << 10

    private let connection: TLSConnection
    /// Where plaintext goes instead of on through the pipeline; the next handler gets an empty buffer when some has come.
    var intake: FrameIntake?
    private let handshakeLimit: TimeAmount
    private let speaksFirst: Bool
    /// How long the input is still read after a failure.
    private let linger: TimeAmount
    private var context: ChannelHandlerContext?
    private var handshakeTimer: Scheduled<Void>?
    private var pending: [(bytes: ByteBuffer, promise: EventLoopPromise<Void>?)] = []
    private var pendingBytes = 0
    private var answerBytes = 0
    private var flushWanted = false
    private var isFailed = false
    // Used again once whoever they were handed to has done with them, which is mostly at once: no memory is asked for, and
    // no page of it touched for the first time, with every piece.
    private var plaintext = ByteBuffer()
    private var ciphertext = ByteBuffer()
    /// The beginning of a record whose bytes lie in several places.
    private var gathered = ByteWriter(capacity: 64)
    /// Of the frame that is being sent.
    private var checksum = OutgoingFrame.Checksum()

    /// A handler for one channel.
    /// - Parameter handshakeLimit: longest time from activation to the end of the handshake.
    /// - Throws: ``CryptoError``, only without memory.
    public init(server context: TLSContext, handshakeLimit: TimeAmount = .seconds(10)) throws(CryptoError) {
        connection = try TLSConnection(server: context)
        self.handshakeLimit = handshakeLimit
        speaksFirst = false
        linger = .zero
    }

    /// A handler for one channel between members of one system.
    /// - Parameters:
    ///   - handshakeLimit: longest time from activation to the end of the handshake.
    ///   - admit: why the holder of this certificate is not let in; nil if it is.
    /// - Throws: ``CryptoError``, only without memory.
    public init(
        peer context: TLSContext, side: TLSSide, handshakeLimit: TimeAmount,
        admit: @escaping (CertificateFacts) -> String?
    ) throws(CryptoError) {
        connection = try TLSConnection(peer: context, side: side, admit: admit)
        self.handshakeLimit = handshakeLimit
        speaksFirst = side == .client
        linger = .seconds(1)
    }

    /// What the check of the peer's certificate brought; nil before it.
    public var peerVerdict: PeerVerdict? { connection.peerVerdict }

    /// Begins if the channel is already active.
    public func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin(context) }
    }

    /// Fails what still waits to be written.
    public func handlerRemoved(context: ChannelHandlerContext) {
        handshakeTimer?.cancel()
        failPending(ChannelError.ioOnClosedChannel)
        self.context = nil
    }

    /// Starts the time limit, and as a client the handshake.
    public func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    /// Reports a truncated stream, then passes the event on.
    public func channelInactive(context: ChannelHandlerContext) {
        handshakeTimer?.cancel()
        failPending(ChannelError.eof)
        if connection.isEstablished, !connection.isClosedByPeer, !isFailed {
            isFailed = true
            context.fireErrorCaught(TLSConnection.truncated())
        }
        context.fireChannelInactive()
    }

    /// Decrypts.
    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isFailed else { return }
        let buffer = unwrapInboundIn(data)
        do {
            try unsafe buffer.withUnsafeReadableBytes { bytes in
                try unsafe connection.reading(bytes) { () throws(CryptoError) in try take(context) }
            }
        } catch {
            fail(error, context)
        }
    }

    /// Decrypts what has come.
    private func take(_ context: ChannelHandlerContext) throws(CryptoError) {
        if !connection.isEstablished {
            guard try connection.handshake() else { return sendCiphertext(context) }
            handshakeTimer?.cancel()
            sendCiphertext(context)
            context.fireUserInboundEventTriggered(Established())
            if flushWanted { flush(context: context) }
        }
        try deliver(context)
    }

    private func deliver(_ context: ChannelHandlerContext) throws(CryptoError) {
        if let intake { return try deliver(context, to: intake) }
        while !isFailed {
            let result = try read()
            // Reading may also produce bytes to send: key updates, answers to close_notify.
            try sendAnswers(context)
            switch result {
            case .bytes: context.fireChannelRead(wrapInboundOut(plaintext))
            case .needsMore: return
            case .closed: return endWithPeer(context)
            }
        }
    }

    private func deliver(_ context: ChannelHandlerContext, to intake: FrameIntake) throws(CryptoError) {
        var hasCome = false
        // Also when an error ends it: what came before counts.
        defer { if hasCome { context.fireChannelRead(wrapInboundOut(ByteBuffer())) } }
        while !isFailed {
            let result = try intake.read(connection)
            try sendAnswers(context)
            switch result {
            case .bytes: hasCome = true
            case .needsMore: return
            case .closed:
                if hasCome { context.fireChannelRead(wrapInboundOut(ByteBuffer())) }
                hasCome = false
                return endWithPeer(context)
            }
        }
    }

    /// The peer's input has ended, ours is to end for it as well.
    private func endWithPeer(_ context: ChannelHandlerContext) {
        connection.closeNotify()
        sendCiphertext(context)
        context.close(promise: nil)
    }

    private func read() throws(CryptoError) -> TLSConnection.ReadResult {
        plaintext.clear(minimumCapacity: Self.readBytes)
        var result = Result<TLSConnection.ReadResult, CryptoError>.success(.needsMore)
        unsafe plaintext.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.readBytes) { room in
            do throws(CryptoError) {
                let found = try unsafe connection.read(into: room)
                result = .success(found)
                if case .bytes(let count) = found { return count }
            } catch {
                result = .failure(error)
            }
            return 0
        }
        return try result.get()
    }

    /// Keeps plaintext until it is flushed and the handshake is complete.
    public func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let buffer = unwrapOutboundIn(data)
        guard !isFailed, pendingBytes + buffer.readableBytes <= Self.maxPendingBytes else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        pendingBytes += buffer.readableBytes
        pending.append((buffer, promise))
    }

    /// Encrypts and sends what was written.
    public func flush(context: ChannelHandlerContext) {
        guard !isFailed else { return }
        flushWanted = !connection.isEstablished
        guard !flushWanted else { return }
        let writes = pending
        pending = []
        pendingBytes = 0
        let promises = writes.compactMap(\.promise)
        do {
            for write in writes { try connection.write(write.bytes.readableBytesUInt8Span) }
            var sent: EventLoopPromise<Void>?
            if !promises.isEmpty {
                let all = context.eventLoop.makePromise(of: Void.self)
                for promise in promises { all.futureResult.cascade(to: promise) }
                sent = all
            }
            sendCiphertext(context, promise: sent)
        } catch {
            for promise in promises { promise.fail(error) }
            fail(error, context)
        }
    }

    /// Encrypts pieces of frames from where they lie, and sends them: as a write of the handler behind this one with its
    /// flush, without gathering them in a buffer first. After the handshake, on the channel's event loop.
    func send(_ pieces: [OutboundLanes.Piece], promise: EventLoopPromise<Void>) {
        guard let context, !isFailed, connection.isEstablished, pending.isEmpty else {
            return promise.fail(ChannelError.ioOnClosedChannel)
        }
        sendCiphertext(context)
        let count = pieces.reduce(0) { $0 + $1.range.count }
        ciphertext.clear(minimumCapacity: count + TLSConnection.overhead(of: count))
        do throws(CryptoError) {
            for piece in pieces {
                try unsafe piece.frame.withStretches(of: piece.range, checksum: &checksum) {
                    bytes throws(CryptoError) in
                    try unsafe encrypt(bytes)
                }
            }
            try encryptGathered()
        } catch {
            promise.fail(error)
            return fail(error, context)
        }
        context.write(wrapOutboundOut(ciphertext), promise: promise)
        // There was room for all of it; but if not, this is what follows.
        if connection.pendingCiphertext > 0 { sendCiphertext(context) } else { context.flush() }
    }

    /// Encrypts what fills whole records of TLS from where it lies; the rest is gathered until it fills one.
    @unsafe private func encrypt(_ plaintext: UnsafeRawBufferPointer) throws(CryptoError) {
        let bytes = unsafe Span<UInt8>(_unsafeElements: plaintext.bindMemory(to: UInt8.self))
        var done = 0
        if !gathered.isEmpty {
            done = min(bytes.count, Self.recordBytes - gathered.count)
            gathered.append(bytes, 0..<done)
            guard gathered.count == Self.recordBytes else { return }
            try encryptGathered()
        }
        let whole = (bytes.count - done) / Self.recordBytes * Self.recordBytes
        if whole > 0 { try encrypt(bytes.extracting(done..<done + whole)) }
        done += whole
        guard done < bytes.count else { return }
        gathered.reserve(Self.recordBytes - gathered.count)
        gathered.append(bytes, done..<bytes.count)
    }

    private func encryptGathered() throws(CryptoError) {
        guard !gathered.isEmpty else { return }
        defer { gathered.removeAll() }
        try encrypt(gathered.span)
    }

    private func encrypt(_ plaintext: borrowing Span<UInt8>) throws(CryptoError) {
        let room = plaintext.count + TLSConnection.overhead(of: plaintext.count)
        var result = Result<Void, CryptoError>.success(())
        unsafe ciphertext.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { free in
            do throws(CryptoError) {
                return try unsafe connection.write(plaintext, into: free)
            } catch {
                result = .failure(error)
                return 0
            }
        }
        try result.get()
    }

    /// Sends what was flushed, then close_notify, then closes. Half-closing the input is passed on.
    public func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode != .input, !isFailed {
            connection.closeNotify()
            sendCiphertext(context)
        }
        context.close(mode: mode, promise: promise)
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard handshakeTimer == nil, !connection.isEstablished else { return }
        let limit = handshakeLimit
        handshakeTimer = context.eventLoop.assumeIsolated().scheduleTask(in: limit) {
            guard !self.connection.isEstablished else { return }
            self.fail(ChannelError.connectTimeout(limit), context)
        }
        guard speaksFirst else { return }
        do {
            _ = try connection.handshake()
            sendCiphertext(context)
        } catch {
            fail(error, context)
        }
    }

    private func fail(_ error: any Error, _ context: ChannelHandlerContext) {
        guard !isFailed else { return }
        sendCiphertext(context)
        isFailed = true
        handshakeTimer?.cancel()
        failPending(error)
        context.fireErrorCaught(error)
        guard linger > .zero else { return context.close(promise: nil) }
        context.close(mode: .output, promise: nil)
        context.eventLoop.assumeIsolated().scheduleTask(in: linger) { context.close(promise: nil) }
    }

    private func failPending(_ error: any Error) {
        let writes = pending
        pending = []
        pendingBytes = 0
        for write in writes { write.promise?.fail(error) }
    }

    /// - Throws: ``CryptoError`` of kind `tlsProtocol` for a peer that asks and does not take the answers: they would pile
    ///   up here without end.
    private func sendAnswers(_ context: ChannelHandlerContext) throws(CryptoError) {
        let count = connection.pendingCiphertext
        guard count > 0 else { return }
        answerBytes += count
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in self.answerBytes -= count }
        sendCiphertext(context, promise: promise)
        guard answerBytes > Self.maxAnswerBytes else { return }
        throw TLSConnection.askedTooOften()
    }

    private func sendCiphertext(_ context: ChannelHandlerContext, promise: EventLoopPromise<Void>? = nil) {
        let pending = connection.pendingCiphertext
        guard pending > 0 else {
            promise?.succeed(())
            return
        }
        ciphertext.clear(minimumCapacity: pending)
        unsafe ciphertext.writeWithUnsafeMutableBytes(minimumWritableBytes: pending) { room in
            unsafe connection.takeCiphertext(into: room)
        }
        context.writeAndFlush(wrapOutboundOut(ciphertext), promise: promise)
    }
}
