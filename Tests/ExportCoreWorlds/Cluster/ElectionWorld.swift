import ExportCore
import Model

/// What stands for election in an ``ElectionWorld``: the machine, or one with a bug.
protocol Contender {
    var ignoresVersions: Bool { get }
    var nextTick: Tick? { get }
    mutating func handle(_ event: LeaderElection.Event, now: Tick, rng: inout PRNG) -> [LeaderElection.Effect]
    func isLeading(now: Tick) -> Bool
}

extension LeaderElection: Contender {
    var ignoresVersions: Bool { false }
}

/// The lease as an API server keeps it: one writing after the other, each under the condition of a version.
struct FakeLeaseStore {
    private(set) var state = LeaseState(stored: nil, highestTerm: 0)
    private var writings = 0

    /// Nil: conflict.
    mutating func write(_ record: LeaseRecord, replacing: LeaseVersion?, regardless: Bool) -> LeaseVersion? {
        guard regardless || replacing == state.stored?.version else { return nil }
        writings += 1
        let version = LeaseVersion("\(writings)")
        state.stored = LeaseState.Stored(record: record, version: version)
        state.highestTerm = max(state.highestTerm, record.term)
        return version
    }

    mutating func delete() { state.stored = nil }
}

/// Several candidates, each with a clock of its own, a store that is slow, loses questions and answers or is out, pauses
/// longer than the lease, restarts, deletions. Global time is in nanoseconds.
struct ElectionWorld<Candidate: Contender> {
    typealias Maker = (_ identity: String, _ now: Tick) -> Candidate

    private struct Member {
        var machine: Candidate
        var name: Int
        var offset: UInt64
        var rate: Double
        var pausedUntil: UInt64 = 0
        var isGone = false
        var isStopping = false
        var wakes = 0

        func local(_ time: UInt64) -> Tick { Tick(nanoseconds: offset + UInt64(Double(time) * rate)) }
        func global(_ tick: Tick) -> UInt64 {
            UInt64(Double(tick.nanoseconds > offset ? tick.nanoseconds - offset : 0) / rate) + 1
        }
    }

    private enum Item {
        case deliver(member: Int, LeaderElection.Event)
        /// Only the one asked for last counts.
        case wake(member: Int, number: Int)
        case arrive(member: Int, LeaderElection.Effect, answers: Bool)
        case fault
    }

    private let make: Maker
    private var rng: PRNG
    private var machineRNG: PRNG
    private var members: [Member] = []
    private var queue = EventQueue<UInt64, Item>()
    private var now: UInt64 = 0
    private var outageUntil: UInt64 = 0
    private var isFaulty = true
    private var boots = 0
    private var highestLed: UInt64 = 0
    private(set) var store = FakeLeaseStore()
    private(set) var breaches: Set<String> = []
    private(set) var leads = 0
    /// How often the lease came down because it could not be renewed.
    private(set) var stepDowns = 0

    static var second: UInt64 { 1_000_000_000 }

    init(seed: UInt64, candidates: Int, make: @escaping Maker) {
        self.make = make
        rng = PRNG(seed: seed)
        machineRNG = PRNG(seed: ~seed)
        for name in 0..<candidates { boot(name) }
    }

    private mutating func boot(_ name: Int) {
        boots += 1
        // 0.85 to 1.2: two clocks differ by less than 15/10, but often by nearly as much.
        let rate = [0.85, 1.2, 0.85 + Double(rng.below(351)) / 1_000][Int(rng.below(3))]
        var member = Member(
            machine: make("coordinator-\(name)/\(boots)", Tick(nanoseconds: 0)), name: name,
            offset: rng.below(1_000 * Self.second), rate: rate)
        member.machine = make("coordinator-\(name)/\(boots)", member.local(now))
        members.append(member)
        schedule(.deliver(member: members.count - 1, .tick), after: rng.below(Self.second))
    }

    private mutating func schedule(_ item: Item, after delay: UInt64) {
        queue.push(item, at: now + delay)
    }

    /// Faults for `faulty` seconds, then none for `calm` seconds; says what broke.
    mutating func run(faulty: UInt64, calm: UInt64, bound: UInt64) {
        schedule(.fault, after: rng.below(3 * Self.second))
        advance(to: faulty * Self.second)
        isFaulty = false
        outageUntil = 0
        for index in members.indices {
            members[index].pausedUntil = min(members[index].pausedUntil, now)
            schedule(.deliver(member: index, .tick), after: 0)
        }
        while members.filter({ !$0.isGone && !$0.isStopping }).isEmpty { boot(0) }
        advance(to: (faulty + bound) * Self.second)
        let (term, downs) = (highestLed, stepDowns)
        if leaders() != 1 { breaches.insert("nobody leads after the faults") }
        advance(to: (faulty + bound + calm) * Self.second)
        if highestLed != term || stepDowns != downs { breaches.insert("the leader changed without a fault") }
    }

    private func leaders() -> Int {
        var count = 0
        for member in members where !member.isGone && member.machine.isLeading(now: member.local(now)) { count += 1 }
        return count
    }

    private mutating func advance(to end: UInt64) {
        while let next = queue.first, let item = queue.pop(notAfter: end) {
            now = max(now, next)
            step(item)
            if leaders() > 1 { breaches.insert("two lead at one moment") }
        }
        now = end
    }

    private mutating func step(_ item: Item) {
        switch item {
        case .deliver(let index, let event):
            guard !members[index].isGone else { return }
            guard members[index].pausedUntil <= now else {
                return schedule(item, after: members[index].pausedUntil - now)
            }
            handle(index, event)
        case .wake(let index, let number):
            if members[index].wakes == number { step(.deliver(member: index, .tick)) }
        case .arrive(let index, let effect, let answers): arrive(index, effect, answers)
        case .fault:
            guard isFaulty else { return }
            fault()
            schedule(.fault, after: rng.below(4 * Self.second))
        }
    }

    private mutating func handle(_ index: Int, _ event: LeaderElection.Event) {
        let effects = members[index].machine.handle(event, now: members[index].local(now), rng: &machineRNG)
        for effect in effects { carryOut(index, effect) }
        guard let tick = members[index].machine.nextTick else { return }
        let at = members[index].global(tick)
        members[index].wakes += 1
        // A tick that lies in the past must not stop the world.
        schedule(.wake(member: index, number: members[index].wakes), after: max(at > now ? at - now : 0, 1_000_000))
    }

    private mutating func carryOut(_ index: Int, _ effect: LeaderElection.Effect) {
        switch effect {
        case .read, .write:
            if isFaulty, rng.below(20) == 0 { return }
            schedule(.arrive(member: index, effect, answers: !isFaulty || rng.below(12) != 0), after: delay())
        case .lead(let term):
            leads += 1
            if term <= highestLed { breaches.insert("a term did not grow") }
            highestLed = max(highestLed, term)
        case .stepDown(_, .renewDeadline): stepDowns += 1
        case .stepDown, .follow: break
        case .finished: members[index].isGone = true
        }
    }

    private mutating func delay() -> UInt64 {
        isFaulty && rng.below(6) == 0 ? rng.below(6 * Self.second) : rng.below(Self.second / 20)
    }

    private mutating func arrive(_ index: Int, _ effect: LeaderElection.Effect, _ answers: Bool) {
        var answer: LeaderElection.Event
        switch effect {
        case .read(let id): answer = outageUntil > now ? .failed(id: id) : .read(id: id, store.state)
        case .write(let id, let record, let replacing):
            if outageUntil > now {
                answer = .failed(id: id)
            } else if let version = store.write(
                record, replacing: replacing, regardless: members[index].machine.ignoresVersions)
            {
                // The answer may get lost on its way, and whoever asks hear of an error instead.
                answer = answers ? .wrote(id: id, version) : .failed(id: id)
                hint()
            } else {
                answer = .conflict(id: id)
            }
        default: return
        }
        if !answers, rng.below(2) == 0 { return }
        if !answers, case .read(let id, _) = answer { answer = .failed(id: id) }
        schedule(.deliver(member: index, answer), after: delay())
    }

    /// Some see at once that the lease changed.
    private mutating func hint() {
        for index in members.indices where !members[index].isGone && rng.below(3) == 0 {
            schedule(.deliver(member: index, .changed), after: delay())
        }
    }

    private mutating func fault() {
        let index = Int(rng.below(UInt64(members.count)))
        switch rng.below(13) {
        case 0...4: members[index].pausedUntil = now + rng.below(30 * Self.second)
        case 5: outageUntil = now + rng.below(25 * Self.second)
        case 6: store.delete()
        case 7, 8: restart(index, killing: true)
        case 9: restart(index, killing: false)
        case 10:
            guard !members[index].isGone, !members[index].isStopping else { return }
            members[index].isStopping = true
            schedule(.deliver(member: index, .shutDown), after: 0)
            boot(members[index].name)
        // Decided by the process itself, so never while it stands still.
        case 11: if !members[index].isGone, members[index].pausedUntil <= now { handle(index, .resign) }
        default:
            // The store tells what it knows; a worker may say anything.
            let (known, more) = (store.state.highestTerm, now % 4)
            let event = more == 0 ? LeaderElection.Event.heard(term: known) : .told(term: known + more - 1)
            schedule(.deliver(member: index, event), after: delay())
        }
    }

    /// A restarted candidate; the old one is dead, or stands still somewhere and comes back.
    private mutating func restart(_ index: Int, killing: Bool) {
        guard !members[index].isGone, members.filter({ !$0.isGone }).count < 6 else { return }
        if killing {
            members[index].isGone = true
        } else {
            members[index].pausedUntil = now + rng.below(20 * Self.second)
        }
        boot(members[index].name)
    }
}
