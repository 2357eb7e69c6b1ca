import Protocol

/// For each record that a worker knows: the targets it is in hand for, and those of which something was told.
///
/// A record is looked for once, when it comes; then whoever speaks of it knows its place. Places are given out in the order
/// in which they become free, so that records that came together lie together. What finds them is an open table of hashes,
/// where a record that is not known costs one look at memory. Hashing is plain, a few nanoseconds: keys come from the feed of
/// a leader that was identified, not from whoever wrote the records. A record costs 43 to 85 bytes.
struct RecordTable: Sendable {
    /// Where a record is, as long as it is in hand or told for any target.
    typealias Place = UInt32

    private struct Entry: Sendable {
        var key: RecordKey
        var inHand: UInt32 = 0
        var told: UInt32 = 0
        /// The one that became free after it.
        var next = RecordTable.none

        var isFree: Bool { inHand | told == 0 }
    }

    private struct Slot: Sendable {
        var hash: UInt32 = 0
        var place = RecordTable.none
    }

    fileprivate static let none = Place.max

    private var entries: [Entry] = []
    /// A power of two, at most three quarters of it in use. A record lies at the place of its hash or close behind it.
    private var slots = [Slot](repeating: Slot(), count: 64)
    /// Slots that were met in use by ``approach(_:)``: kept so that looking has an outcome, and is not optimized away.
    private var met = 0
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

    /// Looks at where each of `keys` is or would be. One after the other, with work in between, each look waits for memory;
    /// together they do so at the same time, and who comes after finds it near.
    mutating func approach(_ keys: [RecordKey]) {
        var count = 0
        for key in keys where slots[home(Self.hash(key))].place != Self.none { count += 1 }
        met &+= count
    }

    private static func hash(_ key: RecordKey) -> UInt32 {
        // The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): offsets in a file differ by little.
        var z = key.high &* 0x9e37_79b9_7f4a_7c15 &+ key.low
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return UInt32(truncatingIfNeeded: z ^ z >> 31)
    }

    private func home(_ hash: UInt32) -> Int { Int(hash) & (slots.count - 1) }

    private func find(_ key: RecordKey) -> Place? {
        let hash = Self.hash(key)
        var at = home(hash)
        while slots[at].place != Self.none {
            let slot = slots[at]
            if slot.hash == hash, entries[Int(slot.place)].key == key { return slot.place }
            at = (at + 1) & (slots.count - 1)
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
        }
        if count * 4 > slots.count * 3 { widen() }
        insert(Slot(hash: Self.hash(key), place: place))
        return place
    }

    private mutating func insert(_ slot: Slot) {
        var at = home(slot.hash)
        while slots[at].place != Self.none { at = (at + 1) & (slots.count - 1) }
        slots[at] = slot
    }

    private mutating func widen() {
        let old = slots
        slots = Array(repeating: Slot(), count: old.count * 2)
        for slot in old where slot.place != Self.none { insert(slot) }
    }

    private mutating func freeIfUnknown(_ place: Place) {
        guard entries[Int(place)].isFree else { return }
        count -= 1
        var at = home(Self.hash(entries[Int(place)].key))
        while slots[at].place != place { at = (at + 1) & (slots.count - 1) }
        closeGap(at)
        entries[Int(place)].next = Self.none
        if free.last == Self.none { free.first = place } else { entries[Int(free.last)].next = place }
        free.last = place
    }

    /// Empties a slot, so that no search ends there before it reaches what lies behind.
    private mutating func closeGap(_ slot: Int) {
        let mask = slots.count - 1
        var gap = slot
        var next = (gap + 1) & mask
        while slots[next].place != Self.none {
            let distance = (next - home(slots[next].hash)) & mask
            if distance >= (next - gap) & mask {
                slots[gap] = slots[next]
                gap = next
            }
            next = (next + 1) & mask
        }
        slots[gap] = Slot()
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
