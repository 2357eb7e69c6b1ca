public import Model
import Protocol

extension ShardTable {
    /// Grants to send, collected so that each worker gets one message.
    struct Outbox {
        /// Claims that lost.
        var refused: [Int: [ShardGrant]] = [:]
        var assigned: [Int: [ShardGrant]] = [:]
        /// Moves that begin; after what was assigned, which may be the same shards.
        var revoked: [Int: [ShardGrant]] = [:]
        var others: [Effect] = []
    }

    /// Takes in what happened. Effects are in the order in which they have to be carried out.
    public mutating func handle(_ event: Event, now: Tick) -> [Effect] {
        var out = Outbox()
        switch event {
        case .joined(let worker, let identity, let capacity, let claims):
            join(worker, identity, capacity, claims, now, &out)
        case .lapsed(let worker, let milliseconds, let welcomed):
            if let slot = slots[worker] { vouch(slot, milliseconds, welcomed, &out) }
        case .lost(let worker):
            if let slot = slots[worker] { lose(slot, now) }
        case .dead(let worker):
            if let slot = slots[worker] { bury(slot, now) }
        case .drain(let worker):
            if let slot = slots[worker], members[slot]?.isDraining == false {
                members[slot]?.isDraining = true
                planDue = now
            }
        case .reweigh(let worker, let capacity):
            if let slot = slots[worker], members[slot]?.capacity != capacity {
                members[slot]?.capacity = capacity
                planSoon(now)
            }
        case .released(let worker, let grants):
            if let slot = slots[worker] { takeBack(grants, from: slot, now, &out) }
        case .timer: expire(now, &out)
        }
        settle(now, &out)
        return effects(out)
    }

    private func effects(_ out: Outbox) -> [Effect] {
        var effects: [Effect] = []
        for slot in members.indices {
            guard let id = members[slot]?.id else { continue }
            if let grants = out.refused[slot] { effects.append(.revoke(id, grants)) }
            if let grants = out.assigned[slot] { effects.append(.assign(id, grants)) }
            if let grants = out.revoked[slot] { effects.append(.revoke(id, grants)) }
        }
        return effects + out.others
    }

    // MARK: Workers

    private mutating func join(
        _ worker: WorkerID, _ identity: String, _ capacity: UInt16, _ claims: [ShardClaim], _ now: Tick,
        _ out: inout Outbox
    ) {
        let slot = place(for: worker, identity, capacity, now)
        var isClaimed = [Bool](repeating: false, count: settings.shardCount)
        for claim in claims where Int(claim.grant.shard) < settings.shardCount && claim.term <= settings.term {
            let shard = Int(claim.grant.shard)
            guard !isClaimed[shard] else { continue }
            isClaimed[shard] = adopt(claim, slot, now, &out)
        }
        // A hello tells all that is held: the rest was given back, or lost with the process.
        for shard in holder.indices where holder[shard] == Int32(slot) && !isClaimed[shard] {
            free(shard, now)
            desired[shard] = Int32(slot)
        }
        awaitStrays(slot, now)
        members[slot]?.isConnected = true
        if gatherEnd == nil { confirm(slot, &out) }
        planSoon(now)
    }

    /// What the lease under a worker's claims tells: as long as it lasts, and for the margin after it, no leader gives them to
    /// anybody else. A quarter of the margin is left for clocks that run apart.
    private mutating func vouch(_ slot: Int, _ lapsed: UInt32, _ welcomed: Tick, _ out: inout Outbox) {
        guard takeOverEnd != nil, let member = members[slot], member.isConnected, member.isVouched == nil else {
            return
        }
        let share = settings.timing.certainMilliseconds
        let isVouched =
            lapsed < .max
            && welcomed.adding(milliseconds: share) > quietSince.adding(milliseconds: UInt64(lapsed))
        members[slot]?.isVouched = isVouched
        guard isVouched else { return }
        if gatherEnd == nil {
            confirm(slot, &out)
        } else if phase.indices.allSatisfy({ phase[$0] == .claimed && isCertain($0) }) {
            endGathering(&out)
        }
    }

    /// Whether a claim cannot be older than another that nobody has made yet.
    private func isCertain(_ shard: Int) -> Bool {
        takeOverEnd == nil || isClear[shard] || basis[shard].term == settings.term
            || members[Int(holder[shard])]?.isVouched == true
    }

    /// The slot of a worker that comes, again or for the first time. It counts as absent until its claims are sorted out.
    private mutating func place(
        for worker: WorkerID, _ identity: String, _ capacity: UInt16, _ now: Tick
    ) -> Int {
        var member = Member(id: worker, identity: identity, capacity: capacity)
        if let slot = slots[worker] {
            lose(slot, now)
            member.held = members[slot]?.held ?? 0
            members[slot] = member
            return slot
        }
        let slot = members.firstIndex { $0 == nil } ?? members.count
        if slot == members.count { members.append(nil) }
        members[slot] = member
        slots[worker] = slot
        return slot
    }

    /// Takes a claim as it stands, or lets it lose. True if the shard is the claimant's.
    private mutating func adopt(_ claim: ShardClaim, _ slot: Int, _ now: Tick, _ out: inout Outbox) -> Bool {
        let shard = Int(claim.grant.shard)
        let former = holder[shard]
        // In this term nobody else can have granted anything; and numbers so large were never granted by anybody.
        if claim.grant.epoch > (claim.term == settings.term ? epoch[shard] : .max / 2) {
            refuse(claim.grant, slot, &out)
            return false
        }
        if phase[shard] == .claimed, former >= 0, former != Int32(slot) {
            guard (claim.term, claim.grant.epoch) > (basis[shard].term, basis[shard].grant.epoch) else {
                refuse(claim.grant, slot, &out)
                return false
            }
            if members[Int(former)]?.isConnected == true {
                refuse(basis[shard].grant, Int(former), &out)
                awaitStrays(Int(former), now)
            } else {
                // Nobody is there who could give it back: what it still holds, its next hello says.
                counts.refusedClaims += 1
            }
            members[Int(former)]?.held -= 1
            holder[shard] = -1
        } else if former >= 0, former != Int32(slot) {
            refuse(claim.grant, slot, &out)
            return false
        }
        if holder[shard] != Int32(slot) {
            members[slot]?.held += 1
            holder[shard] = Int32(slot)
        }
        phase[shard] = .claimed
        basis[shard] = claim
        // A release that was under way says the old number, and must not be taken for one of the new ownership.
        epoch[shard] = max(epoch[shard], claim.grant.epoch)
        desired[shard] = Int32(slot)
        return true
    }

    private mutating func refuse(_ grant: ShardGrant, _ slot: Int, _ out: inout Outbox) {
        counts.refusedClaims += 1
        members[slot]?.strays.append(grant.shard)
        out.refused[slot, default: []].append(grant)
    }

    private mutating func awaitStrays(_ slot: Int, _ now: Tick) {
        guard members[slot]?.strays.isEmpty == false else { return }
        let deadline = expelTick(now)
        members[slot]?.strayDeadline = deadline
    }

    /// Gives a worker that is here what it claims, unless somebody else may have got it later.
    private mutating func confirm(_ slot: Int, _ out: inout Outbox) {
        guard members[slot]?.isConnected == true else { return }
        for shard in holder.indices where phase[shard] == .claimed && holder[shard] == Int32(slot) {
            if isCertain(shard) { begin(shard, slot, &out) }
        }
    }

    private mutating func lose(_ slot: Int, _ now: Tick) {
        guard members[slot]?.isConnected == true else { return }
        members[slot]?.isConnected = false
        members[slot]?.strays = []
        members[slot]?.strayDeadline = nil
        for shard in holder.indices where holder[shard] == Int32(slot) {
            if phase[shard] == .owned { since[shard] = now }
            if phase[shard] == .revoking { phase[shard] = .owned }
        }
        revoking.removeAll { holder[Int($0)] == Int32(slot) }
        planSoon(now)
    }

    private mutating func bury(_ slot: Int, _ now: Tick) {
        lose(slot, now)
        for shard in holder.indices where holder[shard] == Int32(slot) { free(shard, now) }
        for shard in desired.indices where desired[shard] == Int32(slot) { desired[shard] = -1 }
        if let id = members[slot]?.id { slots[id] = nil }
        members[slot] = nil
        planDue = now
    }

    // MARK: Shards

    private mutating func takeBack(_ grants: [ShardGrant], from slot: Int, _ now: Tick, _ out: inout Outbox) {
        for grant in grants where Int(grant.shard) < settings.shardCount {
            let shard = Int(grant.shard)
            if holder[shard] == Int32(slot), epoch[shard] == grant.epoch, phase[shard] == .revoking {
                revoking.removeAll { $0 == grant.shard }
                if desired[shard] >= 0, desired[shard] != Int32(slot) { counts.moved += 1 }
                free(shard, now)
            } else if holder[shard] == Int32(slot), epoch[shard] == grant.epoch, phase[shard] == .owned {
                // Given back unasked: it is not in its hands, whatever the reason. Not at once to the same one again.
                free(shard, now)
                desired[shard] = -1
                planSoon(now)
            } else if let place = members[slot]?.strays.firstIndex(of: grant.shard) {
                members[slot]?.strays.remove(at: place)
                if members[slot]?.strays.isEmpty == true { members[slot]?.strayDeadline = nil }
            }
        }
    }

    /// Nobody holds it from here on.
    mutating func free(_ shard: Int, _ now: Tick) {
        let slot = Int(holder[shard])
        if slot >= 0 {
            members[slot]?.held -= 1
            if phase[shard] == .owned, members[slot]?.isConnected == true { since[shard] = now }
        }
        holder[shard] = -1
        phase[shard] = isClear[shard] ? .free : .unclaimed
    }

    /// A new ownership.
    mutating func begin(_ shard: Int, _ slot: Int, _ out: inout Outbox) {
        if holder[shard] != Int32(slot) { members[slot]?.held += 1 }
        holder[shard] = Int32(slot)
        phase[shard] = .owned
        isClear[shard] = true
        epoch[shard] += 1
        counts.assigned += 1
        members[slot]?.saidDrained = false
        out.assigned[slot, default: []].append(ShardGrant(shard: UInt16(shard), epoch: epoch[shard]))
    }

    // MARK: Time

    private mutating func expire(_ now: Tick, _ out: inout Outbox) {
        if let end = gatherEnd, end <= now { endGathering(&out) }
        if let end = takeOverEnd, end <= now {
            takeOverEnd = nil
            for shard in phase.indices {
                isClear[shard] = true
                if phase[shard] == .unclaimed { phase[shard] = .free }
            }
            for slot in members.indices where members[slot] != nil { confirm(slot, &out) }
            planDue = now
        }
        while let first = revoking.first, expelTick(revokedAt[Int(first)]) <= now {
            expel(Int(holder[Int(first)]), "shard \(first) was revoked and not given back", now, &out)
        }
        for slot in members.indices {
            guard let deadline = members[slot]?.strayDeadline, deadline <= now else { continue }
            let shard = members[slot]?.strays.first ?? 0
            expel(slot, "its claim on shard \(shard) lost, and the shard was not given back", now, &out)
        }
    }

    /// What was claimed until now is adopted; what is claimed later is as it comes.
    private mutating func endGathering(_ out: inout Outbox) {
        gatherEnd = nil
        for slot in members.indices where members[slot] != nil { confirm(slot, &out) }
    }

    private mutating func expel(_ slot: Int, _ what: String, _ now: Tick, _ out: inout Outbox) {
        guard let id = members[slot]?.id else { return }
        counts.expelled += 1
        let limit = settings.timing.expelMilliseconds
        out.others.append(.expel(id, reason: "\(what) within \(limit) ms; the worker has to start anew"))
        lose(slot, now)
    }

    /// Places anew once the changes that come together are here.
    mutating func planSoon(_ now: Tick) {
        let soon = now.adding(milliseconds: settings.timing.debounceMilliseconds)
        planDue = min(planDue ?? soon, soon)
    }
}
