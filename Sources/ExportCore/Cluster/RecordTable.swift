import Protocol

/// For each record that a worker knows: the targets it is in hand for, and those of which something was told.
///
/// A record is looked for once, when it comes; then whoever speaks of it knows its place. Places are given out in the order
/// in which they become free, so that records that came together lie together. Hashing is plain, a few nanoseconds: keys
/// come from the feed of a leader that was identified, not from whoever wrote the records. A record costs 36 to 80 bytes.
struct RecordTable: Sendable {
    /// Where a record is, as long as it is in hand or told for any target.
    typealias Place = UInt32

    private struct Entry: Sendable {
        var key: RecordKey
        var inHand: UInt32 = 0
        var told: UInt32 = 0
        /// The next one of its bucket, or the next free one.
        var next = RecordTable.none

        var isFree: Bool { inHand | told == 0 }
    }

    fileprivate static let none = Place.max

    private var entries: [Entry] = []
    /// A power of two, not fewer than entries: the first of each, or `none`.
    private var buckets = [Place](repeating: none, count: 64)
    /// Free entries, the one that is free for longest first.
    private var free = (first: none, last: none)
    /// Records that something is known of.
    private(set) var count = 0
    /// Records in hand for any target.
    private(set) var inHandCount = 0

    /// The targets of `wanted` for which nothing is known of the record, which is in hand for them from now on; and its
    /// place, if there are any.
    mutating func admit(_ key: RecordKey, _ wanted: UInt32) -> (fresh: UInt32, place: Place) {
        guard wanted != 0 else { return (0, Self.none) }
        let place = find(key) ?? add(key)
        let fresh = wanted & ~entries[Int(place)].inHand & ~entries[Int(place)].told
        if fresh != 0 { hold(at: place, fresh) }
        return (fresh, place)
    }

    /// The record is in hand for these targets, one at least, whatever is known of it. Returns its place.
    mutating func hold(_ key: RecordKey, _ bits: UInt32) -> Place {
        let place = find(key) ?? add(key)
        hold(at: place, bits)
        return place
    }

    private mutating func hold(at place: Place, _ bits: UInt32) {
        if entries[Int(place)].inHand == 0 { inHandCount += 1 }
        entries[Int(place)].inHand |= bits
    }

    /// The record is not in hand for these targets any more.
    mutating func release(_ key: RecordKey, at place: Place, _ bits: UInt32) {
        guard knows(key, at: place) else { return }
        let before = entries[Int(place)].inHand
        entries[Int(place)].inHand = before & ~bits
        if before != 0, before & ~bits == 0 { inHandCount -= 1 }
        freeIfUnknown(place)
    }

    /// What was in hand is told from now on.
    mutating func tell(_ key: RecordKey, at place: Place, _ bits: UInt32) {
        guard knows(key, at: place) else { return }
        entries[Int(place)].told |= bits
        release(key, at: place, bits)
    }

    /// The record was told for these targets, one at least, by an earlier process. Returns its place.
    mutating func tell(_ key: RecordKey, _ bits: UInt32) -> Place {
        let place = hold(key, bits)
        tell(key, at: place, bits)
        return place
    }

    /// Nobody needs to know of these any more.
    mutating func forget(_ key: RecordKey, at place: Place, _ bits: UInt32) {
        guard knows(key, at: place) else { return }
        entries[Int(place)].told &= ~bits
        freeIfUnknown(place)
    }

    // MARK: Places

    /// Whether the record is still there: one that was told in two rows is forgotten with the first.
    private func knows(_ key: RecordKey, at place: Place) -> Bool {
        place < entries.count && !entries[Int(place)].isFree && entries[Int(place)].key == key
    }

    private func home(_ key: RecordKey) -> Int {
        // The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): offsets in a file differ by little.
        var z = key.high &* 0x9e37_79b9_7f4a_7c15 &+ key.low
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return Int(truncatingIfNeeded: z ^ z >> 31) & (buckets.count - 1)
    }

    private func find(_ key: RecordKey) -> Place? {
        var place = buckets[home(key)]
        while place != Self.none {
            if entries[Int(place)].key == key { return place }
            place = entries[Int(place)].next
        }
        return nil
    }

    /// A place for a record that has none. Nothing is known of it yet, so something must be said at once.
    private mutating func add(_ key: RecordKey) -> Place {
        count += 1
        let place: Place
        if free.first != Self.none {
            place = free.first
            free.first = entries[Int(place)].next
            if free.first == Self.none { free.last = Self.none }
            entries[Int(place)].key = key
        } else {
            place = Place(entries.count)
            entries.append(Entry(key: key))
            if entries.count > buckets.count { widen() }
        }
        let home = home(key)
        entries[Int(place)].next = buckets[home]
        buckets[home] = place
        return place
    }

    /// Twice as many buckets. Only when no entry is free, but for the last one, which is in no bucket yet.
    private mutating func widen() {
        buckets = Array(repeating: Self.none, count: buckets.count * 2)
        for index in 0..<entries.count - 1 {
            let home = home(entries[index].key)
            entries[index].next = buckets[home]
            buckets[home] = Place(index)
        }
    }

    private mutating func freeIfUnknown(_ place: Place) {
        guard entries[Int(place)].isFree else { return }
        count -= 1
        let next = entries[Int(place)].next
        let home = home(entries[Int(place)].key)
        if buckets[home] == place {
            buckets[home] = next
        } else {
            var before = buckets[home]
            while entries[Int(before)].next != place { before = entries[Int(before)].next }
            entries[Int(before)].next = next
        }
        entries[Int(place)].next = Self.none
        if free.last == Self.none { free.first = place } else { entries[Int(free.last)].next = place }
        free.last = place
    }
}

/// Something about some shards, by their number: read for every record.
struct ShardMap<Value: Sendable>: Sendable, Sequence {
    private var values: [Value?] = []
    /// Shards in it.
    private(set) var count = 0

    subscript(shard: UInt16) -> Value? {
        get { Int(shard) < values.count ? values[Int(shard)] : nil }
        set {
            while values.count <= Int(shard) { values.append(nil) }
            count += (newValue == nil ? 0 : 1) - (values[Int(shard)] == nil ? 0 : 1)
            values[Int(shard)] = newValue
        }
    }

    /// In the order of the shards' numbers.
    func makeIterator() -> AnyIterator<(key: UInt16, value: Value)> {
        var next = 0
        return AnyIterator { [values] in
            while next < values.count {
                defer { next += 1 }
                if let value = values[next] { return (UInt16(next), value) }
            }
            return nil
        }
    }
}
