internal import CISAL

/// CRC-32C (Castagnoli; RFC 3720, section 12.1), by the processor's own instructions where it has them.
struct CRC32C {
    private var state = ~UInt32(0)

    /// The checksum of what was added: reflected, begun with ones and inverted at the end, as RFC 3720 has it.
    var value: UInt32 { ~state }

    /// Adds bytes behind those before.
    @unsafe mutating func add(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        state = unsafe sidereal_crc32c(state, start, bytes.count)
    }

    /// The checksum of `bytes[range]`.
    static func of(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) -> UInt32 {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        return unsafe bytes.withUnsafeBytes { all in
            var sum = CRC32C()
            unsafe sum.add(UnsafeRawBufferPointer(rebasing: all[range]))
            return sum.value
        }
    }
}
