internal import CISAL
public import Model

/// Lines of records, one after the other, that lie in one place or in several: they are sent from where they were read to.
public struct RecordLines: Sendable, Equatable {
    private struct Piece: Sendable {
        var bytes: SealedBytes
        var range: Range<Int>
        /// How many bytes lie before it.
        let start: Int

        /// A line lies anywhere in memory, and the processor cannot guess where the next one begins: without this it waits for
        /// each.
        func approach() {
            unsafe bytes.withUnsafeBytes { all in
                let begin = unsafe UnsafeRawBufferPointer(rebasing: all[range.prefix(2 << 10)])
                unsafe sidereal_prefetch(begin.baseAddress, begin.count)
            }
        }
    }

    private var pieces: [Piece] = []
    /// Bytes of all of them.
    public private(set) var count = 0

    /// No lines.
    public init() {}

    /// All of `bytes`.
    public init(_ bytes: SealedBytes) { append(bytes, 0..<bytes.count) }

    /// Adds `bytes[range]`; what lies next to the last of them becomes one piece with it.
    public mutating func append(_ bytes: SealedBytes, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        guard !range.isEmpty else { return }
        defer { count += range.count }
        if let last = pieces.indices.last, pieces[last].bytes === bytes,
            pieces[last].range.upperBound == range.lowerBound
        {
            pieces[last].range = pieces[last].range.lowerBound..<range.upperBound
        } else {
            pieces.append(Piece(bytes: bytes, range: range, start: count))
        }
    }

    /// All in one place; copied if they lie in several.
    public var gathered: SealedBytes {
        if pieces.count == 1 {
            let piece = pieces[0]
            return piece.range == 0..<piece.bytes.count ? piece.bytes : SealedBytes(piece.bytes, piece.range)
        }
        var out = ByteWriter(capacity: count)
        write(into: &out)
        return out.seal()
    }

    func write(into out: inout ByteWriter) {
        out.reserve(count)
        for piece in pieces { out.append(piece.bytes.span, piece.range) }
    }

    /// Calls `body` with each stretch of memory that `range` of the lines lies in, in order.
    @unsafe func withStretches<E: Error>(
        of range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> Void
    ) throws(E) {
        var (low, high) = (0, pieces.count)
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].start + pieces[middle].range.count <= range.lowerBound {
                low = middle + 1
            } else {
                high = middle
            }
        }
        while low < pieces.count, pieces[low].start < range.upperBound {
            let piece = pieces[low]
            if low + 1 < pieces.count { pieces[low + 1].approach() }
            let part = range.clamped(to: piece.start..<piece.start + piece.range.count)
            let shift = piece.range.lowerBound - piece.start
            try unsafe piece.bytes.withStretch(part.lowerBound + shift..<part.upperBound + shift, body)
            low += 1
        }
    }

    /// Compares the lines, wherever they lie.
    public static func == (a: RecordLines, b: RecordLines) -> Bool {
        guard a.count == b.count else { return false }
        let (mine, theirs) = (a.gathered, b.gathered)
        for index in 0..<mine.count where mine.span[index] != theirs.span[index] { return false }
        return true
    }
}
