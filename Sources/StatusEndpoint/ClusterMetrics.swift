internal import CoreMetrics
internal import ExportCore
internal import Model
internal import Synchronization
internal import Telemetry

/// Says how the cluster fares in metrics.
///
/// Counters go on over terms: a term's counts begin at zero, and are added to what earlier terms of this process had.
final class ClusterMetrics: Sendable {
    /// Handles and last counts of one target.
    private struct TargetSeries: Sendable {
        let delivered, bytes, dead, failures: Counter
        let backlog, oldest, breakers: Meter
        /// Counts of this term that were added.
        var last = (delivered: 0, bytes: 0, dead: 0, failures: 0)

        init(_ name: String, in factory: any MetricsFactory) {
            typealias M = ExportMetrics
            delivered = M.clusterDelivered.counter(name, in: factory)
            bytes = M.clusterBytes.counter(name, in: factory)
            dead = M.clusterDead.counter(name, in: factory)
            failures = M.clusterFailures.counter(name, in: factory)
            backlog = M.clusterBacklog.meter(name, in: factory)
            oldest = M.clusterOldest.meter(name, in: factory)
            breakers = M.clusterBreakers.meter(name, in: factory)
        }

        mutating func take(_ target: TargetStatus) {
            delivered.increment(by: max(target.delivered - last.delivered, 0))
            bytes.increment(by: max(target.deliveredBytes - last.bytes, 0))
            dead.increment(by: max(target.dead - last.dead, 0))
            failures.increment(by: max(target.failures - last.failures, 0))
            last = (target.delivered, target.deliveredBytes, target.dead, target.failures)
            backlog.set(target.backlog)
            oldest.set(Double(target.oldestMilliseconds ?? 0) / 1_000)
            breakers.set(target.openBreakers)
        }
    }

    private struct State {
        var targets: [String: TargetSeries] = [:]
        var term: UInt64 = 0
        var looked: Tick?
    }

    private let factory: any MetricsFactory
    private let leader, term, age, admits, acknowledgement, unowned, load, records, bytes, largest: Meter
    private let gateStates: [(GateStatus.State, Meter)]
    private let workerStates: [(WorkerStatus.State, Meter)]
    private let shardStates: [(ShardStatus.State, Meter)]
    private let state = Mutex(State())

    init(in factory: any MetricsFactory) {
        typealias M = ExportMetrics
        self.factory = factory
        leader = M.clusterLeader.meter(in: factory)
        term = M.clusterTerm.meter(in: factory)
        age = M.clusterStatusAge.meter(in: factory)
        admits = M.clusterGateAdmits.meter(in: factory)
        acknowledgement = M.clusterAcknowledgement.meter(in: factory)
        unowned = M.clusterUnowned.meter(in: factory)
        load = M.clusterLoad.meter(in: factory)
        records = M.clusterInHand.meter(in: factory)
        bytes = M.clusterBytesInHand.meter(in: factory)
        largest = M.clusterLargestBacklog.meter(in: factory)
        gateStates = GateStatus.State.allCases.map { ($0, M.clusterGateState.meter($0.rawValue, in: factory)) }
        workerStates = WorkerStatus.State.allCases.map { ($0, M.clusterWorkers.meter($0.rawValue, in: factory)) }
        shardStates = ShardStatus.State.allCases.map { ($0, M.clusterShards.meter($0.rawValue, in: factory)) }
    }

    /// Takes in a look at the cluster.
    func take(_ status: ClusterStatus, now: Tick) {
        leader.set(status.coordinator.role == .leader || status.coordinator.role == .takingOver ? 1 : 0)
        term.set(Double(status.leader?.term ?? 0))
        admits.set(status.gate.state.admits ? 1 : 0)
        acknowledgement.set(status.gate.needsAcknowledgement ? 1 : 0)
        unowned.set(Double(status.shards.lazy.compactMap(\.unownedMilliseconds).max() ?? 0) / 1_000)
        load.set(status.workers.lazy.filter { $0.fairShards > 0 }.map { Double($0.shards) / $0.fairShards }.max() ?? 0)
        records.set(status.feed.records)
        bytes.set(status.feed.bytes)
        // A scaler adds up what it is told: a nothing from those who do not know would be one more opinion.
        let backlog = status.targets.lazy.map(\.backlog).max() ?? 0
        largest.set(status.coordinator.role == .leader ? Double(backlog) : .nan)
        for (state, meter) in gateStates { meter.set(status.gate.state == state ? 1 : 0) }
        for (state, meter) in workerStates { meter.set(status.workers.count { $0.state == state }) }
        for (state, meter) in shardStates { meter.set(status.shards.count { $0.state == state }) }
        state.withLock { known in
            let term = status.leader?.term ?? 0
            if term != known.term {
                for name in known.targets.keys { known.targets[name]?.last = (0, 0, 0, 0) }
                known.term = term
            }
            for target in status.targets {
                known.targets[target.name, default: TargetSeries(target.name, in: factory)].take(target)
            }
            known.looked = now
        }
    }

    /// Brings up to date what changes while nothing happens.
    func publish(now: Tick) {
        guard let looked = state.withLock({ $0.looked }) else { return }
        age.set(Double(now.milliseconds(since: looked)) / 1_000)
    }
}
