import Model
import Testing

@testable import Protocol

/// Frames that broke on their way, or were made to harm.
@Suite struct DamageTests {
    /// Small frames of every kind, with something in every list.
    private static func samples(_ type: MessageType) -> [Message] {
        var maker = MessageMaker(seed: 11)
        let made = (0..<4).map { _ in maker.next(type) }
        return made + GoldenVectors.messages.map(\.message).filter { $0.type == type }
    }

    @Test(arguments: MessageType.allCases)
    func aFrameThatIsCutAnywhereIsAnError(_ type: MessageType) throws {
        for sample in Self.samples(type) {
            let bytes = try frame(sample)
            for length in 0..<bytes.count {
                // As it comes from a stream that ended.
                let cut = try #require(fault(Array(bytes.prefix(length))))
                #expect(cut.kind == .truncated && cut.field == "length")
                // As a sender would have written it that means it.
                guard length >= Frame.headerBytes else { continue }
                let error = try #require(fault(mended(Array(bytes.prefix(length)))), "\(type) at \(length)")
                #expect(error.message == type.name)
                #expect(error.offset >= Frame.headerBytes && error.offset <= length, "\(error)")
                #expect([.truncated, .count, .checksum].contains(error.kind), "\(error)")
                #expect(error.fault.code == (error.kind == .checksum ? .checksum : .malformed))
            }
        }
    }

    /// A flipped bit gives an error or another message; what has a checksum gives an error, always.
    @Test(arguments: MessageType.allCases)
    func aFlippedBitIsNoticedOrGivesAnotherMessage(_ type: MessageType) throws {
        for sample in Self.samples(type) {
            let bytes = try frame(sample)
            for bit in 0..<bytes.count * 8 {
                var damaged = bytes
                damaged[bit / 8] ^= 0x80 >> UInt8(bit % 8)
                do {
                    let read = try message(damaged)
                    let isIgnoredFlag = bit / 8 == 7
                    guard !type.hasChecksum, isIgnoredFlag ? read == sample : read != sample else {
                        throw Finding(description: "\(type): bit \(bit) was not noticed: \(hex(bytes))")
                    }
                } catch let error as ProtocolError {
                    guard type.hasChecksum, bit / 8 >= Frame.headerBytes else { continue }
                    #expect(error.kind == .checksum && error.fault.code == .checksum, "\(type): bit \(bit): \(error)")
                }
            }
        }
    }

    /// Two damaged bits in a type do make one of another; then the checksum's absence must not let records pass.
    @Test func noSingleBitMakesAnotherType() {
        let types = MessageType.allCases.map(\.rawValue)
        for type in types {
            for bit in 0..<8 { #expect(!types.contains(type ^ (1 << UInt8(bit)))) }
        }
    }

    @Test func lengthsAreRefusedBeforeTheFrameIsThere() throws {
        func size(_ length: UInt32, limit: Int = Frame.maxLength) -> Result<Int?, ProtocolError> {
            let bytes = (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) }
            do throws(ProtocolError) {
                return .success(try Frame.size(bytes.span, limit: limit))
            } catch {
                return .failure(error)
            }
        }
        #expect(try size(4).get() == 8)
        #expect(try size(16 << 20).get() == (16 << 20) + 4)
        for length in [0, 1, 2, 3] as [UInt32] {
            guard case .failure(let error) = size(length) else { throw Finding(description: "\(length) passed") }
            #expect(error.kind == .truncated && error.offset == 0)
        }
        for length in [(16 << 20) + 1, 1 << 31, .max] as [UInt32] {
            guard case .failure(let error) = size(length) else { throw Finding(description: "\(length) passed") }
            #expect(error.kind == .tooLarge && error.fault.code == .tooLarge && error.found == "\(length)")
        }
        guard case .failure = size(UInt32(Frame.maxHandshakeLength) + 1, limit: FrameCodec().maxLength) else {
            throw Finding(description: "a handshake above its limit passed")
        }
        let few: [UInt8] = [0xFF, 0xFF, 0xFF]
        let size = try Frame.size(few.span)
        #expect(size == nil)
        // What speaks another protocol is seen by its first four bytes.
        for text in ["GET / HTTP/1.1\r\n", "\u{16}\u{03}\u{01}\u{02}", "SSH-2.0-x"] {
            #expect(throws: ProtocolError.self) { try Frame.size(Array(text.utf8).span) }
        }
    }

    /// Counts of 2³² − 1 with nothing behind them. Were one believed, 64 GiB and more would be asked for.
    @Test func hostileCountsAreRefusedAndAllocateNothing() throws {
        let most: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF]
        let term = [UInt8](repeating: 0, count: 8)
        func header(_ type: MessageType) -> [UInt8] { [0, 0, 0, 0, type.isHandshake ? 0 : 1, type.rawValue, 0, 0] }
        let boot = [UInt8](repeating: 7, count: 16)
        let hello: [UInt8] = [1, 1, 0, 1, 0x61] + boot + [0, 1] + term + term
        let frames: [(bytes: [UInt8], field: String, kind: ProtocolError.Kind)] = [
            (header(.assign) + term + most, "grant-count", .tooLarge),
            (header(.assign) + term + [0, 1, 0, 0], "grant-count", .truncated),
            (header(.revoke) + term + most, "grant-count", .tooLarge),
            (header(.released) + term + most, "grant-count", .tooLarge),
            (header(.hello) + hello + [0] + most, "claim-count", .tooLarge),
            (header(.hello) + hello + [0] + [0, 1, 0, 0], "claim-count", .truncated),
            (header(.hello) + hello + [33] + most, "target-count", .tooLarge),
            (header(.hello) + hello + [32] + most, "target-count", .truncated),
            (header(.hello) + [1, 1] + most, "identity", .tooLarge),
            (header(.heartbeat) + term + term + [255], "health-count", .tooLarge),
            (header(.heartbeat) + term + term + [1] + most, "health[0].size", .truncated),
            (header(.records) + term + term[..<4] + most + term, "record-count", .truncated),
            (header(.records) + term + term[..<4] + term[..<4] + most + most, "byte-count", .truncated),
            (header(.outcomes) + term + term + [0, 0, 0, 0] + most + term, "record-count", .truncated),
            (header(.outcomes) + term + term + [0, 0] + most + term, "reason", .tooLarge),
            (header(.gate) + term + [1] + most, "reason", .tooLarge),
            (header(.error) + [0, 1] + most, "message", .tooLarge),
        ]
        let before = peakKilobytes()
        for (bytes, field, kind) in frames {
            let error = try #require(fault(mended(bytes)), "\(field)")
            #expect(error.field == field && error.kind == kind, "\(error)")
        }
        #expect(peakKilobytes() - before < 8 << 20, "the address space grew as if a count had been believed")
    }

    /// Most address space the process has had, KiB: what is asked for shows here even if it is never touched.
    private func peakKilobytes() -> Int {
        guard let status = try? String(decoding: contents("/proc/self/status"), as: UTF8.self),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmPeak:") })
        else { return 0 }
        return Int(line.split(whereSeparator: { $0 == " " || $0 == "\t" })[1]) ?? 0
    }

    @Test(arguments: [
        (GoldenVectors.heartbeat, 105, UInt8(3), "health[0].breaker", "3"),
        (GoldenVectors.gate, 16, 2, "open", "2"),
        (GoldenVectors.outcomes, 25, 3, "kind", "3"),
        (GoldenVectors.outcomes, 24, 32, "target", "32"),
        (GoldenVectors.fault, 9, 11, "code", "11"),
        (GoldenVectors.hello, 8, 0, "lowest-version", "0"),
        (GoldenVectors.hello, 9, 0, "highest-version", "0"),
    ])
    func valuesOutOfRangeAreNamed(_ sample: Message, _ at: Int, _ value: UInt8, _ field: String, _ found: String)
        throws
    {
        var bytes = try frame(sample)
        bytes[at] = value
        let error = try #require(fault(mended(bytes)))
        #expect(error.kind == .value && error.field == field && error.found == found, "\(error)")
        #expect(error.fault.code == .malformed && error.fault.message == error.description)
    }

    @Test func textThatIsNotUTF8IsNamed() throws {
        let bytes = try frame(.drain(term: 1, reason: "abcd"))
        for hostile in [[0xC0, 0x80, 0x61, 0x61], [0xED, 0xA0, 0x80, 0x61], [0x61, 0x61, 0x61, 0xC3]] as [[UInt8]] {
            let error = try #require(fault(Array(bytes.dropLast(4)) + hostile))
            #expect(error.kind == .text && error.field == "reason" && error.offset == 18, "\(error)")
            #expect(error.fault.code == .malformed)
        }
    }

    @Test func lengthsThatDoNotAddUpAreNamed() throws {
        let bytes = try frame(GoldenVectors.records)
        // The lengths of the two records stand behind header, term, targets, count, keys and grants.
        let at = 8 + 8 + 4 + 4 + 2 * 16 + 2 * 6
        var longer = bytes
        longer[at + 3] += 1
        var zero = bytes
        zero[at + 7] += zero[at + 3]
        zero[at + 3] = 0
        for damaged in [longer, zero] {
            let error = try #require(fault(mended(damaged)))
            #expect(error.kind == .count && error.field == "byte-count" && error.offset == at + 8, "\(error)")
        }
    }

    @Test func anErrorSaysAllOfIt() throws {
        let error = try #require(fault([0, 0, 0, 8, 1, MessageType.settled.rawValue, 0, 0, 0, 0, 0, 1]))
        #expect(error.description == "settled.term at byte 8: expected 8 bytes, found 4")
    }
}
