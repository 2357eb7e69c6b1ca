public import Model
public import Protocol

/// Records in the leader's hand: which worker gets which, what became of them, and what is to be written down.
///
/// Promises:
/// 1. A record is told as settled for a target only after a worker said `delivered` or `dead` of that very record and
///    target; a worker's row is told as settled only after everything it said was written (invariants 1 and 5).
/// 2. What is in hand stays within the bounds: per target by the bytes of pages it has not settled, per worker and
///    target by the window that the worker announced (invariant 7).
/// 3. A target without room delays nobody else: each has its own cursor, window and credit (invariant 8).
/// 4. A record that a worker had when its shard went to another, or its session ended, is sent again.
/// 5. `failed` counts only from the owner under its current grant.
/// 6. What was read and not sent for want of company goes with ``flush()``, which whoever feeds calls when it rests.
/// 7. Where sources themselves show what is settled (`forgetsSources`), nothing is remembered of one that is not in hand. What is
///    said of it later is resolved by the next ``passed(target:)``, or when it was looked for (``sought(most:)``), however little
///    its target takes: rows behind it would pile up at their worker otherwise. If it was delivered, that is written: it may
///    have been given up before. That a record was delivered which had been given up is not settled before it was looked for.
/// 8. What is said of records of which no page will come, because they cannot be read or are gone, waits for none
///    (``readable(_:)``).
public struct Dispatch: Sendable {
    /// Bounds.
    public struct Bounds: Sendable, Equatable {
        /// Bytes of pages that one target may have open.
        public var windowBytes = 32 << 20
        /// Bytes of records in one frame; a single longer record goes alone.
        public var frameBytes = 1 << 20
        /// Records in one frame.
        public var frameRecords = 4_096
        /// Facts that are kept about records that were not read yet. Rows with more stay with their worker.
        public var maxHints = 1 << 20

        /// The defaults.
        public init() {}
    }

    /// What became of records at one target, to be written where results are kept.
    public struct Facts: Sendable, Equatable {
        /// The target.
        public var target: Int
        /// What happened to all of them.
        public var kind: Outcomes.Kind
        /// Why, for `dead` and `failed`.
        public var reason: String
        /// The records.
        public var keys: [RecordKey]
        /// How far each reaches in its source.
        public var lengths: [UInt32]

        /// All parts.
        package init(target: Int, kind: Outcomes.Kind, reason: String, keys: [RecordKey], lengths: [UInt32]) {
            (self.target, self.kind, self.reason) = (target, kind, reason)
            (self.keys, self.lengths) = (keys, lengths)
        }
    }

    /// What is to be done.
    public enum Effect: Sendable {
        /// Records go to a worker.
        case send(WorkerID, RecordsFrame)
        /// Facts are to be written, in the order of their numbers; ``written(through:)`` is to be called afterwards.
        case write(number: UInt64, [Facts])
        /// Everything of a source is settled for all targets.
        case finished(source: UInt64, number: UInt64)
        /// A worker may forget its rows up to this one.
        case settled(WorkerID, through: UInt64)
    }

    /// How one target stands.
    public struct TargetState: Sendable, Equatable {
        /// Records that were read for it and are not settled.
        public var inHand = 0
        /// Bytes of pages it has open.
        public var windowBytes = 0
        /// No page is read for it before an eighth of its window is free: so pages come several at a time, and what is in
        /// them for one worker goes as one frame.
        public var isFull = false
        /// Records settled as accepted, in this term.
        public var delivered: UInt64 = 0
        /// Records settled as given up, in this term.
        public var dead: UInt64 = 0
        /// First failures of records, in this term.
        public var failed: UInt64 = 0
    }

    struct Owner: Sendable, Equatable {
        var worker: WorkerID
        var epoch: UInt32
    }

    struct Worker: Sendable {
        var isOpen = false
        var windowBytes = 0
        /// For each target, bytes in its hands.
        var outstanding: [Int]
        /// Those of which it is sent records.
        var shards: [UInt16] = []
        var rows = RowLedger()
    }

    let term: UInt64
    let bounds: Bounds
    let targetCount: Int
    /// What is settled of a source is written to where the source is read, and shown with its pages.
    let forgetsSources: Bool
    /// What is settled outside the window.
    public internal(set) var index: SettledIndex
    /// How each target stands.
    public internal(set) var targets: [TargetState]
    var pages = PageWindow()
    /// Where the pages of each source are.
    var places = PagePlaces()
    var owners: [Owner?]
    /// For each shard, whether its owner is sent its records: not while it gives it back.
    var isHeld: [Bool]
    var workers: [Worker] = []
    /// For each worker and target, what waits for room. What has no owner waits in its page, to be found for the next one.
    var waiting: [WaitingQueue] = []
    var hints: [RecordKey: [Hint]] = [:]
    /// How many hints there are for each target.
    var hintCounts: [Int]
    /// How many hints were taken in all.
    public internal(set) var hintsHeard: UInt64 = 0
    /// Records of the row that is being taken for whose hint there was no room.
    var unkept = 0
    /// Where sources end of which something was read and not all is settled.
    var ends: [UInt64: UInt64] = [:]
    var sessions: UInt64 = 0
    var lastWrite: UInt64 = 0
    var writtenThrough: UInt64 = 0
    /// Bytes of pages that were read since all workers were last sent what waits for them.
    var unsentBytes = 0

    /// An empty hand.
    ///
    /// - Parameter index: what the store remembers as settled.
    public init(
        term: UInt64, shardCount: Int, targetCount: Int, index: SettledIndex, bounds: Bounds = Bounds(),
        forgetsSources: Bool = false
    ) {
        self.term = term
        self.bounds = bounds
        self.forgetsSources = forgetsSources
        self.targetCount = targetCount
        self.index = index
        targets = Array(repeating: TargetState(), count: targetCount)
        hintCounts = Array(repeating: 0, count: targetCount)
        owners = Array(repeating: nil, count: shardCount)
        isHeld = Array(repeating: false, count: shardCount)
    }

    /// For each target, whether it can take another page.
    ///
    /// A worker's rows are settled in their order. One that speaks of a record which its target has not read would hold up
    /// those of all targets behind it, for as long as this one takes nothing. So such a target may read on to find the record, up
    /// to twice its window: an earlier leader's was as large as ours.
    public var hasRoom: [Bool] {
        targets.indices.map { target in
            !targets[target].isFull || hintCounts[target] > 0 && targets[target].windowBytes < 2 * bounds.windowBytes
        }
    }

    /// Bytes that may be read before somebody has to look again whether there is room; one at least, for one page.
    public var roomBytes: Int {
        targets.lazy.filter { !$0.isFull }.map { windowBytes - $0.windowBytes }.min().map { max($0, 1) } ?? 1
    }

    /// Bytes of pages that a target may have open: no more than its workers take. What is read before anybody has room for it
    /// waits until it has left the processor's caches, and then costs twice as much to send.
    private var windowBytes: Int {
        let taken = workers.lazy.filter { $0.isOpen && !$0.shards.isEmpty }.map(\.windowBytes).reduce(0, +)
        return taken == 0 ? bounds.windowBytes : min(taken, bounds.windowBytes)
    }

    /// Bytes of all pages in hand.
    public var bytesInHand: Int { pages.all.reduce(0) { $0 + $1.bytes.count } }

    /// Records in hand.
    public private(set) var recordsInHand = 0

    /// Milliseconds that the oldest record in hand of `target` has waited; nil if none is.
    public func oldestMilliseconds(of target: Int, now: Tick) -> UInt64? {
        let bit = UInt32(1) << UInt32(target)
        var oldest: UInt64?
        for page in pages.all where page.open & bit != 0 { oldest = max(oldest ?? 0, page.age(now: now)) }
        return oldest
    }

    // MARK: Shards and workers

    /// A worker's session began. It has no shard before ``assigned(_:to:)``.
    public mutating func opened(_ worker: WorkerID, windowBytes: Int) {
        while workers.count <= worker.index {
            workers.append(Worker(outstanding: Array(repeating: 0, count: targetCount)))
            waiting += Array(repeating: WaitingQueue(), count: targetCount)
        }
        sessions += 1
        workers[worker.index].isOpen = true
        workers[worker.index].windowBytes = windowBytes
        workers[worker.index].rows = RowLedger(session: sessions)
    }

    /// A worker's session ended: what it was sent is sent again, to it or another.
    public mutating func closed(_ worker: WorkerID) -> [Effect] {
        guard worker.index < workers.count else { return [] }
        workers[worker.index].isOpen = false
        for target in 0..<targetCount { waiting[queue(worker.index, target)] = WaitingQueue() }
        return unassigned(owners.indices.filter { owners[$0]?.worker == worker }.map { UInt16($0) })
    }

    /// Shards are a worker's from now on, under these grants, in place of whatever was before.
    public mutating func assigned(_ grants: [ShardGrant], to worker: WorkerID) -> [Effect] {
        let effects = unassigned(grants.map(\.shard))
        for grant in grants {
            workers[worker.index].shards.append(grant.shard)
            owners[Int(grant.shard)] = Owner(worker: worker, epoch: grant.epoch)
            isHeld[Int(grant.shard)] = true
        }
        requeue(worker.index)
        return effects + pump(worker)
    }

    /// Shards are being given back: nothing more of them is sent, what was sent may still come to an end.
    /// What `worker` only claimed, and another owns, stays as it is.
    public mutating func revoked(_ shards: [UInt16], of worker: WorkerID) {
        guard worker.index < workers.count else { return }
        let lost = Set(shards)
        workers[worker.index].shards.removeAll { lost.contains($0) }
        for shard in shards where owners[Int(shard)]?.worker == worker { isHeld[Int(shard)] = false }
    }

    /// Shards are nobody's: they were released, or their owner is dead. What they took of its room is free for others.
    public mutating func unassigned(_ shards: [UInt16]) -> [Effect] {
        let former = Set(shards.compactMap { owners[Int($0)]?.worker }).sorted()
        for worker in former { revoked(shards, of: worker) }
        var effects = takeBack(shards: shards)
        for shard in shards {
            owners[Int(shard)] = nil
            isHeld[Int(shard)] = false
        }
        for worker in former { effects += pump(worker) }
        return effects
    }

    // MARK: Pages

    /// Takes a page into the window. Not taken if it crosses one that is there otherwise: then its feed is broken.
    public mutating func take(_ page: FeedPage, now: Tick) -> (isTaken: Bool, effects: [Effect]) {
        let id: UInt64
        if let known = places.page(of: page.source, overlapping: page.range) {
            guard let place = pages.place(of: known), pages[place]?.range == page.range else { return (false, []) }
            id = known
        } else {
            id = add(page, now: now)
        }
        if !forgetsSources { ends[page.source] = page.sourceSize }
        for target in 0..<targetCount where page.settled.contains(target) {
            index.insert(page.range, of: page.source, target: target)
        }
        let known = open(id, for: page.targets)
        unsentBytes += page.bytes.count
        let effects = write(known) + close(id)
        return (true, effects + (unsentBytes >= burstBytes ? flush() : []))
    }

    /// Sends what waits for company: nothing more is read for now.
    public mutating func flush() -> [Effect] {
        guard unsentBytes > 0 else { return [] }
        unsentBytes = 0
        return workers.indices.flatMap { pump(WorkerID(UInt32($0))) }
    }

    /// Pages are shared out together when there is half a frame of them for each worker, far from where it would be cut: a
    /// frame costs its worker several wake-ups, however small it is. A quarter of the window at the most, or workers would
    /// wait for what they could have.
    private var burstBytes: Int {
        let open = workers.count { $0.isOpen && !$0.shards.isEmpty }
        return min(max(open, 1) * bounds.frameBytes / 2, bounds.windowBytes / 4)
    }

    /// Every record that `target` had to see was shown to it: what is known only by hearsay was settled before.
    public mutating func passed(target: Int) -> [Effect] {
        var late: [Facts] = []
        for (key, all) in hintCounts[target] > 0 ? hints : [:] {
            if !all.contains(where: { $0.target == target && $0.isRevival }) { resolve(key, target, &late) }
        }
        let effects = write(late)
        for worker in workers.indices { workers[worker].rows.resolveUnkept(of: target, barrier: lastWrite) }
        return effects + settledRows()
    }

    /// These were looked for everywhere, as ``sought(most:)`` had them, and a page came with each that is not settled at the targets:
    /// the others are. Whether one that was given up was delivered after all may have been told since: then its source, which calls it
    /// `dead`, was not asked for it, and is to be looked at once more.
    public mutating func looked(for records: [RecordKey: SoughtRecord]) -> [Effect] {
        var late: [Facts] = []
        for (key, record) in records {
            guard let all = hints[key] else { continue }
            for target in 0..<targetCount where record.targets.contains(target) {
                let isRevived = all.contains { $0.target == target && $0.isRevival }
                if !isRevived || record.revived.contains(target) { resolve(key, target, &late) }
            }
        }
        return write(late) + settledRows()
    }

    mutating func resolve(_ key: RecordKey, _ target: Int, _ late: inout [Facts]) {
        for hint in removeHints(key, target) {
            let isNews = forgetsSources && hint.kind == .delivered
            resolve(hint, barrier: isNews ? lastWrite + 1 : writtenThrough)
            if isNews { late.add(key, 1, target, .delivered, "") }
        }
    }

    private mutating func add(_ page: FeedPage, now: Tick) -> UInt64 {
        let id = pages.append(
            WindowPage(
                source: page.source, range: page.range, bytes: page.bytes, taken: now,
                ageMilliseconds: page.ageMilliseconds, entries: page.records,
                remaining: Array(repeating: 0, count: targetCount)))
        places.add(id, of: page.source, page.range)
        recordsInHand += page.records.count
        return id
    }

    /// Has targets read the page: what is neither settled nor known by hearsay is owed to them.
    private mutating func open(_ id: UInt64, for mask: TargetMask) -> [Facts] {
        var known: [Facts] = []
        withPage(id) { page, dispatch in
            for target in 0..<dispatch.targetCount where mask.contains(target) && !page.isOpen(for: target) {
                page.open |= 1 << UInt32(target)
                dispatch.targets[target].windowBytes += page.bytes.count
                if dispatch.targets[target].windowBytes >= dispatch.windowBytes {
                    dispatch.targets[target].isFull = true
                }
                dispatch.owe(&page, id, to: target, &known)
                if page.remaining[target] == 0 { dispatch.settle(&page, for: target) }
            }
        }
        return known
    }

    private mutating func owe(_ page: inout WindowPage, _ id: UInt64, to target: Int, _ known: inout [Facts]) {
        let bit = UInt32(1) << UInt32(target)
        let isKnown = index.touches(page.range, of: page.source, target: target)
        var owed = 0
        for offset in page.entries.indices {
            let (position, shard) = (page.entries[offset].position, Int(page.entries[offset].shard))
            let isSettled = isKnown && index.contains(position, of: page.source, target: target)
            if isSettled, !isNews(RecordKey(high: page.source, low: position), target) { continue }
            if !hints.isEmpty, let hint = takeHints(RecordKey(high: page.source, low: position), target) {
                count(hint.kind, target, 1)
                known.add(
                    RecordKey(high: page.source, low: position), page.reach(of: offset), target, hint.kind, hint.reason)
                continue
            }
            page.entries[offset].owed |= bit
            owed += 1
            if isHeld[shard], let owner = owners[shard] {
                waiting[queue(owner.worker.index, target)].append(Slot.pack(id, offset))
            }
        }
        page.remaining[target] += Int32(owed)
        targets[target].inHand += owed
    }

    /// Nothing of the page is owed to `target` any more.
    mutating func settle(_ page: inout WindowPage, for target: Int) {
        page.open &= ~(1 << UInt32(target))
        targets[target].windowBytes -= page.bytes.count
        if targets[target].windowBytes <= windowBytes - windowBytes / 8 { targets[target].isFull = false }
        index.insert(page.range, of: page.source, target: target)
    }

    /// Lets a page go that is done, and says so if its source is.
    mutating func close(_ id: UInt64) -> [Effect] {
        guard let place = pages.place(of: id), let page = pages[place], page.isDone else { return [] }
        places.remove(id, of: page.source)
        recordsInHand -= page.entries.count
        pages.remove(at: place)
        guard !forgetsSources else {
            index.forget(page.source)
            return []
        }
        guard let end = ends[page.source], index.covers(upTo: end, of: page.source) else { return [] }
        ends[page.source] = nil
        index.finish(page.source)
        lastWrite += 1
        return [.finished(source: page.source, number: lastWrite)]
    }

    /// Lends out a page, so that it is changed in place.
    mutating func withPage(_ id: UInt64, _ body: (inout WindowPage, inout Dispatch) -> Void) {
        guard let place = pages.place(of: id), var page = pages[place] else { return }
        pages[place] = nil
        body(&page, &self)
        pages[place] = page
    }
}
