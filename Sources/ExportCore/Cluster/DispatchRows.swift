import Protocol

/// A record's place in the window: its page and its number in it.
enum Slot {
    static func pack(_ page: UInt64, _ offset: Int) -> UInt64 { page << 24 | UInt64(offset) }
    static func page(_ slot: UInt64) -> UInt64 { slot >> 24 }
    static func offset(_ slot: UInt64) -> Int { Int(slot & 0xFF_FFFF) }
}

/// Where the pages in hand lie: a record is found by its page, and in that by its position.
struct PagePlaces: Sendable {
    private struct Place: Sendable {
        var range: Range<UInt64>
        var page: UInt64
    }

    /// For each source, its pages in the order of their ranges, which do not overlap.
    private var sources: [UInt64: [Place]] = [:]

    mutating func add(_ page: UInt64, of source: UInt64, _ range: Range<UInt64>) {
        let place = Self.firstEnding(after: range.lowerBound, in: sources[source] ?? [])
        sources[source, default: []].insert(Place(range: range, page: page), at: place)
    }

    mutating func remove(_ page: UInt64, of source: UInt64) {
        sources[source]?.removeAll { $0.page == page }
        if sources[source]?.isEmpty ?? false { sources[source] = nil }
    }

    /// The page that a record with this key would lie in.
    func page(of key: RecordKey) -> UInt64? {
        guard let all = sources[key.high] else { return nil }
        let place = Self.firstEnding(after: key.low, in: all)
        return place < all.count && all[place].range.contains(key.low) ? all[place].page : nil
    }

    /// The first page that has something of `range`.
    func page(of source: UInt64, overlapping range: Range<UInt64>) -> UInt64? {
        guard let all = sources[source] else { return nil }
        let place = Self.firstEnding(after: range.lowerBound, in: all)
        return place < all.count && all[place].range.overlaps(range) ? all[place].page : nil
    }

    private static func firstEnding(after position: UInt64, in all: [Place]) -> Int {
        var (low, high) = (0, all.count)
        while low < high {
            let middle = (low + high) / 2
            if all[middle].range.upperBound <= position { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// Records that wait for a worker's room for one target, the oldest first. Some may have gone another way meanwhile.
struct WaitingQueue: Sendable {
    private var items: [UInt64] = []
    private var head = 0

    var first: UInt64? { head < items.count ? items[head] : nil }

    mutating func append(_ slot: UInt64) { items.append(slot) }

    mutating func removeFirst() {
        head += 1
        if head == items.count {
            items.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 1_024, head * 2 > items.count {
            items.removeFirst(head)
            head = 0
        }
    }
}

/// Something said about a record that was not read yet.
struct Hint: Sendable {
    var target: Int
    var kind: Outcomes.Kind
    var reason: String
    /// It was delivered under no grant: it had been given up, and the source says so still.
    var isRevival: Bool
    var worker: WorkerID
    /// The session that said it.
    var session: UInt64
    var row: UInt64

    /// The same worker says the same in a later session.
    func isOutlived(by later: Hint) -> Bool {
        target == later.target && worker == later.worker && session < later.session
    }
}

/// A record that is to be looked for.
public struct SoughtRecord: Sendable, Equatable {
    /// Targets at which something became of it.
    public var targets: TargetMask
    /// Those of them that it was delivered to after it had been given up: where its source says `dead`, a page is to come all
    /// the same.
    public var revived = TargetMask(bits: 0)

    /// A record of which something is told at `targets`.
    public init(targets: TargetMask) { self.targets = targets }
}

/// Rows of a worker's ledger, as it told them in its present session: which of them it may forget.
struct RowLedger: Sendable {
    private struct Row: Sendable {
        var number: UInt64
        /// The write after which everything the row says is kept.
        var barrier: UInt64
        /// Records in it that were not read yet.
        var pending: Int
        /// Those of them of which nobody could keep what it says.
        var unkept: Int
        var target: UInt8
    }

    private var rows: [Row] = []
    private var head = 0
    private var unkeptRows = 0
    /// The highest number that was told in the session.
    private(set) var last: UInt64 = 0
    /// Counts the sessions.
    let session: UInt64

    init(session: UInt64 = 0) { self.session = session }

    mutating func append(_ number: UInt64, target: UInt8, barrier: UInt64, pending: Int, unkept: Int) {
        last = number
        unkeptRows += unkept > 0 ? 1 : 0
        rows.append(Row(number: number, barrier: barrier, pending: pending, unkept: unkept, target: target))
    }

    /// One of a row's unread records is known now; what it means is kept after `barrier`.
    mutating func resolve(_ number: UInt64, barrier: UInt64) {
        guard let place = rows[head...].firstIndex(where: { $0.number == number }) else { return }
        rows[place].pending -= 1
        rows[place].barrier = max(rows[place].barrier, barrier)
    }

    /// Everything was shown to `target`, also those records of which nobody kept what a row says.
    mutating func resolveUnkept(of target: Int, barrier: UInt64) {
        guard unkeptRows > 0 else { return }
        for place in rows.indices[head...] where rows[place].unkept > 0 && Int(rows[place].target) == target {
            rows[place].pending -= rows[place].unkept
            rows[place].unkept = 0
            rows[place].barrier = max(rows[place].barrier, barrier)
            unkeptRows -= 1
        }
    }

    /// Takes out what is kept for good; the number of the last row of it.
    mutating func takeSettled(_ writtenThrough: UInt64) -> UInt64? {
        var last: UInt64?
        while head < rows.count, rows[head].pending <= 0, rows[head].barrier <= writtenThrough {
            last = rows[head].number
            head += 1
        }
        if head > 256, head * 2 > rows.count {
            rows.removeFirst(head)
            head = 0
        }
        return last
    }
}

extension [Dispatch.Facts] {
    /// Adds a record to the facts of its kind, or begins new ones.
    mutating func add(_ key: RecordKey, _ length: UInt32, _ target: Int, _ kind: Outcomes.Kind, _ reason: String) {
        if let last = indices.last, self[last].target == target, self[last].kind == kind, self[last].reason == reason {
            self[last].keys.append(key)
            self[last].lengths.append(length)
        } else {
            append(Dispatch.Facts(target: target, kind: kind, reason: reason, keys: [key], lengths: [length]))
        }
    }
}
