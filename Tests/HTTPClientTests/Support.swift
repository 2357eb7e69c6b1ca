import HTTPClient
import Model

/// Tests must not go through a proxy of the environment.
func request(
    _ method: HTTPMethod = .get, _ url: String, headers: [HTTPHeader] = [], body: [UInt8]? = nil,
    timeouts: HTTPTimeouts = HTTPTimeouts(), tls: TLSSettings = TLSSettings(), maxResponseBytes: Int = 1 << 20,
    isIdempotent: Bool? = nil
) -> HTTPRequest {
    HTTPRequest(
        method: method, url: url, headers: headers, body: body.map { SealedBytes($0) }, timeouts: timeouts, tls: tls,
        proxy: "", maxResponseBytes: maxResponseBytes, isIdempotent: isIdempotent)
}

extension HTTPClient {
    /// The failure of a request, or `nil` if there was an answer.
    func failure(_ request: HTTPRequest) async -> HTTPFailure? {
        do throws(HTTPFailure) {
            _ = try await send(request)
            return nil
        } catch {
            return error
        }
    }
}

extension HTTPClient {
    /// The status of the answer, or `nil` if there was none.
    func status(_ request: HTTPRequest) async -> Int? {
        try? await send(request).status
    }
}

extension HTTPResponse {
    var text: String { String(decoding: body, as: UTF8.self) }
}

/// Runs `body` against a server, and ends client and server whatever happens.
func withServer(
    _ script: @escaping ScriptedServer.Script, client: HTTPClient = HTTPClient(),
    _ body: (ScriptedServer, HTTPClient) async throws -> Void
) async throws {
    let server = try ScriptedServer(script)
    defer { server.stop() }
    do {
        try await body(server, client)
    } catch {
        await client.shutdown()
        throw error
    }
    await client.shutdown()
}

/// Answers every request of a connection.
let echo: ScriptedServer.Script = { connection in
    while let (_, body) = connection.nextRequest() {
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n")
        connection.send(body)
    }
}
