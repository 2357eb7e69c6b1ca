import Glibc
import Model
import Protocol
import Testing

@testable import PeerTransport

/// Frames over real sockets.
@Suite(.timeLimit(.minutes(2))) struct PeerConnectionTests {
    /// One connection, its two ends and what keeps them.
    private struct Pair {
        let cluster: Cluster
        let client: PeerClient
        let near: PeerConnection
        let far: PeerConnection

        func stop() async {
            await client.shutdown()
            await cluster.server.shutdown()
        }
    }

    private func pair(_ isTLS: Bool, _ settings: PeerSettings = PeerSettings()) async throws -> Pair {
        let files = try await Certificates.shared.value
        let cluster = try await Cluster.start(isTLS ? files.security("c0") : .loopbackOnly, settings)
        let client = try PeerClient(security: isTLS ? files.security("w0") : .loopbackOnly, settings: settings)
        let near = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        return Pair(cluster: cluster, client: client, near: near, far: try await cluster.accept())
    }

    @Test(arguments: [true, false])
    func manyFramesBothWaysAtOnce(isTLS: Bool) async throws {
        let pair = try await pair(isTLS)
        @Sendable func size(_ index: UInt64) -> Int { Int(index * index * 7_919 % 30_011) }
        let count: UInt64 = 600
        await withTaskGroup(of: Void.self) { group in
            for (salt, sender, receiver) in [(1_000 as UInt64, pair.near, pair.far), (9_000, pair.far, pair.near)] {
                group.addTask {
                    for index in 0..<count { try? await sender.send(frame(size(index), seed: salt + index)) }
                }
                group.addTask {
                    for index in 0..<count {
                        let found = try? await receiver.receive()
                        #expect(found?.array == frame(size(index), seed: salt + index).array)
                    }
                }
            }
        }
        #expect(pair.near.traffic.framesSent == count)
        #expect(pair.far.traffic.framesReceived == count)
        #expect(pair.near.traffic.bytesSent == pair.far.traffic.bytesReceived)
        await pair.stop()
    }

    /// Lines that stayed where they were read to arrive as one frame, however they lie to the records of TLS.
    @Test(arguments: [true, false])
    func framesThatLieInSeveralPlaces(isTLS: Bool) async throws {
        let pair = try await pair(isTLS)
        var encoder = FrameEncoder()
        encoder.version = 1
        var frames: [(sent: OutgoingFrame, whole: [UInt8])] = []
        for number in 0..<12 {
            var records = RecordsFrame(term: 1, targets: 1, keys: [], grants: [], lengths: [], lines: RecordLines())
            for place in 0...number {
                let page = frame(20_000 + 5_003 * place, seed: UInt64(number * 20 + place))
                records.keys.append(RecordKey(high: 1, low: UInt64(place)))
                records.grants.append(ShardGrant(shard: UInt16(place), epoch: 1))
                records.lengths.append(UInt32(page.count - 4))
                records.lines.append(page, 4..<page.count)
            }
            var out = ByteWriter()
            try encoder.encode(.records(records), into: &out)
            frames.append((try encoder.frame(.records(records)), out.seal().array))
        }
        try await pair.near.send(frame(4))
        #expect(try await pair.far.receive()?.count == 8)
        for (number, next) in frames.enumerated() {
            if number % 2 == 0 { try await pair.near.send(next.sent) } else { #expect(try pair.near.offer(next.sent)) }
            // One that is short goes in between.
            try await pair.near.send(frame(number))
        }
        for (number, next) in frames.enumerated() {
            #expect(try await pair.far.receive()?.array == next.whole)
            #expect(try await pair.far.receive()?.count == number + 4)
        }
        await pair.stop()
        #expect(throws: PeerError.self) { try pair.near.offer(frames[0].sent) }
    }

    /// What finds no room at once is not taken.
    @Test func anOfferNeverWaits() async throws {
        var settings = PeerSettings()
        settings.maxQueuedBytes = 100_000
        settings.maxUnreadBytes = 1_000
        let pair = try await pair(false, settings)
        try await pair.near.send(frame(4))
        var taken = 0
        while taken < 10_000, try pair.near.offer(OutgoingFrame(frame(60_000))) { taken += 1 }
        #expect(taken > 0 && taken < 10_000)
        #expect(try await pair.far.receive()?.count == 8)
        for _ in 0..<taken { #expect(try await pair.far.receive()?.count == 60_004) }
        await pair.stop()
    }

    @Test(arguments: [true, false])
    func theLargestFrameAndOneByteMore(isTLS: Bool) async throws {
        let pair = try await pair(isTLS)
        let largest = frame(Frame.maxLength)
        let tooLarge = await #expect(throws: PeerError.self) { try await pair.near.send(frame(Frame.maxLength + 1)) }
        #expect(tooLarge?.kind == .badFrame)
        // The first is an introduction, and short.
        for next in [frame(Frame.maxHandshakeLength), largest] {
            try await pair.near.send(next)
            #expect(try await pair.far.receive()?.array == next.array)
        }
        await pair.stop()
    }

    @Test func aLengthFieldThatLiesIsNotSent() async throws {
        let pair = try await pair(false)
        for bytes in [[], [0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0, 1]] as [[UInt8]] {
            let reason = await #expect(throws: PeerError.self) { try await pair.near.send(SealedBytes(bytes)) }
            #expect(reason?.kind == .badFrame)
            #expect(throws: PeerError.self) { _ = try pair.near.trySend(SealedBytes(bytes)) }
        }
        await pair.stop()
    }

    @Test(arguments: [true, false])
    func closingDeliversAllThatWasQueued(isTLS: Bool) async throws {
        let pair = try await pair(isTLS)
        let frames = (0..<40).map { frame(100_000, seed: $0 + 1) }
        for next in frames { try await pair.near.send(next) }
        let closing = Task { await pair.near.close() }
        for next in frames { #expect(try await pair.far.receive()?.array == next.array) }
        #expect(try await pair.far.receive() == nil)
        #expect(pair.far.endReason?.kind == .closed)
        await closing.value
        let refused = await #expect(throws: PeerError.self) { try await pair.near.send(frame(1)) }
        #expect(refused?.kind == .closed)
        #expect(try await pair.near.receive() == nil)
        #expect(try pair.near.trySend(frame(1)) == false)
        await pair.stop()
    }

    /// Both sides closing at the same moment, with frames under way both ways.
    @Test(arguments: [true, false])
    func closingFromBothSides(isTLS: Bool) async throws {
        let pair = try await pair(isTLS)
        for _ in 0..<50 {
            try await pair.near.send(frame(10_000))
            try await pair.far.send(frame(10_000))
        }
        async let first: Void = pair.near.close()
        async let second: Void = pair.far.close()
        _ = await (first, second)
        #expect(pair.near.endReason != nil)
        #expect(pair.far.endReason != nil)
        await pair.stop()
    }

    @Test(arguments: [true, false])
    func aReaderThatStopsMakesTheSenderWait(isTLS: Bool) async throws {
        var settings = PeerSettings()
        settings.maxQueuedBytes = 1 << 20
        settings.maxUnreadBytes = 1 << 20
        let pair = try await pair(isTLS, settings)
        let sent = Counter()
        let sending = Task {
            for index in 0..<600 as Range<UInt64> {
                try await pair.near.send(frame(100_000, seed: index + 1))
                sent.count()
            }
        }
        var last = -1
        while last != sent.value {
            last = sent.value
            try await Task.sleep(for: .milliseconds(400))
        }
        // Queues of 1 MiB on each side, a window of 512 KiB, and what the kernel keeps for a socket (tcp_rmem, tcp_wmem).
        #expect(last < 250)
        #expect(pair.near.traffic.queuedBytes <= settings.maxQueuedBytes)
        #expect(pair.far.traffic.unreadBytes <= settings.maxUnreadBytes + (2 << 20))
        // A heartbeat is not stuck behind what waits: it overtakes all that has not begun.
        #expect(try pair.near.trySend(frame(9, seed: 77)))
        let inFront = sent.value + 1
        var urgentAt: Int?
        for index in 0..<601 {
            let found = try #require(try await pair.far.receive())
            if found.count == 13 { urgentAt = index }
        }
        try await sending.value
        #expect((urgentAt ?? 600) <= inFront)
        await pair.stop()
    }

    @Test func aWaitingSenderCanBeCancelledAndItsFrameIsNotSent() async throws {
        var settings = PeerSettings()
        settings.maxQueuedBytes = 1
        settings.maxUnreadBytes = 1
        let pair = try await pair(false, settings)
        let accepted = Counter()
        let filling = Task { () -> PeerError? in
            do throws(PeerError) {
                while true {
                    try await pair.near.send(frame(1 << 20))
                    accepted.count()
                }
            } catch {
                return error
            }
        }
        var last = -1
        while last != accepted.value {
            last = accepted.value
            try await Task.sleep(for: .milliseconds(200))
        }
        filling.cancel()
        #expect(await filling.value?.kind == .cancelled)
        let closing = Task { await pair.near.close() }
        var received = 0
        while try await pair.far.receive() != nil { received += 1 }
        #expect(received == accepted.value)
        await closing.value
        await pair.stop()
    }

    @Test func aCancelledReceiverGetsNothingAndLosesNothing() async throws {
        let pair = try await pair(false)
        let receiving = Task { try await pair.far.receive() }
        try await Task.sleep(for: .milliseconds(50))
        receiving.cancel()
        #expect(try await receiving.value == nil)
        try await pair.near.send(frame(3))
        #expect(try await pair.far.receive()?.array == frame(3).array)
        await pair.stop()
    }

    @Test(arguments: [true, false])
    func aPeerThatSaysNothingIsGivenUp(isTLS: Bool) async throws {
        var settings = PeerSettings()
        settings.idleTimeout = 300
        // The worker is the patient one, so that it is plain who gives up.
        let files = try await Certificates.shared.value
        let cluster = try await Cluster.start(isTLS ? files.security("c0") : .loopbackOnly, settings)
        let client = try PeerClient(security: isTLS ? files.security("w0") : .loopbackOnly)
        let near = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        let far = try await cluster.accept()
        let reason = await #expect(throws: PeerError.self) { _ = try await far.receive() }
        #expect(reason?.kind == .idle)
        try await eventually { near.endReason != nil }
        await client.shutdown()
        await cluster.server.shutdown()
    }

    /// While our own consumer lags nothing is read, and so nothing can be heard.
    @Test func aPeerThatIsNotReadIsNotGivenUp() async throws {
        var settings = PeerSettings()
        settings.idleTimeout = 5_000
        settings.maxUnreadBytes = 1_000
        let cluster = try await Cluster.start(.loopbackOnly, settings)
        let client = try PeerClient(security: .loopbackOnly)
        let near = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        for _ in 0..<10 { try await near.send(frame(400)) }
        let far = try await cluster.accept()
        try await eventually { far.traffic.unreadBytes > settings.maxUnreadBytes }
        try await Task.sleep(for: .milliseconds(7_000))
        #expect(far.endReason == nil)
        for _ in 0..<10 { #expect(try await far.receive()?.count == 404) }
        // From here on it is listened to again.
        let reason = await #expect(throws: PeerError.self) { _ = try await far.receive() }
        #expect(reason?.kind == .idle)
        withExtendedLifetime(near) {}
        await client.shutdown()
        await cluster.server.shutdown()
    }

    @Test func aPeerThatTakesNothingIsGivenUp() async throws {
        var settings = PeerSettings()
        settings.writeTimeout = 300
        let cluster = try await Cluster.start(.loopbackOnly, settings)
        let silent = try RawSocket(port: cluster.server.port)
        let connection = try await cluster.accept()
        let reason = await #expect(throws: PeerError.self) {
            while true { try await connection.send(frame(1 << 20)) }
        }
        #expect(reason?.kind == .writeTimeout)
        withExtendedLifetime(silent) {}
        await cluster.server.shutdown()
    }

    @Test func aTooLargeLengthEndsTheConnectionAndAllocatesNothing() async throws {
        let cluster = try await Cluster.start(.loopbackOnly)
        for prefix in [[0xFF, 0xFF, 0xFF, 0xFF], [0x01, 0, 0, 1], [0x80, 0, 0, 0]] as [[UInt8]] {
            let peer = try RawSocket(port: cluster.server.port)
            let connection = try await cluster.accept()
            peer.send(frame(7).array + prefix)
            #expect(try await connection.receive()?.array == frame(7).array)
            let reason = await #expect(throws: PeerError.self) { _ = try await connection.receive() }
            #expect(reason?.kind == .badFrame)
            #expect(reason?.message.contains("worker at 127.0.0.1:") == true)
            #expect(peer.readToEnd() == [])
            #expect(connection.traffic.partialBytes == 0)
        }
        await cluster.server.shutdown()
    }

    /// 200 peers announce 16 MiB each and send a hundred bytes.
    @Test func halfFramesHoldLittle() async throws {
        let cluster = try await Cluster.start(.loopbackOnly)
        var peers: [(RawSocket, PeerConnection)] = []
        for _ in 0..<200 {
            let peer = try RawSocket(port: cluster.server.port)
            peer.send(frame(0).array + [0x00, 0xFF, 0xFF, 0xF0] + [UInt8](repeating: 1, count: 100))
            peers.append((peer, try await cluster.accept()))
        }
        try await eventually { peers.allSatisfy { $0.1.traffic.bytesReceived == 108 } }
        for (_, connection) in peers { #expect(connection.traffic.partialBytes <= 2 * 104) }
        peers = []
        await cluster.server.shutdown()
    }

    @Test(arguments: [0, 1, 3, 4, 5, 60, 103])
    func aPeerThatLeavesInsideAFrame(cut: Int) async throws {
        let cluster = try await Cluster.start(.loopbackOnly)
        let bytes = frame(100).array
        var peer: RawSocket? = try RawSocket(port: cluster.server.port)
        let connection = try await cluster.accept()
        peer?.send(bytes + bytes[..<cut])
        peer = nil
        #expect(try await connection.receive()?.array == bytes)
        if cut == 0 {
            #expect(try await connection.receive() == nil)
        } else {
            let reason = await #expect(throws: PeerError.self) { _ = try await connection.receive() }
            #expect(reason?.kind == .truncated)
        }
        await cluster.server.shutdown()
    }

    @Test func aResetIsNoOrderlyEnd() async throws {
        let cluster = try await Cluster.start(.loopbackOnly)
        var peer: RawSocket? = try RawSocket(port: cluster.server.port)
        let connection = try await cluster.accept()
        peer?.send(frame(5).array)
        #expect(try await connection.receive() != nil)
        peer?.resetAtClose()
        peer = nil
        let reason = await #expect(throws: PeerError.self) { _ = try await connection.receive() }
        #expect(reason?.kind == .broken)
        await cluster.server.shutdown()
    }

    /// Over TLS an end without close_notify may be an attacker's.
    @Test func anEndThatTLSDoesNotVouchForIsNoOrderlyOne() async throws {
        let files = try await Certificates.shared.value
        let cluster = try await Cluster.start(files.security("c0"))
        let relay = try await Relay(to: cluster.server.port)
        let client = try PeerClient(security: files.security("w0"))
        let near = try await client.connect(host: "127.0.0.1", port: relay.port)
        let far = try await cluster.accept()
        try await near.send(frame(50))
        #expect(try await far.receive() != nil)
        relay.cut()
        for end in [near, far] {
            let reason = await #expect(throws: PeerError.self) { _ = try await end.receive() }
            #expect(reason?.kind == .truncated)
        }
        await relay.stop()
        await client.shutdown()
        await cluster.server.shutdown()
    }
}
