import Model
import Protocol

extension ShardTable {
    /// What follows from every event: shards are placed if that is due, free ones are given, moves begin.
    mutating func settle(_ now: Tick, _ out: inout Outbox) {
        // Before the first claims are in, nothing is known that a placement could be made from.
        guard gatherEnd == nil else { return }
        if let due = planDue, due <= now { plan(now) }
        give(now, &out)
        revokeNext(now, &out)
        for slot in members.indices {
            guard let member = members[slot], member.isDraining, member.held == 0, member.strays.isEmpty,
                !member.saidDrained
            else { continue }
            members[slot]?.saidDrained = true
            out.others.append(.drained(member.id))
        }
    }

    /// Slots of those who can own shards: who can deliver; if nobody can, whoever is here and stays.
    private func candidates() -> [Int] {
        let staying = members.indices.filter { members[$0].map { $0.isConnected && !$0.isDraining } ?? false }
        let able = staying.filter { members[$0]?.capacity ?? 0 > 0 }
        return able.isEmpty ? staying : able
    }

    private mutating func plan(_ now: Tick) {
        planDue = nil
        counts.placements += 1
        let takers = candidates()
        var index = [Int32](repeating: Placement.nobody, count: members.count)
        for (place, slot) in takers.enumerated() { index[slot] = Int32(place) }
        let current = phase.indices.map { shard -> Int32 in
            switch phase[shard] {
            case .unclaimed: return Placement.excluded
            case .claimed, .owned:
                let slot = Int(holder[shard])
                return members[slot]?.isConnected == true ? index[slot] : Placement.excluded
            // It counts for whoever shall have it.
            case .free, .revoking: return desired[shard] >= 0 ? index[Int(desired[shard])] : Placement.nobody
            }
        }
        let result = Placement.place(
            members: takers.compactMap { slot in
                members[slot].map { Placement.Member(identity: $0.identity, weight: $0.capacity) }
            }, current: current)
        moves = []
        var leaving: [UInt16] = []
        for shard in phase.indices {
            if result[shard] == Placement.excluded {
                desired[shard] = holder[shard]
                continue
            }
            desired[shard] = result[shard] >= 0 ? Int32(takers[Int(result[shard])]) : -1
            guard phase[shard] == .owned, desired[shard] != holder[shard], let from = members[Int(holder[shard])] else {
                continue
            }
            if from.isDraining {
                leaving.append(UInt16(shard))
            } else if desired[shard] >= 0 {
                moves.append(UInt16(shard))
            }
        }
        // The last is taken first: whoever leaves has little time.
        moves = moves.reversed() + leaving.reversed()
    }

    /// Gives free shards to whoever shall have them.
    private mutating func give(_ now: Tick, _ out: inout Outbox) {
        for shard in phase.indices where phase[shard] == .free && desired[shard] >= 0 {
            let slot = Int(desired[shard])
            guard let member = members[slot], member.isConnected, !member.isDraining else {
                desired[shard] = -1
                planSoon(now)
                continue
            }
            // It still holds what an earlier term gave it.
            if !member.strays.isEmpty, member.strays.contains(UInt16(shard)) { continue }
            begin(shard, slot, &out)
        }
    }

    private mutating func revokeNext(_ now: Tick, _ out: inout Outbox) {
        while revoking.count < settings.maxRevoking, let next = moves.popLast() {
            let shard = Int(next)
            guard phase[shard] == .owned, desired[shard] != holder[shard],
                members[Int(holder[shard])]?.isConnected == true
            else { continue }
            phase[shard] = .revoking
            since[shard] = now
            revokedAt[shard] = now
            revoking.append(next)
            out.revoked[Int(holder[shard]), default: []].append(ShardGrant(shard: next, epoch: epoch[shard]))
        }
    }
}
