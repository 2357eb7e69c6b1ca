/// One of the virtual shards that results are divided into.
public struct ShardID: Hashable, Sendable {
    /// From 0 to the shard count less one.
    public var number: UInt16

    /// Shard `number`.
    @inlinable public init(_ number: UInt16) { self.number = number }

    /// The shard of a result: FNV-1a of 64 bits (Fowler, Noll and Vo) over the bytes of `metadata.uid`, its upper
    /// half folded into the lower, modulo `count`. Fixed for ever: changing it would move records between owners.
    ///
    /// | uid | hash | of 256 |
    /// |---|---|---|
    /// | `a` | `af63dc4c8601ec8c` | 192 |
    /// | `foobar` | `85944171f73967e8` | 153 |
    /// | `00000000-0000-4000-8000-000000000000` | `d90753fc7c28d855` | 169 |
    /// | `3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f3` | `51f1a37b74980e03` | 120 |
    /// | `ffffffff-ffff-4fff-bfff-ffffffffffff` | `b9701ea3c9267d2b` | 136 |
    @inlinable public static func of(uid: Span<UInt8>, _ range: Range<Int>, count: UInt16) -> ShardID {
        var hash = UIDHash()
        for index in range { hash.add(uid[index]) }
        return hash.shard(of: count)
    }
}

/// The part of ``ShardID/of(uid:_:count:)`` that does not depend on the number of shards: a reader computes it while it
/// checks the uid, once for all targets. Each step waits for the multiplication of the step before.
public struct UIDHash: Hashable, Sendable {
    @usableFromInline var value: UInt64 = 0xcbf2_9ce4_8422_2325

    /// The hash of no bytes.
    @inlinable public init() {}

    /// Takes in the next byte.
    @inlinable public mutating func add(_ byte: UInt8) {
        value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
    }

    /// The shard among `count`.
    @inlinable public func shard(of count: UInt16) -> ShardID {
        ShardID(UInt16(truncatingIfNeeded: (value ^ (value >> 32)) % UInt64(count)))
    }
}
