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
        guard term != nil, core != nil, election.isLeading(now: now) else {
            status.gate = gateSight.status(settings.gate, now: now)
            status.gate.changes = gateChanges
            return status
        }
        core?.fill(&status, now: now)
        if let gate = core?.gate, let found = gateSight.status(before: gate, now: now) { status.gate = found }
        status.gate.changes = gateChanges
        status.feed.files = inputs.begun
        status.feed.waitingFiles = inputs.waiting
        status.feed.unreadFiles = inputs.unread
        status.feed.trouble = inputs.trouble
        (status.feed.refusedStatuses, status.feed.statusTrouble) = stores.status.refusals
        fill(&status.workers)
        return status
    }

    /// Whether this process does its part; the reason if it does not.
    public func health() -> (isReady: Bool, reason: String) {
        let now = SystemClock.now()
        if isStopping { return (false, "this coordinator is stopping") }
        switch role(now) {
        case .starting:
            return (false, "the lease has not been read yet" + (complaints.last.isEmpty ? "" : ": \(complaints.last)"))
        case .takingOver: return (false, "this coordinator is taking over")
        case .leader: return (true, "")
        case .standby:
            guard otherLeader(now) == nil else { return (true, "") }
            let trouble = complaints.recent(now: now)
            return (false, "nobody leads, as far as is known" + (trouble.isEmpty ? "" : ": \(trouble)"))
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
                name: settings.name, address: settings.address, endpoint: settings.endpoint, term: term.number,
                sinceMilliseconds: now.milliseconds(since: term.began),
                renewedMilliseconds: now.milliseconds(since: leaseSeen))
        }
        return otherLeader(now).map { leader in
            ClusterStatus.Leader(
                name: Self.name(leader.identity), address: leader.address, endpoint: leader.endpoint, term: leader.term,
                sinceMilliseconds: now.milliseconds(since: leaderSince),
                renewedMilliseconds: now.milliseconds(since: leaseSeen))
        }
    }

    /// The coordinator's name, without what tells its processes apart in the lease.
    private static func name(_ identity: String) -> String {
        identity.lastIndex { $0 == "/" || $0 == "_" }.map { String(identity[..<$0]) } ?? identity
    }

    /// What the shell knows of workers besides the leader's machine: where they connect from, and why they are gone.
    private func fill(_ workers: inout [WorkerStatus]) {
        let byName = Dictionary(known.values.map { ($0.identity, $0) }) { first, _ in first }
        for place in workers.indices {
            guard let worker = byName[workers[place].identity] else { continue }
            workers[place].address = worker.session.flatMap { sessions[$0]?.connection.peer.address } ?? ""
            if workers[place].state == .lost, !worker.reason.isEmpty { workers[place].reason = worker.reason }
        }
    }
}
