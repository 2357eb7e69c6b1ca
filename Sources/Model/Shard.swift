/// One of the virtual shards that results are divided into.
public struct ShardID: Hashable, Sendable {
    /// From 0 to the shard count less one.
    public var number: UInt16

    /// Shard `number`.
    @inlinable public init(_ number: UInt16) { self.number = number }

    /// The shard of a result: FNV-1a of 64 bits (Fowler, Noll and Vo) over the bytes of `metadata.uid`, its upper
    /// half folded into the lower, modulo `count`. Fixed for ever: changing it would move records between owners.
    @inlinable public static func of(uid: Span<UInt8>, _ range: Range<Int>, count: UInt16) -> ShardID {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in range {
            hash ^= UInt64(uid[index])
            hash = hash &* 0x0000_0100_0000_01b3
        }
        return ShardID(UInt16(truncatingIfNeeded: (hash ^ (hash >> 32)) % UInt64(count)))
    }
}
