import ExportCore
import Model
import Protocol

/// The workers' side, and the checks.
extension ClusterHistory {
    mutating func start(_ worker: Int) {
        guard !nodes[worker].isAlive else { return }
        nodes[worker].isAlive = true
        nodes[worker].isDraining = false
        nodes[worker].boot += 1
        nodes[worker].link = nil
        nodes[worker].held = Array(repeating: nil, count: Self.shards)
        nodes[worker].pausedUntil = now
        nodes[worker].lease = Self.lease(first: worker, now: now)
        tellLease(worker, .timer)
    }

    /// The process ends; the system closes what it had open.
    mutating func stop(_ worker: Int) {
        guard nodes[worker].isAlive else { return }
        nodes[worker].isAlive = false
        nodes[worker].link.map { closeAtWorker($0) }
        nodes[worker].link = nil
    }

    mutating func drain(_ worker: Int) {
        guard nodes[worker].isAlive else { return }
        nodes[worker].isDraining = true
        if let index = openLink(worker) { send(up: index, .drain(term: nodes[worker].lease.term, reason: "SIGTERM")) }
    }

    /// The connection of the session that is up.
    private func openLink(_ worker: Int) -> Int? {
        guard let index = nodes[worker].link, links[index].isOpenAtWorker,
            nodes[worker].lease.session == links[index].near
        else { return nil }
        return index
    }

    mutating func tellLease(_ worker: Int, _ event: SessionLease.Event) {
        if nodes[worker].pausedUntil > now {
            // Only what is its own doing comes here; a paused process does nothing.
            if case .closed = event, let index = nodes[worker].link {
                queue.push(.closedAtWorker(index), at: nodes[worker].pausedUntil)
                links[index].isOpenAtWorker = true
            }
            return
        }
        for effect in nodes[worker].lease.handle(event, now: now, rng: &rng) {
            switch effect {
            case .dial(let session, let address):
                let boot = nodes[worker].boot
                schedule(.dialled(worker: worker, boot: boot, session, address: address), after: 1 + rng.below(10))
            case .hello: if let index = nodes[worker].link { send(up: index, .hello(hello(worker))) }
            case .heartbeat(_, let term, let number):
                if let index = nodes[worker].link {
                    let beat = Heartbeat(
                        term: term, number: number, health: [], lapsedMilliseconds: lapsed(worker))
                    send(up: index, .heartbeat(beat))
                }
            case .close: nodes[worker].link.map { closeAtWorker($0) }
            case .established:
                nodes[worker].echoReceived = now
                if nodes[worker].isDraining { drain(worker) }
            case .ended: nodes[worker].link = nil
            }
        }
        checkActivity(of: worker)
    }

    /// How long ago the lease ended under which it holds what its session has not assigned.
    private func lapsed(_ worker: Int) -> UInt32 {
        let node = nodes[worker]
        if bug == .lapseForgotten || bug == .lowerClaimWins { return 0 }
        return node.held.reduce(0) { longest, held in
            guard let held, held.session != node.lease.session else { return longest }
            guard let end = node.lease.leaseEnd(ofGrantsIn: held.session) else { return .max }
            return end < now ? max(longest, UInt32(clamping: now.milliseconds(since: end) + 1)) : longest
        }
    }

    private func hello(_ worker: Int) -> Hello {
        let node = nodes[worker]
        let claims = node.held.enumerated().compactMap { shard, held in
            held.map { ShardClaim(term: $0.term, grant: ShardGrant(shard: UInt16(shard), epoch: $0.epoch)) }
        }
        return Hello(
            versions: 1...1, identity: node.identity, boot: RecordKey(high: UInt64(worker), low: node.boot),
            capacity: node.capacity, windowBytes: 1 << 20, term: node.lease.term, targets: ["siem"], claims: claims)
    }

    /// A frame reaches a worker.
    mutating func deliver(_ index: Int, _ message: Message, _ happening: Happening) {
        guard !isDeferred(index, happening), links[index].isOpenAtWorker, !links[index].isSilent else { return }
        let (worker, session) = (links[index].worker, links[index].near)
        switch message {
        case .welcome(let welcome): tellLease(worker, .welcome(session, welcome))
        case .notLeader(let answer): tellLease(worker, .notLeader(session, answer))
        case .heartbeat(let beat):
            if nodes[worker].lease.session == session { nodes[worker].echoReceived = now }
            tellLease(worker, .echo(session, term: beat.term, number: beat.number))
        case .assign(let term, let grants):
            guard nodes[worker].lease.session == session else { return }
            for grant in grants {
                nodes[worker].held[Int(grant.shard)] = Held(term: term, epoch: grant.epoch, session: session)
            }
            checkActivity(of: worker)
        case .revoke(_, let grants):
            guard nodes[worker].lease.session == session else { return }
            for grant in grants { revoke(worker, grant) }
        case .drain: if nodes[worker].isDraining, !nodes[worker].held.contains(where: { $0 != nil }) { stop(worker) }
        default: break
        }
    }

    private mutating func revoke(_ worker: Int, _ grant: ShardGrant) {
        guard nodes[worker].held[Int(grant.shard)] != nil else { return tellReleased(worker, grant) }
        nodes[worker].held[Int(grant.shard)]?.releasing = grant
        if bug == .releasedTooEarly { tellReleased(worker, grant) }
        let pause = isSlow && rng.below(10) == 0 ? 2_000 : rng.below(300)
        schedule(.givenBack(worker: worker, boot: nodes[worker].boot, grant), after: pause)
    }

    mutating func giveBack(_ worker: Int, _ grant: ShardGrant) {
        guard nodes[worker].held[Int(grant.shard)]?.releasing == grant else { return }
        nodes[worker].held[Int(grant.shard)] = nil
        tellReleased(worker, grant)
    }

    private mutating func tellReleased(_ worker: Int, _ grant: ShardGrant) {
        if let index = openLink(worker) { send(up: index, .released(term: nodes[worker].lease.term, grants: [grant])) }
    }

    // MARK: Checks

    /// Whether a worker may have a request for `shard` under way: until the margin after its lease's end.
    func isActive(_ worker: Int, on shard: Int) -> Bool {
        guard nodes[worker].isAlive, let held = nodes[worker].held[shard] else { return false }
        if bug == .fencingSkipped { return true }
        var end = nodes[worker].lease.leaseEnd(ofGrantsIn: held.session)
        if bug == .leaseFromReceipt {
            end = nodes[worker].echoReceived.adding(milliseconds: timing.workerLeaseMilliseconds)
        }
        guard let end else { return false }
        return now < end.adding(milliseconds: timing.marginMilliseconds)
    }

    /// A worker has just heard something: is it alone on its shards?
    private mutating func checkActivity(of worker: Int) {
        for shard in 0..<Self.shards where isActive(worker, on: shard) {
            let others = nodes.indices.filter { $0 != worker && isActive($0, on: shard) }
            guard !others.isEmpty else { continue }
            let at = now.nanoseconds / 1_000_000
            breaches.append("\(at): two workers act on shard \(shard), w\(worker) and w\(others)")
        }
    }

    /// A grant leaves: is its epoch new, and if it follows a claim, was there no higher one?
    mutating func checkGrants(_ id: WorkerID, _ grants: [ShardGrant]) {
        guard let identity = leader?.membership.member(id)?.identity,
            let worker = nodes.firstIndex(where: { $0.identity == identity })
        else { return breaches.append("a grant to nobody") }
        for grant in grants {
            let shard = Int(grant.shard)
            if grant.epoch <= granted[shard] { breaches.append("epoch \(grant.epoch) of shard \(shard) is not new") }
            if granted[shard] == 0 { checkAdoption(of: shard, by: worker) }
            granted[shard] = max(granted[shard], grant.epoch)
        }
    }

    /// The first grant of a shard in a term: if it follows a claim, the highest of those that are known has to win.
    private mutating func checkAdoption(of shard: Int, by worker: Int) {
        func claims(of worker: Int) -> [ShardClaim] {
            leader?.claimed[worker]?.filter { Int($0.grant.shard) == shard && $0.term < term } ?? []
        }
        func isBelow(_ a: ShardClaim, _ b: ShardClaim) -> Bool { (a.term, a.grant.epoch) < (b.term, b.grant.epoch) }
        guard let mine = claims(of: worker).max(by: isBelow) else { return }
        for other in nodes.indices where other != worker && isActive(other, on: shard) {
            if claims(of: other).contains(where: { isBelow(mine, $0) }) {
                breaches.append("not the highest claim on shard \(shard) was taken")
            }
        }
    }

    /// A while after the last fault.
    mutating func checkRest() {
        guard let leader else { return breaches.append("at rest: no leader") }
        let here = nodes.indices.filter { nodes[$0].isAlive }
        for worker in here where nodes[worker].isDraining {
            breaches.append("at rest: w\(worker) was to leave and is not drained")
        }
        var loads = [Int](repeating: 0, count: Self.slots)
        for shard in 0..<Self.shards {
            let holders = here.filter { nodes[$0].held[shard] != nil }
            guard let (id, epoch) = leader.table.owner(of: ShardID(UInt16(shard))),
                let identity = leader.membership.member(id)?.identity,
                let owner = nodes.firstIndex(where: { $0.identity == identity })
            else {
                if !here.isEmpty { breaches.append("at rest: shard \(shard) has no owner") }
                continue
            }
            loads[owner] += 1
            let held = nodes[owner].held[shard]
            if holders != [owner] || held?.epoch != epoch || held?.term != term || nodes[owner].lease.isFenced(at: now)
            {
                breaches.append("at rest: views differ on shard \(shard): \(identity) \(epoch), held by \(holders)")
            }
        }
        let total = here.reduce(UInt64(0)) { $0 + UInt64(nodes[$1].capacity) }
        for worker in here {
            let bounds = Placement.bounds(shards: Self.shards, weight: nodes[worker].capacity, total: total)
            if loads[worker] > bounds.cap || loads[worker] * 4 < bounds.floor * 3 {
                breaches.append("at rest: load \(loads[worker]) of w\(worker) is not about \(bounds.floor)")
            }
        }
    }
}
