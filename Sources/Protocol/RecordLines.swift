public import Model

/// Lines of records, one after the other, that lie in one place or in several: a frame is put together from where they
/// were read to, so that between the input and the frame no byte is copied.
public struct RecordLines: Sendable, Equatable {
    private struct Piece: Sendable {
        var bytes: SealedBytes
        var range: Range<Int>
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
        count += range.count
        if let last = pieces.indices.last, pieces[last].bytes === bytes,
            pieces[last].range.upperBound == range.lowerBound
        {
            pieces[last].range = pieces[last].range.lowerBound..<range.upperBound
        } else {
            pieces.append(Piece(bytes: bytes, range: range))
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

    /// Compares the lines, wherever they lie.
    public static func == (a: RecordLines, b: RecordLines) -> Bool {
        guard a.count == b.count else { return false }
        let (mine, theirs) = (a.gathered, b.gathered)
        for index in 0..<mine.count where mine.span[index] != theirs.span[index] { return false }
        return true
    }
}
