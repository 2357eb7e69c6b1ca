import ExportCore
import Model
import Protocol

/// A gate with a store that answers at once, workers that send when told, and a clock of its own.
struct GateBench {
    var gate: ExportGate
    var now = Tick(nanoseconds: 5_000_000_000)
    var wall: UInt64 = 1_764_129_672_000
    var stored: GateRecord?
    var alerts: [String: SystemAlert] = [:]
    var raised: [String] = []
    /// The list of alerts is not answered.
    var alertsFail = false
    /// Alerts that were asked for by name.
    var sought: [String] = []
    var transitions: [ExportGate.Transition] = []
    var shuns: [String] = []
    var outranked: [UInt64] = []
    var health: [String: [TargetHealth]] = [:]
    let settings: ExportGateSettings
    let names: [String]

    init(
        targets: [String] = ["splunk"], settings: ExportGateSettings = ExportGateSettings(), term: UInt64 = 1,
        stored: GateRecord? = nil, alerts: [String: SystemAlert] = [:]
    ) {
        self.settings = settings
        self.stored = stored
        self.alerts = alerts
        names = targets
        gate = ExportGate(
            cluster: "Prod.East", identity: "coordinator-\(term)", term: term, targets: targets, settings: settings,
            now: now)
    }

    /// The same world under a new leader.
    func successor(term: UInt64) -> GateBench {
        var next = GateBench(targets: names, settings: settings, term: term, stored: stored, alerts: alerts)
        next.wall = wall
        next.health = health
        return next
    }

    mutating func join(_ worker: String, _ ability: ExportGate.Ability = .serving, boot: UInt64 = 1) {
        health[worker] = health[worker] ?? names.map { _ in TargetHealth() }
        send(.worker(worker, boot: RecordKey(high: 0, low: boot), ability))
    }

    mutating func send(_ event: ExportGate.Event) { perform(gate.handle(event, now: now)) }

    /// `count` attempts of one outcome, told at once.
    mutating func attempt(_ worker: String, target: Int = 0, _ count: Int = 1, succeeds: Bool) {
        guard var all = health[worker] else { return }
        all[target].attempts += UInt64(count)
        if succeeds {
            all[target].successes += UInt64(count)
            all[target].consecutiveFailures = 0
            all[target].sinceSuccessMilliseconds = 0
            all[target].reason = ""
        } else {
            all[target].consecutiveFailures += UInt32(count)
            all[target].reason = "503 of \(names[target])"
        }
        health[worker] = all
        send(.health(worker, all))
    }

    /// Time passes, with a tick every quarter of a second.
    mutating func pass(_ milliseconds: UInt64) {
        for _ in 0..<(milliseconds / 250) {
            now = now.adding(milliseconds: 250)
            wall += 250
            send(.tick(leadUntil: now.adding(milliseconds: 10_000), wallMilliseconds: wall))
        }
    }

    mutating func perform(_ effects: [ExportGate.Effect]) {
        for effect in effects {
            switch effect {
            case .readGate: send(.gateRead(stored))
            case .readAlerts: send(alertsFail ? .alertUnreadable : .alertsRead(Array(alerts.values)))
            case .writeGate(let record, _):
                if record.mayReplace(stored) {
                    stored = record
                    send(.gateWritten(record.version))
                } else if let stored {
                    send(.gateRefused(stored: stored))
                }
            case .raise(let alert):
                raised.append(alert.name)
                alerts[alert.name] = alerts[alert.name] ?? alert
                send(.alertRead(name: alert.name, alerts[alert.name]))
            case .readAlert(let name):
                sought.append(name)
                send(.alertRead(name: name, alerts[name]))
            case .shun(let worker, _, _): shuns.append("-\(worker)")
            case .forgive(let worker): shuns.append("+\(worker)")
            case .record(let transition): transitions.append(transition)
            case .outranked(let later, let isCredible): outranked.append(isCredible ? later : 0)
            }
        }
    }

    /// A person acknowledges every alert.
    mutating func acknowledge(by: String = "jane@example.gov") {
        for name in alerts.keys {
            alerts[name]?.acknowledged = true
            alerts[name]?.acknowledgedBy = by
            alerts[name]?.acknowledgedAt = "2026-11-26T04:00:00Z"
            alerts[name]?.remediationAction = "restarted the indexer"
        }
    }

    /// An open gate with two workers that have succeeded.
    static func working(
        _ workers: [String] = ["a", "b"], targets: [String] = ["splunk"],
        settings: ExportGateSettings = ExportGateSettings()
    ) -> GateBench {
        var bench = GateBench(targets: targets, settings: settings)
        for worker in workers { bench.join(worker) }
        bench.pass(1_000)
        for worker in workers {
            for target in targets.indices { bench.attempt(worker, target: target, succeeds: true) }
        }
        bench.backlog(1)
        bench.pass(500)
        return bench
    }

    mutating func backlog(_ records: UInt64, age: UInt64 = 0) {
        for target in names.indices {
            send(.backlog(target: target, records: records, oldestMilliseconds: records == 0 ? nil : age))
        }
    }

    /// The states that it changed to.
    var states: [ExportGate.State] { transitions.filter { !$0.isNews }.map(\.to) }
    /// What was told to be wrong while the state stayed.
    var news: [String] { transitions.filter(\.isNews).map(\.cause) }
}
