import ExportCore
import Model
import Protocol

/// An API server, workers and a shell, all of them faked, around a real ``ResultFeed``.
struct ResultFeedWorld {
    private struct Object {
        var settled: UInt32 = 0
        var isExported = false
    }

    private struct Event {
        var number: UInt64
        var object: Object
    }

    private let targetCount: Int
    private let all: UInt32
    private let capacity: [Int]
    private var rng: PRNG
    private var feed: ResultFeed
    private var objects: [UInt64: Object] = [:]
    private var made: UInt64 = 0
    /// Everything that changed, and how much of it was compacted away.
    private var events: [Event] = []
    private var compacted = 0
    /// Where the watch stands; nil if there is none.
    private var watchAt: Int?
    /// What the list that is under way still has to show, and where a watch may begin after it.
    private var listing: [Event]?
    private var listedAt = 0
    /// For each target, what it has in hand.
    private var hands: [Set<UInt64>]
    private var handed: [Set<UInt64>]
    /// Patches that were carried out, and that the feed has not heard of.
    private var unheard: [(number: UInt64, targets: UInt32)] = []
    private var trouble: String?

    init(seed: UInt64) {
        var rng = PRNG(seed: seed)
        targetCount = 1 + Int(rng.below(3))
        all = (1 << UInt32(targetCount)) - 1
        capacity = (0..<targetCount).map { _ in 1 + Int(rng.below(8)) }
        hands = Array(repeating: [], count: targetCount)
        handed = hands
        feed = ResultFeed(targetCount: targetCount)
        self.rng = rng
    }

    /// What went wrong; nil if nothing did.
    mutating func run() -> String? {
        for _ in 0..<400 where trouble == nil { disturb() }
        var rounds = 0
        while trouble == nil, objects.values.contains(where: { !$0.isExported }) {
            rounds += 1
            if rounds > 20_000 { return "not everything is exported in the end" }
            work(faults: false)
            check()
        }
        return trouble
    }

    private mutating func disturb() {
        switch rng.below(12) {
        case 0, 1: create()
        case 2 where watchAt != nil: compacted = events.count
        case 4 where rng.below(4) == 0: objects[1 + rng.below(max(1, made))] = nil
        case 5 where rng.below(12) == 0: restart()
        case 3 where listing != nil && rng.below(8) == 0:
            listing = nil
            feed.listLost()
        default: work(faults: true)
        }
        check()
    }

    /// Another leader begins; the one before still has a patch under way.
    private mutating func restart() {
        for target in 0..<targetCount where rng.below(2) == 0 {
            if let number = hands[target].min() { patch(number, settling: 1 << UInt32(target)) }
        }
        feed = ResultFeed(targetCount: targetCount)
        hands = Array(repeating: [], count: targetCount)
        handed = hands
        (unheard, listing, watchAt) = ([], nil, nil)
    }

    private mutating func create() {
        made += 1
        // Somebody removed a target from the configuration, or a leader died between: some of it may be settled already.
        change(made, Object(settled: rng.below(8) == 0 ? UInt32(rng.below(UInt64(all))) : 0))
    }

    private mutating func change(_ number: UInt64, _ object: Object) {
        objects[number] = object
        events.append(Event(number: number, object: object))
    }

    private var room: TargetMask {
        var mask = TargetMask(bits: 0)
        for target in 0..<targetCount where hands[target].count < capacity[target] { mask.bits |= 1 << UInt32(target) }
        return mask
    }

    private mutating func work(faults: Bool) {
        switch rng.below(5) {
        case 0: look()
        case 1: follow()
        case 2: settle(faults: faults)
        case 3:
            guard !unheard.isEmpty, !faults || rng.below(3) > 0 else { return }
            let next = unheard.removeFirst()
            feed.settled(key(next.number), at: TargetMask(bits: next.targets))
        default: look()
        }
    }

    /// What the shell does in a turn.
    private mutating func look() {
        if rng.below(200) == 0 { feed.search() }
        switch feed.next(hasRoom: room, mayTurn: rng.below(4) == 0) {
        case .begin:
            listing = objects.sorted { $0.key < $1.key }.map { Event(number: $0.key, object: $0.value) }
            listedAt = events.count
        case .goOn:
            guard let event = listing?.first else { return finishList() }
            if take(feed.list(sight(event), hasRoom: room), event.number) { listing?.removeFirst() }
        case .follow: break
        case .rest: if rng.below(4) == 0, watchAt != nil { loseWatch() }
        }
    }

    private mutating func finishList() {
        guard listing != nil else { return }
        listing = nil
        feed.listed()
        if watchAt == nil { watchAt = listedAt }
    }

    private mutating func loseWatch() {
        watchAt = nil
        feed.watchLost()
    }

    private mutating func follow() {
        guard let place = watchAt else { return }
        if place < compacted { return loseWatch() }
        guard place < events.count else { return }
        watchAt = place + 1
        _ = take(feed.watch(sight(events[place]), hasRoom: room), events[place].number)
    }

    /// Whether the sight is done with.
    private mutating func take(_ verdict: ResultFeed.Verdict, _ number: UInt64) -> Bool {
        switch verdict {
        case .skip: return true
        case .wait: return false
        case .complete: if objects[number]?.isExported == false { patch(number, settling: 0) }
        case .hand(let mask, let settled):
            for target in 0..<targetCount where mask.contains(target) {
                if settled.contains(target) { trouble = "\(number) is settled at \(target) and handed to it" }
                if hands[target].count >= capacity[target] { trouble = "\(target) is given more than it takes" }
                if !handed[target].insert(number).inserted { trouble = "\(number) is handed to \(target) twice" }
                hands[target].insert(number)
            }
        }
        return true
    }

    private mutating func settle(faults: Bool) {
        let target = Int(rng.below(UInt64(targetCount)))
        // One of them takes nothing while there are faults.
        if faults, target == 0, rng.below(4) > 0 { return }
        guard let number = hands[target].min() else { return }
        hands[target].remove(number)
        patch(number, settling: 1 << UInt32(target))
        unheard.append((number, 1 << UInt32(target)))
    }

    private mutating func patch(_ number: UInt64, settling targets: UInt32) {
        guard var object = objects[number] else { return }
        object.settled |= targets
        object.isExported = object.settled == all
        change(number, object)
    }

    /// What a target in step was not handed is in what the watch has not shown yet.
    private mutating func check() {
        let bound = capacity.reduce(0, +) + unheard.count
        if feed.inHandCount > bound { trouble = "\(feed.inHandCount) in hand" }
        guard watchAt == events.count else { return }
        for target in 0..<targetCount where feed.isInStep(target) {
            for (number, object) in objects where object.settled & (1 << UInt32(target)) == 0 {
                if !handed[target].contains(number) {
                    trouble = "\(number) was never handed to \(target), which is in step"
                }
            }
        }
    }

    private func key(_ number: UInt64) -> RecordKey { RecordKey(high: number, low: 7) }

    private func sight(_ event: Event) -> ResultFeed.Sight {
        ResultFeed.Sight(
            key: key(event.number), isExported: event.object.isExported,
            settled: TargetMask(bits: event.object.settled),
            isConsistent: event.object.isExported == (event.object.settled == all), createdAt: Int64(event.number))
    }
}
