import Testing

@testable import Protocol

/// The examples of RFC 3720, appendix B.4, and the check value of the catalogues.
@Suite struct ChecksumTests {
    @Test func examplesOfTheStandard() {
        func sum(_ bytes: [UInt8]) -> UInt32 { CRC32C.of(bytes.span, 0..<bytes.count) }
        #expect(sum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(sum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(sum(Array(0..<32)) == 0x46DD_794E)
        #expect(sum((0..<32).reversed()) == 0x113F_DB5C)
        let readCommand: [UInt8] =
            [0x01, 0xC0, 0, 0] + [UInt8](repeating: 0, count: 12) + [0x14, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14]
            + [0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0]
        #expect(readCommand.count == 48)
        #expect(sum(readCommand) == 0xD996_3A56)
        #expect(sum(Array("123456789".utf8)) == 0xE306_9283)
        #expect(sum([]) == 0)
    }

    @Test func onlyTheRangeCounts() {
        let bytes = Array("xx123456789yy".utf8)
        #expect(CRC32C.of(bytes.span, 2..<11) == 0xE306_9283)
    }
}
