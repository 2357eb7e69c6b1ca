public import Formats
public import Model

/// A closed batch as a backend sees it: the encoded records of one target, end to end.
public struct EncodedBatch: Sendable {
    /// All records.
    public let bytes: SealedBytes
    /// Where each record ends in `bytes`.
    public let ends: [UInt32]
    /// When the first of its probes ran.
    public let earliest: Timestamp

    /// `ends` ascends and its last element is `bytes.count`.
    public init(bytes: SealedBytes, ends: [UInt32], earliest: Timestamp) {
        precondition(Int(ends.last ?? 0) == bytes.count)
        self.bytes = bytes
        self.ends = ends
        self.earliest = earliest
    }

    /// Where record `item` lies.
    public func range(of item: Int) -> Range<Int> {
        (item == 0 ? 0 : Int(ends[item - 1]))..<Int(ends[item])
    }
}

/// The records of a batch that one request carries.
public struct Parcel: Sendable {
    /// The batch.
    public let batch: EncodedBatch
    /// Ascending, disjoint ranges of its records.
    public let items: [Range<Int>]
    /// What an earlier process was given for exactly these records before it ended.
    public let receipt: Receipt?
    /// What will probably be sent next, and waits for a request to end: to be compressed meanwhile.
    public let upcoming: SealedBytes?
    /// Writes a receipt for these records down, for good, or that the one before is worth nothing.
    public let remember: Remember?
    /// Tells at once that the receiver wishes for less, where its verdict on these records takes longer.
    public let slowDown: SlowDown?

    /// Returns when the ledger has the receipt, or none; false if it could not take that.
    public typealias Remember = @Sendable (Receipt?) async -> Bool
    /// Returns when it is known.
    public typealias SlowDown = @Sendable () async -> Void

    /// Some records of `batch`.
    public init(
        batch: EncodedBatch, items: [Range<Int>], receipt: Receipt? = nil, upcoming: SealedBytes? = nil,
        remember: Remember? = nil, slowDown: SlowDown? = nil
    ) {
        self.batch = batch
        self.items = items
        self.receipt = receipt
        self.upcoming = upcoming
        self.remember = remember
        self.slowDown = slowDown
    }

    /// How many records.
    public var count: Int { items.reduce(0) { $0 + $1.count } }

    /// The records' bytes: those of the batch itself if it is whole, else a copy of the parts.
    public func body() -> SealedBytes {
        if items == [0..<batch.ends.count] { return batch.bytes }
        var out = ByteWriter(capacity: 64 << 10)
        for range in items {
            let start = batch.range(of: range.lowerBound).lowerBound
            let end = batch.range(of: range.upperBound - 1).upperBound
            out.append(batch.bytes.span, start..<end)
        }
        return out.seal()
    }
}
