import ExportCore
import Model

/// A whole target in one value: `Delivery`, a clock that jumps, a receiver with moods, a ledger that sometimes refuses.
///
/// What is breached stands in ``breaches``: that records are settled once and truly is watched here, when requests leave
/// by `PaceOracle`. The same seed gives the same run.
struct DeliverySimulation {
    typealias Make = (_ policy: RetryPolicy, _ permits: Int, _ floor: Int) -> any DeliveryMachine

    /// Something that will happen.
    fileprivate enum Arrival {
        case answer(BatchID, Verdict, records: [Int], milliseconds: UInt64)
        case ledger(BatchID, dead: [Delivery.DeadItem])
        case notSent(BatchID, records: [Int])
    }

    private struct Batch {
        var records: [Int]
        var firstSent: Tick?
        /// Records that the machine was asked to withdraw, and those of which it said that it did.
        var asked: Set<Int> = []
        var withdrawn: Set<Int> = []
        /// Records whose answer is not waited for.
        var abandoned: Set<Int> = []
    }

    let concurrency: Int
    private(set) var pace: PaceOracle
    private var ownBreaches: [String] = []
    var breaches: [String] { ownBreaches + pace.breaches }
    private(set) var receiver: FakeReceiver
    /// How often the ledger wrote each record down, and how many of them as dead.
    private(set) var settled: [Int]
    private(set) var dead = 0
    private(set) var withdrawn: [Int]
    private(set) var pauses = 0
    private(set) var crashes = 0
    /// The records of the batches that were open when the process died.
    private(set) var openAtCrash: [[Int]] = []

    private let policy: RetryPolicy
    private let floor: Int
    private let make: Make
    private var delivery: any DeliveryMachine
    private var faultsEnded: Tick?
    private var rng: PRNG
    private var now = Tick(nanoseconds: 0)
    private var waiting: [Int]
    private var batches: [BatchID: Batch] = [:]
    private var arrivals: [(due: Tick, what: Arrival)] = []
    /// Records whose receipt the receiver confirmed, or that were buried, since the process began.
    private var answered: Set<Int> = []
    private var nextNumber: UInt64 = 0
    private var isPaused = false
    private var failedCommits: Set<BatchID> = []

    init(
        seed: UInt64, faults: FakeReceiver.Faults, concurrency: Int? = nil,
        make: @escaping Make = { Delivery(policy: $0, permits: $1, minConcurrency: $2) }
    ) {
        var rng = PRNG(seed: seed)
        let count = 1 + Int(rng.below(160))
        let permits = concurrency ?? 1 + Int(rng.below(8))
        receiver = FakeReceiver(records: count, faults: faults, rng: &rng)
        let isShort = faults == .all && rng.below(4) == 0
        policy = RetryPolicy(
            RetrySettings(
                initialMilliseconds: 1_000, maxMilliseconds: 30_000,
                windowMilliseconds: isShort ? 60_000 : 86_400_000))
        floor = 1 + Int(rng.below(4)) * (permits - 1) / 6
        self.make = make
        delivery = make(policy, permits, floor)
        pace = PaceOracle(permits: permits, floor: floor, settings: policy.settings)
        settled = Array(repeating: 0, count: count)
        withdrawn = Array(repeating: 0, count: count)
        self.concurrency = permits
        self.rng = rng
        waiting = Array(0..<count)
    }

    /// Runs until everything is settled. After `faultySteps` the receiver's faults end; with `crashAt` the process dies
    /// once, at that step.
    mutating func run(faultySteps: Int = 300, crashAt: Int? = nil) {
        var step = 0
        while !waiting.isEmpty || !batches.isEmpty {
            if step == faultySteps {
                receiver.faults = .none
                faultsEnded = now
                if isPaused { setPaused(false) }
            }
            step += 1
            if step == crashAt {
                crash()
                continue
            }
            guard step < 20_000 else {
                note("stuck with \(batches.count) batches and \(waiting.count) records waiting")
                return
            }
            if delivery.hasPermit != (batches.count < concurrency) { note("the permits do not match the batches") }
            if receiver.faults != .none, rng.below(20) == 0 { setPaused(!isPaused) }
            if receiver.faults != .none, rng.below(16) == 0 { withdraw() }
            if !waiting.isEmpty, delivery.hasPermit, rng.below(2) == 0 {
                submit()
            } else if !waiting.isEmpty || !batches.isEmpty {
                advance()
            }
        }
        for (record, count) in settled.enumerated() where count + withdrawn[record] != 1 {
            note("record \(record) settled \(count) times and withdrawn \(withdrawn[record]) times")
        }
        if !delivery.isIdle || delivery.nextTick != nil { note("not idle at the end") }
        // A Retry-After of 90 s, an answer that takes 60 s, a pause and a back-off of 30 s, and the work itself.
        if let faultsEnded, now.milliseconds(since: faultsEnded) > 300_000 {
            note("\(now.milliseconds(since: faultsEnded)) ms after the faults ended")
        }
    }

    private mutating func note(_ breach: String) { ownBreaches.append(breach) }

    private mutating func setPaused(_ pauses: Bool) {
        isPaused = pauses
        self.pauses += pauses ? 1 : 0
        perform(delivery.handle(pauses ? .pause : .resume, now: now, rng: &rng))
    }

    /// Somebody else shall have some records of a batch, or all of it.
    private mutating func withdraw() {
        guard let id = batches.keys.sorted().first(where: { _ in rng.below(2) == 0 }), let batch = batches[id] else {
            return
        }
        let isWhole = rng.below(3) == 0
        var items: [Range<Int>] = []
        for item in batch.records.indices where isWhole || rng.below(3) == 0 { items.append(item..<item + 1) }
        let records = Set(items.joined().map { batch.records[$0] })
        batches[id]?.asked.formUnion(records)
        let isSettled = failedCommits.contains(id) || arrivals.contains { $0.what.batch == id && $0.what.isCommit }
        let isAbandoned = rng.below(3) == 0
        if isAbandoned { batches[id]?.abandoned.formUnion(records) }
        perform(
            delivery.handle(
                isAbandoned ? .abandon(id, items: items) : .withdraw(id, items: items), now: now, rng: &rng))
        // What waits goes at once; what is under way waits for its answer, unless it is abandoned.
        guard let after = batches[id], !isSettled else { return }
        let underWay = isAbandoned ? [] : Set(arrivals.lazy.filter { $0.what.batch == id }.flatMap(\.what.records))
        for record in records.subtracting(after.withdrawn).subtracting(answered).subtracting(underWay) {
            note("record \(record) was not \(isAbandoned ? "abandoned" : "withdrawn") at once")
        }
    }

    private mutating func take(_ id: BatchID, withdrawn items: [Range<Int>]) {
        guard let batch = batches[id] else { return note("withdrawal from unknown batch \(id)") }
        let records = items.joined().map { batch.records[$0] }
        for record in records {
            if !batch.asked.contains(record) { note("record \(record) withdrawn unasked") }
            if answered.contains(record) { note("record \(record) withdrawn although it was answered for") }
            let isOpen = arrivals.contains { $0.what.batch == id && $0.what.records.contains(record) }
            if isOpen, !batch.abandoned.contains(record) {
                note("record \(record) withdrawn with its answer open")
            }
            withdrawn[record] += 1
        }
        batches[id]?.withdrawn.formUnion(records)
    }

    private mutating func end(_ id: BatchID) {
        guard let batch = batches.removeValue(forKey: id) else { return note("end of unknown batch \(id)") }
        if batch.withdrawn.count != batch.records.count { note("\(id) ended with records that were not withdrawn") }
    }

    private mutating func submit() {
        let count = min(waiting.count, 1 + Int(rng.below(24)))
        let id = BatchID(nextNumber)
        nextNumber += 1
        batches[id] = Batch(records: Array(waiting.prefix(count)))
        waiting.removeFirst(count)
        if batches.count > concurrency { note("\(batches.count) batches with \(concurrency) permits") }
        perform(delivery.handle(.submit(id, items: count), now: now, rng: &rng))
    }

    /// Lets the next thing happen: an answer, the ledger's word, or time.
    private mutating func advance() {
        let next = arrivals.indices.min { arrivals[$0].due < arrivals[$1].due }
        if let tick = delivery.nextTick, next.map({ tick < arrivals[$0].due }) ?? true {
            now = max(now, tick)
            perform(delivery.handle(.tick, now: now, rng: &rng))
            return
        }
        guard let next else {
            if isPaused { return setPaused(false) }
            if waiting.isEmpty || !delivery.hasPermit {
                note("nothing will ever happen again\(pauses > 0 ? " after a pause" : "")")
            }
            return
        }
        let (due, what) = arrivals.remove(at: next)
        now = max(now, due)
        switch what {
        case .answer(let id, let verdict, let records, let milliseconds):
            remember(verdict, records)
            let event = Delivery.Event.answered(id, verdict, nanoseconds: milliseconds * 1_000_000)
            let effects = delivery.handle(event, now: now, rng: &rng)
            pace.answers(id, verdict, records: records.count, now: now, after: delivery.status)
            perform(effects)
        case .ledger(let id, let dead):
            guard receiver.faults == .none || rng.below(6) > 0 else {
                failedCommits.insert(id)
                perform(delivery.handle(.commitFailed(id), now: now, rng: &rng))
                return
            }
            write(id, dead)
            perform(delivery.handle(.committed(id), now: now, rng: &rng))
        case .notSent(let id, _): takeBack(id)
        }
    }

    /// The ledger could not write down that a batch leaves, so it did not: the target has nothing to do with that.
    private mutating func takeBack(_ id: BatchID) {
        let before = delivery.status
        let effects = delivery.handle(.notSent(id), now: now, rng: &rng)
        let after = delivery.status
        if (before.consecutiveFailures, before.openings, before.concurrencyLimit)
            != (after.consecutiveFailures, after.openings, after.concurrencyLimit)
        {
            note("the target was blamed for a request that never left")
        }
        if effects.contains(where: { if case .failed = $0 { true } else { false } }) {
            note("a failed attempt of \(id) although nothing was sent")
        }
        pace.takesBack(id)
        perform(effects)
    }

    private mutating func perform(_ effects: [Delivery.Effect]) {
        for effect in effects {
            switch effect {
            case .send(let id, let items): send(id, items)
            case .commit(let id, let dead):
                if arrivals.contains(where: { $0.what.batch == id }) { note("commit of \(id) with an answer open") }
                arrivals.append((now.adding(milliseconds: rng.below(50)), .ledger(id, dead: dead)))
            case .withdrawn(let id, let items): take(id, withdrawn: items)
            case .ended(let id): end(id)
            case .failed(let id, _, _): if batches[id] == nil { note("failure of unknown batch \(id)") }
            }
        }
    }

    private mutating func send(_ id: BatchID, _ items: [Range<Int>]) {
        guard let batch = batches[id], let last = items.last, last.upperBound <= batch.records.count else {
            note("send of \(id) with \(items)")
            return
        }
        if arrivals.contains(where: { $0.what.batch == id }) { note("two requests of \(id) at once") }
        if isPaused { note("\(id) sent while paused") }
        for record in items.joined().map({ batch.records[$0] }) where batch.asked.contains(record) {
            note("record \(record) sent although it was withdrawn")
        }
        pace.sends(id, now: now, status: delivery.status)
        let records = items.flatMap { $0.map { batch.records[$0] } }
        if receiver.faults != .none, rng.below(12) == 0 {
            arrivals.append((now.adding(milliseconds: rng.below(50)), .notSent(id, records: records)))
            return
        }
        if batch.firstSent == nil { batches[id]?.firstSent = now }
        if records.isEmpty { note("empty request of \(id)") }
        if zip(records, records.dropFirst()).contains(where: { $0 >= $1 }) { note("order or repetition in \(items)") }
        for record in records where answered.contains(record) { note("record \(record) sent although it was answered") }
        let verdict = receiver.take(records, rng: &rng)
        let isSlow = rng.below(5) == 0 && receiver.faults != .none
        let delay = isSlow ? rng.below(60_000) : rng.below(200)
        arrivals.append(
            (now.adding(milliseconds: delay), .answer(id, verdict, records: records, milliseconds: delay)))
    }

    /// What the receiver's word says of single records, read without `Delivery`.
    private mutating func remember(_ verdict: Verdict, _ records: [Int]) {
        switch verdict {
        case .delivered: answered.formUnion(records)
        case .items(let verdicts, _) where verdicts.count == records.count:
            for (record, verdict) in zip(records, verdicts) {
                switch verdict {
                case .delivered, .poison: answered.insert(record)
                case .retry, .configuration: continue
                }
            }
        case .poison where records.count == 1, .tooLarge where records.count == 1: answered.formUnion(records)
        case .poisonAt(let place, _) where place < records.count: answered.formUnion(records.prefix(place + 1))
        default: return
        }
    }

    /// The ledger's side: what is written down is checked against the receiver's own store.
    private mutating func write(_ id: BatchID, _ dead: [Delivery.DeadItem]) {
        guard let batch = batches.removeValue(forKey: id) else { return note("commit of unknown batch \(id)") }
        let buried = Set(dead.map(\.item))
        if buried.count != dead.count { note("a record of \(id) buried twice") }
        self.dead += dead.count
        for item in dead {
            if batch.withdrawn.contains(batch.records[item.item]) { note("a withdrawn record of \(id) buried") }
            let started = batch.firstSent ?? now
            let isExpired = policy.isExpired(firstAttempt: started, now: item.lastAttempt)
            if receiver.natures[batch.records[item.item]] == .good, !isExpired {
                note("good record \(batch.records[item.item]) buried: \(item.reason)")
            }
            if item.attempts < 1 && !isExpired { note("record buried without an attempt") }
        }
        if batch.withdrawn.count == batch.records.count { note("commit of \(id), of which all was withdrawn") }
        for (index, record) in batch.records.enumerated() where !batch.withdrawn.contains(record) {
            settled[record] += 1
            if !buried.contains(index), receiver.stored[record] == 0 {
                note("record \(record) settled as delivered, but never stored")
            }
        }
    }

    /// The process dies: what is not in the ledger is submitted anew, in other batches.
    private mutating func crash() {
        crashes += 1
        // Some commits reached the disk, though nobody was told.
        for case .ledger(let id, let dead) in arrivals.map(\.what) where rng.below(2) == 0 { write(id, dead) }
        openAtCrash += batches.values.map(\.records)
        waiting = settled.indices.filter { settled[$0] == 0 && withdrawn[$0] == 0 }
        isPaused = false
        failedCommits = []
        batches = [:]
        arrivals = []
        answered = []
        delivery = make(policy, concurrency, floor)
        pace = pace.restarted()
    }
}

extension DeliverySimulation.Arrival {
    fileprivate var batch: BatchID {
        switch self {
        case .answer(let id, _, _, _), .ledger(let id, _), .notSent(let id, _): id
        }
    }

    /// Those of a request under way.
    fileprivate var records: [Int] {
        switch self {
        case .answer(_, _, let records, _), .notSent(_, let records): records
        case .ledger: []
        }
    }

    fileprivate var isCommit: Bool {
        if case .ledger = self { true } else { false }
    }
}
