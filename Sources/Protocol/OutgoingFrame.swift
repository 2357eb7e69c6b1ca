public import Model

/// A frame as it is sent: in one piece, or its lines where they were read to, with what goes before and after them. So
/// between the input and the encryption no byte of a record is copied.
public struct OutgoingFrame: Sendable {
    private let head: SealedBytes
    private let lines: RecordLines
    private let tail: SealedBytes?
    /// Bytes of all of it, the length field included.
    public let count: Int

    /// All of `bytes`.
    public init(_ bytes: SealedBytes) {
        head = bytes
        lines = RecordLines()
        tail = nil
        count = bytes.count
    }

    init(head: SealedBytes, lines: RecordLines, tail: SealedBytes) {
        self.head = head
        self.lines = lines
        self.tail = tail
        count = head.count + lines.count + tail.count
    }

    /// What its length field says; nil if it is too short for one.
    public var announcedLength: Int? {
        guard head.count >= Frame.lengthBytes else { return nil }
        let bytes = head.span
        var length = 0
        for index in 0..<Frame.lengthBytes { length = length << 8 | Int(bytes[index]) }
        return length
    }

    /// Calls `body` with each stretch of memory that `range` of the frame lies in, in order.
    @unsafe public func withStretches<E: Error>(
        of range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> Void
    ) throws(E) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        let (first, last) = (head.count, head.count + lines.count)
        if range.lowerBound < first {
            try unsafe head.withStretch(range.clamped(to: 0..<first), body)
        }
        let middle = range.clamped(to: first..<last)
        if !middle.isEmpty {
            try unsafe lines.withStretches(of: middle.lowerBound - first..<middle.upperBound - first, body)
        }
        if let tail, range.upperBound > last {
            let end = range.clamped(to: last..<count)
            try unsafe tail.withStretch(end.lowerBound - last..<end.upperBound - last, body)
        }
    }
}

extension SealedBytes {
    @unsafe func withStretch<E: Error>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> Void
    ) throws(E) {
        try unsafe withUnsafeBytes { bytes throws(E) in
            try unsafe body(UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
    }
}
