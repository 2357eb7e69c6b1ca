import ExportCore
import Model

/// A sender with a few permits, its tracker, a clock that jumps, indexers behind a balancer, and sudden deaths.
///
/// The oracle notes every breach in ``breaches``; the same seed gives the same run.
struct AckSimulation {
    private struct Waiting {
        var batch: Int
        var channel: AckChannel
        var id: Int64
        var since: Tick
    }

    private enum Arrival {
        case poll(AckChannel, FakeIndexers.PollAnswer, opened: Bool, batches: [Int64: Int])
    }

    private(set) var breaches: [String] = []
    private(set) var confirmed: Set<Int> = []
    private(set) var resent = 0
    private(set) var restarts = 0
    private(set) var recalled = 0
    private var indexers: FakeIndexers
    private var tracker: AckTracker
    private let settings: AckTracker.Settings
    private var rng: PRNG
    private var now = Tick(nanoseconds: 0)
    private let permits: Int
    private let count: Int
    private var queue: [Int]
    private var waiting: [AckTracker.Ticket: Waiting] = [:]
    private var arrivals: [(due: Tick, what: Arrival)] = []
    private var nextTicket: UInt64 = 0
    /// GUIDs of the tracker's channels.
    private var guids: [AckChannel: Int] = [:]
    private var nextGUID = 0
    /// Which batch each `true` was said of, by GUID and number.
    private var truths: [FakeIndexers.Place: Set<Int>] = [:]

    init(seed: UInt64) {
        var rng = PRNG(seed: seed)
        settings = AckTracker.Settings(waitMilliseconds: rng.below(3) == 0 ? 40_000 : 300_000)
        tracker = AckTracker(settings)
        let kinds = FakeIndexers.Balancing.allCases
        indexers = FakeIndexers(balancing: kinds[Int(rng.below(UInt64(kinds.count)))], rng: &rng)
        permits = 1 + Int(rng.below(16))
        count = 10 + Int(rng.below(60))
        queue = Array(0..<count)
        self.rng = rng
    }

    /// Runs until every batch is confirmed; after `faultySteps` the faults end.
    mutating func run(faultySteps: Int = 400) {
        var step = 0
        while confirmed.count < count {
            step += 1
            if step == faultySteps { indexers.isFaulty = false }
            guard step < 50_000 else { return note("stuck with \(count - confirmed.count) batches") }
            indexers.stir(now: now, rng: &rng)
            if indexers.isFaulty, rng.below(90) == 0 { restart() }
            if !queue.isEmpty, waiting.count < permits, rng.below(2) == 0 { send() } else { advance() }
            if tracker.outstanding != waiting.count {
                note("\(tracker.outstanding) outstanding, \(waiting.count) wait")
            }
        }
    }

    private mutating func note(_ breach: String) { breaches.append("\(breach) at \(now.nanoseconds / 1_000_000) ms") }

    private mutating func ticket(_ batch: Int, _ channel: AckChannel, _ id: Int64) -> AckTracker.Ticket {
        let ticket = AckTracker.Ticket(nextTicket)
        nextTicket += 1
        waiting[ticket] = Waiting(batch: batch, channel: channel, id: id, since: now)
        return ticket
    }

    private mutating func guid(_ channel: AckChannel) -> Int {
        if let known = guids[channel] { return known }
        nextGUID += 1
        guids[channel] = nextGUID
        return nextGUID
    }

    private mutating func send() {
        let batch = queue.removeFirst()
        let (channel, isFresh) = tracker.channelForSend()
        let (answer, opened) = indexers.send(
            batch, on: guid(channel), needsConnection: !isFresh, now: now, rng: &rng)
        if opened { perform(tracker.handle(.connectionChanged(current: channel), now: now)) }
        switch answer {
        case .accepted(let id):
            perform(tracker.handle(.accepted(ticket(batch, channel, id), id: id, on: channel), now: now))
            return
        case .refused: break
        case .noConnection: perform(tracker.handle(.connectionChanged(current: nil), now: now))
        case .lost:
            perform(tracker.handle(.sendLost(on: channel), now: now))
            perform(tracker.handle(.connectionChanged(current: nil), now: now))
        }
        queue.append(batch)
    }

    private mutating func advance() {
        let next = arrivals.indices.min { arrivals[$0].due < arrivals[$1].due }
        if let tick = tracker.nextTick, next.map({ tick < arrivals[$0].due }) ?? true {
            if tick > now.adding(milliseconds: settings.maxPollMilliseconds) { note("a poll later than ever") }
            now = max(now, tick)
            perform(tracker.handle(.tick, now: now))
            return
        }
        guard let next else {
            if queue.isEmpty { note("nothing will ever happen again") }
            return
        }
        let (due, what) = arrivals.remove(at: next)
        now = max(now, due)
        switch what {
        case .poll(let channel, let answer, let opened, let batches):
            // Requests go one after another: whatever changed the connection is known before the next one leaves.
            if opened { perform(tracker.handle(.connectionChanged(current: nil), now: now)) }
            switch answer {
            case .ids(let ids):
                for (id, batch) in batches {
                    truths[.init(indexer: Int(id), channel: guid(channel)), default: []].insert(batch)
                }
                perform(tracker.handle(.polled(channel, confirmed: ids), now: now))
            case .refused: perform(tracker.handle(.pollRefused(channel), now: now))
            case .unreadable: perform(tracker.handle(.pollLost(channel), now: now))
            case .lost:
                perform(tracker.handle(.connectionChanged(current: nil), now: now))
                perform(tracker.handle(.pollLost(channel), now: now))
            }
        }
    }

    private mutating func perform(_ effects: [AckTracker.Effect]) {
        for effect in effects {
            switch effect {
            case .poll(let channel, let ids):
                if ids.isEmpty || ids.count > settings.maxPerChannel { note("a poll for \(ids.count) numbers") }
                let busy = arrivals.contains { if case .poll(channel, _, _, _) = $0.what { true } else { false } }
                if busy { note("two polls of one channel") }
                let (answer, opened, batches) = indexers.poll(ids, on: guid(channel), now: now, rng: &rng)
                let delay = rng.below(4) == 0 ? rng.below(20_000) : rng.below(100)
                arrivals.append(
                    (now.adding(milliseconds: delay), .poll(channel, answer, opened: opened, batches: batches)))
            case .confirmed(let ticket): confirm(ticket)
            case .unconfirmed(let ticket, _):
                guard let lost = waiting.removeValue(forKey: ticket) else { return note("unknown \(ticket) given up") }
                check(lost)
                queue.append(lost.batch)
                resent += 1
            }
        }
    }

    private mutating func confirm(_ ticket: AckTracker.Ticket) {
        guard let done = waiting.removeValue(forKey: ticket) else { return note("unknown \(ticket) confirmed") }
        check(done)
        let said = truths[.init(indexer: Int(done.id), channel: guid(done.channel))] ?? []
        if said.isEmpty { note("batch \(done.batch) confirmed without a word") }
        if !said.contains(done.batch) { note("batch \(done.batch) confirmed by the word for \(said)") }
        if !confirmed.insert(done.batch).inserted { note("batch \(done.batch) confirmed twice") }
    }

    /// Nothing waits longer than the wait and one poll, with its answer.
    private mutating func check(_ one: Waiting) {
        let waited = now.milliseconds(since: one.since)
        if waited > settings.waitMilliseconds + settings.maxPollMilliseconds + 20_000 { note("waited \(waited) ms") }
    }

    /// The process dies; its receipts are in the ledger, its polls' answers are not.
    private mutating func restart() {
        restarts += 1
        let left = waiting.values.sorted { ($0.channel, $0.id) < ($1.channel, $1.id) }
        let names = guids
        waiting = [:]
        arrivals = []
        guids = [:]
        tracker = AckTracker(settings)
        var channels: [Int: AckChannel] = [:]
        for one in left {
            guard let guid = names[one.channel] else { continue }
            let channel = channels[guid] ?? tracker.recall()
            channels[guid] = channel
            guids[channel] = guid
            recalled += 1
            perform(
                tracker.handle(.recalled(ticket(one.batch, channel, one.id), id: one.id, on: channel), now: now))
        }
    }
}
