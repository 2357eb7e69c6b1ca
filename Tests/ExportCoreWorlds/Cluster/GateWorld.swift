import ExportCore
import Model
import Protocol

/// What the gate looks at, as it really is: receivers, workers with their records, the store, the alerts, the API server.
/// Times are milliseconds.
struct GateWorld {
    static let step: UInt64 = 500

    /// How probes run.
    enum Rhythm: CaseIterable {
        case steady, bursts, rare
    }

    struct Receiver {
        var isUp = true
        /// Attempts of owners that failed since anybody succeeded.
        var row: UInt64 = 0
        /// Since when ``row`` is at the threshold; nil if it is not, or if nothing waits.
        var brokenSince: UInt64?
    }

    struct Worker {
        let name: String
        var boot: UInt64 = 1
        /// The coordinator takes it for alive.
        var hasSession = true
        /// The process runs; without a session it does not know that it must stop.
        var runs = true
        var isShunned = false
        var links: [Bool]
        var health: [TargetHealth]
        /// Births of the records it holds, by target.
        var queues: [[UInt64]]
        var attemptAt: [UInt64]
        var rows: [UInt64]
        var lastSuccess: [UInt64?]

        var serves: Bool { hasSession && runs && !isShunned }
    }

    struct Write {
        var record: GateRecord
        var before: UInt64
        var begins: UInt64
        var lands: UInt64
        var generation: Int
        var answerIsLost: Bool
    }

    var now: UInt64 = 100_000
    var rng: PRNG
    var receivers: [Receiver]
    var workers: [Worker]
    /// Births of records that nobody owns.
    var unowned: [[UInt64]]
    var record: GateRecord?
    var renewed: UInt64 = 0
    var storeIsUp = true
    var writes: [Write] = []
    var alerts: [String: SystemAlert] = [:]
    var rhythm = Rhythm.steady
    /// When probes run next, unless they run all the time.
    private var nextProbes: UInt64 = 0
    /// A store that does not compare versions; for a planted bug.
    var replacesBlindly = false
    let threshold: UInt64

    init(rng: PRNG, targets: Int, workers: Int, threshold: UInt64) {
        self.rng = rng
        self.threshold = threshold
        receivers = Array(repeating: Receiver(), count: targets)
        unowned = Array(repeating: [], count: targets)
        self.workers = (0..<workers).map { index in
            Worker(
                name: "w\(index)", links: Array(repeating: true, count: targets),
                health: Array(repeating: TargetHealth(), count: targets),
                queues: Array(repeating: [], count: targets), attemptAt: Array(repeating: 0, count: targets),
                rows: Array(repeating: 0, count: targets), lastSuccess: Array(repeating: nil, count: targets))
        }
    }

    /// What the API server does with a probe's Job.
    var admits: Bool {
        guard let record, record.isOpen else { return false }
        return now < renewed + UInt64(record.durationSeconds) * 1_000
    }

    func pending(_ target: Int) -> Int {
        unowned[target].count + workers.reduce(0) { $0 + $1.queues[target].count }
    }

    func oldest(_ target: Int) -> UInt64? {
        (workers.compactMap { $0.queues[target].first } + unowned[target].prefix(1)).min()
    }

    mutating func chance(_ percent: UInt64) -> Bool { rng.below(100) < percent }

    /// Probes make records while they are admitted, and records go to owners.
    mutating func feed() {
        for _ in 0..<probes() {
            for target in receivers.indices { unowned[target].append(now) }
        }
        for index in workers.indices where !workers[index].serves {
            // Moved once the owner is dead, or has given them back.
            for target in receivers.indices
            where !workers[index].queues[target].isEmpty
                && (!workers[index].runs || workers[index].isShunned || chance(5))
            {
                unowned[target] = (unowned[target] + workers[index].queues[target]).sorted()
                workers[index].queues[target] = []
            }
        }
        let owners = workers.indices.filter { workers[$0].serves }
        guard !owners.isEmpty else { return }
        for target in receivers.indices {
            for birth in unowned[target] {
                let owner = owners[Int(rng.below(UInt64(owners.count)))]
                let isLatest = workers[owner].queues[target].last.map { $0 <= birth } ?? true
                workers[owner].queues[target].append(birth)
                if !isLatest { workers[owner].queues[target].sort() }
            }
            unowned[target] = []
        }
    }

    /// How many records come now.
    private mutating func probes() -> Int {
        if rhythm == .steady { return (admits || !chance(70)) && chance(60) ? 1 : 0 }
        guard now >= nextProbes, admits else { return 0 }
        nextProbes = now + 15_000 + rng.below(15_000)
        return rhythm == .bursts ? 50 : 1
    }

    /// Every worker that runs tries to deliver.
    mutating func deliver() {
        for index in workers.indices where workers[index].runs {
            for target in receivers.indices
            where !workers[index].queues[target].isEmpty && now >= workers[index].attemptAt[target] {
                attempt(index, target)
            }
        }
        for target in receivers.indices {
            if receivers[target].row < threshold || pending(target) == 0 {
                receivers[target].brokenSince = nil
                if pending(target) == 0 { receivers[target].row = 0 }
            } else if receivers[target].brokenSince == nil {
                receivers[target].brokenSince = now
            }
        }
    }

    private mutating func attempt(_ index: Int, _ target: Int) {
        workers[index].health[target].attempts += 1
        if receivers[target].isUp, workers[index].links[target] {
            workers[index].health[target].successes += 1
            workers[index].health[target].consecutiveFailures = 0
            workers[index].health[target].reason = ""
            workers[index].queues[target].removeFirst(min(20, workers[index].queues[target].count))
            workers[index].rows[target] = 0
            workers[index].lastSuccess[target] = now
            workers[index].attemptAt[target] = now + Self.step
            receivers[target].row = 0
        } else {
            workers[index].health[target].consecutiveFailures += 1
            workers[index].health[target].reason = "refused"
            workers[index].rows[target] += 1
            let pause = min(2_000, Self.step << min(3, workers[index].rows[target]))
            // Whoever is cut off waits for the end of its patience, each time.
            let patience: UInt64 = workers[index].links[target] ? 0 : 3_000
            workers[index].attemptAt[target] = now + patience + rng.below(pause) + 1
            if workers[index].serves { receivers[target].row += 1 }
        }
    }

    /// A worker's heartbeat.
    mutating func health(_ index: Int) -> [TargetHealth] {
        for target in receivers.indices {
            let success = workers[index].lastSuccess[target]
            workers[index].health[target].sinceSuccessMilliseconds = success.map { now - $0 }
            workers[index].health[target].oldestMilliseconds = workers[index].queues[target].first.map { now - $0 }
        }
        return workers[index].health
    }

    mutating func restart(_ index: Int) {
        workers[index].boot += 1
        workers[index].runs = true
        workers[index].hasSession = true
        for target in receivers.indices {
            workers[index].health[target] = TargetHealth()
            workers[index].rows[target] = 0
            workers[index].lastSuccess[target] = nil
        }
    }

    /// A person acknowledges what there is.
    mutating func acknowledge(by: String = "jane") {
        for (name, alert) in alerts where !alert.isAcknowledgedByPerson {
            alerts[name]?.acknowledged = true
            alerts[name]?.acknowledgedBy = by
            alerts[name]?.acknowledgedAt = "2026-11-26T04:00:00Z"
            alerts[name]?.remediationAction = "mended"
        }
    }
}
