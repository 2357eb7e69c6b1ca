/// Looks at eight bytes at a time for those that need care.
///
/// Every detector marks the top bit of a byte that matches. A borrow or carry can only mark bytes above a true
/// match, so the lowest mark of any combination of detectors is exact.
enum ByteScan {
    static let ones: UInt64 = 0x0101_0101_0101_0101
    static let tops: UInt64 = 0x8080_8080_8080_8080

    /// Marks bytes equal to `byte`.
    @inline(__always) static func equal(_ word: UInt64, _ byte: UInt8) -> UInt64 {
        let difference = word ^ (ones &* UInt64(byte))
        return (difference &- ones) & ~difference
    }

    /// Marks control characters below the space.
    @inline(__always) static func control(_ word: UInt64) -> UInt64 { (word &- ones &* 0x20) & ~word }

    /// Marks DEL and every byte beyond ASCII.
    @inline(__always) static func beyondPrintable(_ word: UInt64) -> UInt64 { word | (word &+ ones) }

    /// Whether all eight bytes are hexadecimal digits. Sums of two numbers below 128 never reach the next byte.
    @inline(__always) static func isHex(_ word: UInt64) -> Bool {
        guard word & tops == 0 else { return false }
        let digit = (word &+ ones &* 0x50) & ~(word &+ ones &* 0x46)
        let lower = word | ones &* 0x20
        let letter = (lower &+ ones &* 0x1F) & ~(lower &+ ones &* 0x19)
        return (digit | letter) & tops == tops
    }

    /// The first position in `start..<end` whose byte `marks` marks; `end` if there is none.
    @inline(__always) static func first(
        _ text: Span<UInt8>, _ start: Int, _ end: Int, _ marks: (UInt64) -> UInt64
    ) -> Int {
        precondition(start >= 0 && start <= end && end <= text.count)
        let raw = unsafe text.bytes
        var at = start
        // Words may reach past `end` but not past the text; a mark there only means that `end` was reached.
        while at < end, at &+ 8 <= text.count {
            let word = unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: at, as: UInt64.self).littleEndian
            let marked = marks(word) & tops
            if marked != 0 { return min(end, at &+ marked.trailingZeroBitCount >> 3) }
            at &+= 8
        }
        while at < end {
            // Padded with letters, which no detector marks.
            let word = UInt64(unsafe text[unchecked: at]) | 0x4141_4141_4141_4100
            if marks(word) & tops & 0x80 != 0 { return at }
            at &+= 1
        }
        return end
    }
}
