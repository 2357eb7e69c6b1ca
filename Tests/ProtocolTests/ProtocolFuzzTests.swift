import Model
import Testing

@testable import Protocol

/// Damaged and invented frames. What is accepted must be a message that is written and read again as it is.
@Suite struct ProtocolFuzzTests {
    private static let shares: [UInt64] = [1, 2, 3, 4]

    @Test(arguments: shares)
    func damagedFramesAreRefusedOrReadWhole(_ seed: UInt64) throws {
        var maker = MessageMaker(seed: seed)
        var accepted = 0
        let cases = fuzzCases / Self.shares.count
        var bytes: [UInt8] = []
        for number in 0..<cases {
            // A frame is damaged again and again, so that some damage goes deep.
            if bytes.isEmpty || number % 8 == 0 { bytes = try frame(maker.next()) }
            change(&bytes, &maker)
            // Without this nearly all damage would end at the length or the checksum.
            if maker.below(8) > 0 { bytes = mended(bytes) }
            do {
                guard let read = try message(bytes) else { continue }
                accepted += 1
                guard let again = try message(encoded(read)), again == read else {
                    throw Finding(description: "seed \(seed), case \(number): not the same twice: \(hex(bytes))")
                }
            } catch let error as ProtocolError {
                guard error.offset >= 0, error.offset <= bytes.count, !error.field.isEmpty, !error.expected.isEmpty
                else {
                    throw Finding(description: "seed \(seed), case \(number): \(error): \(hex(bytes))")
                }
            }
        }
        #expect(accepted > cases / 20 && accepted < cases * 19 / 20, "\(accepted) of \(cases) accepted")
    }

    private func encoded(_ message: Message) throws(ProtocolError) -> [UInt8] {
        var encoder = FrameEncoder()
        encoder.version = message.type == .welcome ? nil : 1
        var out = ByteWriter()
        try encoder.encode(message, into: &out)
        return out.seal().array
    }

    private func change(_ bytes: inout [UInt8], _ maker: inout MessageMaker) {
        guard bytes.count > Frame.headerBytes else {
            bytes += [UInt8](repeating: maker.number(), count: 1 + maker.below(20))
            return
        }
        let at = maker.below(bytes.count)
        switch maker.below(8) {
        case 0: bytes[at] ^= 1 << UInt8(maker.below(8))
        case 1: bytes[at] = maker.number()
        case 2: bytes.remove(at: at)
        case 3: bytes.insert(maker.number(), at: at)
        case 4: bytes.removeSubrange(at...)
        case 5:
            // Where a count or a length may stand: the edges of one, two and four bytes.
            let edge: [UInt8] = [[0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0, 0], [0, 1, 0, 0], [0x7F, 0xFF]][maker.below(4)]
            for (index, byte) in edge.enumerated() where at + index < bytes.count { bytes[at + index] = byte }
        case 6:
            let from = maker.below(bytes.count)
            bytes.insert(contentsOf: bytes[from..<min(bytes.count, from + 1 + maker.below(60))], at: at)
        default: bytes[5] = MessageType.allCases[maker.below(MessageType.allCases.count)].rawValue
        }
    }
}
