public import ExportCore
import Model
import PeerTransport
import Protocol
import Threading

/// What is shown of the cluster.
extension ClusterCoordinator {
    /// How the cluster fares, as this coordinator sees it.
    public func status() -> ClusterStatus {
        let now = SystemClock.now()
        var status = ClusterStatus(
            coordinator: ClusterStatus.Coordinator(
                name: settings.name, address: settings.address, role: role(now), program: settings.program,
                upMilliseconds: now.milliseconds(since: startedAt)))
        status.cluster = settings.cluster
        status.leader = leader(now)
        status.targets = settings.targets.map { target in
            TargetStatus(
                name: target.name, backend: target.backend.rawValue, format: target.format.rawValue)
        }
        guard core != nil else {
            status.gate = gateSight.status(failClosed: settings.gate.failClosed, now: now)
            return status
        }
        fill(&status, now)
        return status
    }

    /// Whether this process does its part; the reason if it does not.
    public func health() -> (isReady: Bool, reason: String) {
        let now = SystemClock.now()
        if isStopping { return (false, "this coordinator is stopping") }
        switch role(now) {
        case .starting: return (false, "the lease has not been read yet: \(lastComplaint)")
        case .takingOver: return (false, "this coordinator is taking over")
        case .leader: return (true, "")
        case .standby:
            return otherLeader(now) == nil ? (false, "nobody leads, as far as is known") : (true, "")
        }
    }

    /// Who else leads. What is left of a lease of our own is nobody's.
    func otherLeader(_ now: Tick) -> LeaderElection.Leader? {
        election.leader(now: now).flatMap { $0.identity == settings.identity ? nil : $0 }
    }

    private func role(_ now: Tick) -> ClusterStatus.Role {
        guard hasLooked else { return .starting }
        guard term != nil, election.isLeading(now: now) else { return .standby }
        guard let table = core?.table else { return .takingOver }
        return table.awaitedCount > 0 ? .takingOver : .leader
    }

    private func leader(_ now: Tick) -> ClusterStatus.Leader? {
        if let term, election.isLeading(now: now) {
            return ClusterStatus.Leader(
                name: settings.identity, address: settings.address, endpoint: settings.endpoint, term: term.number,
                sinceMilliseconds: now.milliseconds(since: term.began),
                renewedMilliseconds: now.milliseconds(since: leaseSeen))
        }
        return otherLeader(now).map { leader in
            ClusterStatus.Leader(
                name: leader.identity, address: leader.address, endpoint: "", term: leader.term,
                sinceMilliseconds: now.milliseconds(since: leaderSince),
                renewedMilliseconds: now.milliseconds(since: leaseSeen))
        }
    }

    private func fill(_ status: inout ClusterStatus, _ now: Tick) {
        guard let core else { return }
        let gate = core.gate
        status.gate.state = GateStatus.State(gate.state, isAdmitting: gate.isAdmitting(now: now))
        status.gate.reason = gate.reason
        status.gate.sinceMilliseconds = now.milliseconds(since: gate.since)
        status.gate.failClosed = settings.gate.failClosed
        status.gate.episode = gate.episode.map { "\($0.id.term).\($0.id.number)" }
        status.gate.alert = gate.alertName
        status.gate.needsAcknowledgement = gate.alertName != nil && !gate.isAcknowledged
        status.feed.records = core.dispatch.recordsInHand
        status.feed.bytes = core.dispatch.bytesInHand
        status.feed.maxBytes = settings.bounds.windowBytes * settings.targets.count
        status.feed.oldestMilliseconds =
            settings.targets.indices.compactMap { core.dispatch.oldestMilliseconds(of: $0, now: now) }.max()
        fillWorkers(&status, core, now)
        fillShards(&status, core, now)
        fillTargets(&status, core, now)
    }

    private func fillWorkers(_ status: inout ClusterStatus, _ core: CoordinatorCore, _ now: Tick) {
        let shunned = Dictionary(uniqueKeysWithValues: core.gate.shunned.map { ($0.worker, $0.target) })
        let members = core.membership.members.sorted { $0.identity < $1.identity }
        let isLive = members.map { $0.session != nil && !$0.isDraining && shunned[$0.identity] == nil }
        let weight = zip(members, isLive).reduce(0) { $0 + ($1.1 ? Int($1.0.capacity) : 0) }
        status.workers = zip(members, isLive).map { member, isLive in
            var worker = WorkerStatus(identity: member.identity, state: .live)
            if member.session == nil {
                worker.state = .lost
                worker.reason = known[member.id]?.reason ?? ""
            } else if member.isDraining {
                worker.state = .draining
                worker.reason = "it leaves"
            } else if let target = shunned[member.identity] {
                worker.state = .shunned
                worker.reason = "it fails at \(target), where others succeed"
            }
            worker.address = member.session.flatMap { sessions[$0]?.connection.peer.address } ?? ""
            worker.shards = core.table.load(of: member.id)
            worker.capacity = Int(member.capacity)
            if isLive { worker.fairShards = Double(settings.shardCount) * Double(member.capacity) / Double(weight) }
            worker.bytesInHand = core.dispatch.bytes(with: member.id)
            worker.heardMilliseconds = now.milliseconds(since: member.lastHeard)
            worker.targets = (core.health[member.id] ?? []).map { TargetAtWorker($0) }
            return worker
        }
    }

    private func fillShards(_ status: inout ClusterStatus, _ core: CoordinatorCore, _ now: Tick) {
        var places: [String: Int] = [:]
        for (place, worker) in status.workers.enumerated() { places[worker.identity] = place }
        let owners = Dictionary(
            uniqueKeysWithValues: core.membership.members.map { ($0.id, places[$0.identity]) })
        status.shards = (0..<settings.shardCount).map { number in
            let id = ShardID(UInt16(number))
            var shard = ShardStatus()
            switch core.table.state(of: id) {
            case .unclaimed, .free, .claimed: break
            case .owned(let worker, let epoch):
                shard.state = .owned
                shard.owner = owners[worker] ?? nil
                shard.epoch = UInt64(epoch)
            case .revoking(let worker, let epoch, _):
                shard.state = .revoking
                shard.owner = owners[worker] ?? nil
                shard.epoch = UInt64(epoch)
            }
            shard.unownedMilliseconds = core.table.unownedSince(id).map { now.milliseconds(since: $0) }
            return shard
        }
    }

    private func fillTargets(_ status: inout ClusterStatus, _ core: CoordinatorCore, _ now: Tick) {
        for member in core.membership.members {
            if let health = core.health[member.id] { totals.take(health, of: member.id, boot: member.boot) }
        }
        let atGate = core.gate.targetStatus(now: now)
        for place in status.targets.indices {
            let state = core.dispatch.targets[place]
            status.targets[place].delivered = Int(clamping: state.delivered)
            status.targets[place].dead = Int(clamping: state.dead)
            status.targets[place].deliveredBytes = totals.bytes[place]
            status.targets[place].failures = totals.failures[place]
            status.targets[place].consecutiveFailures = Int(clamping: atGate[place].failures)
            let unread = backlog.indices.contains(place) ? backlog[place] : nil
            status.targets[place].backlog = state.inHand + Int(clamping: unread?.records ?? 0)
            status.targets[place].oldestMilliseconds = [
                atGate[place].oldestMilliseconds, unread?.oldestMilliseconds,
                core.dispatch.oldestMilliseconds(of: place, now: now),
            ].compactMap { $0 }.max()
            status.targets[place].take(
                status.workers.compactMap { $0.targets.indices.contains(place) ? $0.targets[place] : nil })
        }
    }
}

/// Sums over the workers' counters in one term. Those begin at zero with each process and are lost with it, so only what
/// they grew by is added up.
struct HealthTotals: Sendable {
    private struct Last: Sendable {
        var boot: RecordKey
        var bytes: [UInt64]
        var failures: [UInt64]
    }

    private var last: [WorkerID: Last] = [:]
    /// For each target, encoded bytes that were accepted.
    private(set) var bytes: [Int]
    /// For each target, attempts without success.
    private(set) var failures: [Int]

    init(targetCount: Int) {
        bytes = Array(repeating: 0, count: targetCount)
        failures = Array(repeating: 0, count: targetCount)
    }

    mutating func take(_ health: [TargetHealth], of worker: WorkerID, boot: RecordKey) {
        guard health.count == bytes.count else { return }
        let now = Last(
            boot: boot, bytes: health.map(\.deliveredBytes),
            failures: health.map { $0.attempts - min($0.attempts, $0.successes) })
        defer { last[worker] = now }
        // What it did before this term is not ours to count.
        guard let before = last[worker] else { return }
        let isSame = before.boot == boot
        for target in bytes.indices {
            bytes[target] += Int(clamping: Self.growth(now.bytes[target], isSame ? before.bytes[target] : 0))
            failures[target] += Int(clamping: Self.growth(now.failures[target], isSame ? before.failures[target] : 0))
        }
    }

    private static func growth(_ now: UInt64, _ before: UInt64) -> UInt64 { now > before ? now - before : 0 }
}
