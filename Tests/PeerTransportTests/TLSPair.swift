import COpenSSL
import Foundation
import Model

@testable import Crypto

/// Both sides of a TLS connection in one thread. What lies between them is in the test's hand.
struct TLSPair {
    let server: TLSConnection
    let client: TLSConnection

    /// Contexts of a coordinator and a worker.
    struct Contexts: Sendable {
        let server: TLSContext
        let client: TLSContext

        init(_ files: Certificates, minimum: TLSVersion = .v13) throws {
            func context(_ side: TLSSide, _ member: String) throws -> TLSContext {
                func file(_ name: String) throws -> SealedBytes {
                    SealedBytes(Array(try Data(contentsOf: URL(fileURLWithPath: "\(files.path(member))/\(name)"))))
                }
                return try TLSContext(
                    peer: side, authorities: try file("ca.crt"), revocations: nil,
                    certificateChain: try file("tls.crt"), privateKey: try file("tls.key"), minimum: minimum)
            }
            (server, client) = (try context(.server, "c0"), try context(.client, "w0"))
        }
    }

    init(_ contexts: Contexts) throws {
        server = try TLSConnection(peer: contexts.server, side: .server) { _ in nil }
        client = try TLSConnection(peer: contexts.client, side: .client) { _ in nil }
    }

    /// A pair whose handshake is complete, its messages passed on in pieces of `step` bytes.
    static func established(_ contexts: Contexts, step: Int = .max, onlyV12: Bool = false) throws -> TLSPair {
        let pair = try TLSPair(contexts)
        if onlyV12 { pair.client.offerOnlyV12() }
        _ = try pair.client.handshake()
        while !pair.server.isEstablished || !pair.client.isEstablished {
            let (hello, answer) = (pair.client.sent(), pair.server.sent())
            guard !(hello.isEmpty && answer.isEmpty) else { throw Stuck() }
            for piece in hello.cut(step) { try pair.server.shake(piece) }
            for piece in answer.cut(step) { try pair.client.shake(piece) }
        }
        // What a side says with or after its last message of the handshake.
        let (rest, answer) = (pair.client.sent(), pair.server.sent())
        try pair.server.hear(rest)
        try pair.client.hear(answer)
        return pair
    }

    /// Nobody has anything to say, and the handshake is not complete.
    struct Stuck: Error {}
}

/// What reading brought.
struct Heard: Equatable {
    var bytes: [UInt8] = []
    var isClosed = false
}

extension TLSConnection {
    /// Takes what is to be sent.
    func sent() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: pendingCiphertext)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe takeCiphertext(into: $0) }
        return Array(bytes[..<count])
    }

    /// Lends `bytes` while `body` runs.
    func hear(_ bytes: [UInt8], _ body: () throws(CryptoError) -> Void) throws {
        try unsafe bytes.withUnsafeBytes { try unsafe reading($0, body) }
    }

    /// Lends `bytes` and goes on with the handshake.
    func shake(_ bytes: [UInt8]) throws {
        try hear(bytes) { () throws(CryptoError) in _ = try handshake() }
    }

    /// Lends `bytes` and reads as the handler does, until more is needed.
    @discardableResult func hear(_ bytes: [UInt8], room: Int = 16 << 10) throws -> Heard {
        var heard = Heard()
        try hear(bytes) { () throws(CryptoError) in
            while try readOnce(room, &heard) {}
        }
        return heard
    }

    /// Whether there may be more.
    func readOnce(_ room: Int, _ heard: inout Heard) throws(CryptoError) -> Bool {
        var plaintext = [UInt8](repeating: 0, count: room)
        var result = Result<ReadResult, CryptoError>.success(.needsMore)
        unsafe plaintext.withUnsafeMutableBytes { room in
            do throws(CryptoError) { result = .success(try unsafe read(into: room)) } catch { result = .failure(error) }
        }
        switch try result.get() {
        case .bytes(let count): heard.bytes += plaintext[..<count]
        case .needsMore: return false
        case .closed:
            heard.isClosed = true
            return false
        }
        return true
    }

    /// The ciphertext of `plaintext`.
    func say(_ plaintext: [UInt8]) throws -> [UInt8] {
        try write(plaintext.span)
        return sent()
    }

    /// The same, with `room` bytes lent for it: those, and what had to go another way.
    func say(_ plaintext: [UInt8], room: Int) throws -> (lent: [UInt8], spilt: [UInt8]) {
        var lent = [UInt8](repeating: 0xEE, count: room)
        let count = try unsafe lent.withUnsafeMutableBytes { try unsafe write(plaintext.span, into: $0) }
        guard lent[count...].allSatisfy({ $0 == 0xEE }) else { throw WroteBeyond() }
        return (Array(lent[..<count]), sent())
    }

    /// It touched more of what it was lent than it said.
    struct WroteBeyond: Error {}

    /// Received bytes that are kept because nothing has read them.
    var unreadCiphertext: Int { unsafe sidereal_BIO_pending(incoming) }

    /// Before the handshake.
    func offerOnlyV12() {
        // SSL_OP_NO_TLSv1_3 of openssl/ssl.h, a macro.
        _ = unsafe SSL_set_options(connection, 1 << 29)
    }

    /// Asks for another handshake on the connection as it is (TLS 1.2), although its own rules forbid that.
    func renegotiate() -> Bool {
        // SSL_OP_NO_RENEGOTIATION of openssl/ssl.h, a macro.
        _ = unsafe SSL_clear_options(connection, 1 << 30)
        return unsafe SSL_renegotiate(connection) == 1
    }

    /// Changes the keys of what it writes with the next record (RFC 8446, 4.6.3), and asks the peer to do so as well.
    func updateKey() -> Bool { unsafe SSL_key_update(connection, SSL_KEY_UPDATE_REQUESTED) == 1 }
}

extension [UInt8] {
    func cut(_ step: Int) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var rest = self[...]
        while !rest.isEmpty {
            pieces.append(Array(rest.prefix(step)))
            rest = rest.dropFirst(step)
        }
        return pieces
    }

    /// Bytes that differ from place to place.
    static func pattern(_ count: Int, _ seed: Int = 0) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ seed) }
    }
}
