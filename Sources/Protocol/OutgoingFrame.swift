public import Model

/// A frame as it is sent: in one piece, or its lines where they were read to, with what goes before and after them. So
/// between the input and the encryption no byte of a record is copied.
///
/// The checksum of one with lines is made while it is sent: then each byte is fetched from memory once for both, and not twice
/// on two processors.
public struct OutgoingFrame: Sendable {
    private let head: SealedBytes
    private let lines: RecordLines
    /// What is between the lines and the checksum; nil if the frame is all in `head`.
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

    /// One that ends with a checksum of all of these.
    init(head: SealedBytes, lines: RecordLines, tail: SealedBytes) {
        self.head = head
        self.lines = lines
        self.tail = tail
        count = head.count + lines.count + tail.count + Frame.checksumBytes
    }

    /// What its length field says; nil if it is too short for one.
    public var announcedLength: Int? {
        guard head.count >= Frame.lengthBytes else { return nil }
        let bytes = head.span
        var length = 0
        for index in 0..<Frame.lengthBytes { length = length << 8 | Int(bytes[index]) }
        return length
    }

    /// The checksum of a frame of which something was sent.
    public struct Checksum: Sendable {
        fileprivate var sum = CRC32C()

        /// Of nothing.
        public init() {}
    }

    /// Calls `body` with each stretch of memory that `range` of the frame lies in, in order.
    ///
    /// - Parameter checksum: of what was sent of the frame before; what it is at the frame's beginning does not matter.
    ///   Ranges of a frame are asked for once each and in order.
    @unsafe public func withStretches<E: Error>(
        of range: Range<Int>, checksum: inout Checksum, _ body: (UnsafeRawBufferPointer) throws(E) -> Void
    ) throws(E) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        let (first, last) = (head.count, head.count + lines.count)
        guard let tail else { return try unsafe head.withStretch(range, body) }
        if range.lowerBound == 0 { checksum = Checksum() }
        if range.lowerBound < first {
            try unsafe head.withStretch(range.clamped(to: 0..<first)) { bytes throws(E) in
                unsafe checksum.sum.add(bytes)
                try unsafe body(bytes)
            }
        }
        let middle = range.clamped(to: first..<last)
        if !middle.isEmpty {
            try unsafe lines.withStretches(of: middle.lowerBound - first..<middle.upperBound - first) {
                bytes throws(E) in
                unsafe checksum.sum.add(bytes)
                try unsafe body(bytes)
            }
        }
        let summed = count - Frame.checksumBytes
        let end = range.clamped(to: last..<summed)
        if !end.isEmpty {
            try unsafe tail.withStretch(end.lowerBound - last..<end.upperBound - last) { bytes throws(E) in
                unsafe checksum.sum.add(bytes)
                try unsafe body(bytes)
            }
        }
        let rest = range.clamped(to: summed..<count)
        guard !rest.isEmpty else { return }
        let value = checksum.sum.value.bigEndian
        let result: Result<Void, E> = unsafe withUnsafeBytes(of: value) { bytes in
            let part = unsafe UnsafeRawBufferPointer(
                rebasing: bytes[rest.lowerBound - summed..<rest.upperBound - summed])
            do throws(E) { return .success(try unsafe body(part)) } catch { return .failure(error) }
        }
        try result.get()
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
