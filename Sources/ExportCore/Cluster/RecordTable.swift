import Protocol

/// For each record that a worker knows: the targets it is in hand for, and those of which something was told.
///
/// Every record passes three times, so this is open addressing with a plain hash, a few nanoseconds each time: keys come
/// from the feed of a leader that was identified, not from whoever wrote the records. A record costs 24 to 96 bytes.
struct RecordTable: Sendable {
    private struct Entry: Sendable {
        var key = RecordKey(high: 0, low: 0)
        var inHand: UInt32 = 0
        var told: UInt32 = 0

        var isFree: Bool { inHand | told == 0 }
    }

    /// A power of two, at most three quarters of it in use.
    private var entries = [Entry](repeating: Entry(), count: 64)
    /// Records that something is known of.
    private(set) var count = 0
    /// Records in hand for any target.
    private(set) var inHandCount = 0

    /// The targets of `wanted` for which nothing is known of the record; it is in hand for them from now on.
    mutating func admit(_ key: RecordKey, _ wanted: UInt32) -> UInt32 {
        guard wanted != 0 else { return 0 }
        let place = room(for: key)
        let fresh = wanted & ~entries[place].inHand & ~entries[place].told
        guard fresh != 0 else { return 0 }
        if entries[place].inHand == 0 { inHandCount += 1 }
        if entries[place].isFree {
            entries[place].key = key
            count += 1
        }
        entries[place].inHand |= fresh
        return fresh
    }

    /// The record is in hand for these targets, whatever is known of it.
    mutating func hold(_ key: RecordKey, _ bits: UInt32) {
        let place = room(for: key)
        if entries[place].inHand == 0 { inHandCount += 1 }
        if entries[place].isFree {
            entries[place].key = key
            count += 1
        }
        entries[place].inHand |= bits
    }

    /// The record is not in hand for these targets any more.
    mutating func release(_ key: RecordKey, _ bits: UInt32) {
        let place = find(key)
        guard !entries[place].isFree else { return }
        let before = entries[place].inHand
        entries[place].inHand = before & ~bits
        if before != 0, entries[place].inHand == 0 { inHandCount -= 1 }
        if entries[place].isFree { free(place) }
    }

    /// What was in hand is told from now on; so is what never was.
    mutating func tell(_ key: RecordKey, _ bits: UInt32) {
        let place = room(for: key)
        if entries[place].isFree {
            entries[place].key = key
            count += 1
        }
        let before = entries[place].inHand
        entries[place].inHand = before & ~bits
        if before != 0, entries[place].inHand == 0 { inHandCount -= 1 }
        entries[place].told |= bits
    }

    /// Nobody needs to know of these any more.
    mutating func forget(_ key: RecordKey, _ bits: UInt32) {
        let place = find(key)
        guard !entries[place].isFree else { return }
        entries[place].told &= ~bits
        if entries[place].isFree { free(place) }
    }

    // MARK: Places

    private func home(_ key: RecordKey) -> Int {
        // The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): offsets in a file differ by little.
        var z = key.high &* 0x9e37_79b9_7f4a_7c15 &+ key.low
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return Int(truncatingIfNeeded: z ^ z >> 31) & (entries.count - 1)
    }

    /// Where the record is, or the free place where it would be.
    private func find(_ key: RecordKey) -> Int {
        var place = home(key)
        while !entries[place].isFree, entries[place].key != key { place = (place + 1) & (entries.count - 1) }
        return place
    }

    private mutating func room(for key: RecordKey) -> Int {
        if (count + 1) * 4 > entries.count * 3 { grow() }
        return find(key)
    }

    private mutating func grow() {
        let old = entries
        entries = [Entry](repeating: Entry(), count: old.count * 2)
        for entry in old where !entry.isFree { entries[find(entry.key)] = entry }
    }

    /// Closes the gap at `place`, so that no search ends there before it reaches what lies behind.
    private mutating func free(_ place: Int) {
        count -= 1
        let mask = entries.count - 1
        var gap = place
        var next = (gap + 1) & mask
        while !entries[next].isFree {
            let distance = (next - home(entries[next].key)) & mask
            if distance >= (next - gap) & mask {
                entries[gap] = entries[next]
                gap = next
            }
            next = (next + 1) & mask
        }
        entries[gap] = Entry()
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
