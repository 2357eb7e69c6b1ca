import Crypto
import Foundation
import Glibc
import Model
import Testing

/// Certificates made by the `openssl` program for one test.
struct Certificates {
    let directory: TemporaryDirectory

    init() async throws {
        directory = try TemporaryDirectory()
        for authority in ["ca", "other-ca"] {
            try await openssl(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=\(authority)",
                ["-keyout", path("\(authority).key"), "-out", path("\(authority).crt")])
        }
        for (name, authority) in [("server", "ca"), ("client", "ca"), ("stranger", "other-ca")] {
            try await openssl(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=\(name) "
                    + "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE",
                [
                    "-CA", path("\(authority).crt"), "-CAkey", path("\(authority).key"), "-keyout",
                    path("\(name).key"), "-out", path("\(name).crt"),
                ])
        }
    }

    func path(_ name: String) -> String { directory.url.appendingPathComponent(name).path }

    private func openssl(_ options: String, _ paths: [String]) async throws {
        let run = try await Program.run(["openssl"] + options.split(separator: " ").map(String.init) + paths)
        try #require(run.status == 0, "openssl \(options)")
    }
}

/// Serves one connection on loopback with a ``TLSConnection`` on a thread of its own: answers each piece of
/// plaintext with the same in upper case.
final class UpperCaseServer: Sendable {
    struct Outcome: Sendable {
        var version = ""
        var received: [UInt8] = []
        var endedProperly = false
        var error: CryptoError?
    }

    let port: Int
    private let listener: Int32
    private let outcomes: AsyncStream<Outcome>

    init(_ context: TLSContext) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, length) == 0 && listen(listener, 1) == 0
                    && getsockname(listener, $0, &length) == 0
            }
        }
        try #require(isListening)
        // Accepted sockets do not inherit it everywhere, so both are told: no test waits for ever.
        Self.limitWaiting(listener)
        port = Int(UInt16(bigEndian: address.sin_port))
        self.listener = listener
        let (outcomes, continuation) = AsyncStream.makeStream(of: Outcome.self)
        self.outcomes = outcomes
        Thread.detachNewThread {
            let peer = accept(listener, nil, nil)
            Self.limitWaiting(peer)
            continuation.yield(Self.serve(peer, context))
            continuation.finish()
            close(peer)
        }
    }

    deinit { close(listener) }

    private static func limitWaiting(_ descriptor: Int32) {
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    func outcome() async throws -> Outcome {
        var iterator = outcomes.makeAsyncIterator()
        return try #require(await iterator.next())
    }

    private static func serve(_ peer: Int32, _ context: TLSContext) -> Outcome {
        var outcome = Outcome()
        var ciphertext = ByteWriter()
        do throws(CryptoError) {
            let connection = try TLSConnection(server: context)
            defer { transmit(connection, &ciphertext, peer) }
            while !outcome.endedProperly {
                var piece = [UInt8](repeating: 0, count: 1000)
                let count = unsafe piece.withUnsafeMutableBytes { unsafe recv(peer, $0.baseAddress, $0.count, 0) }
                guard count > 0 else { throw TLSConnection.truncated() }
                try connection.feed(piece.span.extracting(0..<count))
                if try connection.handshake() {
                    outcome.version = connection.version
                    try answer(connection, &outcome)
                }
                transmit(connection, &ciphertext, peer)
            }
        } catch {
            outcome.error = error
        }
        return outcome
    }

    private static func answer(_ connection: TLSConnection, _ outcome: inout Outcome) throws(CryptoError) {
        var plaintext = ByteWriter()
        while true {
            plaintext.removeAll()
            let result = try connection.read(into: &plaintext)
            if result == .needsMore { return }
            if result == .closed {
                outcome.endedProperly = true
                return connection.closeNotify()
            }
            var upper: [UInt8] = []
            for index in 0..<plaintext.count {
                let byte = plaintext.span[index]
                outcome.received.append(byte)
                upper.append((97...122).contains(byte) ? byte - 32 : byte)
            }
            try connection.write(upper.span)
        }
    }

    private static func transmit(_ connection: TLSConnection, _ ciphertext: inout ByteWriter, _ peer: Int32) {
        ciphertext.removeAll()
        connection.takeCiphertext(&ciphertext)
        var sent = 0
        while sent < ciphertext.count {
            let count = unsafe ciphertext.span.withUnsafeBytes {
                unsafe send(
                    peer, $0.baseAddress.map { unsafe $0 + sent }, ciphertext.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }
}

@Suite struct TLSTests {
    static func context(_ files: Certificates, mutual: Bool = false) throws -> TLSContext {
        try TLSContext(
            certificateChainFile: files.path("server.crt"), privateKeyFile: files.path("server.key"),
            clientAuthorityFile: mutual ? files.path("ca.crt") : nil)
    }

    static func client(
        _ server: UpperCaseServer, _ files: Certificates, _ options: [String], input: [UInt8]
    ) async throws -> Program {
        // -quiet alone would wait for the server to close, -no_ign_eof ends with the input.
        try await Program.run(
            [
                "openssl", "s_client", "-connect", "127.0.0.1:\(server.port)", "-CAfile",
                files.path("ca.crt"), "-verify_return_error", "-verify_ip", "127.0.0.1", "-quiet", "-no_ign_eof",
            ] + options, input: input)
    }

    @Test(arguments: [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")])
    func theOpensslProgramTalksToIt(option: String, version: String) async throws {
        let files = try await Certificates()
        let server = try UpperCaseServer(Self.context(files))
        let text = (0..<5_000).map { "line \($0)\n" }.joined()
        _ = try await Self.client(server, files, [option], input: Array(text.utf8))
        let outcome = try await server.outcome()
        #expect(outcome.version == version)
        #expect(outcome.received == Array(text.utf8))
        #expect(outcome.endedProperly, "\(String(describing: outcome.error))")
    }

    @Test func tls11IsRefusedWithTheReason() async throws {
        let files = try await Certificates()
        let server = try UpperCaseServer(Self.context(files))
        let client = try await Self.client(
            server, files, ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], input: Array("x".utf8))
        let outcome = try await server.outcome()
        #expect(client.status != 0)
        #expect(outcome.error?.kind == .tlsProtocol)
        #expect(outcome.error?.description.contains("unsupported protocol") == true)
        #expect(outcome.received.isEmpty)
    }

    @Test(arguments: [(nil, false), ("client", true), ("stranger", false)] as [(String?, Bool)])
    func mutualTLSLetsInOnlyItsOwn(name: String?, isWelcome: Bool) async throws {
        let files = try await Certificates()
        let server = try UpperCaseServer(Self.context(files, mutual: true))
        let options = name.map { ["-cert", files.path("\($0).crt"), "-key", files.path("\($0).key")] } ?? []
        _ = try await Self.client(server, files, options, input: Array("hello".utf8))
        let outcome = try await server.outcome()
        #expect(outcome.received == (isWelcome ? Array("hello".utf8) : []))
        #expect(outcome.endedProperly == isWelcome)
        if !isWelcome {
            #expect(outcome.error?.kind == .tlsProtocol)
            #expect(outcome.error?.queue.isEmpty == false)
        }
    }

    @Test func plainTextIsAnErrorNotAHang() async throws {
        let files = try await Certificates()
        let connection = try TLSConnection(server: Self.context(files))
        try connection.feed(Array("GET / HTTP/1.1\r\n\r\n".utf8).span)
        var failure: CryptoError?
        do { _ = try connection.handshake() } catch { failure = error }
        #expect(failure?.kind == .tlsProtocol)
        #expect(failure?.description.contains("http request") == true)
    }

    @Test func writingBeforeTheHandshakeIsAnErrorAndClosingIsNot() async throws {
        let files = try await Certificates()
        let connection = try TLSConnection(server: Self.context(files))
        #expect(!connection.isEstablished)
        connection.closeNotify()
        var ciphertext = ByteWriter()
        #expect(connection.takeCiphertext(&ciphertext) == 0)
        #expect(throws: CryptoError.self) { try connection.write(Array("x".utf8).span) }
    }

    @Test func badFilesAreNamed() async throws {
        let files = try await Certificates()
        let cases = [
            ("/no/such.crt", files.path("server.key"), nil, "/no/such.crt"),
            (files.path("server.crt"), "/no/such.key", nil, "/no/such.key"),
            (files.path("server.crt"), files.path("client.key"), nil, "client.key"),
            (files.path("server.crt"), files.path("server.key"), "/no/such-ca.crt", "/no/such-ca.crt"),
        ]
        for (certificate, key, authority, named) in cases {
            let failure = #expect(throws: CryptoError.self) {
                try TLSContext(
                    certificateChainFile: certificate, privateKeyFile: key, clientAuthorityFile: authority)
            }
            #expect(failure?.kind == .tlsConfiguration)
            #expect(failure?.message.contains(named) == true)
            #expect(failure?.queue.isEmpty == false)
        }
    }
}
