/// What a record is known by in the cluster: 16 bytes that whoever feeds it makes, the same under every leader.
public struct RecordKey: Hashable, Sendable, Comparable {
    /// The first eight bytes, big-endian.
    public var high: UInt64
    /// The last eight bytes, big-endian.
    public var low: UInt64

    /// Both halves.
    @inlinable public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Orders as the bytes do.
    @inlinable public static func < (a: RecordKey, b: RecordKey) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

/// A shard in one ownership. Numbers only grow within a term; a later term outranks any number of an earlier one.
public struct ShardGrant: Hashable, Sendable {
    /// The shard's number.
    public var shard: UInt16
    /// The epoch of the ownership, within the term of the frame that carries it.
    public var epoch: UInt32

    /// `shard` in `epoch`.
    @inlinable public init(shard: UInt16, epoch: UInt32) {
        self.shard = shard
        self.epoch = epoch
    }
}

/// A shard that a worker holds from an earlier leader.
public struct ShardClaim: Hashable, Sendable {
    /// The term in which it was granted.
    public var term: UInt64
    /// What was granted.
    public var grant: ShardGrant

    /// `grant`, of `term`.
    @inlinable public init(term: UInt64, grant: ShardGrant) {
        self.term = term
        self.grant = grant
    }
}
