/// A stretch of a text that is looked at in words instead of bytes: a record has some thirty keys and ten fixed values.
struct BytePattern: ~Escapable {
    private let raw: RawSpan
    private let start: Int
    private let count: Int

    @_lifetime(copy bytes)
    @inline(__always) init(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        raw = unsafe bytes.bytes
        start = range.lowerBound
        count = range.count
    }

    /// Eight bytes from `offset` on, the first one lowest.
    @inline(__always) func word(_ offset: Int) -> UInt64 {
        precondition(offset >= 0 && offset &+ 8 <= count)
        return unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: start &+ offset, as: UInt64.self).littleEndian
    }

    /// Four bytes from `offset` on, the first one lowest.
    @inline(__always) func half(_ offset: Int) -> UInt64 {
        precondition(offset >= 0 && offset &+ 4 <= count)
        return UInt64(
            unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: start &+ offset, as: UInt32.self).littleEndian)
    }

    /// Whether the stretch is exactly `text`. Its first and its last word are compared; where they meet in the middle,
    /// the same bytes are compared twice.
    @inline(__always) func isSpelt(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        let other = unsafe UnsafeRawPointer(text.utf8Start)
        if count >= 8 {
            var at = 0
            while at &+ 8 < count {
                guard unsafe word(at) == other.loadUnaligned(fromByteOffset: at, as: UInt64.self).littleEndian else {
                    return false
                }
                at &+= 8
            }
            let last = count &- 8
            return unsafe word(last) == other.loadUnaligned(fromByteOffset: last, as: UInt64.self).littleEndian
        }
        if count >= 4 {
            let last = count &- 4
            let (head, tail) = unsafe (
                other.loadUnaligned(as: UInt32.self).littleEndian,
                other.loadUnaligned(fromByteOffset: last, as: UInt32.self).littleEndian
            )
            return half(0) == UInt64(head) && half(last) == UInt64(tail)
        }
        for index in 0..<count {
            let mine = unsafe raw.unsafeLoad(fromUncheckedByteOffset: start &+ index, as: UInt8.self)
            guard unsafe mine == text.utf8Start[index] else { return false }
        }
        return true
    }
}
