import ExportCore

extension ClusterStatus {
    /// A cluster in which something of everything is going on.
    static func sample(workers: Int = 4, shards: Int = 256, role: Role = .leader) -> ClusterStatus {
        var status = ClusterStatus(
            coordinator: .init(
                name: "coordinator-0", address: "10.0.0.1:7443", role: role, program: "0.1.0", upMilliseconds: 60_000))
        status.cluster = "prod-east"
        status.leader = .init(
            name: role == .standby ? "coordinator-1" : "coordinator-0", address: "10.0.0.1:7443",
            endpoint: "http://10.0.0.1:8080", term: 7, sinceMilliseconds: 50_000, renewedMilliseconds: 900)
        status.gate.state = .open
        status.gate.sinceMilliseconds = 49_000
        status.feed.maxBytes = 64 << 20
        (status.feed.files, status.feed.records, status.feed.bytes) = (2, 1_234, 1_600_000)
        status.targets = [
            TargetStatus(name: "soc-splunk", backend: "splunk", format: "json"),
            TargetStatus(name: "search", backend: "elasticsearch", format: "ocsf"),
        ]
        guard role != .standby else { return status }
        status.workers = (0..<workers).map { index in
            var worker = WorkerStatus(identity: "worker-\(index)", state: index == 3 ? .lost : .live)
            worker.fairShards = index == 3 ? 0 : Double(shards) / Double(max(workers - 1, 1))
            var healthy = TargetAtWorker()
            (healthy.latencyMicroseconds, healthy.limit, healthy.inFlight) = (12_000, 4, 2)
            var failing = TargetAtWorker()
            (failing.breaker, failing.failure, failing.consecutiveFailures) = (.open, "503 from search", 6)
            worker.targets = [healthy, failing]
            return worker
        }
        status.shards = (0..<shards).map { index in
            var shard = ShardStatus()
            guard index % 61 != 0, workers > 0 else {
                shard.unownedMilliseconds = 4_000
                return shard
            }
            let owner = index % workers
            (shard.state, shard.owner, shard.epoch) = (index % 50 == 1 ? .revoking : .owned, owner, 3)
            status.workers[owner].shards += 1
            return shard
        }
        for index in status.targets.indices { status.targets[index].take(status.workers.map { $0.targets[index] }) }
        (status.targets[0].delivered, status.targets[0].deliveredBytes) = (98_000, 120_000_000)
        (status.targets[1].failures, status.targets[1].backlog, status.targets[1].dead) = (24, 1_234, 3)
        status.targets[1].oldestMilliseconds = 61_000
        return status
    }
}
