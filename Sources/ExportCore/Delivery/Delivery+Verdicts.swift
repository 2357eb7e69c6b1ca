import Model

/// What each verdict does to its batch.
extension Delivery {
    mutating func apply(
        _ verdict: Verdict, to batch: inout Batch, _ id: BatchID, _ now: Tick, _ rng: inout PRNG,
        _ effects: inout [Effect]
    ) {
        let parcel = batch.parcels.removeFirst()
        switch verdict {
        case .delivered(let slowDown):
            succeed(&batch, now)
            hear(slowDown: slowDown, sentAt: batch.sentAt, now, &rng)
        case .items(let verdicts, let retryAfter):
            applyItems(verdicts, retryAfter, parcel, &batch, id, now, &rng, &effects)
        case .poisonAt(let delivered, let reason) where !(0..<parcel.items.itemCount).contains(delivered):
            // The answer speaks of a record that was not sent, so nothing it says can be trusted.
            effects.append(.failed(id, .unknown, reason))
            fail(parcel, reason, nil, &batch, now, &rng)
        case .poisonAt(let delivered, let reason):
            effects.append(.failed(id, .poison, reason))
            succeed(&batch, now)
            batch.bury(parcel.part(delivered..<delivered + 1), reason, now)
            batch.prepend(parcel.part(delivered + 1..<parcel.items.itemCount))
        case .poison(let reason):
            effects.append(.failed(id, .poison, reason))
            batch.split(parcel, reason, now)
        case .tooLarge(let reason):
            effects.append(.failed(id, .tooLarge, reason))
            batch.split(parcel, reason, now)
        case .retry(let reason, let retryAfter):
            effects.append(.failed(id, .retry, reason))
            fail(parcel, reason, retryAfter, &batch, now, &rng)
        case .configuration(let reason):
            effects.append(.failed(id, .configuration, reason))
            fail(parcel, reason, nil, refusesSettings: true, &batch, now, &rng)
        case .unknown(let reason):
            effects.append(.failed(id, .unknown, reason))
            fail(parcel, reason, nil, &batch, now, &rng)
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
            fail(parcel, reason, retryAfter, &batch, now, &rng)
            return
        }
        var again = Parcel(items: [], attempts: parcel.attempts)
        var retryReason: Reason?
        var refusesSettings = false
        var poison: Reason?
        for (offset, verdict) in verdicts.enumerated() {
            let item = parcel.part(offset..<offset + 1)
            switch verdict {
            case .delivered: continue
            case .poison(let reason):
                batch.bury(item, reason, now)
                poison = poison ?? reason
            case .retry(let reason):
                again.items.appendMerging(item.items)
                retryReason = retryReason ?? reason
            case .configuration(let reason):
                again.items.appendMerging(item.items)
                retryReason = refusesSettings ? retryReason : reason
                refusesSettings = true
            }
        }
        if let poison { effects.append(.failed(id, .poison, poison)) }
        let tookSome = again.items.itemCount < count
        if tookSome { succeed(&batch, now) }
        guard let reason = retryReason else { return }
        effects.append(.failed(id, refusesSettings ? .configuration : .retry, reason))
        // Where some records were taken the target works; what its settings refuse of others only makes it wait.
        fail(
            again, reason, retryAfter, refusesSettings: refusesSettings && !tookSome,
            holds: refusesSettings && tookSome, &batch, now, &rng)
    }

    /// The receiver took all and perhaps wishes for less: a pause that doubles while the wish is repeated.
    ///
    /// Answers to requests that left before the pause began know nothing of it: many at once are one wish, which the
    /// late ones keep alive and do not double.
    mutating func hear(slowDown: Bool, sentAt: Tick, _ now: Tick, _ rng: inout PRNG) {
        let knowsOfPause = pauseBegan.map { sentAt > $0 } ?? true
        guard slowDown else {
            if knowsOfPause { slowDowns = 0 }
            return
        }
        if knowsOfPause {
            slowDowns += 1
            pauseBegan = now
        }
        let delay = policy.delay(failures: max(slowDowns, 1), retryAfter: nil, atLeastHalf: true, rng: &rng)
        holdUntil = max(holdUntil, now.adding(milliseconds: delay))
    }

    private mutating func fail(
        _ parcel: Parcel, _ reason: Reason, _ retryAfter: UInt64?, refusesSettings: Bool = false,
        holds: Bool = false, _ batch: inout Batch, _ now: Tick, _ rng: inout PRNG
    ) {
        blame(refusesSettings: refusesSettings, retryAfter, now, &rng)
        batch.failures += 1
        let delay = policy.delay(
            failures: batch.failures, retryAfter: retryAfter, atLeastHalf: refusesSettings || holds, rng: &rng)
        let until = now.adding(milliseconds: delay)
        if holds || retryAfter != nil { holdUntil = max(holdUntil, until) }
        batch.prepend(parcel)
        // Before the end of its window is looked at: what was withdrawn is not given up.
        batch.letGo()
        if policy.isExpired(firstAttempt: batch.firstAttempt ?? now, now: now) {
            batch.giveUp(reason, now)
        } else {
            batch.phase = .waiting(until: until)
        }
    }
}
