import Crypto
import Foundation
import Model
import Testing

@testable import PeerTransport

/// Who is let in, by whom, and what those are told who are not.
@Suite(.timeLimit(.minutes(1))) struct PeerTrustTests {
    /// Connects and reads until the end: what a worker learns.
    private func worker(_ security: PeerSecurity, to port: Int) async throws -> PeerError? {
        let client = try PeerClient(security: security)
        var reason: PeerError?
        do throws(PeerError) {
            let connection = try await client.connect(host: "127.0.0.1", port: port)
            try await connection.send(frame(100))
            while try await connection.receive() != nil {}
        } catch {
            reason = error
        }
        await client.shutdown()
        return reason
    }

    @Test func bothSidesKnowTheOther() async throws {
        let files = try await Certificates.shared.value
        for (member, name) in [("w0", "w0"), ("w1", "w1")] {
            let cluster = try await Cluster.start(files.security("c0"))
            let client = try PeerClient(security: files.security(member))
            let near = try await client.connect(host: "localhost", port: cluster.server.port)
            let far = try await cluster.accept()
            #expect(near.peer.identity?.role == .coordinator)
            #expect(near.peer.identity?.name == "c0")
            #expect(far.peer.identity?.role == .worker)
            #expect(far.peer.identity?.name == name)
            #expect(near.peer.address == cluster.server.address)
            await client.shutdown()
            await cluster.server.shutdown()
        }
    }

    @Test(arguments: [
        ("stranger-w", PeerError.Kind.untrusted), ("far", .wrongRole), ("expired", .untrusted),
    ])
    func aWorkerThatIsNotLetIn(member: String, kind: PeerError.Kind) async throws {
        let files = try await Certificates.shared.value
        let cluster = try await Cluster.start(files.security("c0"))
        let run = try await openssl(cluster.server.port, files.path(member))
        #expect(run.output.contains("alert"), "\(run.output)")
        let refusal = try await cluster.refused()[0]
        #expect(refusal.kind == kind)
        #expect(refusal.message.contains("worker at 127.0.0.1:"), "\(refusal)")
        #expect(refusal.message.contains("serial "), "\(refusal)")
        await cluster.server.shutdown()
    }

    /// The independent client: `openssl s_client`.
    private func openssl(_ port: Int, _ directory: String?, _ options: [String] = []) async throws -> Program {
        var arguments = ["timeout", "10", "openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-quiet"] + options
        if let directory { arguments += ["-cert", "\(directory)/tls.crt", "-key", "\(directory)/tls.key"] }
        return try await Program.run(arguments)
    }

    @Test func withoutACertificateNobodyIsLetIn() async throws {
        let files = try await Certificates.shared.value
        let cluster = try await Cluster.start(files.security("c0"))
        let run = try await openssl(cluster.server.port, nil)
        #expect(run.output.contains("certificate required"), "\(run.output)")
        #expect(try await cluster.refused()[0].kind == .noCertificate)
        await cluster.server.shutdown()
    }

    @Test func aSelfSignedCertificateIsNotTrusted() async throws {
        let files = try await Certificates.shared.value
        let own = try Certificates()
        let made = try await Program.run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=w0", "-addext", "subjectAltName=URI:spiffe://sidereal.local/sidereal-export/worker/w0",
            "-keyout", own.path("tls.key"), "-out", own.path("tls.crt"),
        ])
        try #require(made.status == 0)
        let cluster = try await Cluster.start(files.security("c0"))
        let run = try await openssl(cluster.server.port, own.directory.path)
        #expect(run.output.contains("alert"), "\(run.output)")
        let refusal = try await cluster.refused()[0]
        #expect(refusal.kind == .untrusted)
        #expect(refusal.message.contains("self-signed"), "\(refusal)")
        await cluster.server.shutdown()
    }

    @Test func anOlderVersionIsAgreedToOnlyWhereItMayBe() async throws {
        let files = try await Certificates.shared.value
        for (minimum, isWelcome) in [(TLSVersion.v13, false), (.v12, true)] {
            let cluster = try await Cluster.start(.mutualTLS(directory: files.path("c0"), minimum: minimum))
            // It ends with its input, and does not wait until it is ended.
            let run = try await openssl(cluster.server.port, files.path("w0"), ["-tls1_2", "-no_ign_eof"])
            if isWelcome {
                #expect(try await cluster.accept().peer.identity?.name == "w0")
            } else {
                #expect(run.output.contains("alert protocol version"), "\(run.output)")
                #expect(try await cluster.refused()[0].kind == .tls)
            }
            await cluster.server.shutdown()
        }
    }

    @Test func aWorkerSpeaksToNoOtherWorkerAndNoStranger() async throws {
        let files = try await Certificates.shared.value
        // A worker's certificate is not for servers, and one of another authority is nobody's.
        for member in ["w0", "stranger-c"] {
            let rogue = try await RogueServer.start(files.path(member))
            let reason = try await worker(files.security("w1"), to: rogue.port)
            #expect(reason?.kind == .untrusted, "\(String(describing: reason))")
            await rogue.stop()
        }
    }

    /// Good for both purposes and of our authority, but with the role of a worker on a coordinator's side, and the other
    /// way round.
    @Test func theRoleDecidesWhereThePurposeFits() async throws {
        let files = try Certificates()
        try await files.make(["coordinator/c", "worker/w"])
        for (member, role) in [("rogue-w", "worker"), ("rogue-c", "coordinator")] {
            try await files.makeForBothPurposes(member, role)
        }
        let rogue = try await RogueServer.start(files.path("rogue-w"))
        let reason = try await worker(files.security("w"), to: rogue.port)
        #expect(reason?.kind == .wrongRole)
        #expect(reason?.message.contains("it is one of a worker") == true, "\(String(describing: reason))")
        await rogue.stop()

        let cluster = try await Cluster.start(files.security("c"))
        let run = try await openssl(cluster.server.port, files.path("rogue-c"))
        #expect(run.output.contains("alert bad certificate"), "\(run.output)")
        let refusal = try await cluster.refused()[0]
        #expect(refusal.kind == .wrongRole)
        #expect(refusal.message.contains("it is one of a coordinator"), "\(refusal)")
        await cluster.server.shutdown()
    }

    @Test func certificatesAreReadAgainWithoutARestart() async throws {
        let files = try Certificates()
        try await files.make(["coordinator/c", "worker/w"])
        let cluster = try await Cluster.start(files.security("c"))
        let client = try PeerClient(security: files.security("w"))
        let first = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        let firstFar = try await cluster.accept()
        // A new authority for all: who still shows a certificate of the old one is refused.
        let old = files.path("old-w")
        try FileManager.default.copyItem(atPath: files.path("w"), toPath: old)
        try await files.make(["coordinator/c", "worker/w"], ["AUTHORITY": "second"])
        #expect(try await worker(.mutualTLS(directory: old), to: cluster.server.port) != nil)
        let second = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        let secondFar = try await cluster.accept()
        // What stood before goes on.
        for (near, far) in [(first, firstFar), (second, secondFar)] {
            try await near.send(frame(10))
            #expect(try await far.receive()?.array == frame(10).array)
        }
        // Files that do not fit together let nobody in, and say so.
        try Data("no PEM".utf8).write(to: URL(fileURLWithPath: files.path("c/tls.crt")))
        #expect(try await worker(files.security("w"), to: cluster.server.port) != nil)
        #expect(try await cluster.refused().contains { $0.kind == .credentials && $0.message.contains("tls.crt") })
        await client.shutdown()
        await cluster.server.shutdown()
    }

    @Test func badCredentialsAreSaidAtTheStart() async throws {
        let files = try await Certificates.shared.value
        for (security, words) in [
            (files.security("nobody"), "cannot read"), (files.security("c0"), "is for a coordinator"),
            (files.security("expired"), "has expired"),
        ] {
            let reason = #expect(throws: PeerError.self) { _ = try PeerClient(security: security) }
            #expect(reason?.kind == .credentials)
            #expect(reason?.message.contains(words) == true, "\(String(describing: reason))")
        }
    }

    @Test func aRevokedCertificateIsRefused() async throws {
        let files = try Certificates()
        try await files.make(["coordinator/c", "worker/w", "worker/other"])
        try await files.revoke("w", in: "c")
        let cluster = try await Cluster.start(files.security("c"))
        #expect(try await worker(files.security("w"), to: cluster.server.port)?.kind == .refusedByPeer)
        #expect(try await cluster.refused()[0].message.contains("revoked"))
        let client = try PeerClient(security: files.security("other"))
        let near = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        let far = try await cluster.accept()
        #expect(far.peer.identity?.name == "other")
        // A list that is taken away would let the revoked one in.
        try FileManager.default.removeItem(atPath: files.path("c/crl.pem"))
        #expect(try await worker(files.security("w"), to: cluster.server.port) != nil)
        #expect(try await cluster.refused(2).last?.message.contains("crl.pem was there and is gone") == true)
        #expect(near.endReason == nil)
        await client.shutdown()
        await cluster.server.shutdown()
    }

    @Test(arguments: ["0.0.0.0", "::", "192.0.2.1"])
    func withoutTLSOnlyLoopbackIsServedAndCalled(host: String) async throws {
        let atServer = await #expect(throws: PeerError.self) {
            _ = try await PeerServer.start(host: host, port: 0, security: .loopbackOnly, refused: { _ in })
        }
        #expect(atServer?.kind == .notLoopback)
        let client = try PeerClient(security: .loopbackOnly)
        let atClient = await #expect(throws: PeerError.self) { _ = try await client.connect(host: host, port: 9) }
        #expect(atClient?.kind == .notLoopback)
        #expect(atClient?.message.contains("mutual TLS") == true)
        await client.shutdown()
    }

    /// Of the files as they are, which are renewed while the process runs.
    @Test func bothSidesSayWhenTheirCertificateEnds() async throws {
        let files = try Certificates()
        try await files.make(["coordinator/c0", "worker/w0"], ["DAYS": "5"])
        let cluster = try await Cluster.start(files.security("c0"))
        let client = try PeerClient(security: files.security("w0"))
        func days(_ expiry: Int64?) throws -> Double {
            let ends = try #require(expiry)
            return Double(ends - Int64(time(nil))) / 86_400
        }
        for expected in [5.0, 30] {
            if expected > 5 { try await files.make(["coordinator/c0", "worker/w0"], ["DAYS": "30"]) }
            #expect(try abs(days(cluster.server.certificateExpiry()) - expected) < 0.01)
            #expect(try abs(days(client.certificateExpiry()) - expected) < 0.01)
        }
        // What cannot be read now does not take back what was known.
        try FileManager.default.removeItem(atPath: files.path("w0"))
        #expect(try abs(days(client.certificateExpiry()) - 30) < 0.01)
        await client.shutdown()
        await cluster.server.shutdown()
        let open = try PeerClient(security: .loopbackOnly)
        #expect(open.certificateExpiry() == nil)
        await open.shutdown()
    }

    @Test func aConnectionEndsWithTheCertificateItWasMadeWith() async throws {
        let files = try await Certificates.shared.value
        let days = Counter()
        var settings = PeerSettings()
        settings.unixSeconds = { Int64(time(nil)) + Int64(days.value) * 86_400 }
        let cluster = try await Cluster.start(files.security("c0"), settings)
        let client = try PeerClient(security: files.security("w0"))
        let near = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        let far = try await cluster.accept()
        // Valid for seven days.
        for _ in 0..<6 { days.count() }
        try await Task.sleep(for: .milliseconds(1_500))
        #expect(far.endReason == nil)
        for _ in 0..<2 { days.count() }
        let reason = await #expect(throws: PeerError.self) { while try await far.receive() != nil {} }
        #expect(reason?.kind == .expired)
        withExtendedLifetime(near) {}
        await client.shutdown()
        await cluster.server.shutdown()
    }
}
