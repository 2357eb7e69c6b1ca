public import Model
public import Protocol

/// What a worker has in its hands: shards, the records of them that its lanes carry, and what it has told or must tell.
///
/// Records come in frames and are laid out as one endless stream, in which lanes speak of positions; here positions
/// become records again. The stream lives as long as the process.
///
/// Promises:
/// 1. A record that is in hand for a target, or was told as settled and not yet forgotten, is not taken again for it.
/// 2. `delivered` and `dead` are told after they were committed, and again in every session until the leader has them.
/// 3. A shard is told as released when nothing of it is in hand and everything about it was told.
/// 4. Frames of another term than the session's, and records of shards that are not held, change nothing.
public struct WorkerHands: Sendable {
    /// What was told of records of one target: a row of the ledger.
    public struct Row: Sendable, Equatable {
        /// Grows from row to row, over restarts.
        public var number: UInt64
        /// The target, in the worker's own order.
        public var target: Int
        /// `delivered` or `dead`.
        public var kind: Outcomes.Kind
        /// Why, for `dead`.
        public var reason: String
        /// The records.
        public var keys: [RecordKey]
        /// The grants they were taken under.
        public var grants: [ShardGrant]
        /// Where they are known, for a row that counts.
        var places: [RecordTable.Place] = []

        /// All parts.
        public init(
            number: UInt64, target: Int, kind: Outcomes.Kind, reason: String, keys: [RecordKey], grants: [ShardGrant]
        ) {
            self.number = number
            self.target = target
            self.kind = kind
            self.reason = reason
            self.keys = keys
            self.grants = grants
        }

        /// The same was told of the same records.
        public static func == (a: Row, b: Row) -> Bool {
            a.number == b.number && a.target == b.target && a.kind == b.kind && a.reason == b.reason && a.keys == b.keys
                && a.grants == b.grants
        }
    }

    /// Records to be written for targets.
    public struct Delivery: Sendable {
        /// Where they lie in the stream.
        public var range: Range<UInt64>
        /// Their lines.
        public var bytes: SealedBytes
        /// The targets, in the worker's own order, each with what of the range is not for it.
        public var targets: [(target: Int, skip: PositionSet)]
    }

    /// A record that was given up.
    public struct DeadRecord: Sendable, Equatable {
        /// Where it begins in the stream.
        public var position: UInt64
        /// Why.
        public var reason: String

        /// A record at `position`.
        public init(position: UInt64, reason: String) {
            self.position = position
            self.reason = reason
        }
    }

    /// What is to be done.
    public enum Effect: Sendable {
        /// A message to the leader of the session.
        case send(Message)
        /// A target's lane is to carry what lies at these places no further; what has left already ends first.
        case withdraw(target: Int, [Range<UInt64>])
        /// A target's requests with what lies at these places are to be cut off: it may be somebody else's from here on.
        case cutOff(target: Int, [Range<UInt64>])
        /// Rows up to this one are of no use any more.
        case forget(through: UInt64)
        /// Records for the lanes that were withdrawn and had come again meanwhile.
        case intake(Delivery)
    }

    struct Item: Sendable {
        var key: RecordKey
        /// Where it is known.
        var place: RecordTable.Place
        var position: UInt64
        var length: UInt32
        var shard: UInt16
        /// Targets whose lanes carry it.
        var carried: UInt32
    }

    struct Piece: Sendable {
        var range: Range<UInt64>
        var bytes: SealedBytes
        /// Items and targets of it that are carried.
        var carried: Int
    }

    struct Holding: Sendable, Equatable {
        var term: UInt64
        var epoch: UInt32
        /// The session in which that was said last.
        var session: SessionID
        /// The session in which it was given; nil if it was only taken. A leader may ask for a claim back that has long been
        /// somebody else's, so its asking gives no right to anything.
        var granted: SessionID?
        var isRevoked = false
    }

    let targetCount: Int
    /// Bytes of records per target that the leader was told it may send.
    public let windowBytes: UInt64
    var session: (id: SessionID, term: UInt64, order: [Int])?
    var held = ShardMap<Holding>()
    /// For each shard, items and targets in hand or not yet committed.
    var load = ShardMap<Int>()
    var items: [Item] = []
    /// Those of them that no lane carries any more.
    var done = 0
    var pieces: [Piece] = []
    var end: UInt64 = 0
    /// What is in hand, and of what something was told and not forgotten.
    var known = RecordTable()
    /// Targets whose lanes were asked to carry a record no further and have not said that they do.
    var withdrawing: [RecordKey: UInt32] = [:]
    /// Of those, the ones that the leader sent again meanwhile: they are taken up again when they are free.
    var resent: [RecordKey: UInt32] = [:]
    var rows: [Row] = []
    var uncommitted: [UInt64: Row] = [:]
    var nextRow: UInt64
    /// For each target, the last row of records that were delivered after they had been given up; 0: none in this process.
    var lastRevivals: [UInt64]
    /// The last row that was told in this session. Rows are told in the order of their numbers, or the leader's word
    /// "up to this row" would speak of rows that it never saw.
    var toldThrough: UInt64 = 0
    /// Bytes in hand for each target.
    public internal(set) var carriedBytes: [UInt64]

    /// - Parameters:
    ///   - rows: what the ledger remembers as told and not forgotten, in order.
    ///   - nextRow: above every number that was ever used.
    public init(targetCount: Int, windowBytes: UInt64, rows: [Row], nextRow: UInt64) {
        self.targetCount = targetCount
        self.windowBytes = windowBytes
        self.rows = rows
        self.nextRow = max(nextRow, (rows.last?.number ?? 0) + 1)
        carriedBytes = Array(repeating: 0, count: targetCount)
        lastRevivals = Array(repeating: 0, count: targetCount)
        for index in rows.indices {
            let bit = UInt32(1) << UInt32(rows[index].target)
            self.rows[index].places = rows[index].keys.map { known.tell($0, bit) }
        }
    }

    /// Shards in hand, for `hello`.
    public var claims: [ShardClaim] {
        held.map { shard, holding in
            ShardClaim(term: holding.term, grant: ShardGrant(shard: shard, epoch: holding.epoch))
        }
    }

    /// Number of shards in hand.
    public var shardCount: Int { held.count }

    /// Nothing is carried and nothing waits for its commit.
    public var isEmpty: Bool { known.inHandCount == 0 && uncommitted.isEmpty }

    /// Rows that the leader does not have for good yet.
    public var unsettledRows: Int { rows.count }

    /// Whether the leader, or the next one, has still to say of rows that it has them for good. It never says so of targets
    /// that it does not have.
    public var isOwedWord: Bool {
        guard let order = session?.order else { return !rows.isEmpty }
        return rows.contains { order.contains($0.target) }
    }

    /// The bytes at a place of the stream; nil if they are not in hand any more.
    public func bytes(at range: Range<UInt64>) -> [UInt8]? {
        guard let piece = piece(at: range.lowerBound), pieces[piece].range.upperBound >= range.upperBound
        else { return nil }
        let start = Int(range.lowerBound - pieces[piece].range.lowerBound)
        let bytes = pieces[piece].bytes
        return (start..<start + range.count).map { bytes.span[$0] }
    }

    /// The key and shard of the record that begins at `position`; nil if it is not in hand.
    public func record(at position: UInt64) -> (key: RecordKey, shard: UInt16)? {
        let found = firstItem(from: position)
        guard found < items.count, items[found].position == position else { return nil }
        return (items[found].key, items[found].shard)
    }

    // MARK: Session

    /// A session began. Everything that is not known to be kept is told again. What waits is let go, for the leader does
    /// not know of it and sends as much as if there were nothing; it comes again where it belongs.
    ///
    /// - Parameter order: for each target of the session's order, its number here.
    public mutating func begin(_ id: SessionID, term: UInt64, order: [Int]) -> [Effect] {
        session = (id, term, order)
        toldThrough = 0
        return tellReady() + withdraw(Set(items.map(\.shard)))
    }

    /// The session ended.
    public mutating func leave() { session = nil }

    /// Shards are this worker's.
    public mutating func assign(term: UInt64, _ grants: [ShardGrant]) {
        guard let session, term == session.term else { return }
        for grant in grants {
            held[grant.shard] = Holding(term: term, epoch: grant.epoch, session: session.id, granted: session.id)
        }
    }

    /// Shards are to be given back.
    public mutating func revoke(term: UInt64, _ grants: [ShardGrant]) -> [Effect] {
        guard let session, term == session.term else { return [] }
        let shards = Set(grants.map(\.shard))
        for grant in grants {
            // A shard that is not held is given back all the same: the leader waits for the word.
            held[grant.shard] = Holding(
                term: term, epoch: grant.epoch, session: session.id, granted: held[grant.shard]?.granted,
                isRevoked: true)
        }
        return withdraw(shards) + release()
    }

    /// Rows up to `row` are kept by the leader; not those that it was not told in this session, whatever it says.
    public mutating func settled(term: UInt64, through row: UInt64) -> [Effect] {
        guard term == session?.term else { return [] }
        let count = rows.prefix { $0.number <= min(row, toldThrough) }.count
        guard count > 0 else { return [] }
        for old in rows[..<count] {
            known.approach(old.keys)
            for (key, place) in zip(old.keys, old.places) { known.forget(key, at: place, 1 << UInt32(old.target)) }
        }
        let last = rows[count - 1].number
        rows.removeFirst(count)
        return [.forget(through: last)]
    }

    /// The leases of earlier sessions are over: what they granted and the present one has not is carried no further.
    public mutating func withdrawUnconfirmed() -> [Effect] {
        withdraw(Set(held.filter { $0.value.session != session?.id }.map(\.key)))
    }

    /// Sessions in which shards were granted that the present one has not confirmed.
    public var formerSessions: Set<SessionID> {
        Set(held.lazy.map(\.value.session)).subtracting([session?.id].compactMap { $0 })
    }

    /// Whether something is in hand that was not granted in the session that is up.
    public var hasUnconfirmed: Bool {
        held.contains { $0.value.granted != session?.id && (load[$0.key] ?? 0) > 0 }
    }

    /// Whether everything that a target's lane carries at these places was granted in sessions for which `isLeased` holds.
    public func isGranted(target: Int, _ ranges: [Range<UInt64>], _ isLeased: (SessionID) -> Bool) -> Bool {
        let bit = UInt32(1) << UInt32(target)
        var last: SessionID?
        for range in ranges {
            var found = firstItem(from: range.lowerBound)
            while found < items.count, items[found].position < range.upperBound {
                let item = items[found]
                found += 1
                guard item.carried & bit != 0 else { continue }
                guard let granted = held[item.shard]?.granted, granted == last || isLeased(granted) else {
                    return false
                }
                last = granted
            }
        }
        return true
    }

    /// What was granted in `session`, and not anew, may be somebody else's from here on.
    public func cutOff(grantedIn session: SessionID) -> [Effect] {
        let shards = Set(held.filter { $0.value.session == session }.map(\.key))
        return (0..<targetCount).compactMap { target in
            var ranges: [Range<UInt64>] = []
            for item in items where item.carried & (1 << UInt32(target)) != 0 && shards.contains(item.shard) {
                ranges.appendJoining(item.position..<item.position + UInt64(item.length))
            }
            return ranges.isEmpty ? nil : .cutOff(target: target, ranges)
        }
    }

    private mutating func withdraw(_ shards: Set<UInt16>) -> [Effect] {
        var effects: [Effect] = []
        for target in 0..<targetCount {
            var ranges: [Range<UInt64>] = []
            for item in items where item.carried & (1 << UInt32(target)) != 0 && shards.contains(item.shard) {
                withdrawing[item.key, default: 0] |= 1 << UInt32(target)
                resent.clear(item.key, 1 << UInt32(target))
                ranges.appendJoining(item.position..<item.position + UInt64(item.length))
            }
            if !ranges.isEmpty { effects.append(.withdraw(target: target, ranges)) }
        }
        return effects
    }

    /// Tells of revoked shards of which nothing is left.
    mutating func release() -> [Effect] {
        guard let session, rows.last.map({ $0.number <= toldThrough }) ?? true else { return [] }
        // What was revoked in an earlier session is this one's leader's to decide about: it may be granted again.
        let done = held.filter {
            $0.value.isRevoked && $0.value.session == session.id && (load[$0.key] ?? 0) == 0
        }
        guard !done.isEmpty else { return [] }
        for (shard, _) in done { held[shard] = nil }
        let grants = done.map { ShardGrant(shard: $0.key, epoch: $0.value.epoch) }
        return [.send(.released(term: session.term, grants: grants))]
    }

    /// Tells rows that were not told yet and before which no commit is under way.
    mutating func tellReady() -> [Effect] {
        let limit = uncommitted.keys.min() ?? .max
        var effects: [Effect] = []
        for row in rows[rows.partitioningIndex { $0.number > toldThrough }...] where row.number < limit {
            if let effect = tell(row) { effects.append(effect) }
            toldThrough = row.number
        }
        return effects
    }

    func tell(_ row: Row) -> Effect? {
        guard let session, let target = session.order.firstIndex(of: row.target) else { return nil }
        return .send(
            .outcomes(
                Outcomes(
                    row: row.number, term: session.term, target: UInt8(target), kind: row.kind, reason: row.reason,
                    keys: row.keys, grants: row.grants)))
    }
}

extension [RecordKey: UInt32] {
    /// Takes bits away, and the key with the last of them.
    mutating func clear(_ key: RecordKey, _ bits: UInt32) {
        guard !isEmpty, let old = self[key] else { return }
        self[key] = old & ~bits == 0 ? nil : old & ~bits
    }
}

extension [WorkerHands.Row] {
    /// The first place for which `isBehind` holds; it must hold for all places after it.
    func partitioningIndex(_ isBehind: (WorkerHands.Row) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
