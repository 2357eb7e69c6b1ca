public import Model

/// Whole lines of an input, as they travel from the coordinator to a worker.
public struct Chunk: Sendable {
    /// The ledger's number of the input.
    public var source: Int64
    /// Where `bytes` begins in the input.
    public var start: UInt64
    /// Where the next piece begins. Past `start + bytes.count` if the last line is longer than a record may be: then
    /// `bytes` holds only its beginning.
    public var end: UInt64
    /// The lines.
    public var bytes: SealedBytes
    /// Nothing of the input comes after it.
    public var isLast: Bool

    /// A piece of input `source`.
    public init(source: Int64, start: UInt64, end: UInt64, bytes: SealedBytes, isLast: Bool) {
        self.source = source
        self.start = start
        self.end = end
        self.bytes = bytes
        self.isLast = isLast
    }

    /// Whether the last line was too long to be kept whole.
    public var isCut: Bool { start + UInt64(bytes.count) < end }
}
