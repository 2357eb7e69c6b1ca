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
/// 1. Every record of a submitted batch is settled exactly once: delivered, or a dead letter with its reason.
/// 2. Nothing is settled as delivered on anything but the receiver's word for that very record.
/// 3. At most `maxConcurrency` batches hold a permit. A permit is kept through back-off and until the ledger has
///    the batch, so memory is bounded and, with one permit, at most one batch can arrive twice after a crash.
/// 4. The next request of a batch holds only what is not settled yet.
///
/// Not promised: order between batches when there is more than one permit.
public struct Delivery: Sendable {
    /// What happens to it.
    public enum Event: Sendable {
        /// A batch of `items` records (at least 1) wants to leave; ask ``hasPermit`` first.
        case submit(BatchID, items: Int)
        /// The answer to a request.
        case answered(BatchID, Verdict)
        /// The ledger has the batch.
        case committed(BatchID)
        /// The ledger could not take the batch; it is asked again after a pause.
        case commitFailed(BatchID)
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

    /// Records that belong in one request.
    fileprivate struct Parcel {
        var items: [Range<Int>]
        /// Requests that carried them.
        var attempts = 0
    }

    fileprivate struct Batch {
        enum Phase: Equatable { case waiting(until: Tick), inFlight, committing, commitWaiting(until: Tick) }
        /// Requests still to be made, the next one first.
        var parcels: [Parcel]
        var phase: Phase
        var dead: [DeadItem] = []
        /// Failed attempts since the last progress.
        var failures = 0
        var firstAttempt: Tick?
    }

    private let policy: RetryPolicy
    private let maxConcurrency: Int
    private var batches: [BatchID: Batch] = [:]
    /// Nothing is sent before this: the receiver asked for a pause, or its settings are wrong.
    private var holdUntil = Tick(nanoseconds: 0)
    private var slowDowns = 0
    /// Failed attempts since the last success.
    public private(set) var consecutiveFailures = 0

    /// - Parameter maxConcurrency: permits, at least 1.
    public init(policy: RetryPolicy, maxConcurrency: Int) {
        precondition(maxConcurrency >= 1)
        self.policy = policy
        self.maxConcurrency = maxConcurrency
    }

    /// Whether another batch may be submitted.
    public var hasPermit: Bool { batches.count < maxConcurrency }
    /// Whether nothing is under way.
    public var isIdle: Bool { batches.isEmpty }
    /// Whether some request or commit is under way; if not, only time brings the next step.
    public var isActive: Bool {
        batches.values.contains { $0.phase == .inFlight || $0.phase == .committing }
    }

    /// When to send `tick` next; nil if nothing waits for time.
    public var nextTick: Tick? {
        var next: Tick?
        for batch in batches.values {
            let due: Tick
            switch batch.phase {
            case .waiting(let until): due = max(until, holdUntil)
            case .commitWaiting(let until): due = until
            default: continue
            }
            if next.map({ due < $0 }) ?? true { next = due }
        }
        return next
    }

    /// Takes an event and returns what to do.
    public mutating func handle(_ event: Event, now: Tick, rng: inout PRNG) -> [Effect] {
        switch event {
        case .submit(let id, let items):
            precondition(hasPermit && items > 0 && batches[id] == nil)
            batches[id] = Batch(parcels: [Parcel(items: [0..<items])], phase: .waiting(until: now))
            return sendDue(now)
        case .answered(let id, let verdict):
            guard var batch = batches[id], batch.phase == .inFlight else { return [] }
            var effects: [Effect] = []
            apply(verdict, to: &batch, id, now, &rng, &effects)
            finish(&batch, id, &effects)
            batches[id] = batch
            return effects + sendDue(now)
        case .committed(let id):
            guard batches[id]?.phase == .committing else { return [] }
            batches[id] = nil
            return sendDue(now)
        case .commitFailed(let id):
            guard batches[id]?.phase == .committing else { return [] }
            batches[id]?.phase = .commitWaiting(until: now.adding(milliseconds: 1_000))
            return []
        case .tick:
            return sendDue(now)
        }
    }

    private mutating func sendDue(_ now: Tick) -> [Effect] {
        var effects: [Effect] = []
        for id in batches.keys.sorted() {
            guard var batch = batches[id] else { continue }
            switch batch.phase {
            case .waiting(let until) where until <= now && holdUntil <= now:
                guard let items = batch.parcels.first?.items else { continue }
                batch.phase = .inFlight
                batch.parcels[0].attempts += 1
                if batch.firstAttempt == nil { batch.firstAttempt = now }
                effects.append(.send(id, items: items))
            case .commitWaiting(let until) where until <= now:
                batch.phase = .committing
                effects.append(.commit(id, dead: batch.dead))
            default: continue
            }
            batches[id] = batch
        }
        return effects
    }

    /// With nothing left to send, the batch goes to the ledger.
    private func finish(_ batch: inout Batch, _ id: BatchID, _ effects: inout [Effect]) {
        guard batch.parcels.isEmpty else { return }
        batch.phase = .committing
        batch.dead.sort { $0.item < $1.item }
        effects.append(.commit(id, dead: batch.dead))
    }

    private mutating func apply(
        _ verdict: Verdict, to batch: inout Batch, _ id: BatchID, _ now: Tick, _ rng: inout PRNG,
        _ effects: inout [Effect]
    ) {
        let parcel = batch.parcels.removeFirst()
        switch verdict {
        case .delivered(let slowDown):
            progress(&batch, now)
            if slowDown { pause(now, &rng) } else { slowDowns = 0 }
        case .items(let verdicts, let retryAfter):
            applyItems(verdicts, retryAfter, parcel, &batch, id, now, &rng, &effects)
        case .poisonAt(let delivered, let reason) where !(0..<parcel.items.itemCount).contains(delivered):
            // The answer speaks of a record that was not sent, so nothing it says can be trusted.
            effects.append(.failed(id, .unknown, reason))
            fail(parcel, reason, nil, false, &batch, now, &rng)
        case .poisonAt(let delivered, let reason):
            effects.append(.failed(id, .poison, reason))
            progress(&batch, now)
            bury(parcel.part(delivered..<delivered + 1), reason, &batch, now)
            batch.prepend(parcel.part(delivered + 1..<parcel.items.itemCount))
        case .poison(let reason), .tooLarge(let reason):
            if case .poison = verdict {
                effects.append(.failed(id, .poison, reason))
            } else {
                effects.append(.failed(id, .tooLarge, reason))
            }
            split(parcel, reason, &batch, now)
        case .retry(let reason, let retryAfter):
            effects.append(.failed(id, .retry, reason))
            fail(parcel, reason, retryAfter, false, &batch, now, &rng)
        case .configuration(let reason):
            effects.append(.failed(id, .configuration, reason))
            fail(parcel, reason, nil, true, &batch, now, &rng)
        case .unknown(let reason):
            effects.append(.failed(id, .unknown, reason))
            fail(parcel, reason, nil, false, &batch, now, &rng)
        }
    }

    private mutating func applyItems(
        _ verdicts: [ItemVerdict], _ retryAfter: UInt64?, _ parcel: Parcel, _ batch: inout Batch, _ id: BatchID,
        _ now: Tick, _ rng: inout PRNG, _ effects: inout [Effect]
    ) {
        let count = parcel.items.itemCount
        guard verdicts.count == count else {
            let reason = Reason(
                code: "item-count",
                message: "the answer speaks of \(verdicts.count) records, the request held \(count)")
            effects.append(.failed(id, .unknown, reason))
            fail(parcel, reason, retryAfter, false, &batch, now, &rng)
            return
        }
        var again = Parcel(items: [], attempts: parcel.attempts)
        var retryReason: Reason?
        var held = false
        var poison: Reason?
        for (offset, verdict) in verdicts.enumerated() {
            let item = parcel.part(offset..<offset + 1)
            switch verdict {
            case .delivered: continue
            case .poison(let reason):
                bury(item, reason, &batch, now)
                poison = poison ?? reason
            case .retry(let reason):
                again.items.appendMerging(item.items)
                retryReason = retryReason ?? reason
            case .configuration(let reason):
                again.items.appendMerging(item.items)
                retryReason = held ? retryReason : reason
                held = true
            }
        }
        if let poison { effects.append(.failed(id, .poison, poison)) }
        if again.items.itemCount < count { progress(&batch, now) }
        guard let reason = retryReason else { return }
        effects.append(.failed(id, held ? .configuration : .retry, reason))
        fail(again, reason, retryAfter, held, &batch, now, &rng)
    }

    private mutating func progress(_ batch: inout Batch, _ now: Tick) {
        batch.failures = 0
        batch.phase = .waiting(until: now)
        consecutiveFailures = 0
    }

    /// The receiver took all and wishes for less: a pause that doubles while the wish is repeated.
    private mutating func pause(_ now: Tick, _ rng: inout PRNG) {
        slowDowns += 1
        let delay = policy.delay(failures: slowDowns, retryAfter: nil, atLeastHalf: true, rng: &rng)
        holdUntil = max(holdUntil, now.adding(milliseconds: delay))
    }

    private mutating func fail(
        _ parcel: Parcel, _ reason: Reason, _ retryAfter: UInt64?, _ hold: Bool, _ batch: inout Batch,
        _ now: Tick, _ rng: inout PRNG
    ) {
        consecutiveFailures += 1
        batch.failures += 1
        if policy.isExpired(firstAttempt: batch.firstAttempt ?? now, now: now) {
            batch.prepend(parcel)
            let rest = batch.parcels
            batch.parcels = []
            for parcel in rest { bury(parcel, reason, &batch, now) }
            return
        }
        let delay = policy.delay(failures: batch.failures, retryAfter: retryAfter, atLeastHalf: hold, rng: &rng)
        let until = now.adding(milliseconds: delay)
        batch.prepend(parcel)
        batch.phase = .waiting(until: until)
        if hold || retryAfter != nil { holdUntil = max(holdUntil, until) }
    }

    /// Halves a request; a single record that cannot be halved is dead.
    private func split(_ parcel: Parcel, _ reason: Reason, _ batch: inout Batch, _ now: Tick) {
        batch.phase = .waiting(until: now)
        let count = parcel.items.itemCount
        guard count > 1 else {
            bury(parcel, reason, &batch, now)
            return
        }
        batch.prepend(parcel.part(count / 2..<count))
        batch.prepend(parcel.part(0..<count / 2))
    }

    private func bury(_ parcel: Parcel, _ reason: Reason, _ batch: inout Batch, _ now: Tick) {
        for range in parcel.items {
            for item in range {
                batch.dead.append(
                    DeadItem(
                        item: item, reason: reason, attempts: parcel.attempts,
                        firstAttempt: batch.firstAttempt ?? now, lastAttempt: now))
            }
        }
    }
}

extension Delivery.Batch {
    fileprivate mutating func prepend(_ parcel: Delivery.Parcel) {
        if !parcel.items.isEmpty { parcels.insert(parcel, at: 0) }
    }
}

extension Delivery.Parcel {
    /// The records at these places of it.
    fileprivate func part(_ places: Range<Int>) -> Delivery.Parcel {
        Delivery.Parcel(items: items.items(places), attempts: attempts)
    }
}
