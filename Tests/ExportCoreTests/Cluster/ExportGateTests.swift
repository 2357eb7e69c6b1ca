import Model
import Protocol
import Testing

@testable import ExportCore

/// A gate with a store that answers at once, workers that send when told, and a clock of its own.
struct GateBench {
    var gate: ExportGate
    var now = Tick(nanoseconds: 5_000_000_000)
    var wall: UInt64 = 1_764_129_672_000
    var stored: GateRecord?
    var alerts: [String: SystemAlert] = [:]
    var raised: [String] = []
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
            case .readAlerts: send(.alertsRead(Array(alerts.values)))
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
            case .readAlert(let name): send(.alertRead(name: name, alerts[name]))
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

    var states: [ExportGate.State] { transitions.map(\.to) }
}

@Suite struct ExportGateTests {
    @Test func nothingIsWrittenBeforeTheRecordAndTheAlertsAreKnown() {
        var bench = GateBench()
        bench.join("a")
        var effects = bench.gate.handle(
            .tick(leadUntil: bench.now.adding(milliseconds: 900), wallMilliseconds: 1), now: bench.now)
        #expect(effects == [.readGate, .readAlerts])
        #expect(bench.gate.handle(.gateRead(nil), now: bench.now).isEmpty)
        bench.now = bench.now.adding(milliseconds: 250)
        effects = bench.gate.handle(
            .tick(leadUntil: bench.now.adding(milliseconds: 900), wallMilliseconds: 1), now: bench.now)
        #expect(effects.isEmpty && bench.gate.state == .unknown)
        #expect(bench.gate.handle(.alertsRead([]), now: bench.now).isEmpty)
        effects = bench.gate.handle(
            .tick(leadUntil: bench.now.adding(milliseconds: 900), wallMilliseconds: 1), now: bench.now)
        #expect(effects.count == 2 && bench.gate.state == .open)
        guard case .writeGate(let record, let before) = effects.last else {
            Issue.record("\(effects)")
            return
        }
        #expect(record.isOpen && record.durationSeconds == 45 && before == bench.now.adding(milliseconds: 900))
    }

    @Test func withoutAWorkerNothingIsRenewed() {
        var bench = GateBench()
        bench.join("a", .idle)
        bench.pass(10_000)
        #expect(bench.gate.state == .open && bench.stored == nil)
        bench.pass(60_000)
        #expect(bench.gate.state == .halted && bench.stored?.isOpen == false && bench.raised.count == 1)
        #expect(bench.gate.reason.contains("no worker was able to send"))
    }

    @Test func renewedAtAThirdOfTheDuration() {
        var bench = GateBench.working()
        let first = bench.stored?.version.sequence ?? 0
        bench.pass(45_000)
        #expect((bench.stored?.version.sequence ?? 0) - first == 3)
        #expect(bench.gate.isAdmitting(now: bench.now))
    }

    @Test func aLeaderWhoseLeaseIsOverDoesNothing() {
        var bench = GateBench.working()
        bench.attempt("a", 5, succeeds: false)
        bench.attempt("b", 1, succeeds: false)
        let effects = bench.gate.handle(.tick(leadUntil: bench.now, wallMilliseconds: 1), now: bench.now)
        #expect(effects.isEmpty && bench.gate.state == .open)
    }

    @Test func fiveFailuresInARowHaltUntilItWorksAndAPersonHasAcknowledged() {
        var bench = GateBench.working()
        bench.attempt("a", 2, succeeds: false)
        bench.attempt("b", 2, succeeds: false)
        bench.pass(30_000)
        #expect(bench.gate.state == .open)
        bench.attempt("a", 1, succeeds: false)
        bench.pass(500)
        #expect(bench.states == [.open, .degraded, .halted] && bench.stored?.holder == "")
        #expect(bench.raised == ["siem-export-degraded-prod-east-\(bench.gate.episode!.since / 1_000)-1-1"])
        #expect(bench.stored?.episode == bench.gate.episode && !bench.gate.isAdmitting(now: bench.now))
        // Acknowledged while it does not work: not enough.
        bench.acknowledge()
        bench.pass(30_000)
        #expect(bench.gate.state == .halted)
        bench.attempt("a", 2, succeeds: true)
        bench.pass(30_000)
        #expect(bench.gate.state == .recovering)
        bench.attempt("b", 1, succeeds: true)
        bench.pass(11_000)
        #expect(bench.gate.state == .open && bench.stored?.isOpen == true && bench.stored?.episode == nil)
        #expect(bench.stored?.ended == Episode.ID(term: 1, number: 1) && bench.raised.count == 1)
    }

    @Test func itWaitsForTheAcknowledgement() {
        var bench = GateBench.working()
        bench.attempt("a", 5, succeeds: false)
        bench.attempt("b", 1, succeeds: false)
        bench.pass(500)
        bench.attempt("b", 3, succeeds: true)
        bench.pass(60_000)
        #expect(bench.gate.state == .awaitingAcknowledgement && bench.stored?.isOpen == false)
        bench.acknowledge(by: "system:serviceaccount:ops:robot")
        bench.pass(10_000)
        #expect(bench.gate.state == .awaitingAcknowledgement)
        #expect(bench.gate.alert?.acknowledgementFlaw?.contains("only a person") == true)
        bench.alerts.removeAll()
        bench.pass(10_000)
        #expect(bench.gate.state == .awaitingAcknowledgement && bench.raised.count == 2 && Set(bench.raised).count == 1)
        bench.acknowledge()
        bench.pass(3_000)
        #expect(bench.gate.state == .open && bench.gate.isAdmitting(now: bench.now))
    }

    @Test func aSuccessOfAnybodyEndsTheRow() {
        var bench = GateBench.working()
        for _ in 0..<20 {
            bench.attempt("a", 4, succeeds: false)
            bench.attempt("b", 1, succeeds: true)
            bench.pass(250)
        }
        #expect(bench.gate.state == .open)
    }

    @Test func aBrokenWorkerIsShunnedAndTheGateStaysOpen() {
        var bench = GateBench.working()
        for _ in 0..<30 {
            bench.attempt("a", 3, succeeds: false)
            bench.pass(250)
            bench.attempt("b", 1, succeeds: true)
        }
        #expect(bench.gate.state == .open && bench.shuns == ["-a"])
        #expect(bench.gate.shunned.map(\.worker) == ["a"])
        // Tried again after a minute, and shunned for two when it is no better.
        for _ in 0..<300 {
            bench.pass(250)
            bench.attempt("b", 1, succeeds: true)
        }
        #expect(bench.shuns == ["-a", "+a"])
        for _ in 0..<40 {
            bench.attempt("a", 3, succeeds: false)
            bench.pass(250)
            bench.attempt("b", 1, succeeds: true)
        }
        #expect(bench.shuns == ["-a", "+a", "-a"] && bench.gate.suspects["a"]?.length == 120_000)
        #expect(bench.gate.state == .open)
    }

    @Test func theLastWorkerIsNotShunned() {
        var bench = GateBench.working()
        for _ in 0..<30 {
            bench.attempt("a", 3, succeeds: false)
            bench.pass(250)
            bench.attempt("b", 1, succeeds: true)
        }
        #expect(bench.shuns == ["-a"])
        bench.join("b", .fenced)
        bench.pass(250)
        #expect(bench.shuns == ["-a", "+a"])
    }

    @Test func failuresOfAFencedWorkerDoNotCount() {
        var bench = GateBench.working()
        bench.join("a", .fenced)
        bench.attempt("a", 9, succeeds: false)
        bench.join("a", .serving)
        bench.attempt("a", 9, succeeds: false)
        bench.attempt("b", 1, succeeds: false)
        bench.pass(61_000)
        #expect(bench.gate.state == .open)
        bench.attempt("a", 4, succeeds: false)
        bench.pass(500)
        #expect(bench.gate.state == .halted && bench.gate.reason.contains("5 attempts"))
    }

    @Test func aRestartedWorkersCountersBeginAnew() {
        var bench = GateBench.working(["a"])
        bench.attempt("a", 4, succeeds: false)
        bench.health["a"] = [TargetHealth()]
        bench.join("a", boot: 2)
        bench.pass(500)
        #expect(bench.gate.state == .open)
        bench.attempt("a", 1, succeeds: false)
        bench.pass(500)
        bench.attempt("a", 1, succeeds: false)
        bench.pass(500)
        #expect(bench.gate.state == .halted && bench.gate.reason.contains("5 attempts"))
    }

    /// A refusal of one record is an answer of a receiver that works; the worker does not count it.
    @Test func refusedRecordsAreNoFailures() {
        var bench = GateBench.working(["a"])
        bench.attempt("a", 4, succeeds: false)
        bench.health["a"]?[0].consecutiveFailures = 0
        for _ in 0..<20 {
            bench.health["a"]?[0].attempts += 1
            bench.send(.health("a", bench.health["a"] ?? []))
            bench.pass(1_000)
        }
        #expect(bench.gate.state == .open)
    }

    @Test func anOldRecordHalts() {
        var bench = GateBench.working()
        bench.backlog(3, age: 899_000)
        bench.pass(500)
        #expect(bench.gate.state == .open)
        bench.pass(1_000)
        #expect(bench.gate.state == .halted && bench.gate.reason.contains("has waited 900 s"))
        bench.acknowledge()
        bench.backlog(0)
        bench.pass(20_000)
        #expect(bench.gate.state == .open)
    }

    @Test func aNewLeaderGoesOnWithTheEpisode() {
        var bench = GateBench.working()
        bench.attempt("a", 5, succeeds: false)
        bench.attempt("b", 1, succeeds: false)
        bench.pass(500)
        var next = bench.successor(term: 2)
        next.join("a")
        next.join("b")
        next.pass(20_000)
        #expect(next.gate.state == .recovering && next.gate.episode == bench.gate.episode && next.raised.isEmpty)
        #expect(next.stored?.version.term == 2 && next.stored?.isOpen == false)
        next.acknowledge()
        next.attempt("a", 1, succeeds: false)
        next.backlog(2)
        next.attempt("a", 3, succeeds: true)
        next.pass(12_000)
        #expect(next.gate.state == .open && next.raised.isEmpty)
        // The next episode of this leader has a name of its own.
        next.attempt("a", 5, succeeds: false)
        next.attempt("b", 1, succeeds: false)
        next.pass(61_000)
        #expect(next.raised.count == 1 && next.gate.episode?.id == Episode.ID(term: 2, number: 1))
    }

    @Test func theAlertTellsOfAnEpisodeWhoseRecordIsLost() {
        var bench = GateBench.working()
        bench.attempt("a", 5, succeeds: false)
        bench.attempt("b", 1, succeeds: false)
        bench.pass(500)
        bench.stored = nil
        var next = bench.successor(term: 2)
        next.join("a")
        next.pass(2_000)
        #expect(next.gate.episode?.id == bench.gate.episode?.id && next.raised.isEmpty)
        #expect(next.stored?.isOpen == false)
    }

    @Test func withoutFailClosedTheAlertIsRaisedAndTheGateStaysOpen() {
        var bench = GateBench.working(settings: ExportGateSettings(impactLevel: .moderate))
        bench.attempt("a", 5, succeeds: false)
        bench.attempt("b", 1, succeeds: false)
        bench.pass(60_000)
        #expect(bench.gate.state == .degraded && bench.gate.isAdmitting(now: bench.now) && bench.raised.count == 1)
        bench.attempt("a", 3, succeeds: true)
        bench.pass(20_000)
        #expect(bench.gate.state == .awaitingAcknowledgement && bench.gate.isAdmitting(now: bench.now))
        #expect(bench.states == [.open, .degraded, .recovering, .awaitingAcknowledgement])
        // Somebody has to be told so, whoever is asked.
        var status = GateStatus(bench.gate, now: bench.now)
        #expect(status.state == .degraded && status.needsAcknowledgement)
        status = GateStatus(bench.stored, isRenewed: true, settings: bench.settings, sinceMilliseconds: 0)
        #expect(status.state == .degraded && status.needsAcknowledgement)
        bench.acknowledge()
        bench.pass(20_000)
        status = GateStatus(bench.gate, now: bench.now)
        #expect(status.state == .open && !status.needsAcknowledgement)
        status = GateStatus(bench.stored, isRenewed: true, settings: bench.settings, sinceMilliseconds: 0)
        #expect(status.state == .open && !status.needsAcknowledgement)
    }

    @Test func atLowTheEpisodeEndsByItself() {
        var bench = GateBench.working(settings: ExportGateSettings(impactLevel: .low))
        bench.attempt("a", 5, succeeds: false)
        bench.attempt("b", 1, succeeds: false)
        bench.pass(1_000)
        bench.attempt("a", 3, succeeds: true)
        bench.pass(20_000)
        #expect(bench.gate.state == .open && bench.raised.count == 1)
    }
}
