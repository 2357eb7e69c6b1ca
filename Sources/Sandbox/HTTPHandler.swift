internal import Model
internal import NIOCore
internal import NIOHTTP1
internal import PeerTransport

#if canImport(Glibc)
    internal import Glibc
#endif

/// Collects requests, asks the look-alike, delays or withholds the answer as the fault plan says.
///
/// One request at a time: the pipeline's pipelining assistance holds back the next until the answer is out.
final class HTTPHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let lookAlike: any LookAlike
    private let control: ControlRoutes
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()
    private var isTooLong = false
    private var spare = ByteBuffer()

    init(_ lookAlike: any LookAlike, control: ControlRoutes) {
        self.lookAlike = lookAlike
        self.control = control
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head, context)
        case .body(var part):
            guard !isTooLong else { return }
            isTooLong = body.readableBytes + part.readableBytes > lookAlike.maxBodyBytes
            if isTooLong { body = ByteBuffer() } else { body.writeBuffer(&part) }
        case .end:
            guard let head else { return }
            let request = HTTPRequest(head: head, body: body)
            self.head = nil
            body = ByteBuffer()
            answer(request, context)
            // Its memory serves the next request, unless the answer still waits.
            spare = request.body
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        self.head = head
        let announced = head.headers.first(name: "Content-Length").flatMap { Int($0) } ?? 0
        isTooLong = announced > lookAlike.maxBodyBytes
        // An announced length is only a claim, so not all of a large one is reserved.
        body = spare
        spare = ByteBuffer()
        body.clear(minimumCapacity: isTooLong ? 0 : min(announced, 16 << 20))
        if !isTooLong, head.headers["Expect"].contains(where: { $0.lowercased() == "100-continue" }) {
            let go = HTTPResponseHead(version: head.version, status: .continue)
            context.writeAndFlush(wrapOutboundOut(.head(go)), promise: nil)
        }
    }

    private func answer(_ request: HTTPRequest, _ context: ChannelHandlerContext) {
        if let reply = control.serve(request) { return write(reply, to: request, context) }
        let now = Tick(nanoseconds: NIODeadline.now().uptimeNanoseconds)
        let log = lookAlike.log
        let decision = log.admit(
            carriesRecords: lookAlike.carriesRecords(request.head), isPoll: lookAlike.isPoll(request.head),
            bytes: request.body.readableBytes, now: now)
        let faults = log.faults
        switch decision {
        case .serve:
            let reply = isTooLong ? refuseTooLong() : lookAlike.serve(request)
            deliver(reply, to: request, after: faults, context)
        case .refuse:
            var reply = lookAlike.refusal(HTTPResponseStatus(statusCode: faults.status))
            if let seconds = faults.retryAfterSeconds {
                reply.headers.add(name: "Retry-After", value: String(seconds))
            }
            deliver(reply, to: request, after: faults, context)
        case .reset:
            reset(context)
        case .commitThenReset:
            if !isTooLong { _ = lookAlike.serve(request) }
            reset(context)
        }
    }

    private func refuseTooLong() -> HTTPReply {
        lookAlike.log.update { $0.stats.requestsRefused += 1 }
        return lookAlike.bodyTooLong()
    }

    private func deliver(
        _ reply: HTTPReply, to request: HTTPRequest, after faults: SandboxFaults, _ context: ChannelHandlerContext
    ) {
        guard faults.latencyMilliseconds > 0 else { return write(reply, to: request, context) }
        let delay = TimeAmount.milliseconds(Int64(clamping: min(faults.latencyMilliseconds, 3_600_000)))
        context.eventLoop.assumeIsolated().scheduleTask(in: delay) {
            self.write(reply, to: request, context)
        }
    }

    private func write(_ reply: HTTPReply, to request: HTTPRequest, _ context: ChannelHandlerContext) {
        var head = HTTPResponseHead(version: request.head.version, status: reply.status, headers: reply.headers)
        let keepsAlive = request.head.isKeepAlive && !isTooLong
        if !keepsAlive { head.headers.replaceOrAdd(name: "Connection", value: "close") }
        let isHead = request.head.method == .HEAD
        switch reply.body {
        case .whole(let bytes):
            head.headers.replaceOrAdd(name: "Content-Length", value: String(bytes.readableBytes))
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            if !isHead, bytes.readableBytes > 0 {
                context.write(wrapOutboundOut(.body(.byteBuffer(bytes))), promise: nil)
            }
            finish(context, keepsAlive: keepsAlive)
        case .pieces(let next):
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            writePieces(isHead ? { nil } : next, context, keepsAlive: keepsAlive)
        }
    }

    private func writePieces(
        _ next: @escaping () -> ByteBuffer?, _ context: ChannelHandlerContext, keepsAlive: Bool
    ) {
        guard context.channel.isActive, let piece = next() else { return finish(context, keepsAlive: keepsAlive) }
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(piece)))).assumeIsolated().whenSuccess {
            self.writePieces(next, context, keepsAlive: keepsAlive)
        }
    }

    private func finish(_ context: ChannelHandlerContext, keepsAlive: Bool) {
        let done = context.writeAndFlush(wrapOutboundOut(.end(nil)))
        guard !keepsAlive else { return }
        done.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
    }

    /// Closes with RST: with lingering for zero seconds the kernel discards what is unsent (RFC 9293, 3.9.1).
    private func reset(_ context: ChannelHandlerContext) {
        let channel = context.channel
        _ = (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        // From the TLS handler outwards, so that it sends no close_notify.
        if let tls = try? channel.pipeline.syncOperations.context(handlerType: TLSHandler.self) {
            tls.close(promise: nil)
        } else {
            channel.close(promise: nil)
        }
    }
}
