import HTTPClient
import Model
import Testing

@Suite struct LifecycleTests {
    @Test func cancellationEndsTheTransfer() async throws {
        try await withServer({ $0.drain() }) { server, client in
            let url = server.url()
            let task = Task { await client.failure(request(.post, url, body: [1])) }
            while server.open < 1 { await Task.yield() }
            task.cancel()
            let failure = await task.value
            #expect(failure?.kind == .cancelled)
            // The connection is closed, not only forgotten.
            while server.open > 0 { await Task.yield() }
        }
    }

    @Test func cancelledBeforeItBegan() async throws {
        try await withServer(echo) { server, client in
            let url = server.url()
            let task = Task {
                while !Task.isCancelled { await Task.yield() }
                return await client.failure(request(.get, url))
            }
            task.cancel()
            let failure = await task.value
            #expect(failure?.kind == .cancelled && failure?.mayHaveReachedServer == false)
            #expect(server.accepted == 0)
        }
    }

    /// Cancellation meets requests in every state: queued, connecting, sending, answered.
    @Test func cancellationAtAnyMomentEndsOnce() async throws {
        try await withServer(echo, client: HTTPClient(maxConnections: 4, maxConnectionsPerHost: 4)) { server, client in
            let url = server.url()
            var generator = PRNG(seed: 7)
            for _ in 0..<300 {
                let pause = generator.below(400)
                let task = Task { await client.failure(request(.post, url, body: [1, 2, 3])) }
                try await Task.sleep(for: .microseconds(Int(pause)))
                task.cancel()
                let failure = await task.value
                #expect(failure == nil || failure?.kind == .cancelled)
            }
            #expect(try await client.send(request(.post, url, body: [4])).body == [4])
        }
    }

    @Test func shutdownAnswersEverybody() async throws {
        let client = HTTPClient(maxConnections: 2, maxConnectionsPerHost: 2)
        try await withServer({ $0.drain() }, client: client) { server, client in
            let url = server.url()
            let failures = await withTaskGroup(of: HTTPFailure?.self) { group in
                for _ in 0..<10 { group.addTask { await client.failure(request(.get, url)) } }
                while server.accepted < 2 { await Task.yield() }
                await client.shutdown()
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(failures.count == 10)
            #expect(failures.allSatisfy { $0?.kind == .shutDown })
            while server.open > 0 { await Task.yield() }
            #expect(await client.failure(request(.get, url))?.kind == .shutDown)
            await client.shutdown()
        }
    }

    @Test func forgottenClientClosesItsConnections() async throws {
        let server = try ScriptedServer(echo)
        defer { server.stop() }
        do {
            let client = HTTPClient()
            #expect(try await client.send(request(.post, server.url(), body: [1])).body == [1])
            #expect(server.open == 1)
        }
        while server.open > 0 { await Task.yield() }
    }

    @Test func requestsBeyondTheBoundAreRefused() async throws {
        let client = HTTPClient(maxConnections: 1, maxConnectionsPerHost: 1)
        try await withServer({ $0.drain() }, client: client) { server, client in
            let url = server.url()
            let refused = await withTaskGroup(of: HTTPFailure?.self) { group in
                for _ in 0..<(HTTPClient.maxOutstanding + 1) {
                    group.addTask { await client.failure(request(.get, url)) }
                }
                let first = await group.next() ?? nil
                group.cancelAll()
                return first
            }
            #expect(refused?.kind == .other(code: 89) && refused?.mayHaveReachedServer == false)
            #expect(refused?.message.contains("1024") == true)
        }
    }
}
