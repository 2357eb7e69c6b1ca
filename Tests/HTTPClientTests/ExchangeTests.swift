import HTTPClient
import Model
import Synchronization
import Testing

@Suite struct ExchangeTests {
    @Test(arguments: [0, 1, 64 << 10, 65_537, 20 << 20]) func bodiesArriveUnaltered(count: Int) async throws {
        var generator = PRNG(seed: UInt64(count))
        let body = (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        try await withServer(echo) { server, client in
            for method in [HTTPMethod.post, .put] {
                let response = try await client.send(
                    request(method, server.url(), body: body, maxResponseBytes: 20 << 20))
                #expect(response.status == 200)
                #expect(response.body == body)
                #expect(response.protocolVersion == .http11)
            }
            #expect(server.accepted == 1)
        }
    }

    @Test func headIsWhatWasAskedFor() async throws {
        let heads = Mutex<[String]>([])
        try await withServer({ connection in
            while let (head, _) = connection.nextRequest() {
                heads.withLock { $0.append(head) }
                connection.answer()
            }
        }) { server, client in
            _ = try await client.send(
                request(
                    .post, server.url("/a/../b?c=%20"),
                    headers: [
                        HTTPHeader("Authorization", secret: Secret("t0ken"), prefix: "Splunk "),
                        HTTPHeader("X-Empty", ""), HTTPHeader("X-Plain", "tab\there"),
                    ], body: [1]))
            _ = try await client.send(request(.put, server.url()))
            _ = try await client.send(request(.get, server.url()))
            let seen = heads.withLock { $0 }
            let lines = Set(seen[0].split(separator: "\r\n"))
            #expect(seen[0].hasPrefix("POST /a/../b?c=%20 HTTP/1.1\r\n"))
            #expect(lines.isSuperset(of: ["Authorization: Splunk t0ken", "X-Empty:", "X-Plain: tab\there"]))
            #expect(lines.isSuperset(of: ["Content-Length: 1", "Host: 127.0.0.1:\(server.port)"]))
            #expect(!seen[0].contains("Expect") && !seen[0].contains("Content-Type"))
            #expect(seen[1].hasPrefix("PUT / HTTP/1.1\r\n") && seen[1].contains("Content-Length: 0\r\n"))
            #expect(seen[2].hasPrefix("GET / HTTP/1.1\r\n") && !seen[2].contains("X-Empty"))
        }
    }

    @Test func answersAreReadAsFramed() async throws {
        try await withServer({ connection in
            while let (head, _) = connection.nextRequest() {
                switch head.split(separator: " ")[1] {
                case "/chunked":
                    connection.send(
                        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nX-A:  one \r\nx-a: two\r\n\r\n"
                            + "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n")
                case "/interim":
                    connection.send("HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
                    connection.answer("late", fields: "X-Late: 1\r\n")
                case "/redirect": connection.answer("", status: "307 Temporary Redirect", fields: "Location: /\r\n")
                case "/head": connection.send("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
                case "/gone":
                    let isBare = head.hasPrefix("DELETE ") && !head.lowercased().contains("content-length")
                    connection.send("HTTP/1.1 \(isBare ? 204 : 400) Gone\r\n\r\n")
                case "/empty": connection.send("HTTP/1.1 204 No Content\r\n\r\n")
                default: connection.answer("sorry", status: "503 Busy", fields: "Retry-After: 7\r\n")
                }
            }
        }) { server, client in
            let chunked = try await client.send(request(.post, server.url("/chunked"), body: [1]))
            #expect(chunked.status == 201 && chunked.text == "abcde" && chunked.isBodyDelimited)
            #expect(chunked.header("X-a") == "one" && chunked.header("X-Trailer") == nil && chunked.header("X") == nil)
            let interim = try await client.send(request(.post, server.url("/interim"), body: [1]))
            #expect(interim.status == 200 && interim.text == "late")
            #expect(interim.header("x-late") == "1" && interim.header("X-Early") == nil)
            let redirect = try await client.send(request(.get, server.url("/redirect")))
            #expect(redirect.status == 307 && redirect.header("location") == "/")
            #expect(await client.status(request(.head, server.url("/head"))) == 200)
            #expect(try await client.send(request(.get, server.url("/empty"))).body.isEmpty)
            #expect(await client.status(request(.delete, server.url("/gone"))) == 204)
            let busy = try await client.send(request(.post, server.url(), body: [1]))
            #expect(busy.status == 503 && busy.header("RETRY-AFTER") == "7")
            #expect(server.accepted == 1)
        }
    }

    @Test func bodyThatEndsWithTheConnectionIsComplete() async throws {
        try await withServer({ connection in
            _ = connection.nextRequest()
            connection.send("HTTP/1.0 200 OK\r\n\r\nall of it")
        }) { server, client in
            let response = try await client.send(request(.get, server.url()))
            #expect(response.text == "all of it" && response.protocolVersion == .http10)
            #expect(!response.isBodyDelimited)
            #expect(await client.status(request(.get, server.url())) == 200)
            #expect(server.accepted == 2)
        }
    }

    @Test func twoHundredAtOnceShareFewConnections() async throws {
        try await withServer(echo, client: HTTPClient(maxConnections: 32, maxConnectionsPerHost: 8)) { server, client in
            let url = server.url()
            let sums = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let body = Array("request \(number)".utf8)
                        return try await client.send(request(.post, url, body: body)).body == body
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(sums.count == 200 && sums.allSatisfy(\.self))
            #expect(server.accepted <= 8)
        }
    }

    @Test func slowTargetLeavesRoomForOthers() async throws {
        let client = HTTPClient(maxConnections: 4, maxConnectionsPerHost: 2)
        try await withServer({ $0.drain() }, client: client) { slow, client in
            let quick = try ScriptedServer(echo)
            defer { quick.stop() }
            let url = slow.url()
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<20 { group.addTask { _ = await client.failure(request(.get, url)) } }
                while slow.accepted < 2 { await Task.yield() }
                for _ in 0..<20 {
                    let failure = await client.failure(request(.post, quick.url(), body: [7]))
                    #expect(failure == nil)
                }
                #expect(slow.accepted == 2)
                group.cancelAll()
            }
        }
    }

    @Test func whatDoesNotBelongIntoARequestIsNotSent() async throws {
        try await withServer(echo) { server, client in
            let bad: [HTTPRequest] = [
                request(.get, server.url(), headers: [HTTPHeader("X", "a\r\nY: b")]),
                request(.get, server.url(), headers: [HTTPHeader("X", secret: Secret("key\n"))]),
                request(.get, server.url(), headers: [HTTPHeader("X", "a\0b")]),
                request(.get, server.url(), headers: [HTTPHeader("X: y\r\nZ", "a")]),
                request(.get, server.url(), headers: [HTTPHeader("", "a")]),
                request(.post, server.url(), headers: [HTTPHeader("content-length", "9")], body: [1]),
                request(.get, server.url("/a b")), request(.get, server.url("/\r\nX: y")),
                request(.get, server.url("/\0")), request(.get, server.url("/ä")),
                request(.get, "ftp://127.0.0.1/"), request(.get, "file:///etc/passwd"), request(.get, "/path"),
                request(.get, "http://user:word@127.0.0.1:\(server.port)/"), request(.get, "http://:80/"),
                request(.get, "http://127.0.0.1:0/"), request(.get, "http://127.0.0.1:99999/"),
                request(.get, server.url(), body: [1]),
                request(.get, server.url(), tls: TLSSettings(certificateFile: "/nowhere")),
            ]
            for (index, request) in bad.enumerated() {
                let failure = await client.failure(request)
                #expect(failure?.kind == .other(code: 43), "request \(index)")
                #expect(failure?.mayHaveReachedServer == false, "request \(index)")
                #expect(failure?.message.contains("not sent") == true, "request \(index)")
            }
            #expect(server.accepted == 0)
        }
    }

    @Test func credentialsAreNotDescribed() {
        let header = HTTPHeader("Authorization", secret: Secret("hunter2"), prefix: "Splunk ")
        var whole = request(.get, "https://h/p?sig=hunter2", headers: [header])
        whole.proxy = "http://u:hunter2@proxy:1"
        var shown = "\(header) \(whole) \(String(reflecting: header)) \(String(reflecting: whole))"
        dump([whole], to: &shown)
        dump([header], to: &shown)
        #expect(!shown.contains("hunter2"))
        #expect("\(header)" == "Authorization: Splunk <secret>")
        #expect("\(whole)" == "GET https://h/p")
    }
}
