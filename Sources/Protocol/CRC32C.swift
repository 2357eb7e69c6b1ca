internal import CISAL

/// CRC-32C (Castagnoli; RFC 3720, section 12.1), by the processor's own instructions where it has them.
enum CRC32C {
    /// The checksum of `bytes[range]`: reflected, begun with ones and inverted at the end, as RFC 3720 has it.
    static func of(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) -> UInt32 {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        return unsafe bytes.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return 0 }
            return unsafe sidereal_crc32c(start + range.lowerBound, range.count)
        }
    }
}
