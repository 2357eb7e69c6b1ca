import Foundation
import HTTPClient
import Model
import Testing

@Suite struct TLSTests {
    private func withBench(_ body: (TLSBench, HTTPClient) async throws -> Void) async throws {
        let bench = try TLSBench()
        defer { bench.end() }
        let client = HTTPClient()
        do {
            try bench.makeAuthority("ca")
            try await body(bench, client)
        } catch {
            await client.shutdown()
            throw error
        }
        await client.shutdown()
    }

    /// The failure must carry its reason, say it in words, and be certain that nothing was sent.
    private func expect(
        _ failure: HTTPFailure?, _ reason: HTTPFailure.TLSReason, saying words: String, sent: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(failure?.kind == .tls(reason: reason), sourceLocation: sourceLocation)
        #expect(
            failure?.message.contains(words) == true, "\(failure?.message ?? "answered")",
            sourceLocation: sourceLocation)
        #expect(failure?.mayHaveReachedServer == sent, sourceLocation: sourceLocation)
    }

    @Test func goodCertificateOfAnOwnAuthority() async throws {
        try await withBench { bench, client in
            try bench.makeCertificate("server", by: "ca")
            let port = try bench.serve("server")
            let tls = TLSSettings(caFile: bench.path("ca.crt"))
            for _ in 0..<3 {
                let response = try await client.send(
                    request(.post, "https://localhost:\(port)/", body: [UInt8](repeating: 1, count: 100_000), tls: tls))
                #expect(response.text.contains("connection=1 host=localhost:\(port) body=100000 sni=localhost"))
                #expect(response.text.contains("TLSv1.3"))
            }
        }
    }

    /// Authorities, client certificate and key that are in memory do without files, and one key without its certificate is
    /// not sent.
    @Test func certificatesInMemory() async throws {
        try await withBench { bench, client in
            try bench.makeCertificate("server", by: "ca")
            try bench.makeCertificate("alice", by: "ca")
            let url = "https://localhost:\(try bench.serve("server", clientAuthority: "ca"))/"
            func text(_ name: String) throws -> String { try String(contentsOfFile: bench.path(name), encoding: .utf8) }
            var tls = TLSSettings()
            tls.inMemory = PEMData(
                authorities: SealedBytes(Array(try text("ca.crt").utf8)),
                certificate: SealedBytes(Array(try text("alice.crt").utf8)), key: Secret(try text("alice.key")))
            let response = try await client.send(request(.patch, url, body: [1, 2], tls: tls))
            #expect(response.text.contains("body=2") && response.text.contains("client=alice"))
            var shown = "\(tls)"
            dump(tls, to: &shown)
            #expect(!shown.contains("PRIVATE") && shown.contains("key: true"))
            tls.inMemory.certificate = nil
            let failure = await client.failure(request(.get, url, tls: tls))
            #expect(failure?.kind == .other(code: 43))
        }
    }

    @Test func badCertificates() async throws {
        try await withBench { bench, client in
            try bench.makeAuthority("other")
            try bench.makeCertificate("server", by: "ca")
            try bench.makeCertificate("old", by: "ca", days: -1)
            try bench.makeCertificate("elsewhere", by: "ca", host: "elsewhere.example")
            let trusting = TLSSettings(caFile: bench.path("ca.crt"))
            func failure(_ certificate: String, _ tls: TLSSettings) async throws -> HTTPFailure? {
                let port = try bench.serve(certificate)
                return await client.failure(request(.post, "https://localhost:\(port)/", body: [1], tls: tls))
            }
            expect(try await failure("old", trusting), .expired, saying: "has expired; renew it")
            expect(try await failure("elsewhere", trusting), .wrongName, saying: "is for another name")
            expect(
                try await failure("server", TLSSettings(caFile: bench.path("other.crt"))), .unknownAuthority,
                saying: "unknown authority")
            expect(try await failure("server", TLSSettings()), .unknownAuthority, saying: "unknown authority")
            expect(try await failure("other", trusting), .selfSigned, saying: "self-signed")
        }
    }

    /// With authorities of one's own, the system's are not trusted beside them; nor is anything trusted by default.
    @Test func localFilesAreExplained() async throws {
        try await withBench { bench, client in
            try bench.makeCertificate("server", by: "ca")
            let url = "https://localhost:\(try bench.serve("server"))/"
            let missing = TLSSettings(caFile: bench.path("absent.crt"))
            expect(
                await client.failure(request(.get, url, tls: missing)), .localFile, saying: "absent.crt: No such file")
            try Data("no certificate".utf8).write(to: URL(fileURLWithPath: bench.path("bad.crt")))
            let bad = TLSSettings(caFile: bench.path("bad.crt"))
            expect(await client.failure(request(.get, url, tls: bad)), .localFile, saying: "PEM")
            let mixed = TLSSettings(
                caFile: bench.path("ca.crt"), certificateFile: bench.path("server.crt"), keyFile: bench.path("ca.key"))
            expect(await client.failure(request(.get, url, tls: mixed)), .localFile, saying: "tls.key its key")
        }
    }

    @Test func oldVersionsAreRefused() async throws {
        try await withBench { bench, client in
            try bench.makeCertificate("server", by: "ca")
            let tls = TLSSettings(caFile: bench.path("ca.crt"))
            let old = try bench.serve("server", version: "1.1")
            expect(
                await client.failure(request(.post, "https://localhost:\(old)/", body: [1], tls: tls)), .version,
                saying: "no version of TLS in common")
            let enough = try bench.serve("server", version: "1.2")
            let response = try await client.send(request(.get, "https://localhost:\(enough)/", tls: tls))
            #expect(response.text.contains("TLSv1.2"))
        }
    }

    /// What FIPS 140 approves is taken, all else refused, though the provider here could carry it out.
    @Test func approvedAlgorithmsOnly() async throws {
        try await withBench { bench, client in
            try bench.makeCertificate("server", by: "ca")
            let strict = HTTPClient(approvedOnly: true)
            // A client made from another keeps to its rules.
            let child = strict.ofOneConnection()
            let tls = TLSSettings(caFile: bench.path("ca.crt"))
            let cases = [
                ("any", true), ("1.2", true), ("group secp384r1", true), ("suite ECDHE-ECDSA-AES128-GCM-SHA256", true),
                ("group X25519", false), ("suite ECDHE-ECDSA-CHACHA20-POLY1305", false),
                ("suite ECDHE-ECDSA-AES256-SHA", false),
            ]
            for (version, isApproved) in cases {
                let url = "https://localhost:\(try bench.serve("server", version: version))/"
                #expect(await client.status(request(.post, url, body: [1], tls: tls)) == 200, "\(version)")
                let failure = await strict.failure(request(.post, url, body: [1], tls: tls))
                let ofChild = await child.failure(request(.post, url, body: [1], tls: tls))
                #expect(ofChild?.kind == failure?.kind, "\(version)")
                if isApproved {
                    #expect(failure == nil, "\(version)")
                } else {
                    expect(failure, .handshake, saying: "compare the server's ciphers and curves")
                }
                // The same holds for TLS that ends at a proxy.
                var proxied = request(
                    .get, "http://receiver.invalid/", tls: TLSSettings(proxyCAFile: bench.path("ca.crt")))
                proxied.proxy = String(url.dropLast())
                #expect(await client.status(proxied) == 200, "\(version)")
                #expect(await strict.status(proxied) == (isApproved ? 200 : nil), "\(version)")
            }
            await strict.shutdown()
            await child.shutdown()
        }
    }

    @Test func serverThatDoesNotSpeakTLS() async throws {
        try await withServer({ connection in
            _ = connection.take(5)
            connection.answer("bad request", status: "400 Bad Request")
        }) { server, client in
            expect(
                await client.failure(request(.post, "https://127.0.0.1:\(server.port)/", body: [1])), .notTLS,
                saying: "does not speak TLS")
        }
    }

    @Test func handshakeCutShortIsALostConnection() async throws {
        try await withServer({ connection in
            _ = connection.take(5)
            if connection.number % 2 == 0 { connection.resetAtEnd() }
        }) { server, client in
            for _ in 0..<4 {
                let failure = await client.failure(request(.post, "https://127.0.0.1:\(server.port)/", body: [1]))
                #expect(failure?.kind == .connectionLost && failure?.mayHaveReachedServer == false)
            }
        }
    }

    @Test(arguments: ["1.2", "any"]) func clientCertificate(version: String) async throws {
        try await withBench { bench, client in
            try bench.makeAuthority("stranger")
            try bench.makeCertificate("server", by: "ca")
            try bench.makeCertificate("first", by: "ca")
            try bench.makeCertificate("second", by: "ca")
            try bench.makeCertificate("wrong", by: "stranger")
            let port = try bench.serve("server", clientAuthority: "ca", version: version)
            let url = "https://localhost:\(port)/"
            func settings(_ name: String) -> TLSSettings {
                TLSSettings(
                    caFile: bench.path("ca.crt"), certificateFile: bench.path("\(name).crt"),
                    keyFile: bench.path("\(name).key"))
            }
            // TLS 1.3 refuses after the handshake, when the request may be on its way already.
            let late = version == "any"
            let none = await client.failure(
                request(.post, url, body: [1], tls: TLSSettings(caFile: bench.path("ca.crt"))))
            if late {
                expect(none, .clientCertificateRequired, saying: "demands a client certificate", sent: true)
            } else {
                expect(none, .handshake, saying: "demands a client certificate")
            }
            expect(
                await client.failure(request(.post, url, body: [1], tls: settings("wrong"))),
                .clientCertificateRejected, saying: "rejects the client certificate", sent: late)
            // A certificate that is replaced counts at once, though a connection with the old one is at hand.
            let files = FileManager.default
            for (name, connection) in [("first", 3), ("second", 4)] {
                for kind in ["crt", "key"] {
                    try? files.removeItem(atPath: bench.path("client.\(kind)"))
                    try files.copyItem(atPath: bench.path("\(name).\(kind)"), toPath: bench.path("client.\(kind)"))
                }
                for _ in 0..<2 {
                    let response = try await client.send(request(.post, url, body: [1], tls: settings("client")))
                    #expect(response.text.contains("connection=\(connection) "), "\(response.text)")
                    #expect(response.text.contains("client=\(name) "))
                }
            }
        }
    }

    @Test func replacedAuthorityCountsAtOnce() async throws {
        try await withBench { bench, client in
            try bench.makeAuthority("other")
            try bench.makeCertificate("server", by: "ca")
            let url = "https://localhost:\(try bench.serve("server"))/"
            let trusted = URL(fileURLWithPath: bench.path("trusted.crt"))
            let good = try Data(contentsOf: URL(fileURLWithPath: bench.path("ca.crt")))
            let tls = TLSSettings(caFile: trusted.path)
            try good.write(to: trusted)
            #expect(try await client.send(request(.get, url, tls: tls)).status == 200)
            try Data(contentsOf: URL(fileURLWithPath: bench.path("other.crt"))).write(to: trusted, options: .atomic)
            expect(await client.failure(request(.get, url, tls: tls)), .unknownAuthority, saying: "unknown authority")
            try good.write(to: trusted, options: .atomic)
            #expect(try await client.send(request(.get, url, tls: tls)).text.contains("connection=1 "))
        }
    }

    @Test func serverNameReplacesTheHost() async throws {
        try await withBench { bench, client in
            try bench.makeCertificate("server", by: "ca", host: "splunk.example.com")
            let port = try bench.serve("server")
            var tls = TLSSettings(caFile: bench.path("ca.crt"), serverName: "splunk.example.com")
            let url = "https://127.0.0.1:\(port)/"
            for _ in 0..<2 {
                let response = try await client.send(request(.get, url, tls: tls))
                #expect(response.text.contains("connection=1 host=splunk.example.com:\(port) "))
                #expect(response.text.contains("sni=splunk.example.com "))
            }
            tls.serverName = "other.example.com"
            let failure = await client.failure(request(.get, url, tls: tls))
            expect(failure, .wrongName, saying: "127.0.0.1:\(port) (as other.example.com)")
        }
    }

    /// The request was taken; that TLS breaks then is no mistake of the settings, and nobody knows what became of it.
    @Test(arguments: ["1.2", "any"]) func tlsThatBreaksAfterTheRequest(version: String) async throws {
        try await withBench { bench, client in
            try bench.makeCertificate("server", by: "ca")
            let url = "https://localhost:\(try bench.serve("server", version: version))/garble"
            let tls = TLSSettings(caFile: bench.path("ca.crt"))
            let failure = await client.failure(request(.post, url, body: [1], tls: tls))
            #expect(failure?.kind == .connectionLost, "\(failure?.message ?? "answered")")
            #expect(failure?.mayHaveReachedServer == true)
        }
    }

    /// The server promises more than it sends and ends the connection, without close_notify.
    @Test func cutShortUnderTLS() async throws {
        try await withBench { bench, client in
            try bench.makeCertificate("server", by: "ca")
            let url = "https://localhost:\(try bench.serve("server"))"
            let tls = TLSSettings(caFile: bench.path("ca.crt"))
            for path in ["/cut-length", "/cut-chunk", "/cut-header"] {
                let failure = await client.failure(request(.get, url + path, tls: tls))
                #expect(failure?.kind == .connectionLost && failure?.mayHaveReachedServer == true, "\(path)")
            }
            let response = try await client.send(request(.get, url + "/cut-unframed", tls: tls))
            #expect(response.text == "part" && !response.isBodyDelimited)
        }
    }

    @Test func http2SharesOneConnection() async throws {
        try await withBench { bench, client in
            try bench.makeCertificate("server", by: "ca")
            let url = "https://localhost:\(try bench.serve("server", http2: true))/"
            let tls = TLSSettings(caFile: bench.path("ca.crt"))
            for method in [HTTPMethod.get, .post, .put] {
                let body = method == .get ? nil : [UInt8](repeating: 3, count: 300_000)
                let response = try await client.send(request(method, url, body: body, tls: tls))
                #expect(response.protocolVersion == .http2 && response.status == 200)
                #expect(response.text == "connection=1 body=\(body?.count ?? 0)")
            }
            let texts = try await withThrowingTaskGroup(of: String.self) { group in
                for size in 1...40 {
                    group.addTask {
                        try await client.send(
                            request(.post, url, body: [UInt8](repeating: 1, count: size * 1000), tls: tls)
                        ).text
                    }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(texts == Set((1...40).map { "connection=1 body=\($0 * 1000)" }))
        }
    }

    /// What goes alone speaks HTTP/1.1 beside those that share, over a connection that is kept for the next of its kind.
    @Test func aloneIsBesideHTTP2() async throws {
        try await withBench { bench, client in
            try bench.makeCertificate("server", by: "ca")
            let url = "https://localhost:\(try bench.serve("server", http2: true))/"
            let tls = TLSSettings(caFile: bench.path("ca.crt"))
            var (shared, alone) = (request(.get, url, tls: tls), request(.get, url, tls: tls))
            (shared.sharing, alone.sharing) = (.shared, .alone)
            var found: [String] = []
            for next in [shared, alone, shared, alone] {
                let response = try await client.send(next)
                found.append("\(response.protocolVersion.rawValue) \(response.openedConnection ? "new" : "kept")")
            }
            #expect(found == ["HTTP/2 new", "HTTP/1.1 new", "HTTP/2 kept", "HTTP/1.1 kept"])
        }
    }
}
