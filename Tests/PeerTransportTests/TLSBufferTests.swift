import COpenSSL
import Model
import Testing

@testable import Crypto

/// TLS over the BIO that lends memory: nothing may be lost, doubled or reordered wherever ciphertext is cut, and nothing
/// be kept that was taken.
struct TLSBufferTests {
    private func contexts(_ minimum: TLSVersion = .v13) async throws -> TLSPair.Contexts {
        try TLSPair.Contexts(try await Certificates.shared.value, minimum: minimum)
    }

    @Test(arguments: [1, 2, 3, 5, 7, 64, 1_000, .max])
    func aHandshakeInPieces(step: Int) async throws {
        let pair = try TLSPair.established(try await contexts(), step: step)
        #expect(try pair.server.hear(pair.client.say(.pattern(100))).bytes == .pattern(100))
        #expect(try pair.client.hear(pair.server.say(.pattern(100, 1))).bytes == .pattern(100, 1))
    }

    /// Both parts are read by themselves: nothing comes of the first, everything of the second.
    @Test func aRecordCutAtEveryPlace() async throws {
        let pair = try TLSPair.established(try await contexts())
        let length = try pair.client.say(.pattern(50)).count
        try #require(length > 50)
        // What was said just now is not passed on: a new pair, whose numbers of records agree.
        let fresh = try TLSPair.established(try await contexts())
        for cut in 1..<length {
            let record = try fresh.client.say(.pattern(50, cut))
            #expect(record.count == length)
            #expect(try fresh.server.hear(Array(record[..<cut])) == Heard())
            #expect(try fresh.server.hear(Array(record[cut...])).bytes == .pattern(50, cut))
        }
    }

    @Test func aRecordInManyReads() async throws {
        let pair = try TLSPair.established(try await contexts())
        let record = try pair.client.say(.pattern(16 << 10))
        var heard: [UInt8] = []
        for (place, byte) in record.enumerated() {
            let piece = try pair.server.hear([byte]).bytes
            #expect(piece.isEmpty || place == record.count - 1)
            heard += piece
        }
        #expect(heard == .pattern(16 << 10))
    }

    /// Room for one record at a time, and all of them lent at once.
    @Test func manyRecordsInOneRead() async throws {
        let pair = try TLSPair.established(try await contexts())
        var (said, ciphertext): ([UInt8], [UInt8]) = ([], [])
        for number in 0..<500 {
            let plaintext = [UInt8].pattern(1 + number * number % 3_000, number)
            said += plaintext
            ciphertext += try pair.client.say(plaintext)
        }
        #expect(try pair.server.hear(ciphertext).bytes == said)
    }

    /// A reader that stops in the middle of what it was lent finds the rest later, in order and before what comes then.
    @Test func whatWasLentAndNotReadIsKept() async throws {
        let pair = try TLSPair.established(try await contexts())
        var (said, heard) = ([UInt8](), Heard())
        for round in 0..<20 {
            let plaintext = [UInt8].pattern(60_000, round)
            said += plaintext
            let ciphertext = try pair.client.say(plaintext)
            try pair.server.hear(ciphertext) { () throws(CryptoError) in
                for _ in 0..<round % 4 { _ = try pair.server.readOnce(16 << 10, &heard) }
            }
            #expect(said.starts(with: heard.bytes))
        }
        heard.bytes += try pair.server.hear([]).bytes
        #expect(heard.bytes == said)
    }

    /// Wherever the room ends, what is lent and what is spilt make up the records, in that order.
    @Test func writingIntoEveryRoom() async throws {
        let pair = try TLSPair.established(try await contexts())
        let plaintext = [UInt8].pattern(16 << 10 + 40)
        let whole = try pair.client.say(plaintext)
        #expect(try pair.server.hear(whole).bytes == plaintext)
        let edges = [0, 1, 5, 6, 16 << 10, 16_405, 16_406, 16_407, whole.count - 1, whole.count, whole.count + 9]
        for room in edges + Array(stride(from: 17, to: whole.count, by: 977)) {
            let (lent, spilt) = try pair.client.say(plaintext, room: room)
            #expect(lent.count <= room && lent.count + spilt.count == whole.count)
            #expect(room < whole.count || spilt.isEmpty)
            #expect(try pair.server.hear(lent + spilt).bytes == plaintext, "room \(room)")
        }
    }

    /// What waits already goes first, although there is room for the later record.
    @Test func whatIsSpiltKeepsItsPlace() async throws {
        let pair = try TLSPair.established(try await contexts())
        try pair.client.write([UInt8].pattern(10, 1).span)
        let (lent, spilt) = try pair.client.say(.pattern(10, 2), room: 1_000)
        #expect(lent.isEmpty)
        #expect(try pair.server.hear(spilt).bytes == .pattern(10, 1) + .pattern(10, 2))
        #expect(try pair.client.say(.pattern(10, 3), room: 1_000).spilt.isEmpty)
    }

    /// No side waits for the other: half a record on its way in does not keep anything from going out.
    @Test func writingInTheMiddleOfARecord() async throws {
        let pair = try TLSPair.established(try await contexts())
        let record = try pair.client.say(.pattern(5_000))
        #expect(try pair.server.hear(Array(record[..<2_500])) == Heard())
        for round in 0..<3 {
            #expect(try pair.client.hear(pair.server.say(.pattern(300, round))).bytes == .pattern(300, round))
        }
        #expect(try pair.server.hear(Array(record[2_500...])).bytes == .pattern(5_000))
    }

    /// Memory never refuses: a side that nobody takes anything from writes on, and a reader without input only asks.
    @Test func nothingToReadAndNobodyWhoTakes() async throws {
        let pair = try TLSPair.established(try await contexts())
        for _ in 0..<3 { #expect(try pair.server.hear([]) == Heard()) }
        for round in 0..<64 { try pair.client.write([UInt8].pattern(16 << 10, round).span) }
        let heard = try pair.server.hear(pair.client.sent()).bytes
        #expect(heard == (0..<64).flatMap { [UInt8].pattern(16 << 10, $0) })
    }

    /// Nothing is kept of what was read and taken, however much passes, lent in pieces that fit no record.
    @Test func nothingIsKeptOfWhatPassed() async throws {
        let pair = try TLSPair.established(try await contexts())
        let rounds = 200
        var rest: [UInt8] = []
        var count = 0
        for round in 0..<rounds {
            rest += try pair.client.say(.pattern(30_000, round))
            let cut = max(rest.count - 777, 0)
            count += try pair.server.hear(Array(rest[..<cut])).bytes.count
            rest.removeFirst(cut)
            // At most the record that is not whole yet.
            #expect(pair.server.unreadCiphertext <= 16 << 10 + 256)
            #expect(pair.client.pendingCiphertext == 0)
        }
        count += try pair.server.hear(rest).bytes.count
        #expect(count == rounds * 30_000)
        #expect(pair.server.unreadCiphertext == 0)
    }

    @Test func theEndIsToldBehindWhatWasSaidBefore() async throws {
        let pair = try TLSPair.established(try await contexts())
        var ciphertext = try pair.client.say(.pattern(40_000))
        pair.client.closeNotify()
        ciphertext += pair.client.sent()
        #expect(!pair.server.isClosedByPeer)
        let heard = try pair.server.hear(ciphertext + .pattern(100))
        #expect(heard == Heard(bytes: .pattern(40_000), isClosed: true))
        #expect(pair.server.isClosedByPeer)
        // What follows the end is never read (RFC 8446, 6.1), and the other direction goes on.
        #expect(try pair.server.hear(.pattern(100)) == Heard(isClosed: true))
        #expect(try pair.client.hear(pair.server.say(.pattern(70))).bytes == .pattern(70))
    }

    /// Wherever a stream is cut: what was whole is there, and it is not taken for closed.
    @Test func aTruncatedStreamIsNotClosed() async throws {
        let contexts = try await contexts()
        let length = try TLSPair.established(contexts).client.say(.pattern(20)).count
        for cut in stride(from: 0, to: 2 * length, by: 3) {
            let pair = try TLSPair.established(contexts)
            var ciphertext = try pair.client.say(.pattern(20, 1)) + pair.client.say(.pattern(20, 2))
            pair.client.closeNotify()
            ciphertext += pair.client.sent()
            let heard = try pair.server.hear(Array(ciphertext[..<cut]))
            #expect(heard.bytes == (cut < length ? [] : .pattern(20, 1)))
            #expect(!heard.isClosed && !pair.server.isClosedByPeer)
        }
    }

    /// Whichever byte of a record is another: nothing of it is read, and the peer is told, or the rest is waited for.
    @Test func aDamagedRecordIsNeverRead() async throws {
        let contexts = try await contexts()
        let length = try TLSPair.established(contexts).client.say(.pattern(20)).count
        var refused = 0
        for place in 0..<length {
            let pair = try TLSPair.established(contexts)
            var record = try pair.client.say(.pattern(20))
            record[place] ^= 0x41
            do {
                #expect(try pair.server.hear(record) == Heard(), "byte \(place)")
            } catch let error as CryptoError {
                refused += 1
                #expect(error.kind == .tlsProtocol)
                let alert = pair.server.sent()
                #expect(!alert.isEmpty)
                #expect(throws: CryptoError.self) { try pair.client.hear(alert) }
                // Of no further use, also if what comes next is whole.
                #expect(throws: CryptoError.self) { try pair.server.hear(pair.client.say(.pattern(20))) }
            }
        }
        // A length that is too large is waited for; all else is refused.
        #expect(refused >= length - 2)
    }

    @Test func garbageAfterTheHandshakeIsAnError() async throws {
        let tooLong: [UInt8] = [0x17, 3, 3, 0xFF, 0xFF] + .pattern(70_000)
        for garbage in [Array("GET / HTTP/1.1\r\n\r\n".utf8), .pattern(5_000), tooLong] {
            let pair = try TLSPair.established(try await contexts())
            let said = try pair.client.say(.pattern(30))
            var heard = Heard()
            let error = #expect(throws: CryptoError.self) {
                try pair.server.hear(said + garbage) { () throws(CryptoError) in
                    while try pair.server.readOnce(16 << 10, &heard) {}
                }
            }
            #expect(error?.kind == .tlsProtocol)
            #expect(heard.bytes == .pattern(30) || heard.bytes.isEmpty)
            #expect(!pair.server.sent().isEmpty)
        }
    }
}
