import ExportCore
import Model
import Protocol

/// The leader's side: what CoordinatorCore does between the machines, and the faults of coordinators.
extension ClusterHistory {
    mutating func elect() {
        guard leader == nil else { return }
        term += 1
        leaderPlace = Int(rng.below(UInt64(Self.coordinators)))
        granted = Array(repeating: 0, count: Self.shards)
        var agreed = timing
        if bug == .marginForgotten { agreed.marginMilliseconds = 1 }
        var settings = ShardTable.Settings(
            shardCount: Self.shards, term: term, isFirstTerm: term == 1 || bug == .takeOverWithoutWait, timing: agreed)
        settings.quietSince = quietSince
        settings.maxRevoking = bug == .paceForgotten ? 100 : 4
        leader = Leader(
            membership: Membership(
                Membership.Settings(
                    leader: "c\(leaderPlace)", term: term, versions: 1...1, shardCount: Self.shards, targets: ["siem"],
                    timing: agreed)),
            table: ShardTable(settings, now: now))
    }

    mutating func depose(gap: UInt64) {
        guard let ending = leader else { return }
        counts.refusedClaims += ending.table.counts.refusedClaims
        counts.expelled += ending.table.counts.expelled
        counts.moved += ending.table.counts.moved
        counts.assigned += ending.table.counts.assigned
        leader = nil
        // One that gives the lease back may have acted until it is taken.
        quietSince = gap > 100 ? now : nil
        for index in links.indices where links[index].term == term { closeAtLeader(index) }
        schedule(.elect, after: gap)
    }

    mutating func dialled(_ worker: Int, _ boot: UInt64, _ session: SessionID, _ address: String) {
        guard nodes[worker].isAlive, nodes[worker].boot == boot else { return }
        let isLeader = leader != nil && address == "c\(leaderPlace)"
        // A coordinator that just crashed may not answer.
        if !isLeader, leader == nil, rng.below(2) == 0 { return tellLease(worker, .closed(session)) }
        let far = SessionID(UInt64(links.count))
        linkOf[far] = links.count
        nodes[worker].link = links.count
        links.append(Link(worker: worker, boot: boot, near: session, far: far, term: isLeader ? term : 0))
        if isLeader { tellMembership(.connected(far, name: nodes[worker].identity)) }
        tellLease(worker, .connected(session))
    }

    /// A frame reaches a coordinator.
    mutating func arrive(_ index: Int, _ message: Message) {
        guard links[index].isOpenAtLeader, !links[index].isSilent else { return }
        if links[index].term == 0 {
            guard case .hello = message else { return }
            let address = leader == nil || rng.below(8) == 0 ? "" : "c\(rng.below(8) == 0 ? 0 : leaderPlace)"
            send(down: index, .notLeader(NotLeader(term: term, leader: address, address: address)))
            return closeAtLeader(index)
        }
        guard links[index].term == term, leader != nil else { return }
        let far = links[index].far
        switch message {
        case .hello(let hello):
            leader?.hellos[far] = hello
            tellMembership(.hello(far, hello))
        case .heartbeat(let beat):
            tellMembership(.heartbeat(far, term: beat.term, number: beat.number))
            guard let worker = leader?.membership.worker(of: far), let member = leader?.membership.member(worker) else {
                return
            }
            tellTable(.lapsed(worker, milliseconds: beat.lapsedMilliseconds, welcomed: member.welcomed))
        case .drain: if bug != .drainIgnored { tellMembership(.drain(far)) }
        case .released(_, let grants):
            if let worker = leader?.membership.worker(of: far) { tellTable(.released(worker, grants)) }
        default: breaches.append("the leader got what workers do not say")
        }
    }

    mutating func tellMembership(_ event: Membership.Event) {
        guard let effects = leader?.membership.handle(event, now: now) else { return }
        for effect in effects {
            switch effect {
            case .welcome(let session, let welcome): linkOf[session].map { send(down: $0, .welcome(welcome)) }
            case .joined(let worker, let session): join(worker, session)
            case .refuse(let session, let fault), .close(let session, let fault):
                guard let index = linkOf[session] else { continue }
                send(down: index, .error(fault))
                closeAtLeader(index)
            case .echo(let session, let number):
                linkOf[session].map {
                    send(down: $0, .heartbeat(Heartbeat(term: term, number: number, health: [])))
                }
            case .draining(let worker): tellTable(.drain(worker))
            case .lost(let worker):
                tellTable(.lost(worker))
                if bug == .deathAtSessionLoss { tellTable(.dead(worker)) }
            case .dead(let worker): tellTable(.dead(worker))
            case .told: break
            }
        }
    }

    private mutating func join(_ worker: WorkerID, _ session: SessionID) {
        guard let hello = leader?.hellos.removeValue(forKey: session), let index = linkOf[session] else { return }
        leader?.claimed[links[index].worker, default: []].formUnion(hello.claims)
        var claims = hello.claims
        if bug == .claimsIgnored { claims = [] }
        if bug == .lowerClaimWins {
            claims = claims.map {
                ShardClaim(
                    term: $0.term, grant: ShardGrant(shard: $0.grant.shard, epoch: (1_023 &- $0.grant.epoch) & 1_023))
            }
        }
        let capacity = bug == .capacityIgnored ? 1 : hello.capacity
        tellTable(.joined(worker, identity: hello.identity, capacity: capacity, claims: claims))
    }

    mutating func tellTable(_ event: ShardTable.Event) {
        guard let effects = leader?.table.handle(event, now: now) else { return }
        for effect in effects {
            switch effect {
            case .assign(let worker, var grants):
                if bug == .epochReused {
                    grants = grants.map { ShardGrant(shard: $0.shard, epoch: max(1, $0.epoch) - 1) }
                }
                checkGrants(worker, grants)
                send(to: worker, .assign(term: term, grants: grants))
            case .revoke(let worker, let grants):
                send(to: worker, .revoke(term: term, grants: grants))
                if bug == .assignBeforeReleased { tellTable(.released(worker, grants)) }
            case .expel(let worker, let reason):
                tellMembership(.expel(worker, reason: reason))
                if bug == .expelFreesShards { tellTable(.dead(worker)) }
            case .drained(let worker): send(to: worker, .drain(term: term, reason: "nothing is left"))
            }
        }
        if let count = leader?.table.revokingCount, count > 4 { breaches.append("pace: \(count) shards in revocation") }
    }

    private mutating func send(to worker: WorkerID, _ message: Message) {
        guard let session = leader?.membership.session(of: worker), let index = linkOf[session] else {
            // A session that ended in the same step.
            return
        }
        send(down: index, message)
    }

    // MARK: Faults

    mutating func fault() {
        schedule(.fault, after: 50 + rng.below(1_200))
        let kinds = ClusterFault.allCases
        let alive = nodes.indices.filter { nodes[$0].isAlive }
        let victim = alive.isEmpty ? 0 : alive[Int(rng.below(UInt64(alive.count)))]
        switch kinds[Int(rng.below(UInt64(kinds.count)))] {
        case .crashWorker:
            stop(victim)
            schedule(.start(victim), after: 20 + rng.below(3_000))
        case .drainWorker: drain(victim)
        case .cut:
            nodes[victim].link.map {
                closeAtWorker($0); closedByNetwork($0)
            }
        case .silence: if let index = nodes[victim].link { links[index].isSilent = true }
        case .pause: if !alive.isEmpty { nodes[victim].pausedUntil = now.adding(milliseconds: 100 + rng.below(3_000)) }
        case .crashLeader: depose(gap: 20 + rng.below(2_500))
        case .handOver: depose(gap: 2)
        case .startMany: for number in nodes.indices { schedule(.start(number), after: rng.below(100)) }
        case .stopMany:
            let spared = rng.below(3)
            for number in nodes.indices.dropFirst(Int(spared)) {
                if rng.below(2) == 0 { drain(number) } else { stop(number) }
            }
        case .reweigh:
            if let member = leader?.membership.members.randomElement(using: &rng) {
                tellTable(.reweigh(member.id, capacity: UInt16(rng.below(3))))
            }
        case .slowRelease: isSlow.toggle()
        }
    }

    private mutating func closedByNetwork(_ index: Int) {
        guard !links[index].isSilent, !isGone(index) else { return }
        tellLease(links[index].worker, .closed(links[index].near))
    }
}
