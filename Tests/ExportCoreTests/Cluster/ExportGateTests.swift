import Model
import Protocol
import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

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
