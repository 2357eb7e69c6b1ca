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
        return unsafe raw.withUnsafeBytes { all in
            guard let base = all.baseAddress else { return true }
            return unsafe Self.isSpelt((base + start).assumingMemoryBound(to: UInt8.self), text)
        }
    }

    /// Whether the text at `place`, which is long enough, is `text`.
    @unsafe @inline(__always) static func isSpelt(_ place: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
        let (mine, other) = unsafe (UnsafeRawPointer(place), UnsafeRawPointer(text.utf8Start))
        let count = text.utf8CodeUnitCount
        if count >= 8 {
            var at = 0
            while at &+ 8 < count {
                guard unsafe alike(mine + at, other + at, UInt64.self) else { return false }
                at &+= 8
            }
            let last = count &- 8
            return unsafe alike(mine + last, other + last, UInt64.self)
        }
        if count >= 4 {
            let last = count &- 4
            return unsafe alike(mine, other, UInt32.self) && alike(mine + last, other + last, UInt32.self)
        }
        for index in 0..<count {
            guard unsafe place[index] == text.utf8Start[index] else { return false }
        }
        return true
    }

    @unsafe @inline(__always) private static func alike<Word: FixedWidthInteger & BitwiseCopyable>(
        _ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _: Word.Type
    ) -> Bool {
        unsafe a.loadUnaligned(as: Word.self) == b.loadUnaligned(as: Word.self)
    }
}
