import Foundation
import Model

/// How many of many results each shard has: uids are made, each is hashed as the feed does it, and only the counts are kept.
struct ResultCounts: Sendable {
    /// Numbers of shards that are counted for.
    let shardCounts: [UInt16]
    /// For each of those, results by shard.
    private(set) var counts: [[UInt64]]

    /// Those of no results.
    private init(shardCounts: [UInt16]) {
        self.shardCounts = shardCounts
        counts = shardCounts.map { Array(repeating: 0, count: Int($0)) }
    }

    /// Hashes `results` random uids on some threads.
    static func hashing(_ results: UInt64, for shardCounts: [UInt16], threads: Int) -> ResultCounts {
        let sum = Sum(ResultCounts(shardCounts: shardCounts))
        let group = DispatchGroup()
        for thread in 0..<UInt64(threads) {
            let share = results / UInt64(threads) + (thread < results % UInt64(threads) ? 1 : 0)
            group.enter()
            Thread.detachNewThread {
                var part = ResultCounts(shardCounts: shardCounts)
                part.hash(share, seed: 0x5CA1E + thread)
                sum.add(part)
                group.leave()
            }
        }
        group.wait()
        return sum.total
    }

    /// Results by shard among `shardCount`.
    func of(_ shardCount: Int) -> [UInt64] { counts[shardCounts.firstIndex(of: UInt16(shardCount)) ?? 0] }

    private mutating func hash(_ results: UInt64, seed: UInt64) {
        var rng = PRNG(seed: seed)
        for _ in 0..<results {
            let hash = Self.hash(ofUUID: rng.next(), rng.next())
            for index in shardCounts.indices {
                counts[index][Int(hash.shard(of: shardCounts[index]).number)] += 1
            }
        }
    }

    /// The hash of a random UUID (RFC 9562, version 4) in its text form, as in `metadata.uid`.
    private static func hash(ofUUID high: UInt64, _ low: UInt64) -> UIDHash {
        let halves = [high & ~0xF000 | 0x4000, low & ~(0xC << 60) | 0x8 << 60]
        var hash = UIDHash()
        var digit = 0
        for half in 0..<2 {
            for shift in stride(from: UInt64(60), through: 0, by: -4) {
                if digit == 8 || digit == 12 || digit == 16 || digit == 20 { hash.add(UInt8(ascii: "-")) }
                let value = UInt8(truncatingIfNeeded: halves[half] >> shift & 0xF)
                hash.add(value + (value < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10))
                digit += 1
            }
        }
        return hash
    }

    private final class Sum: @unchecked Sendable {
        private let lock = NSLock()
        private(set) var total: ResultCounts

        init(_ none: ResultCounts) { total = none }

        func add(_ part: ResultCounts) {
            lock.withLock {
                for list in total.counts.indices {
                    for shard in total.counts[list].indices { total.counts[list][shard] += part.counts[list][shard] }
                }
            }
        }
    }
}
