import ExportCore
import Formats
import Glibc
import Model
import Secrets
import Testing
import Threading

@testable import Backends

/// The backend against receivers that misbehave, over plain TCP; TLS is proven against a real rsyslogd.
@Suite struct SyslogBackendTests {
    /// Short, so that a test takes a moment; long enough for a busy machine.
    private static let timing = SyslogTiming(
        resolve: 2_000, connect: 5_000, handshake: 5_000, stall: 1_000, parcel: 20_000, grace: 150, idle: 60_000,
        linger: 2_000)

    private func withBackend<R>(
        port: Int, host: String = "127.0.0.1", timing: SyslogTiming = timing, connections: Int = 1,
        _ body: (SyslogBackend) async throws -> R
    ) async throws -> R {
        var target = Target(
            name: "t", backend: .syslog, format: .syslog,
            endpoint: Endpoint(scheme: "tcp", host: host, port: port, path: ""))
        target.maxConcurrency = connections
        let backend = SyslogBackend(target: target, secrets: SecretDirectory(root: "/nowhere"), timing: timing)
        do {
            let result = try await body(backend)
            await backend.close()
            return result
        } catch {
            await backend.close()
            throw error
        }
    }

    /// A hundred frames, end to end.
    private static let frames: [String] = (0..<100).map { number in
        let message = "<110>1 - - - - - - message \(number) " + String(repeating: "x", count: number * 7)
        return "\(message.utf8.count) \(message)"
    }
    private static let stream = Array(frames.joined().utf8)

    private static func parcel(_ bytes: [UInt8] = stream) -> Parcel {
        let earliest = Timestamp(seconds: 1_773_570_645, nanoseconds: 0)
        let batch = EncodedBatch(bytes: SealedBytes(bytes), ends: [UInt32(bytes.count)], earliest: earliest)
        return Parcel(batch: batch, items: [0..<1])
    }

    private func deliver(_ backend: SyslogBackend, _ bytes: [UInt8] = stream) async -> Verdict {
        await backend.deliver(Self.parcel(bytes)).verdict
    }

    /// One connection carries parcel after parcel, also those that are handed over at once. No second one is allowed
    /// here: on a busy machine a parcel may well wait long enough for one to open.
    @Test func everythingArrivesOverOneConnection() async throws {
        let receiver = try SyslogReceiver { $0.read() }
        defer { receiver.stop() }
        try await withBackend(port: receiver.port, connections: 1) { backend in
            for _ in 0..<3 { #expect(await deliver(backend) == .delivered(slowDown: false)) }
            await withTaskGroup(of: Verdict.self) { group in
                for _ in 0..<3 { group.addTask { await self.deliver(backend) } }
                for await verdict in group { #expect(verdict == .delivered(slowDown: false)) }
            }
            #expect(await backend.probe() == nil)
        }
        try await eventually { receiver.received(1) != nil }
        #expect(receiver.accepted == 1)
        #expect(receiver.received(1) == Array(repeatElement(Self.stream, count: 6).joined()))
    }

    /// A reset after any byte: nothing counts as delivered, and the whole parcel arrives over the next connection.
    @Test(arguments: [0, 1, 2, 3, 4, 20, 63, 64, 1_000, 5_000, 20_000, 39_000, Int.max])
    func resetAtAnyByte(offset: Int) async throws {
        let stop = min(offset, Self.stream.count)
        let receiver = try SyslogReceiver { connection in
            guard connection.number == 1 else { return connection.read() }
            connection.resetAtEnd()
            return connection.read(stop)
        }
        defer { receiver.stop() }
        try await withBackend(port: receiver.port) { backend in
            let first = await deliver(backend)
            // Before the first byte had left the connection may already have been reset, or never have been made.
            #expect(kind(first) == "unknown" || (stop == 0 && kind(first) == "retry"), "\(first)")
            let code = refusal(first)?.code
            #expect(code == "connection-lost" || (stop == 0 && code == "connect"), "\(first)")
            #expect(await deliver(backend) == .delivered(slowDown: false))
        }
        try await eventually { receiver.received(2) != nil }
        #expect(receiver.received(2) == Self.stream)
    }

    @Test func closingRightAfterReadingIsNoAcknowledgement() async throws {
        let receiver = try SyslogReceiver { $0.read(Self.stream.count) }
        defer { receiver.stop() }
        try await withBackend(port: receiver.port) { backend in
            let verdict = await deliver(backend)
            #expect(kind(verdict) == "unknown")
            #expect(refusal(verdict)?.message.contains("the receiver closed the connection") == true)
        }
        #expect(receiver.received(1) == Self.stream)
    }

    /// What is larger than the buffers on the way does not leave, and is given up after a while without progress.
    @Test func aReceiverThatNeverReadsIsGivenUp() async throws {
        let isOver = Flag()
        let receiver = try SyslogReceiver { _ in
            isOver.wait()
            return []
        }
        defer { receiver.stop() }
        defer { isOver.raise() }
        try await withBackend(port: receiver.port) { backend in
            let verdict = await deliver(backend, [UInt8](repeating: 0x61, count: 32 << 20))
            #expect(kind(verdict) == "unknown")
            #expect(refusal(verdict)?.code == "timeout-write", "\(verdict)")
        }
    }

    /// Whoever cancels gets an answer at once, and of what had not left nothing leaves any more.
    @Test func cancellingCutsTheConnectionOff() async throws {
        let (isOver, hasBegun) = (Flag(), Flag())
        let receiver = try SyslogReceiver { connection in
            let first = connection.read(1)
            hasBegun.raise()
            isOver.wait()
            return first + connection.read()
        }
        defer { receiver.stop() }
        defer { isOver.raise() }
        var patient = Self.timing
        patient.stall = 600_000
        patient.parcel = 600_000
        try await withBackend(port: receiver.port, timing: patient) { backend in
            let bytes = [UInt8](repeating: 0x61, count: 32 << 20)
            let sending = Task { await deliver(backend, bytes) }
            try await eventually { hasBegun.isRaised }
            // A second one waits behind it.
            let waiting = Task { await deliver(backend) }
            waiting.cancel()
            #expect(kind(await waiting.value) == "retry")
            sending.cancel()
            let verdict = await sending.value
            #expect(kind(verdict) == "unknown" && refusal(verdict)?.code == "stopped", "\(verdict)")
            isOver.raise()
            try await eventually { receiver.received(1) != nil }
            #expect((receiver.received(1)?.count ?? 0) < bytes.count)
            // One that was cancelled before it came leaves nothing.
            let late = Task {
                try? await Task.sleep(for: .seconds(600))
                return await deliver(backend)
            }
            late.cancel()
            #expect(kind(await late.value) == "retry")
        }
    }

    /// The limit that the documentation speaks of: the kernel of a receiver acknowledges what nobody has read.
    @Test func whatTheReceiversKernelTookCounts() async throws {
        let isOver = Flag()
        let receiver = try SyslogReceiver { connection in
            isOver.wait()
            return connection.read()
        }
        defer { receiver.stop() }
        defer { isOver.raise() }
        try await withBackend(port: receiver.port) { backend in
            #expect(await deliver(backend) == .delivered(slowDown: false))
        }
        isOver.raise()
        // Closing did not take it from the receiver.
        try await eventually { receiver.received(1) != nil }
        #expect(receiver.received(1) == Self.stream)
    }

    @Test func aSlowReceiverGetsEverything() async throws {
        let receiver = try SyslogReceiver { connection in
            var bytes: [UInt8] = []
            while true {
                let piece = connection.read(64 << 10)
                if piece.isEmpty { return bytes }
                bytes += piece
                usleep(2_000)
            }
        }
        defer { receiver.stop() }
        let large = [UInt8](repeating: 0x61, count: 12 << 20)
        try await withBackend(port: receiver.port) { backend in
            #expect(await deliver(backend, large) == .delivered(slowDown: false))
        }
        try await eventually { receiver.received(1) != nil }
        #expect(receiver.received(1) == large)
    }

    /// A batch that waits for a connection which is busy gets another one.
    @Test func aBusyConnectionGetsHelp() async throws {
        let isOver = Flag()
        let receiver = try SyslogReceiver { connection in
            if connection.number == 1 { isOver.wait() }
            return connection.read()
        }
        defer { receiver.stop() }
        defer { isOver.raise() }
        var timing = Self.timing
        timing.stall = 30_000
        try await withBackend(port: receiver.port, timing: timing, connections: 2) { backend in
            async let stuck = deliver(backend, [UInt8](repeating: 0x61, count: 32 << 20))
            try await eventually { receiver.accepted == 1 }
            #expect(await deliver(backend) == .delivered(slowDown: false))
            #expect(receiver.accepted == 2)
            isOver.raise()
            #expect(await stuck == .delivered(slowDown: false))
        }
    }

    @Test func nobodyListens() async throws {
        try await withBackend(port: 1) { backend in
            let verdict = await deliver(backend)
            #expect(kind(verdict) == "retry")
            #expect(refusal(verdict)?.code == "connect")
            #expect(refusal(verdict)?.message.hasPrefix("t (tcp://127.0.0.1:1): cannot connect: ") == true)
            #expect(await backend.probe()?.code == "connect")
        }
    }

    @Test func noSuchHost() async throws {
        try await withBackend(port: 1, host: "nothing.invalid") { backend in
            let verdict = await deliver(backend)
            #expect(kind(verdict) == "retry")
            let code = try #require(refusal(verdict)?.code)
            #expect(["resolve", "timeout-resolve"].contains(code))
        }
    }

    @Test func aTalkativePeerIsNoReceiver() async throws {
        let receiver = try SyslogReceiver { connection in
            connection.send([UInt8](repeating: 0x61, count: 100_000))
            return connection.read()
        }
        defer { receiver.stop() }
        try await withBackend(port: receiver.port) { backend in
            let verdict = await deliver(backend)
            #expect(refusal(verdict)?.code == "unexpected-answer")
        }
    }

    @Test func anIdleConnectionIsClosedAndANewOneMade() async throws {
        var timing = Self.timing
        timing.idle = 200
        let receiver = try SyslogReceiver { $0.read() }
        defer { receiver.stop() }
        try await withBackend(port: receiver.port, timing: timing) { backend in
            #expect(await deliver(backend) == .delivered(slowDown: false))
            try await eventually { receiver.received(1) != nil }
            #expect(receiver.received(1) == Self.stream)
            #expect(await deliver(backend) == .delivered(slowDown: false))
            #expect(receiver.accepted == 2)
        }
    }

    /// The end comes within the grace: not delivered, and yet nothing is taken from the receiver.
    @Test func endingWithinTheGrace() async throws {
        var timing = Self.timing
        timing.grace = 30_000
        let receiver = try SyslogReceiver { $0.read() }
        defer { receiver.stop() }
        try await withBackend(port: receiver.port, timing: timing) { backend in
            async let verdict = deliver(backend)
            try await eventually { receiver.accepted == 1 }
            try await Task.sleep(for: .milliseconds(100))
            await backend.close()
            #expect(refusal(await verdict)?.code == "stopped")
            #expect(kind(await deliver(backend)) == "retry")
        }
        try await eventually { receiver.received(1) != nil }
        #expect(receiver.received(1) == Self.stream)
    }

    /// A connection to `port` with a parcel of `bytes`, of which all was written that the system takes.
    private func connection(port: Int, _ bytes: [UInt8], stale: Tick) async throws -> SyslogConnection {
        let (found, finding) = AsyncStream.makeStream(of: Result<[SocketAddress], SyslogFailure>.self)
        Resolver.resolve(host: "127.0.0.1", port: port) { finding.yield($0) }
        let material = SyslogAccess.Material(context: nil, hasClientCertificate: false, generation: 0)
        let connection = SyslogConnection(host: "127.0.0.1", material: material, timing: Self.timing, now: stale)
        for await result in found {
            connection.resolved(result, now: stale)
            break
        }
        connection.submit(1, SealedBytes(bytes), now: stale)
        try await Task.sleep(for: .milliseconds(50))
        connection.service(Int16(POLLOUT), now: stale)
        try #require(connection.session.isOpen)
        return connection
    }

    /// The grace is counted from when the acknowledgement was seen, whatever time the turn began with.
    @Test func theGraceDoesNotShrink() async throws {
        let receiver = try SyslogReceiver { $0.read() }
        defer { receiver.stop() }
        let stale = SystemClock.now()
        let connection = try await connection(port: receiver.port, Self.stream, stale: stale)
        try await Task.sleep(for: .milliseconds(Int(Self.timing.grace) + 50))
        connection.service(0, now: stale)
        #expect(!connection.session.awaitsAcknowledgement)
        let seen = SystemClock.now()
        connection.service(0, now: stale.adding(milliseconds: Self.timing.grace + 1))
        #expect(connection.takeSettled().isEmpty)
        connection.service(0, now: seen.adding(milliseconds: Self.timing.grace))
        #expect(connection.takeSettled().map(\.fate) == [.delivered])
    }

    /// With its buffer full, a connection that was ended waits for the receiver's end and for nothing else.
    @Test func anEndedConnectionWritesNothingMore() async throws {
        let isOver = Flag()
        defer { isOver.raise() }
        let receiver = try SyslogReceiver { _ in
            isOver.wait()
            return []
        }
        defer { receiver.stop() }
        let bytes = [UInt8](repeating: 0x78, count: 32 << 20)
        let now = SystemClock.now()
        let connection = try await connection(port: receiver.port, bytes, stale: now)
        for _ in 0..<64 { connection.service(Int16(POLLOUT), now: now) }
        #expect(try #require(connection.interest).events == Int16(POLLIN) | Int16(POLLOUT))
        connection.stop(now: now)
        #expect(try #require(connection.interest).events == Int16(POLLIN))
    }

    /// Polls until it holds, at most ten seconds.
    private func eventually(_ condition: () -> Bool) async throws {
        for _ in 0..<1_000 where !condition() { try await Task.sleep(for: .milliseconds(10)) }
        try #require(condition())
    }
}
