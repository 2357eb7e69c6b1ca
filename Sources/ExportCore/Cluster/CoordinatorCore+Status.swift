public import Model
import Protocol

/// Counts of one target in one term, from what workers tell.
///
/// Workers count from the start of their process, over all terms. So the first word of a worker in a term is where its
/// count begins, and a count that has fallen is one that began anew.
public struct TargetTally: Sendable, Equatable {
    /// Encoded bytes accepted.
    public private(set) var deliveredBytes = 0
    /// Attempts that ended and brought nothing.
    public private(set) var failures = 0

    mutating func add(_ health: TargetHealth, after last: TargetHealth?) {
        guard let last else { return }
        let isNew = health.attempts < last.attempts || health.deliveredBytes < last.deliveredBytes
        let base = isNew ? TargetHealth() : last
        deliveredBytes = Self.sum(deliveredBytes, health.deliveredBytes - base.deliveredBytes)
        let (now, before) = (Self.failures(health), Self.failures(base))
        failures = Self.sum(failures, now > before ? now - before : 0)
    }

    /// What a peer says may be anything, and does not end the process.
    private static func sum(_ a: Int, _ b: UInt64) -> Int {
        let (sum, isOver) = a.addingReportingOverflow(Int(clamping: b))
        return isOver ? .max : sum
    }

    private static func failures(_ health: TargetHealth) -> UInt64 {
        health.attempts > health.successes ? health.attempts - health.successes : 0
    }
}

extension CoordinatorCore {
    /// What the feed last told of a target.
    struct Unread {
        var records: UInt64
        var oldest: UInt64?
        var unwritten: UInt64
        var told: Tick

        /// What has waited goes on waiting, whether the feed can still tell of it or not.
        func oldestMilliseconds(now: Tick) -> UInt64? { oldest.map { $0 + now.milliseconds(since: told) } }
    }

    /// Fills in what the leader knows: role, gate, records in hand, shards, workers, and all of the targets but name,
    /// backend and format, which `status` has already, in the order of the sessions.
    public func fill(_ status: inout ClusterStatus, now: Tick) {
        status.coordinator.role = table.awaitedCount > 0 ? .takingOver : .leader
        status.gate = GateStatus(gate, now: now)
        status.feed.records = dispatch.recordsInHand
        status.feed.bytes = dispatch.bytesInHand
        status.feed.maxBytes = settings.bounds.windowBytes * dispatch.targetCount
        status.feed.oldestMilliseconds = status.targets.indices.compactMap {
            dispatch.oldestMilliseconds(of: $0, now: now)
        }.max()
        let members = membership.members.sorted { $0.identity < $1.identity }
        status.workers = workers(members, now)
        status.shards = shards(members, now)
        for index in status.targets.indices where index < dispatch.targetCount {
            fill(&status.targets[index], index, status.workers, now)
        }
    }

    private func workers(_ members: [Membership.Member], _ now: Tick) -> [WorkerStatus] {
        let shunned = Dictionary(gate.shunned.map { ($0.worker, $0.target) }) { first, _ in first }
        var all = members.map { member in
            var worker = WorkerStatus(identity: member.identity, state: .live)
            if member.session == nil {
                worker.state = .lost
                worker.reason = "its session is over; its shards move when it has certainly stopped"
            } else if member.isDraining {
                worker.state = .draining
                worker.reason = "leaves when it has given its shards back"
            } else if let target = shunned[member.identity] {
                worker.state = .shunned
                worker.reason = "fails at \(target), where others succeed"
            }
            worker.shards = table.load(of: member.id)
            worker.capacity = Int(max(1, member.capacity))
            worker.heardMilliseconds = now.milliseconds(since: member.lastHeard)
            if member.id.index < dispatch.workers.count {
                worker.bytesInHand = dispatch.workers[member.id.index].outstanding.reduce(0, +)
            }
            worker.targets = health[member.id, default: []].map { TargetAtWorker($0) }
            return worker
        }
        // As placement sees it: who can deliver shares by capacity; if nobody can, whoever is here and stays.
        let able = all.contains { $0.state == .live } ? WorkerStatus.State.live : .shunned
        let whole = all.lazy.filter { $0.state == able }.map(\.capacity).reduce(0, +)
        for index in all.indices where all[index].state == able {
            all[index].fairShards = Double(table.shardCount * all[index].capacity) / Double(whole)
        }
        return all
    }

    private func shards(_ members: [Membership.Member], _ now: Tick) -> [ShardStatus] {
        let places = Dictionary(members.enumerated().map { ($1.id, $0) }) { first, _ in first }
        return (0..<table.shardCount).map { number in
            let shard = ShardID(UInt16(number))
            var status = ShardStatus()
            switch table.state(of: shard) {
            case .unclaimed, .free, .claimed: break
            case .owned(let worker, let epoch):
                (status.state, status.owner, status.epoch) = (.owned, places[worker], UInt64(epoch))
            case .revoking(let worker, let epoch, _):
                (status.state, status.owner, status.epoch) = (.revoking, places[worker], UInt64(epoch))
            }
            if status.state == .unowned {
                status.unownedMilliseconds = table.unownedSince(shard).map { now.milliseconds(since: $0) } ?? 0
            }
            return status
        }
    }

    private func fill(_ target: inout TargetStatus, _ index: Int, _ workers: [WorkerStatus], _ now: Tick) {
        target.take(
            workers.lazy.filter { $0.state != .lost }.compactMap { index < $0.targets.count ? $0.targets[index] : nil })
        let known = dispatch.targets[index]
        target.delivered = Int(clamping: known.delivered)
        target.dead = Int(clamping: known.dead)
        target.deliveredBytes = tallies[index].deliveredBytes
        target.failures = tallies[index].failures
        let rest = unread[index]
        target.backlog = known.inHand + Int(clamping: min(rest?.records ?? 0, 1 << 53))
        target.oldestMilliseconds = [
            dispatch.oldestMilliseconds(of: index, now: now), rest?.oldestMilliseconds(now: now),
        ].compactMap { $0 }.max()
        guard let watched = gate.targetStatus(now: now).first(where: { $0.name == target.name }) else { return }
        target.consecutiveFailures = Int(clamping: watched.failures)
        target.successMilliseconds = watched.sinceSuccessMilliseconds ?? target.successMilliseconds
    }
}
