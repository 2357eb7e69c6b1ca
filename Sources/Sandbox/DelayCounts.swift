/// How long records were under way, counted in buckets that are an eighth of their value wide at most.
struct DelayCounts: Sendable {
    /// Buckets per doubling.
    private static let steps = 8
    /// Past this, about an hour, everything is one bucket.
    private static let mostMicroseconds: UInt64 = 1 << 32
    private static let buckets = 8 + steps * 30

    private var counts = [UInt64](repeating: 0, count: buckets)

    /// Counts one delay; one below zero, by a clock that is not ours, counts as none.
    mutating func note(_ nanoseconds: Int64) {
        counts[Self.bucket(min(UInt64(max(nanoseconds, 0)) / 1_000, Self.mostMicroseconds))] += 1
    }

    mutating func add(_ others: DelayCounts) {
        for index in counts.indices { counts[index] += others.counts[index] }
    }

    /// The buckets with something in them: the highest delay that counts there, in microseconds, and how many.
    var entries: [(microseconds: UInt64, count: UInt64)] {
        counts.indices.lazy.filter { counts[$0] > 0 }.map { (Self.highest($0), counts[$0]) }
    }

    /// Below eight, every value has a bucket of its own; above, each doubling has eight.
    static func bucket(_ value: UInt64) -> Int {
        guard value >= 8 else { return Int(value) }
        let shift = 60 - value.leadingZeroBitCount
        return shift * steps + Int(value >> UInt64(shift))
    }

    static func highest(_ bucket: Int) -> UInt64 {
        guard bucket >= 8 else { return UInt64(bucket) }
        let shift = UInt64(bucket / steps - 1)
        return (UInt64(bucket % steps + steps + 1) << shift) - 1
    }
}

/// When records came.
struct Arrivals: Sendable {
    /// Of the first record, on the machine's monotonic clock in nanoseconds; nil before it.
    private(set) var first: UInt64?
    /// Of the last one so far.
    private(set) var last: UInt64?
    private(set) var delays = DelayCounts()

    mutating func note(_ delays: DelayCounts, at monotonic: UInt64) {
        if first == nil { first = monotonic }
        last = monotonic
        self.delays.add(delays)
    }
}
