import Glibc
import HTTPClient
import Model
import Synchronization
import Testing

@Suite struct StreamTests {
    private static let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: one\r\n\r\n"

    private static func chunk(_ bytes: [UInt8]) -> [UInt8] {
        Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + [0x0D, 0x0A]
    }

    /// Everything until the end or the failure.
    private static func rest(_ stream: HTTPStream) async -> (body: [UInt8], failure: HTTPFailure?) {
        var body: [UInt8] = []
        do throws(HTTPFailure) {
            while let piece = try await stream.next() { body += piece }
            return (body, nil)
        } catch {
            return (body, error)
        }
    }

    @Test func piecesComeBeforeTheAnswerIsComplete() async throws {
        let mayGoOn = Mutex(false)
        try await withServer({ connection in
            while connection.nextRequest() != nil {
                connection.send(Self.chunked)
                connection.send(Self.chunk(Array("first".utf8)))
                while !mayGoOn.withLock({ $0 }) { Thread.pause() }
                connection.send(Self.chunk(Array("second".utf8)))
                connection.send("0\r\n\r\n")
            }
        }) { server, client in
            let stream = try await client.stream(request(.get, server.url()))
            #expect(stream.head.status == 200 && stream.head.header("x-a") == "one" && stream.head.body.isEmpty)
            #expect(stream.head.isBodyDelimited)
            #expect(try await stream.next() == Array("first".utf8))
            mayGoOn.withLock { $0 = true }
            #expect(try await stream.next() == Array("second".utf8))
            #expect(try await stream.next() == nil)
            #expect(try await stream.next() == nil)
            let again = try await client.stream(request(.get, server.url()))
            let rest = await Self.rest(again)
            #expect(rest.body == Array("firstsecond".utf8) && rest.failure == nil)
            #expect(server.accepted == 1)
        }
    }

    /// The server gets no further than the window and what the two kernels take, and then everything arrives.
    @Test(arguments: [1, 5_000, 256 << 10]) func slowReaderHoldsTheServerUp(window: Int) async throws {
        let total = 24 << 20
        let sent = Mutex(0)
        var generator = PRNG(seed: 11)
        let pattern = (0..<(64 << 10)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        try await withServer({ connection in
            while let (head, _) = connection.nextRequest() {
                guard head.contains("/stream") else {
                    connection.answer("quick")
                    continue
                }
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(total)\r\n\r\n")
                for _ in 0..<(total / pattern.count) {
                    guard connection.send(pattern) else { return }
                    sent.withLock { $0 += pattern.count }
                }
            }
        }) { server, client in
            let stream = try await client.stream(
                request(.get, server.url("/stream"), maxResponseBytes: 1), StreamBounds(window: window, silence: 1_500))
            // Until nothing moves any more; requests beside it are answered all the while.
            var before = -1
            while before != sent.withLock({ $0 }) {
                before = sent.withLock { $0 }
                for _ in 0..<5 {
                    #expect(try await client.send(request(.get, server.url())).text == "quick")
                    try await Task.sleep(for: .milliseconds(100))
                }
            }
            #expect(before < 16 << 20, "the server was not held up")
            // Longer than the bound of silence: a reader without room is not the server's silence.
            try await Task.sleep(for: .milliseconds(2_000))
            var got = 0
            while let piece = try await stream.next() {
                #expect(piece.count <= window + (16 << 10))
                let isRight = piece.enumerated().allSatisfy { $1 == pattern[(got + $0) % pattern.count] }
                #expect(isRight, "at \(got)")
                if !isRight { break }
                got += piece.count
            }
            #expect(got == total)
        }
    }

    /// A reader that gathers gets fewer pieces, and every byte of them, in order.
    @Test func whatIsHeldComesLater() async throws {
        let chunks = (0..<300).map { Array("chunk \($0);".utf8) }
        try await withServer({ connection in
            while connection.nextRequest() != nil {
                connection.send(Self.chunked)
                for chunk in chunks {
                    connection.send(Self.chunk(chunk))
                    usleep(2_000)
                }
                connection.send("0\r\n\r\n")
            }
        }) { server, client in
            let stream = try await client.stream(request(.get, server.url()))
            var (body, pieces): ([UInt8], Int) = ([], 0)
            while let piece = try await stream.next() {
                body += piece
                pieces += 1
                stream.hold()
                try await Task.sleep(for: .milliseconds(30))
            }
            #expect(body == chunks.flatMap { $0 })
            #expect(pieces < chunks.count / 2, "\(pieces)")
        }
    }

    /// What ended or broke meanwhile is told to whoever comes back.
    @Test(arguments: [true, false]) func streamsEndWhileTheyAreHeld(inOrder: Bool) async throws {
        try await withServer({ connection in
            while connection.nextRequest() != nil {
                connection.send(Self.chunked)
                connection.send(Self.chunk(Array("first".utf8)))
                usleep(50_000)
                connection.send(Self.chunk(Array("second".utf8)))
                guard inOrder else { return }
                connection.send("0\r\n\r\n")
            }
        }) { server, client in
            let stream = try await client.stream(request(.get, server.url()))
            #expect(try await stream.next() == Array("first".utf8))
            stream.hold()
            try await Task.sleep(for: .milliseconds(200))
            let rest = await Self.rest(stream)
            #expect(rest.body == Array("second".utf8))
            #expect((rest.failure == nil) == inOrder, "\(String(describing: rest.failure))")
        }
    }

    @Test func cutBodyFailsBehindItsLastPiece() async throws {
        try await withServer({ connection in
            guard let (head, _) = connection.nextRequest() else { return }
            if head.contains("/chunked") {
                connection.send(Self.chunked)
                connection.send(Self.chunk(Array("whole".utf8)) + Array("9\r\npart".utf8))
            } else {
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nwholepart")
            }
        }) { server, client in
            for path in ["/chunked", "/length"] {
                let rest = await Self.rest(try await client.stream(request(.get, server.url(path))))
                #expect(rest.body == Array("wholepart".utf8))
                #expect(rest.failure?.kind == .connectionLost, "\(String(describing: rest.failure))")
                #expect(rest.failure?.mayHaveReachedServer == true)
            }
        }
    }

    @Test func silenceEndsTheStream() async throws {
        try await withServer({ connection in
            _ = connection.nextRequest()
            connection.send(Self.chunked)
            connection.send(Self.chunk([1]))
            connection.drain()
        }) { server, client in
            let stream = try await client.stream(request(.get, server.url()), StreamBounds(silence: 300))
            let rest = await Self.rest(stream)
            #expect(rest.body == [1] && rest.failure?.kind == .timeout(phase: .silence))
            #expect(rest.failure?.message.contains("nothing came") == true)
            while server.open > 0 { await Task.yield() }
        }
    }

    @Test func totalTimeBoundsTheWholeStream() async throws {
        try await withServer({ connection in
            _ = connection.nextRequest()
            connection.send(Self.chunked)
            while connection.send(Self.chunk([1])) { Thread.pause() }
        }) { server, client in
            let timeouts = HTTPTimeouts(connect: 5_000, firstByte: 5_000, total: 700)
            let rest = await Self.rest(try await client.stream(request(.get, server.url(), timeouts: timeouts)))
            #expect(!rest.body.isEmpty && rest.failure?.kind == .timeout(phase: .total))
        }
    }

    @Test func badStatusIsAnAnswerToo() async throws {
        try await withServer({ connection in
            while connection.nextRequest() != nil { connection.answer("why", status: "403 Forbidden") }
        }) { server, client in
            let stream = try await client.stream(request(.get, server.url()))
            #expect(stream.head.status == 403)
            #expect(await Self.rest(stream).body == Array("why".utf8))
        }
    }

    @Test func noAnswerIsAFailure() async throws {
        try await withServer({ _ = $0.nextRequest() }) { server, client in
            await #expect(throws: HTTPFailure.self) { try await client.stream(request(.get, server.url())) }
        }
        let client = HTTPClient()
        await #expect(throws: HTTPFailure.self) {
            try await client.stream(request(.get, "http://127.0.0.1:1/", timeouts: HTTPTimeouts(connect: 500)))
        }
        await client.shutdown()
        do throws(HTTPFailure) {
            _ = try await client.stream(request(.get, "http://127.0.0.1:1/"))
            Issue.record("a client that was shut down has sent")
        } catch {
            #expect(error.kind == .shutDown)
        }
    }

    @Test func whoeverLeavesClosesTheConnection() async throws {
        try await withServer({ connection in
            _ = connection.nextRequest()
            connection.send(Self.chunked)
            connection.drain()
        }) { server, client in
            var stream: HTTPStream? = try await client.stream(request(.get, server.url()))
            #expect(stream?.head.status == 200 && server.open == 1)
            stream = nil
            while server.open > 0 { await Task.yield() }

            let other = try await client.stream(request(.get, server.url()))
            let task = Task { await Self.rest(other).failure }
            task.cancel()
            #expect(await task.value?.kind == .cancelled)
            while server.open > 0 { await Task.yield() }

            let third = try await client.stream(request(.get, server.url()))
            async let rest = Self.rest(third)
            await client.shutdown()
            #expect(await rest.failure?.kind == .shutDown)
        }
    }
}

private enum Thread {
    static func pause() { usleep(20_000) }
}
