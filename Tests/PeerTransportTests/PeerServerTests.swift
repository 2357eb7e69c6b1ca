import Foundation
import Glibc
import Model
import Testing

@testable import PeerTransport

/// What strangers and crowds do to a server, and a client's way to one.
@Suite(.timeLimit(.minutes(2))) struct PeerServerTests {
    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\0\0\0\u{10}hello, who are you",
        "\u{16}\u{3}\u{1}\u{2}\0garbage after a header",
    ])
    func whatIsNotTLSIsRefused(words: String) async throws {
        let files = try await Certificates.shared.value
        var settings = PeerSettings()
        settings.handshakeTimeout = 2_000
        let cluster = try await Cluster.start(files.security("c0"), settings)
        let peer = try RawSocket(port: cluster.server.port)
        peer.send(Array(words.utf8) + [UInt8](repeating: 0x41, count: 600))
        #expect(peer.readToEnd() != nil)
        let refusal = try await cluster.refused()[0]
        #expect([.notTLS, .tls].contains(refusal.kind), "\(refusal)")
        #expect(refusal.message.contains("worker at 127.0.0.1:"))
        await cluster.server.shutdown()
    }

    @Test func randomBytesNeverGetThrough() async throws {
        let files = try await Certificates.shared.value
        let cluster = try await Cluster.start(files.security("c0"))
        var rng = PRNG(seed: 5)
        for count in 1...100 {
            let peer = try RawSocket(port: cluster.server.port)
            peer.send((0..<rng.next() % 2_000).map { _ in UInt8(truncatingIfNeeded: rng.next()) })
            shutdown(peer.descriptor, Int32(SHUT_WR))
            #expect(peer.readToEnd() != nil)
            _ = try await cluster.refused(count)
        }
        await cluster.server.shutdown()
    }

    @Test func aHandshakeThatStallsIsGivenUp() async throws {
        let files = try await Certificates.shared.value
        var settings = PeerSettings()
        settings.handshakeTimeout = 300
        let cluster = try await Cluster.start(files.security("c0"), settings)
        let silent = try RawSocket(port: cluster.server.port)
        // The first bytes of a handshake record, and no more.
        let begun = try RawSocket(port: cluster.server.port)
        begun.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
        #expect(silent.readToEnd() == [])
        #expect(begun.readToEnd() == [])
        for refusal in try await cluster.refused(2) { #expect(refusal.kind == .handshakeTimeout) }
        await cluster.server.shutdown()
    }

    /// The worker's side of the same.
    @Test func aServerThatDoesNotAnswerIsGivenUp() async throws {
        let files = try await Certificates.shared.value
        let plain = try await Cluster.start(.loopbackOnly)
        var settings = PeerSettings()
        settings.handshakeTimeout = 300
        let client = try PeerClient(security: files.security("w0"), settings: settings)
        let reason = await #expect(throws: PeerError.self) {
            _ = try await client.connect(host: "127.0.0.1", port: plain.server.port)
        }
        // To a server without TLS our first message looks like a frame much too long.
        #expect([.handshakeTimeout, .broken, .tls].contains(reason?.kind), "\(String(describing: reason))")
        await client.shutdown()
        await plain.server.shutdown()
    }

    @Test func aPlainClientAtATLSServer() async throws {
        let files = try await Certificates.shared.value
        let cluster = try await Cluster.start(files.security("c0"))
        let client = try PeerClient(security: .loopbackOnly)
        let near = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        try await near.send(frame(600))
        var ended = false
        do { ended = try await near.receive() == nil } catch { ended = true }
        #expect(ended)
        #expect([.notTLS, .tls].contains(try await cluster.refused()[0].kind))
        await client.shutdown()
        await cluster.server.shutdown()
    }

    @Test func nobodyThereIsSaid() async throws {
        let cluster = try await Cluster.start(.loopbackOnly)
        let port = cluster.server.port
        await cluster.server.shutdown()
        let client = try PeerClient(security: .loopbackOnly)
        let reason = await #expect(throws: PeerError.self) {
            _ = try await client.connect(host: "127.0.0.1", port: port)
        }
        #expect(reason?.kind == .connect)
        #expect(reason?.message.contains("127.0.0.1:\(port)") == true)
        await client.shutdown()
    }

    @Test func aPortThatIsTakenIsSaid() async throws {
        let cluster = try await Cluster.start(.loopbackOnly)
        let reason = await #expect(throws: PeerError.self) {
            _ = try await PeerServer.start(
                host: "127.0.0.1", port: cluster.server.port, security: .loopbackOnly, refused: { _ in })
        }
        #expect(reason?.kind == .bind)
        await cluster.server.shutdown()
    }

    @Test func thereIsRoomForSoManyAndNoMore() async throws {
        var settings = PeerSettings()
        settings.maxPeers = 3
        let cluster = try await Cluster.start(.loopbackOnly, settings)
        let client = try PeerClient(security: .loopbackOnly)
        var near: [PeerConnection] = []
        var far: [PeerConnection] = []
        for _ in 0..<3 {
            near.append(try await client.connect(host: "127.0.0.1", port: cluster.server.port))
            far.append(try await cluster.accept())
        }
        let fourth = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        let nothing = try? await fourth.receive()
        #expect(nothing == nil)
        #expect(try await cluster.refused()[0].kind == .tooManyPeers)
        await near[0].close()
        try await eventually { far[0].endReason != nil }
        let fifth = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        far.append(try await cluster.accept())
        try await fifth.send(frame(1))
        #expect(try await far[3].receive()?.count == 5)
        await client.shutdown()
        await cluster.server.shutdown()
    }

    /// Strangers who say nothing take only the places of those in handshakes.
    @Test func silentStrangersDoNotKeepTheirPlaces() async throws {
        let files = try await Certificates.shared.value
        var settings = PeerSettings()
        settings.maxHandshakes = 5
        settings.handshakeTimeout = 1_000
        let cluster = try await Cluster.start(files.security("c0"), settings)
        let strangers = try (0..<8).map { _ in try RawSocket(port: cluster.server.port) }
        #expect(try await cluster.refused(3).prefix(3).allSatisfy { $0.kind == .tooManyPeers })
        _ = try await cluster.refused(8)
        let client = try PeerClient(security: files.security("w0"))
        let near = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        #expect(try await cluster.accept().peer.identity?.name == "w0")
        withExtendedLifetime((near, strangers)) {}
        await client.shutdown()
        await cluster.server.shutdown()
    }

    @Test(arguments: [true, false])
    func aThousandConnectionsLeaveNothingBehind(isTLS: Bool) async throws {
        let files = try await Certificates.shared.value
        let cluster = try await Cluster.start(isTLS ? files.security("c0") : .loopbackOnly)
        let client = try PeerClient(security: isTLS ? files.security("w0") : .loopbackOnly)
        let echoing = Task {
            for await peer in cluster.server.connections {
                Task {
                    while let next = try await peer.receive() { try await peer.send(next) }
                    await peer.close()
                }
            }
        }
        var most = 0
        for index in 0..<1_000 as Range<UInt64> {
            let near = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
            try await near.send(frame(20, seed: index + 1))
            #expect(try await near.receive()?.array == frame(20, seed: index + 1).array)
            // In turn: closed in order, aborted, and forgotten.
            if index % 3 == 0 { await near.close() } else if index % 3 == 1 { near.abort() }
            if index % 100 == 50 { most = max(most, try await sockets(of: cluster.server.port)) }
        }
        // Of the thousand hardly any was open at a time.
        #expect(most < 60)
        await client.shutdown()
        await cluster.server.shutdown()
        await echoing.value
        #expect(try await sockets(of: cluster.server.port) == 0)
    }

    /// Descriptors of this process whose socket has `port` on either end. Others are of tests that run beside this one.
    private func sockets(of port: Int) async throws -> Int {
        let suffix = ":" + String(port, radix: 16, uppercase: true)
        let table = try String(contentsOfFile: "/proc/self/net/tcp", encoding: .utf8)
        return table.split(separator: "\n").dropFirst().filter { line in
            let words = line.split(separator: " ")
            // An inode of 0: no descriptor any more, only the kernel waits (TIME_WAIT).
            return words.count > 9 && words[9] != "0" && (words[1].hasSuffix(suffix) || words[2].hasSuffix(suffix))
        }.count
    }

    @Test func aShutdownEndsAllOfIt() async throws {
        let cluster = try await Cluster.start(.loopbackOnly)
        let client = try PeerClient(security: .loopbackOnly)
        let near = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        let far = try await cluster.accept()
        let waiting = Task { try await far.receive() }
        await cluster.server.shutdown()
        #expect(try await waiting.value == nil)
        try await eventually { near.endReason != nil }
        let reason = await #expect(throws: PeerError.self) { try await far.send(frame(1)) }
        #expect(reason?.kind == .closed)
        // Harmless after the end.
        await far.close()
        far.abort()
        await client.shutdown()
        await cluster.server.shutdown()
    }

    @Test func settingsThatCannotBeAreNamed() async throws {
        var settings = PeerSettings()
        settings.maxFrameLength = 32 << 20
        let atClient = #expect(throws: PeerError.self) {
            _ = try PeerClient(security: .loopbackOnly, settings: settings)
        }
        #expect(atClient?.kind == .settings)
        #expect(atClient?.message.contains("maxFrameLength") == true)
        var none = PeerSettings()
        none.threads = 0
        let atServer = await #expect(throws: PeerError.self) {
            _ = try await PeerServer.start(
                host: "127.0.0.1", port: 0, security: .loopbackOnly, settings: none, refused: { _ in })
        }
        #expect(atServer?.kind == .settings)
    }
}
