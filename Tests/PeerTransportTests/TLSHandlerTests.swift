import Model
import NIOCore
import NIOEmbedded
import Testing

@testable import Crypto
@testable import PeerTransport

/// The handler between a channel and TLS, with the peer's side in the test's hand. No sockets and no clock.
struct TLSHandlerTests {
    /// What the handler told.
    private final class Told: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var bytes: [UInt8] = []
        var errors: [any Error] = []
        /// In order: `established`, `error`, `inactive`.
        var events: [String] = []

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes += unwrapInboundIn(data).readableBytesView
        }
        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            errors.append(error)
            events.append("error")
        }
        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event is TLSHandler.Established { events.append("established") }
        }
        func channelInactive(context: ChannelHandlerContext) { events.append("inactive") }
    }

    /// The network, in front of TLS.
    private final class Taking: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var isStopped = false
        private var kept: [EventLoopPromise<Void>?] = []

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            if isStopped { kept.append(promise) } else { context.write(data, promise: promise) }
        }
        func handlerRemoved(context: ChannelHandlerContext) {
            for promise in kept { promise?.fail(ChannelError.ioOnClosedChannel) }
        }
    }

    /// Counts writes.
    private final class Failed {
        var count = 0
    }

    /// A coordinator's channel and the worker that speaks to it.
    private struct Line {
        let channel = EmbeddedChannel()
        let told = Told()
        let taking = Taking()
        let peer: TLSConnection

        init(_ contexts: TLSPair.Contexts) throws {
            peer = try TLSConnection(peer: contexts.client, side: .client) { _ in nil }
            let handler = try TLSHandler(
                peer: contexts.server, side: .server, handshakeLimit: .seconds(5), admit: { _ in nil })
            try channel.pipeline.syncOperations.addHandlers([taking, handler, told])
            channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        }

        /// Goes through the handshake, in pieces.
        func establish(step: Int = .max) throws {
            _ = try peer.handshake()
            for _ in 0..<8 where !told.events.contains("established") {
                try pass(peer.sent(), step)
                let answer = try sent()
                try peer.shake(answer)
            }
            try #require(told.events == ["established"])
            try peer.hear(try sent())
        }

        func pass(_ bytes: [UInt8], _ step: Int = .max) throws {
            for piece in bytes.cut(step) { try channel.writeInbound(ByteBuffer(bytes: piece)) }
        }

        /// Records, each with a request for new keys in front.
        func requests(_ count: Int) throws -> [UInt8] {
            var bytes: [UInt8] = []
            for _ in 0..<count {
                try #require(peer.updateKey())
                bytes += try peer.say([1])
            }
            return bytes
        }

        /// From here on nothing that is written gets away.
        func stopTaking() {
            taking.isStopped = true
        }

        func write(_ buffer: ByteBuffer, _ failed: Failed) {
            let promise = channel.eventLoop.makePromise(of: Void.self)
            promise.futureResult.assumeIsolated().whenFailure { _ in failed.count += 1 }
            channel.write(buffer, promise: promise)
        }

        /// What the channel has sent.
        func sent() throws -> [UInt8] {
            var bytes: [UInt8] = []
            while let next = try channel.readOutbound(as: ByteBuffer.self) { bytes += next.readableBytesView }
            return bytes
        }
    }

    @Test(arguments: [1, 13, 1_000, .max])
    func bothWaysInPieces(step: Int) async throws {
        let line = try Line(try await TLSPair.Contexts(Certificates.shared.value))
        try line.establish(step: step)
        for round in 0..<3 { try line.pass(line.peer.say(.pattern(20_000, round)), step) }
        #expect(line.told.bytes == (0..<3).flatMap { [UInt8].pattern(20_000, $0) })
        #expect(line.told.errors.isEmpty)
    }

    /// What was written before the handshake is what the peer reads first.
    @Test func whatWaitedForTheHandshakeArrives() async throws {
        let line = try Line(try await TLSPair.Contexts(Certificates.shared.value))
        line.channel.writeAndFlush(ByteBuffer(bytes: [UInt8].pattern(500)), promise: nil)
        _ = try line.peer.handshake()
        var heard: [UInt8] = []
        for _ in 0..<8 {
            try line.pass(line.peer.sent())
            let answer = try line.sent()
            if line.peer.isEstablished {
                heard += try line.peer.hear(answer).bytes
            } else {
                try line.peer.shake(answer)
            }
        }
        heard += try line.peer.hear([]).bytes
        #expect(heard == .pattern(500))
    }

    /// More than may wait is refused and not kept; what was kept is told as failed when the channel ends.
    @Test func whatWaitsForTheHandshakeIsBounded() async throws {
        let line = try Line(try await TLSPair.Contexts(Certificates.shared.value))
        let half = ByteBuffer(repeating: 7, count: TLSHandler.maxPendingBytes / 2)
        let failed = Failed()
        for buffer in [half, half, ByteBuffer(bytes: [1])] {
            line.write(buffer, failed)
        }
        #expect(failed.count == 1)
        line.channel.pipeline.fireChannelInactive()
        #expect(failed.count == 3)
    }

    @Test(arguments: [0, 1, 30])
    func anEndWithoutNotifyIsTruncation(partial: Int) async throws {
        let line = try Line(try await TLSPair.Contexts(Certificates.shared.value))
        try line.establish()
        try line.pass(line.peer.say(.pattern(40)))
        try line.pass(Array(line.peer.say(.pattern(40)).prefix(partial)))
        line.channel.pipeline.fireChannelInactive()
        #expect((line.told.errors.first as? CryptoError)?.kind == .tlsTruncated)
        #expect(line.told.events == ["established", "error", "inactive"])
        #expect(line.told.bytes == .pattern(40))
    }

    @Test func anAnnouncedEndIsAnsweredAndNoError() async throws {
        let line = try Line(try await TLSPair.Contexts(Certificates.shared.value))
        try line.establish()
        var bytes = try line.peer.say(.pattern(40))
        line.peer.closeNotify()
        bytes += line.peer.sent()
        try line.pass(bytes + .pattern(50))
        #expect(line.told.bytes == .pattern(40))
        #expect(try line.peer.hear(line.sent()).isClosed)
        #expect(line.told.errors.isEmpty)
        #expect(line.told.events == ["established", "inactive"])
        #expect(!line.channel.isActive)
    }

    /// The alert goes out, what comes then is dropped, and the channel ends when the alert had its time.
    @Test func garbageEndsTheChannelAfterTheAlert() async throws {
        let line = try Line(try await TLSPair.Contexts(Certificates.shared.value))
        try line.establish()
        try line.pass(line.peer.say(.pattern(40)))
        try line.pass(Array("GET / HTTP/1.1\r\n\r\n".utf8))
        #expect((line.told.errors.first as? CryptoError)?.kind == .tlsProtocol)
        let alert = try line.sent()
        #expect(throws: CryptoError.self) { try line.peer.hear(alert) }
        for _ in 0..<100 { try line.pass(.pattern(10_000)) }
        #expect(line.told.errors.count == 1)
        #expect(line.told.bytes == .pattern(40))
        line.channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!line.channel.isActive)
    }

    @Test func aHandshakeHasItsTime() async throws {
        let line = try Line(try await TLSPair.Contexts(Certificates.shared.value))
        try line.pass([0x16, 3, 1, 2, 0, 1])
        line.channel.embeddedEventLoop.advanceTime(by: .milliseconds(4_999))
        #expect(line.told.errors.isEmpty)
        line.channel.embeddedEventLoop.advanceTime(by: .seconds(2))
        #expect(line.told.errors.count == 1)
        #expect(!line.channel.isActive)
    }

    /// Keys change in the middle of the stream, in both directions and without a gap (RFC 8446, 4.6.3).
    @Test func keysAreUpdated() async throws {
        let line = try Line(try await TLSPair.Contexts(Certificates.shared.value))
        try line.establish()
        var said: [UInt8] = []
        for round in 0..<20 {
            #expect(line.peer.updateKey())
            said += .pattern(1_000, round)
            try line.pass(line.peer.say(.pattern(1_000, round)), 333)
            line.channel.writeAndFlush(ByteBuffer(bytes: [UInt8].pattern(700, round)), promise: nil)
            #expect(try line.peer.hear(line.sent()).bytes == .pattern(700, round))
        }
        #expect(line.told.bytes == said)
        #expect(line.told.errors.isEmpty)
    }

    /// A peer that asks for new keys often is answered. One that takes no answer is given up before they pile up.
    @Test func requestsForNewKeysDoNotPileUp() async throws {
        let line = try Line(try await TLSPair.Contexts(Certificates.shared.value))
        try line.establish()
        for _ in 0..<100 { try line.pass(line.requests(100)) }
        #expect(line.told.bytes.count == 10_000)
        line.channel.writeAndFlush(ByteBuffer(bytes: [UInt8].pattern(70)), promise: nil)
        #expect(try line.peer.hear(line.sent()).bytes == .pattern(70))
        #expect(line.told.errors.isEmpty)

        line.stopTaking()
        var asked = 0
        while line.told.errors.isEmpty, asked < 100_000 {
            try line.pass(line.requests(100))
            asked += 100
        }
        #expect((line.told.errors.first as? CryptoError)?.kind == .tlsProtocol)
        // An answer has 27 bytes.
        #expect(asked <= TLSHandler.maxAnswerBytes / 27 + 100)
    }

    /// Where TLS 1.2 is spoken, a second handshake on the same connection is refused and the first stays good.
    @Test func renegotiationIsRefused() async throws {
        let contexts = try TLSPair.Contexts(try await Certificates.shared.value, minimum: .v12)
        let pair = try TLSPair.established(contexts, onlyV12: true)
        #expect(pair.server.version == "TLSv1.2")
        #expect(pair.client.renegotiate())
        _ = try pair.client.handshake()
        let hello = pair.client.sent()
        try #require(!hello.isEmpty)
        #expect(try pair.server.hear(hello) == Heard())
        let answer = pair.server.sent()
        // A warning of that one kind (RFC 5246, 7.2.2), upon which this client gives up.
        #expect(!answer.isEmpty && answer.count < 64)
        #expect(throws: CryptoError.self) { try pair.client.hear(answer) }
        #expect(pair.server.isEstablished)
    }
}
