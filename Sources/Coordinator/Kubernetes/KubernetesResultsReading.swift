package import ExportCore
package import KubernetesAPI
package import Model
package import Protocol

/// What is to be read next of an API server's results, and what becomes of what was read, between ``ListWatch``, which shows
/// them, and ``ResultFeed``, which says which go to which targets. A pure machine: whoever has the server carries out what it
/// asks for.
///
/// Promises, besides theirs:
/// 1. Memory is a page, a piece of the watch, and what is in hand: each result's bytes are copied out of the page.
/// 2. Where no target that listens has room, nothing is read: the API server is the queue.
/// 3. What is looked for (``seek(_:)``) is handed to targets that have no room, for it takes none; no target's want of room keeps a
///    list from looking for longer than a minute.
/// 4. What cannot be read, list, watch or single objects, counts as not delivered, for longer and longer; and so does what is
///    settled and cannot be written down.
package struct KubernetesResultsReading {
    /// How far the list is.
    private enum List {
        /// Everything was shown.
        case idle
        /// One is there, and nobody takes it.
        case fresh
        /// One was asked for, and has not begun.
        case asked
        /// Its pages are read.
        case running
    }

    /// What the reader asks for.
    package enum Ask: Sendable, Equatable {
        /// ``ObjectFeed/relist()``.
        case relist
        /// ``ObjectFeed/poll(pages:)``; what comes of it is for ``took(_:_:)``.
        case poll(pages: Bool)
    }

    let hands: KubernetesResultsHands
    private let shardCount: UInt16
    var feed: ResultFeed
    private var list = List.asked
    /// The list was asked for, and nobody knows yet.
    private var wantsList = false
    var page: (batch: ObjectBatch, next: Int)?
    private var piece: (batch: ObjectBatch, next: Int)?
    /// The last page has come.
    private var isAtEnd = false
    var remaining = 0
    private var listPatience = FeedPatience()
    private var watchPatience = FeedPatience()
    /// Since when a page stands still.
    private var standsSince: Tick?
    private var notes: [String] = []
    private var trouble: StoreError?
    var lastTrouble = ""
    /// Objects that could not be used in the list before and in the one under way, since when, and one of them.
    var refused: (before: Int, now: Int, since: Tick?, why: String) = (0, 0, nil, "")
    var behindSince: [Tick?]
    private var listBegan: Tick?
    var passedAt: [Tick?]
    /// What happened until then the watch has shown, as far as lists have not; when it was last not open or failed, and when it
    /// last told something or was not asked.
    var shown: (until: Tick, shut: Tick?, busy: Tick)
    private var search: (keys: Set<RecordKey>, at: Tick?, isWanted: Bool) = ([], nil, false)
    private var searchPause: UInt64 = 60_000
    /// Records to look for, those of which the list under way tells, and those that it has told of.
    private var sought:
        (wanted: [RecordKey: SoughtRecord], listed: [RecordKey: SoughtRecord], done: [RecordKey: SoughtRecord]) =
            ([:], [:], [:])

    /// So many records are looked for at a time.
    package static let mostSought = 1 << 16
    private static let turnMilliseconds: UInt64 = 2_000
    /// A list that takes longer gives way to a search.
    private static let listMilliseconds: UInt64 = 60_000
    static let passedMilliseconds: UInt64 = 1_000
    /// A watch that works again tells within this what it has to tell, or has something to read at each look.
    static let catchUpMilliseconds: UInt64 = 2_000
    /// A watch that has told nothing for so long while it was asked has nothing to tell: pieces follow one another in a tenth of it.
    static let quietMilliseconds: UInt64 = 200
    private static let mostNotes = 100

    /// Nothing was read yet.
    package init(_ hands: KubernetesResultsHands, shardCount: UInt16, now: Tick) {
        self.hands = hands
        self.shardCount = shardCount
        feed = ResultFeed(targetCount: hands.targets.count)
        behindSince = Array(repeating: now, count: hands.targets.count)
        passedAt = Array(repeating: nil, count: hands.targets.count)
        shown = (now, nil, now)
    }

    /// Records that are to be looked for, in place of those before.
    package mutating func seek(_ records: [RecordKey: SoughtRecord]) { sought.wanted = records }

    var soughtCount: Int { sought.wanted.count + sought.listed.count + sought.done.count }

    // MARK: What comes next

    /// Begins a turn: results of about so many bytes, for the targets with room.
    ///
    /// - Parameter unixMilliseconds: what a clock on the wall shows, from which results' ages are told.
    package mutating func begin(hasRoom: [Bool], bytes: Int, now: Tick, unixMilliseconds: Int64) -> Turn {
        for (key, mask) in hands.takeNews() { feed.settled(key, at: mask) }
        while let text = hands.takeNote() { note(text) }
        var room = TargetMask(bits: 0)
        for (target, has) in hasRoom.enumerated() where has { room.bits |= 1 << UInt32(target) }
        return Turn(room: room, bytes: bytes, now: now, wall: unixMilliseconds)
    }

    /// What the turn came to: results for targets with room, else news, else nothing.
    ///
    /// - Parameter standing: how whoever reads the server stands after it.
    package mutating func end(_ ended: Turn, _ standing: ObjectFeed.Standing) throws(StoreError) -> [ResultEvent] {
        var turn = ended
        watchStands(turn.now)
        if turn.isDrained, trouble == nil, standing.failingSince == nil { tellPassed(&turn) }
        watched(turn, standing)
        if !sought.done.isEmpty {
            turn.events.append(.looked(sought.done))
            sought.done = [:]
        }
        while turn.events.isEmpty || turn.sum < turn.bytes, let text = notes.popLast() {
            turn.events.append(.note(text))
        }
        if turn.events.isEmpty, let error = trouble {
            trouble = nil
            throw error
        }
        return turn.events
    }

    /// One turn.
    package struct Turn {
        let room: TargetMask
        fileprivate let bytes: Int
        let now: Tick
        let wall: Int64
        var events: [ResultEvent] = []
        fileprivate var sum = 0
        /// Nobody takes anything of the list, or those that have room wait for others.
        fileprivate var isStanding = false
        /// The watch is not read: those that have room wait for others.
        fileprivate var watchWaits = false
        fileprivate var hasBegun = false
        /// The watch was among what was asked for.
        fileprivate var hasAskedWatch = false
        fileprivate var isOver = false
        /// Nothing more is there to be read, for those who follow the watch.
        var isDrained = false
    }

    /// What is to be asked for next; nil: the turn is over. Everything that is asked for is followed by ``took(_:_:)`` but for
    /// a list.
    package mutating func next(_ turn: inout Turn) -> Ask? {
        guard !turn.room.isEmpty else { return nil }
        if !turn.hasBegun { look(&turn) }
        while turn.sum < turn.bytes, !turn.isOver {
            if wantsList {
                wantsList = false
                return .relist
            }
            let (lists, watches) = feed.listeners
            // Whoever follows the watch from here on is shown a list before, and until then the list must not wait for this.
            if watches.isEmpty { piece = nil }
            let mayWatch = !turn.watchWaits && watches.bits & turn.room.bits != 0
            if mayWatch, piece != nil {
                follow(&turn)
            } else if !turn.isStanding, page != nil {
                turn.isStanding = !show(&turn)
            } else {
                let wantsPage = page == nil && list == .running && lists.bits & turn.room.bits != 0 || isSearchList
                guard mayWatch || wantsPage || list == .asked, piece == nil else { return nil }
                turn.hasAskedWatch = mayWatch
                return .poll(pages: wantsPage && page == nil)
            }
        }
        return nil
    }

    /// Takes in what is there; nil: nothing.
    package mutating func took(_ output: ObjectFeed.Output?, _ turn: inout Turn) {
        guard let output else {
            turn.isDrained = turn.hasAskedWatch
            turn.isOver = true
            return
        }
        took(output, turn.now)
        if list == .fresh, feed.next(hasRoom: turn.room) == .begin { begin() }
    }

    private mutating func look(_ turn: inout Turn) {
        turn.hasBegun = true
        let stands = standsSince.map { turn.now.milliseconds(since: $0) >= Self.turnMilliseconds } ?? false
        wantSearch(turn.now, stands)
        if feed.next(hasRoom: turn.room, mayTurn: stands) == .begin { begin() }
        let patient = feed.patient.bits & ~turn.room.bits
        let (lists, watches) = feed.listeners
        let listIsShort = page != nil && patient & lists.bits != 0 && lists.bits & turn.room.bits != 0
        turn.isStanding = listPatience.waits(isShort: listIsShort, now: turn.now)
        let isShort = patient & ~lists.bits != 0 && watches.bits & turn.room.bits != 0
        turn.watchWaits = watchPatience.waits(isShort: isShort, now: turn.now)
    }
    /// A list that is read for nobody but those who are looked for.
    private var isSearchList: Bool { list == .running && page == nil && feed.listeners.list.isEmpty }

    private mutating func begin() {
        switch list {
        case .fresh: list = .running
        // It comes, and is for those who are there now.
        case .asked: break
        case .idle, .running:
            (page, isAtEnd, standsSince) = (nil, false, nil)
            list = .asked
            wantsList = true
        }
        search.keys = hands.strangers
        sought.listed = sought.wanted
    }

    private mutating func took(_ output: ObjectFeed.Output, _ now: Tick) {
        switch output {
        case .restarted:
            (page, isAtEnd, standsSince, refused.now) = (nil, false, nil, 0)
            if list != .asked { feed.listLost() }
            feed.watchLost()
            listBegan = now
            list = list == .asked ? .running : .fresh
        case .relisted:
            (page, isAtEnd, standsSince, refused.now) = (nil, false, nil, 0)
            listBegan = now
            list = .running
        case .page(let found):
            refuse(found.batch, now)
            remaining = found.remaining ?? 0
            page = (found.batch, 0)
        case .changes(let changes):
            refuse(changes.batch, now)
            piece = (changes.batch, 0)
            shown.busy = now
        case .listed:
            isAtEnd = true
            endList()
        case .selectorUnknown:
            searchPause = 600_000
            // The refusal was of the selector, and nothing is wrong without it.
            (trouble, lastTrouble) = (nil, "")
            note(
                "the definition of siderealproberesults offers no selector for spec.audit.exportStatus (selectableFields, Kubernetes"
                    + " 1.31): all results are listed, also those that are exported")
        case .trouble(let failure):
            trouble = StoreError(failure)
            lastTrouble = failure.description
        }
    }

    /// The list is at its end, and all of it was looked at.
    private mutating func endList() {
        guard isAtEnd, page == nil else { return }
        isAtEnd = false
        list = .idle
        remaining = 0
        refused.before = refused.now
        if refused.now == 0 { (refused.since, refused.why) = (nil, "") }
        let shown = feed.listeners.list
        feed.listed()
        // What it was not handed is of the time since that list began, or the list would have shown it.
        for target in behindSince.indices where shown.contains(target) && !feed.isInStep(target) {
            behindSince[target] = listBegan ?? behindSince[target]
        }
        hands.forget(search.keys)
        search.keys = []
        // More may have been told of one since the list began.
        for (key, record) in sought.listed where sought.wanted[key] == record { sought.wanted[key] = nil }
        (sought.done, sought.listed) = (sought.listed, [:])
    }

    private mutating func refuse(_ batch: ObjectBatch, _ now: Tick) {
        guard batch.refused > 0 else { return }
        refused.now += batch.refused
        refused.since = refused.since ?? now
        refused.why = batch.refusals.first?.description ?? ""
        for refusal in batch.refusals { note("\(refusal). It counts as a result that is not delivered") }
    }

    private mutating func wantSearch(_ now: Tick, _ stands: Bool) {
        if hands.takeSearch() { search.isWanted = true }
        // What could not be read may be gone or mended by now: only a list shows it.
        let isWanted =
            search.isWanted && !hands.strangers.isEmpty || max(refused.before, refused.now) > 0
            || !sought.wanted.isEmpty
        guard isWanted else { return }
        if let at = search.at, now.milliseconds(since: at) < searchPause { return }
        if list != .idle {
            // A target that takes little may need hours for its list, and nobody else's rows are to wait for that.
            let lasts = listBegan.map { now.milliseconds(since: $0) >= Self.listMilliseconds } ?? false
            guard list == .running, stands || lasts, sought.listed.isEmpty, !sought.wanted.isEmpty else { return }
        }
        (search.isWanted, search.at) = (false, now)
        feed.search()
    }

    // MARK: Results

    /// The next objects of the list; whether somebody takes them.
    private mutating func show(_ turn: inout Turn) -> Bool {
        while turn.sum < turn.bytes, let (batch, next) = page {
            guard next < batch.entries.count else {
                page = nil
                endList()
                return true
            }
            guard look(at: batch, batch.entries[next], isListed: true, &turn) else {
                if standsSince == nil { standsSince = turn.now }
                return false
            }
            standsSince = nil
            page?.next += 1
        }
        return true
    }

    /// The next changes of the watch.
    private mutating func follow(_ turn: inout Turn) {
        while turn.sum < turn.bytes, let (batch, next) = piece {
            guard next < batch.entries.count else {
                piece = nil
                return
            }
            piece?.next += 1
            _ = look(at: batch, batch.entries[next], isListed: false, &turn)
        }
    }

    /// Whether the object is done with.
    private mutating func look(at batch: ObjectBatch, _ entry: ObjectEntry, isListed: Bool, _ turn: inout Turn) -> Bool
    {
        if !isListed { passed(entry, turn) }
        // Gone, or exported and out of the selection: who has it in hand goes on, and finds out when it writes.
        if entry.change == .deleted { return true }
        let key = entry.key
        guard key.low != .max else {
            note("the result \(batch.namespace(entry))/\(batch.name(entry)) has no uid of RFC 4122; it is not exported")
            return true
        }
        let seen = KubernetesStatusText.seen(batch, entry, targets: hands.targets)
        hands.saw(key, seen, entry.revision)
        let status = seen.status
        var sight = ResultFeed.Sight(
            key: key, isExported: status.state == .exported, settled: status.word.settled,
            isConsistent: status.isConsistent(targets: hands.mask), createdAt: entry.createdMilliseconds,
            isNew: entry.change != .modified)
        if let record = sought.listed[key] {
            sight.known = record.targets
            sight.revived.bits = record.revived.bits & status.word.dead.bits & ~hands.deliveredLately(key).bits
        }
        let verdict = isListed ? feed.list(sight, hasRoom: turn.room) : feed.watch(sight, hasRoom: turn.room)
        var isIncomplete = status.state != .exported && hands.isRevived(key, dead: status.word.dead)
        switch verdict {
        case .wait: return false
        case .skip: break
        case .complete: isIncomplete = true
        case .hand(let targets, let settled):
            hands.hand(key, batch, entry, seen, to: targets, now: turn.now)
            let page = FeedPage(
                of: batch, entry, to: targets, settled: settled, wall: turn.wall, shardCount: shardCount)
            turn.sum += page.bytes.count
            turn.events.append(.page(page))
        }
        if isIncomplete {
            hands.complete(key, batch, entry, seen, now: turn.now)
            turn.sum += 1_024
            turn.events.append(.settled(source: key.high))
        }
        return true
    }

    private mutating func note(_ text: String) {
        if notes.count < Self.mostNotes { notes.insert(text, at: 0) }
    }
}
