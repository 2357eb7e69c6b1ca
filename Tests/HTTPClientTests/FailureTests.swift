import Glibc
import HTTPClient
import Model
import Synchronization
import Testing

@Suite struct FailureTests {
    static let answer =
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nX-Field: value\r\n\r\n01234567890123456789"
    static let chunkedAnswer =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "a\r\n0123456789\r\n5\r\nabcde\r\n0\r\n\r\n"

    /// Every prefix of an answer is cut off once with an RST and once with a FIN.
    @Test(arguments: [answer, chunkedAnswer], [true, false])
    func shortAnswersAreNeverTakenForAnswers(whole: String, reset: Bool) async throws {
        let bytes = Array(whole.utf8)
        let cut = Atomic(0)
        try await withServer({ connection in
            if reset { connection.resetAtEnd() }
            guard connection.nextRequest() != nil else { return }
            connection.send(Array(bytes[..<cut.load(ordering: .sequentiallyConsistent)]))
        }) { server, client in
            // With the last chunk's size the content is complete (RFC 9112 section 8), though the last LF is missing.
            let incomplete = bytes.count - (whole.hasSuffix("0\r\n\r\n") ? 1 : 0)
            for length in 0..<incomplete {
                cut.store(length, ordering: .sequentiallyConsistent)
                let failure = await client.failure(request(.post, server.url(), body: [1, 2, 3]))
                #expect(failure?.kind == .connectionLost, "after \(length) bytes: \(failure?.message ?? "answered")")
                #expect(failure?.mayHaveReachedServer == true, "after \(length) bytes")
            }
            cut.store(bytes.count, ordering: .sequentiallyConsistent)
            #expect(await client.status(request(.post, server.url(), body: [1, 2, 3])) == 200)
        }
    }

    /// The server takes the second request of the connection and closes: only it knows what it did with it.
    @Test func postOnADyingConnectionIsNotSentAgain() async throws {
        let taken = Mutex<[UInt8]>([])
        try await withServer({ connection in
            guard let (_, first) = connection.nextRequest() else { return }
            taken.withLock { $0 += first }
            guard connection.answer(), let (_, second) = connection.nextRequest() else { return }
            taken.withLock { $0 += second }
        }) { server, client in
            #expect(await client.status(request(.post, server.url(), body: [1])) == 200)
            let failure = await client.failure(request(.post, server.url(), body: [2]))
            #expect(failure?.kind == .connectionLost)
            #expect(failure?.mayHaveReachedServer == true)
            #expect(failure?.message.contains("idempotent") == true)
            #expect(taken.withLock { $0 } == [1, 2])
            #expect(await client.status(request(.post, server.url(), body: [3])) == 200)
            #expect(await client.status(request(.put, server.url(), body: [4])) == 200)
            let again = request(.post, server.url(), body: [5], isIdempotent: true)
            #expect(await client.status(again) == 200)
            #expect(taken.withLock { $0 } == [1, 2, 3, 4, 4, 5, 5])
        }
    }

    @Test func connectionClosedWhileIdleIsNotUsed() async throws {
        try await withServer({ connection in
            _ = connection.nextRequest()
            connection.answer()
        }) { server, client in
            for count in 1...5 {
                #expect(await client.status(request(.post, server.url(), body: [1])) == 200)
                #expect(server.accepted == count)
                while server.open > 0 { await Task.yield() }
            }
        }
    }

    @Test func noListenerAndNoName() async throws {
        let server = try ScriptedServer(echo)
        server.stop()
        let client = HTTPClient()
        while true {
            let failure = await client.failure(request(.post, server.url(), body: [1]))
            // The kernel may still complete a handshake on behalf of the server that is stopping.
            if failure?.kind == .connectionLost { continue }
            #expect(failure?.kind == .connect)
            #expect(failure?.mayHaveReachedServer == false)
            #expect(failure?.message.contains("127.0.0.1:\(server.port)") == true)
            break
        }
        // RFC 6761 section 6.4: never resolves.
        let unknown = await client.failure(
            request(.get, "http://name.invalid/", timeouts: HTTPTimeouts(connect: 20_000)))
        #expect(unknown?.kind == .resolve)
        #expect(unknown?.mayHaveReachedServer == false)
        await client.shutdown()
    }

    @Test func silenceEndsAtTheFirstByteBound() async throws {
        try await withServer({ $0.drain() }) { server, client in
            let clock = ContinuousClock()
            let started = clock.now
            let failure = await client.failure(
                request(.post, server.url(), body: [1], timeouts: HTTPTimeouts(firstByte: 300)))
            #expect(failure?.kind == .timeout(phase: .firstByte))
            #expect(failure?.mayHaveReachedServer == true)
            #expect(failure?.message.contains("may have carried the request out") == true)
            #expect(clock.now - started >= .milliseconds(300))
        }
    }

    @Test func interimAnswersAndUploadsAreNotSilence() async throws {
        try await withServer({ connection in
            if connection.number == 1 {
                _ = connection.nextRequest()
                for _ in 0..<8 {
                    connection.send("HTTP/1.1 102 Processing\r\n\r\n")
                    Glibc.usleep(100_000)
                }
            } else {
                // Reads a body of 8 MB so slowly that it takes longer than the bound.
                for _ in 0..<128 {
                    _ = connection.take(1 << 16)
                    Glibc.usleep(8_000)
                }
            }
            connection.answer("done", fields: "Connection: close\r\n")
        }) { server, client in
            let timeouts = HTTPTimeouts(firstByte: 700)
            #expect(try await client.send(request(.get, server.url(), timeouts: timeouts)).text == "done")
            let large = [UInt8](repeating: 7, count: 8 << 20)
            let response = try await client.send(request(.put, server.url(), body: large, timeouts: timeouts))
            #expect(response.text == "done")
        }
    }

    @Test func slowAnswersEndAtTheTotalBound() async throws {
        try await withServer({ connection in
            _ = connection.nextRequest()
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while connection.send("x") { Glibc.usleep(20_000) }
        }) { server, client in
            let failure = await client.failure(request(.get, server.url(), timeouts: HTTPTimeouts(total: 400)))
            #expect(failure?.kind == .timeout(phase: .total))
            #expect(failure?.message.contains("carried") == false, "what only asks has nothing carried out")
            #expect(failure?.mayHaveReachedServer == true)
        }
    }

    @Test func waitingForAConnectionCountsIntoTheTotalBound() async throws {
        let client = HTTPClient(maxConnections: 1, maxConnectionsPerHost: 1)
        try await withServer({ $0.drain() }, client: client) { server, client in
            let url = server.url()
            // Long enough for the second one to begin and end within it on a machine that has more to do.
            async let first = client.failure(request(.get, url, timeouts: HTTPTimeouts(total: 8_000)))
            while server.accepted < 1 { await Task.yield() }
            let second = await client.failure(request(.post, url, body: [1], timeouts: HTTPTimeouts(total: 200)))
            #expect(second?.kind == .timeout(phase: .total))
            #expect(second?.mayHaveReachedServer == false)
            #expect(await first?.mayHaveReachedServer == true)
        }
    }

    @Test func handshakeThatDoesNotComeEndsAtTheConnectBound() async throws {
        try await withServer({ $0.drain() }) { server, client in
            let failure = await client.failure(
                request(
                    .post, "https://127.0.0.1:\(server.port)/", body: [1], timeouts: HTTPTimeouts(connect: 300)))
            #expect(failure?.kind == .timeout(phase: .connect))
            #expect(failure?.mayHaveReachedServer == false)
        }
    }

    @Test func answersAreBounded() async throws {
        try await withServer({ connection in
            while let (head, _) = connection.nextRequest() {
                if head.hasPrefix("GET /body") {
                    connection.answer(String(repeating: "x", count: 1000))
                } else if head.hasPrefix("GET /endless") {
                    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while connection.send("1000\r\n" + String(repeating: "y", count: 4096) + "\r\n") {}
                } else {
                    connection.send("HTTP/1.1 200 OK\r\n")
                    while connection.send("X-Field: " + String(repeating: "z", count: 4000) + "\r\n") {}
                }
            }
        }) { server, client in
            let exact = try await client.send(request(.get, server.url("/body"), maxResponseBytes: 1000))
            #expect(exact.body.count == 1000)
            let over = await client.failure(request(.get, server.url("/body"), maxResponseBytes: 999))
            #expect(over?.kind == .responseTooLarge && over?.mayHaveReachedServer == true)
            #expect(await client.failure(request(.get, server.url("/endless")))?.kind == .responseTooLarge)
            #expect(await client.failure(request(.get, server.url("/header")))?.kind == .responseTooLarge)
        }
    }

    @Test func proxyIsAskedAndItsRefusalIsCertain() async throws {
        try await withServer({ connection in
            while let (head, _) = connection.nextRequest() {
                let line = String(head.prefix { $0 != "\r\n" })
                if head.hasPrefix("CONNECT") {
                    connection.answer("", status: "403 Forbidden")
                } else {
                    connection.answer(line)
                }
            }
        }) { server, client in
            var plain = request(.get, "http://receiver.invalid/path")
            plain.proxy = server.url("")
            let response = try await client.send(plain)
            #expect(response.text == "GET http://receiver.invalid/path HTTP/1.1")
            var tunnelled = request(.post, "https://receiver.invalid/path", body: [1])
            tunnelled.proxy = server.url("")
            let failure = await client.failure(tunnelled)
            #expect(failure?.kind == .proxy(status: 403) && failure?.mayHaveReachedServer == false)
            #expect(failure?.message.contains("refused the connection with 403; have it allow this host") == true)
        }
    }

    @Test func whatIsNotHTTPIsAFailure() async throws {
        try await withServer({ connection in
            _ = connection.nextRequest()
            connection.send("220 mail.example.com ESMTP\r\n")
        }) { server, client in
            let failure = await client.failure(request(.post, server.url(), body: [1]))
            #expect(failure?.kind == .other(code: 1) && failure?.mayHaveReachedServer == true)
        }
    }
}
