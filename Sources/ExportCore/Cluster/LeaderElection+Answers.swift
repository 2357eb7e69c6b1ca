import Model

/// What answers of the store mean.
extension LeaderElection {
    /// A reading tells what the lease says now, and with it what became of a write without an answer.
    mutating func saw(_ state: LeaseState, _ now: Tick, _ rng: inout PRNG, _ effects: inout [Effect]) {
        let before = sight
        // The version as well: a lease that was deleted and made again may say just the same.
        let isChanged = before.map { $0.state.stored != state.stored } ?? true
        sight = Sight(state: state, since: isChanged ? now : before?.since ?? now)
        highestTerm = max(highestTerm, min(max(state.highestTerm, state.stored?.record.term ?? 0), Self.maxTerm))
        mustRead = false
        let mine = unanswered
        unanswered = nil
        if let mine, let record = mine.record, record == state.stored?.record, record.holder == identity {
            return holds(record, since: mine.begun, now, &rng, &effects)
        }
        if leadership != nil, !isStillOurs(state) {
            stepDown(.lost(to: state.stored?.record.holder ?? ""), &effects)
            mustRead = false
        }
        outgrow(now, &effects)
        follow(&effects)
        scheduleAfterReading(isChanged, now, &rng)
    }

    /// Ends a term that workers refuse for a later one which the store knows nothing of: the next is beyond both.
    private mutating func outgrow(_ now: Tick, _ effects: inout [Effect]) {
        guard let leadership, toldTerm > leadership.term, now >= nextOutgrowing else { return }
        nextOutgrowing = now.adding(milliseconds: settings.lease * Self.leasesBetweenOutgrowing)
        stepDown(.outgrown(by: toldTerm), &effects)
        mustRead = false
    }

    /// A lease that was deleted under its leader, or made anew by others, is still the leader's to write: the others wait
    /// as if it were there.
    private func isStillOurs(_ state: LeaseState) -> Bool {
        guard let leadership, highestTerm <= leadership.term else { return false }
        guard let record = state.stored?.record, record.holder != LeaseRecord.vacant else { return true }
        return record.holder == identity && record.term == leadership.term
    }

    private mutating func scheduleAfterReading(_ isChanged: Bool, _ now: Tick, _ rng: inout PRNG) {
        guard let sight, leadership == nil, stopBy == nil else {
            // If nothing changed, the reading was for nothing, and the next renewal is due when it was.
            due = leadership != nil && !isChanged ? renewal : now
            return
        }
        if isResting(now: now) {
            let isHeld = sight.state.stored?.record.holder == identity
            due = isHeld ? now : min(now.adding(milliseconds: pause(&rng)), restsUntil ?? now)
        } else if sight.state.stored == nil || mayTake(sight, now: now) {
            // After a second defeat in a row, not all try again at the same moment.
            due = now.adding(milliseconds: conflicts > 1 ? rng.below(settings.retryPeriod / 4 + 1) : 0)
        } else {
            due = min(now.adding(milliseconds: pause(&rng)), expiry(of: sight))
        }
    }

    /// A write was carried out.
    mutating func wrote(
        _ request: Request, _ version: LeaseVersion, _ now: Tick, _ rng: inout PRNG, _ effects: inout [Effect]
    ) {
        guard let record = request.record else { return }
        unanswered = nil
        sight = Sight(
            state: LeaseState(
                stored: LeaseState.Stored(record: record, version: version),
                highestTerm: max(sight?.state.highestTerm ?? 0, record.term)),
            since: now)
        highestTerm = max(highestTerm, record.term)
        mustRead = false
        due = now
        if record.holder == identity { holds(record, since: request.begun, now, &rng, &effects) }
        guard leadership == nil, stopBy == nil else { return }
        // What others did before is not told by the write itself.
        mustRead = true
        follow(&effects)
    }

    /// The lease says what we wrote into it at `begun`.
    private mutating func holds(
        _ record: LeaseRecord, since begun: Tick, _ now: Tick, _ rng: inout PRNG, _ effects: inout [Effect]
    ) {
        conflicts = 0
        let until = begun.adding(milliseconds: settings.renewDeadline)
        due = now
        if let leadership, leadership.term == record.term {
            self.leadership?.until = max(until, leadership.until)
        } else if stopBy == nil, now < until, record.term == highestTerm, record.term > lastLed {
            leadership = Leadership(term: record.term, until: until, quietSince: takenQuietSince)
            lastLed = record.term
            effects.append(.lead(term: record.term))
            followed = .some(nil)
        } else {
            // Held, but not in a term that we may lead in: it was left, or the answer took too long. The next write
            // begins a new one.
            due = now
            return
        }
        renewal = begun.adding(milliseconds: pause(&rng))
        due = renewal
    }

    /// Somebody else was faster, or it was us with a write that got no answer: reading tells.
    mutating func conflicted(_ now: Tick, _ rng: inout PRNG) {
        conflicts += 1
        mustRead = true
        due = now.adding(milliseconds: conflicts > 1 ? rng.below(settings.retryPeriod / 4 + 1) : 0)
    }

    /// No answer: what a write did is not known, and asking again at once would only add to the store's trouble.
    mutating func failed(_ request: Request, _ now: Tick, _ rng: inout PRNG) {
        if request.record != nil { unanswered = request }
        mustRead = true
        due = now.adding(milliseconds: request.record == nil ? pause(&rng) / 2 : 0)
    }

    /// Says who leads, if that is news.
    private mutating func follow(_ effects: inout [Effect]) {
        guard leadership == nil else { return }
        var leader: Leader?
        if let record = sight?.state.stored?.record, record.isHeld, record.holder != identity {
            leader = Leader(
                identity: record.holder, address: record.address, endpoint: record.endpoint, term: record.term)
        }
        guard followed != .some(leader) else { return }
        followed = .some(leader)
        effects.append(.follow(leader))
    }
}
