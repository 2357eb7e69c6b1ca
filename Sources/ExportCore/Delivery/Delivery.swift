public import Model

/// Names a batch within one target's delivery.
public struct BatchID: Hashable, Sendable, Comparable {
    /// Counts up from zero.
    public var number: UInt64

    /// Batch `number`.
    public init(_ number: UInt64) { self.number = number }

    /// Orders by age.
    public static func < (a: BatchID, b: BatchID) -> Bool { a.number < b.number }
}

/// Decides what is sent to one target, when, and what became of it.
///
/// Promises:
/// 1. Every record of a submitted batch is settled exactly once: delivered, or a dead letter with its reason; or it is
///    withdrawn, because somebody asked for that, and then it is not settled.
/// 2. Nothing is settled as delivered on anything but the receiver's word for that very record.
/// 3. At most `permits` batches are in hand. A permit is kept through back-off and until the ledger has the batch, so
///    memory is bounded and, with one permit, at most one batch can arrive twice after a crash.
/// 4. The next request of a batch holds only what is not settled yet.
/// 5. Never more requests are in flight than the limit was when the last one left, and never two of one batch
///    (``ConcurrencyController``).
/// 6. While the breaker is open nothing is sent, while it is half-open one request at a time, whatever the number of
///    batches that wait (``Breaker``). The probe is a batch that failed least, so one that fails for reasons of its own
///    does not keep the target shut for the others.
/// 7. When the receiver asked for a pause, nothing is sent before it is over.
/// 8. A record is given up only after an attempt that failed, at or past the end of its batch's window.
/// 9. What did not leave is no attempt: it counts for no failure and begins no window.
/// 10. Between ``Event/pause`` and ``Event/resume`` nothing is sent; answers and commits go on.
/// 11. A withdrawn record is in no later request. One that is under way is withdrawn only if its answer does not settle
///     it: what the receiver accepted or refused for good is a fact. Unless it is abandoned: then nobody waits for that
///     fact, and it may come about twice.
///
/// Not promised: order between batches when there is more than one permit.
public struct Delivery: Sendable {
    /// What happens to it.
    public enum Event: Sendable {
        /// A batch of `items` records (at least 1) wants to leave; ask ``hasPermit`` first.
        case submit(BatchID, items: Int)
        /// The answer to a request, and what it took.
        case answered(BatchID, Verdict, nanoseconds: UInt64)
        /// The receiver of a request wishes for less, though its verdict is still to come.
        case slowDown(BatchID)
        /// What ``Effect/send(_:items:)`` asked for did not leave, for reasons of ours: nobody was asked, so nobody is
        /// blamed. It is due again after a pause.
        case notSent(BatchID)
        /// The ledger has the batch.
        case committed(BatchID)
        /// The ledger could not take the batch; it is asked again after a pause.
        case commitFailed(BatchID)
        /// These records of the batch, ascending, are to be carried no further; ``Effect/withdrawn(_:items:)`` says what
        /// became of that.
        case withdraw(BatchID, items: [Range<Int>])
        /// The same, and what is under way is not waited for any longer: its answer will settle nothing of these.
        case abandon(BatchID, items: [Range<Int>])
        /// Nothing more may leave.
        case pause
        /// Requests may leave again.
        case resume
        /// Time has passed.
        case tick
    }

    /// What is to be done, in this order.
    public enum Effect: Sendable, Equatable {
        /// Send these records of the batch as one request.
        case send(BatchID, items: [Range<Int>])
        /// Write down that the batch is settled, dead letters first, then answer with `committed`.
        case commit(BatchID, dead: [DeadItem])
        /// An attempt failed: for status, log and counters.
        case failed(BatchID, FailureClass, Reason)
        /// These records are not carried any further and will not be settled, ascending.
        case withdrawn(BatchID, items: [Range<Int>])
        /// All records of the batch were withdrawn: there is nothing to write down, and its permit is free.
        case ended(BatchID)
    }

    /// What can be seen of it from outside.
    public struct Status: Sendable, Equatable {
        /// Requests that may be in flight at once, as the receiver's answers allow.
        public var concurrencyLimit: Int
        /// Requests under way.
        public var inFlight = 0
        /// Whether the target is asked at all.
        public var breaker = Breaker.State.closed
        /// How often the breaker has opened.
        public var openings = 0
        /// Failed attempts since the last success.
        public var consecutiveFailures = 0

        /// Before anything happened.
        public init(concurrencyLimit: Int) { self.concurrencyLimit = concurrencyLimit }

        init(concurrencyLimit: Int, inFlight: Int, breaker: Breaker.State, openings: Int, consecutiveFailures: Int) {
            self.concurrencyLimit = concurrencyLimit
            self.inFlight = inFlight
            self.breaker = breaker
            self.openings = openings
            self.consecutiveFailures = consecutiveFailures
        }
    }

    /// A record that will not be sent again.
    public struct DeadItem: Sendable, Equatable {
        /// Index in the batch.
        public var item: Int
        /// Why.
        public var reason: Reason
        /// Requests that carried it.
        public var attempts: Int
        /// When its batch first left.
        public var firstAttempt: Tick
        /// When it was given up.
        public var lastAttempt: Tick
    }

    /// The classes of failure.
    public enum FailureClass: String, Sendable, Equatable {
        /// Will pass by itself.
        case retry
        /// Somebody has to mend the settings.
        case configuration
        /// The outcome is not known.
        case unknown
        /// Single records are refused for good.
        case poison
        /// The request has to be cut.
        case tooLarge
    }

    /// How long something of our own, the ledger, is left alone after it failed.
    private static let ownPauseMilliseconds: UInt64 = 1_000

    let policy: RetryPolicy
    private let permits: Int
    var batches: [BatchID: Batch] = [:]
    private var breaker: Breaker
    private var concurrency: ConcurrencyController
    /// Nothing is sent before this: the receiver asked for a pause, or refused some records for its settings.
    var holdUntil = Tick(nanoseconds: 0)
    var slowDowns = 0
    /// When the last wish for a pause began one.
    var pauseBegan: Tick?
    /// Requests under way.
    private var inFlight = 0
    private var isPaused = false

    /// - Parameters:
    ///   - permits: batches in hand, and the most requests at once; at least 1.
    ///   - minConcurrency: requests at once that no overload brings it below; at least 1, at most `permits`.
    public init(
        policy: RetryPolicy, permits: Int, minConcurrency: Int = 1, breaker settings: Breaker.Settings = .init()
    ) {
        self.policy = policy
        self.permits = permits
        concurrency = ConcurrencyController(floor: minConcurrency, ceiling: permits)
        breaker = Breaker(policy: policy, settings: settings)
    }

    /// Whether another batch may be submitted.
    public var hasPermit: Bool { batches.count < permits }
    /// Whether nothing is under way.
    public var isIdle: Bool { batches.isEmpty }
    /// Whether some request or commit is under way; if not, only time brings the next step.
    public var isActive: Bool { inFlight > 0 || batches.values.contains { $0.phase == .committing } }
    /// The records of a batch that are still to be sent; what is under way included.
    public func owed(_ id: BatchID) -> [Range<Int>] {
        var items: [Range<Int>] = []
        for parcel in batches[id]?.parcels ?? [] { items.appendMerging(parcel.items) }
        return items
    }
    /// How the target fares.
    public var status: Status {
        Status(
            concurrencyLimit: concurrency.limit, inFlight: inFlight, breaker: breaker.state, openings: breaker.openings,
            consecutiveFailures: breaker.consecutiveFailures)
    }

    /// When to send `tick` next; nil if nothing waits for time.
    public var nextTick: Tick? {
        var nextSend: Tick?
        var nextCommit: Tick?
        for batch in batches.values {
            switch batch.phase {
            case .waiting(let until): nextSend = min(nextSend ?? until, until)
            case .commitWaiting(let until): nextCommit = min(nextCommit ?? until, until)
            case .inFlight, .committing: continue
            }
        }
        // With no place free it is an answer that brings the next request, not time.
        guard !isPaused, let due = nextSend, inFlight < (breaker.isClosed ? concurrency.limit : 1) else {
            return nextCommit
        }
        let send = max(due, holdUntil, breaker.pauseEnd ?? due)
        return min(send, nextCommit ?? send)
    }

    /// Takes an event and returns what to do.
    public mutating func handle(_ event: Event, now: Tick, rng: inout PRNG) -> [Effect] {
        switch event {
        case .submit(let id, let items):
            precondition(hasPermit && items > 0 && batches[id] == nil)
            batches[id] = Batch(count: items, now: now)
            return sendDue(now)
        case .answered(let id, let verdict, let nanoseconds):
            guard var batch = batches[id], batch.phase == .inFlight else { return [] }
            inFlight -= 1
            let records = batch.parcels[0].items.itemCount
            concurrency.answered(
                verdict.sign(records: records), records: records, sentAt: batch.sentAt, nanoseconds: nanoseconds,
                now: now)
            var effects: [Effect] = []
            apply(verdict, to: &batch, id, now, &rng, &effects)
            batch.letGo()
            put(batch, id, &effects)
            return effects + sendDue(now)
        case .slowDown(let id):
            guard let batch = batches[id], batch.phase == .inFlight else { return [] }
            let records = batch.parcels[0].items.itemCount
            concurrency.answered(.overloaded, records: records, sentAt: batch.sentAt, nanoseconds: 0, now: now)
            hear(slowDown: true, sentAt: batch.sentAt, now, &rng)
            return []
        case .notSent(let id):
            guard var batch = batches[id], batch.phase == .inFlight else { return [] }
            inFlight -= 1
            batch.takeBack(until: now.adding(milliseconds: Self.ownPauseMilliseconds))
            batch.letGo()
            var effects: [Effect] = []
            put(batch, id, &effects)
            // Its place is free; if it was the probe, another one finds out.
            return effects + sendDue(now)
        case .committed(let id):
            guard batches[id]?.phase == .committing else { return [] }
            batches[id] = nil
            return sendDue(now)
        case .commitFailed(let id):
            guard batches[id]?.phase == .committing else { return [] }
            batches[id]?.phase = .commitWaiting(
                until: now.adding(milliseconds: Self.ownPauseMilliseconds))
            return []
        case .withdraw(let id, let items):
            guard var batch = batches[id], batch.withdraw(items) else { return [] }
            var effects: [Effect] = []
            put(batch, id, &effects)
            return effects + sendDue(now)
        case .abandon(let id, let items):
            guard var batch = batches[id], batch.withdraw(items) else { return [] }
            batch.abandonUnwanted(items)
            var effects: [Effect] = []
            put(batch, id, &effects)
            return effects + sendDue(now)
        case .pause:
            isPaused = true
            return []
        case .resume:
            isPaused = false
            return sendDue(now)
        case .tick:
            return sendDue(now)
        }
    }

    /// Says what was withdrawn of a batch. With nothing left to send it goes to the ledger, or nowhere if nothing of it
    /// was settled.
    private mutating func put(_ changed: Batch, _ id: BatchID, _ effects: inout [Effect]) {
        var batch = changed
        let dropped = batch.takeDropped()
        if !dropped.isEmpty { effects.append(.withdrawn(id, items: dropped)) }
        guard batch.parcels.isEmpty else {
            batches[id] = batch
            return
        }
        if batch.isWithdrawn {
            batches[id] = nil
            effects.append(.ended(id))
            return
        }
        batch.phase = .committing
        batch.dead.sort { $0.item < $1.item }
        batches[id] = batch
        effects.append(.commit(id, dead: batch.dead))
    }

    /// What is due: commits first, then requests as far as breaker and limit let them.
    private mutating func sendDue(_ now: Tick) -> [Effect] {
        var effects: [Effect] = []
        for id in batches.keys.sorted() {
            guard let batch = batches[id], case .commitWaiting(let until) = batch.phase, until <= now else { continue }
            batches[id]?.phase = .committing
            effects.append(.commit(id, dead: batch.dead))
        }
        while let id = nextToSend(now), var batch = batches[id], breaker.admits(inFlight: inFlight, now: now) {
            batch.phase = .inFlight
            batch.parcels[0].attempts += 1
            batch.sentAt = now
            if batch.firstAttempt == nil { batch.firstAttempt = now }
            batches[id] = batch
            inFlight += 1
            concurrency.sent(inFlight: inFlight)
            effects.append(.send(id, items: batch.parcels[0].items))
        }
        return effects
    }

    /// The oldest batch that may leave now; while the breaker is not closed, the oldest of those that failed least.
    private func nextToSend(_ now: Tick) -> BatchID? {
        guard !isPaused, holdUntil <= now, inFlight < concurrency.limit else { return nil }
        var best: (failures: Int, id: BatchID)?
        for (id, batch) in batches {
            guard case .waiting(let until) = batch.phase, until <= now else { continue }
            let rank = (failures: breaker.isClosed ? 0 : batch.failures, id: id)
            if best.map({ rank < $0 }) ?? true { best = rank }
        }
        return best?.id
    }

    /// An attempt of `batch` brought records to the target.
    mutating func succeed(_ batch: inout Batch, _ now: Tick) {
        batch.failures = 0
        batch.phase = .waiting(until: now)
        guard breaker.succeeded() else { return }
        // The others waited for a receiver that is back; how many may leave at once the limit says.
        for (id, other) in batches {
            if case .waiting(let until) = other.phase, until > now { batches[id]?.phase = .waiting(until: now) }
        }
    }

    /// An attempt failed for reasons of the target.
    mutating func blame(refusesSettings: Bool, _ retryAfter: UInt64?, _ now: Tick, _ rng: inout PRNG) {
        let hasOpened = breaker.failed(
            refusesSettings: refusesSettings, retryAfter: retryAfter, now: now, rng: &rng)
        if hasOpened { concurrency.restart(now: now) }
    }
}
