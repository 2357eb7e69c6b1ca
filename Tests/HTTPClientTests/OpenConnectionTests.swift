import HTTPClient
import Model
import Synchronization
import Testing

/// Requests that must meet the same peer as earlier ones.
@Suite struct OpenConnectionTests {
    private func pinned(_ server: ScriptedServer) -> HTTPRequest {
        var pinned = request(.post, server.url(), body: [2])
        pinned.needsOpenConnection = true
        return pinned
    }

    private let single = { HTTPClient().ofOneConnection() }

    @Test func answersSayWhetherTheyOpenedAConnection() async throws {
        try await withServer(echo, client: single()) { server, client in
            let first = try await client.send(request(.post, server.url(), body: [1]))
            let second = try await client.send(request(.post, server.url(), body: [1]))
            let third = try await client.send(pinned(server))
            #expect([first, second, third].map(\.openedConnection) == [true, false, false])
            #expect(server.accepted == 1)
        }
    }

    @Test func withoutAConnectionNothingIsSent() async throws {
        let seen = Mutex<[[UInt8]]>([])
        let noting: ScriptedServer.Script = { connection in
            while let (_, body) = connection.nextRequest() {
                seen.withLock { $0.append(body) }
                connection.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body)
            }
        }
        try await withServer(noting, client: single()) { server, client in
            let failure = await client.failure(pinned(server))
            #expect(failure?.kind == .noOpenConnection && failure?.mayHaveReachedServer == false)
            #expect(seen.withLock { $0.isEmpty })
            // The next one that need not is not hindered by it.
            let opened = try await client.send(request(.post, server.url(), body: [1]))
            #expect(opened.body == [1])
            let next = try await client.send(pinned(server))
            #expect(next.body == [2])
        }
    }

    /// The server closes after each answer, politely or not; what must stay on its connection is never sent.
    @Test func aConnectionThatWentIsNotReplaced() async throws {
        let seen = Mutex<[[UInt8]]>([])
        try await withServer(
            { connection in
                guard let (_, body) = connection.nextRequest() else { return }
                seen.withLock { $0.append(body) }
                connection.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body)
            }, client: single()
        ) { server, client in
            for _ in 0..<20 {
                let opened = try await client.send(request(.post, server.url(), body: [1]))
                #expect(opened.openedConnection)
                while server.open > 0 { await Task.yield() }
                let failure = await client.failure(pinned(server))
                #expect(failure?.kind == .noOpenConnection || failure?.kind == .connectionLost)
            }
            #expect(seen.withLock { $0.allSatisfy { $0 == [1] } })
        }
    }
}
