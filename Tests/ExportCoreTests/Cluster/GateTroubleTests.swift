import Model
import Protocol
import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

/// What the gate does about records and a feed that are not as they should be.
@Suite struct GateTroubleTests {
    @Test func aNewerRecordIsToldOnceAndANewTermIsLedIn() {
        var bench = GateBench(stored: Self.record(term: 9))
        bench.join("a")
        bench.pass(30_000)
        #expect(bench.outranked == [9] && bench.gate.state == .unknown && bench.stored?.version.term == 9)
        #expect(bench.gate.reason.contains("of term 9"))
        var next = bench.successor(term: 10)
        next.join("a")
        next.pass(1_000)
        #expect(next.outranked.isEmpty && next.stored?.version.term == 10)
    }

    @Test func aRecordThatNoLeaderWroteIsNotFollowedAndMayBeDeleted() {
        var bench = GateBench(stored: Self.record(term: 1 << 40))
        bench.join("a")
        bench.pass(30_000)
        #expect(bench.outranked == [0] && bench.gate.state == .unknown)
        bench.stored = nil
        bench.pass(15_000)
        #expect(bench.gate.state == .open && bench.stored?.version.term == 1)
    }

    private static func record(term: UInt64) -> GateRecord {
        GateRecord(
            version: GateRecord.Version(term: term, sequence: 3), holder: "other", durationSeconds: 45, state: .open,
            reason: "", since: 0)
    }

    @Test func whatAWorkerFailsAtAfterItsFirstReportInASessionCounts() {
        var bench = GateBench.working(["a"])
        bench.join("a", .fenced)
        bench.attempt("a", 9, succeeds: false)
        bench.join("a", .idle)
        bench.attempt("a", 1, succeeds: false)
        bench.join("a", .serving)
        bench.attempt("a", 4, succeeds: false)
        bench.pass(500)
        #expect(bench.gate.state == .open)
        bench.attempt("a", 1, succeeds: false)
        bench.pass(500)
        #expect(bench.gate.state == .halted && bench.gate.reason.contains("5 attempts"))
    }

    /// A session may be so short that a tick sees little of it.
    @Test func theGateKnowsOfASessionBeforeItHearsWhatFailedInIt() {
        func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }
        let about = Membership.Settings(leader: "c0", term: 1, versions: 1...1, shardCount: 4, targets: ["splunk"])
        var core = CoordinatorCore(
            .init(membership: about, isFirstTerm: true, cluster: "prod", gate: ExportGateSettings()),
            index: SettledIndex(targetCount: 1), leadUntil: at(1_000_000), now: at(0))
        func say(_ session: UInt64, _ message: Message, _ time: UInt64) {
            _ = core.handle(.received(SessionID(session), message), now: at(time))
        }
        func greet(_ session: UInt64, _ time: UInt64) {
            _ = core.handle(.connected(SessionID(session), name: nil), now: at(time))
            let hello = Hello(
                versions: 1...1, identity: "a", boot: RecordKey(high: 1, low: 1), capacity: 1, windowBytes: 1_000,
                term: 1, targets: ["splunk"], claims: [])
            say(session, .hello(hello), time)
        }
        func beat(_ session: UInt64, _ number: UInt64, failed: UInt32, _ time: UInt64) {
            var health = TargetHealth()
            (health.attempts, health.consecutiveFailures) = (UInt64(failed), failed)
            say(session, .heartbeat(Heartbeat(term: 1, number: number, health: [health])), time)
        }
        func tick(_ time: UInt64) {
            _ = core.handle(.tick(leadUntil: at(1_000_000), wallMilliseconds: 0), now: at(time))
        }
        greet(1, 0)
        beat(1, 1, failed: 0, 1)
        for time in [200, 400, 5_000] as [UInt64] { tick(time) }
        beat(1, 2, failed: 1, 5_001)
        #expect(core.table.load(of: WorkerID(0)) == 4)
        #expect(core.gate.targetStatus(now: at(5_002))[0].failures == 1)
        _ = core.handle(.closed(SessionID(1)), now: at(5_010))
        tick(5_100)
        greet(2, 5_110)
        beat(2, 1, failed: 2, 5_111)
        beat(2, 2, failed: 4, 5_112)
        #expect(core.gate.targetStatus(now: at(5_113))[0].failures == 3)
    }

    @Test func aFeedThatTellsNothingHalts() {
        var bench = GateBench.working()
        bench.send(.feedSilent(milliseconds: 29_000))
        bench.pass(1_000)
        #expect(bench.gate.state == .open)
        bench.send(.feedSilent(milliseconds: 30_000))
        bench.pass(1_000)
        #expect(bench.gate.state == .halted && bench.gate.reason.contains("unknown"))
        bench.acknowledge()
        bench.send(.feedSilent(milliseconds: 0))
        bench.pass(20_000)
        #expect(bench.gate.state == .open)
    }
}

/// Results in bursts, or rarely: the others' successes are long ago when one worker fails.
@Suite struct LoneFailureTests {
    /// "a" is cut off while nobody else has anything to send; its five attempts take as long as connecting in vain does.
    private func cutOff() -> GateBench {
        var bench = GateBench.working()
        bench.pass(600_000)
        for _ in 0..<5 {
            bench.attempt("a", 1, succeeds: false)
            bench.pass(17_000)
        }
        return bench
    }

    @Test func itIsShunnedHoweverOldTheOthersSuccessIs() {
        var bench = cutOff()
        #expect(bench.shuns == ["-a"] && bench.gate.state == .open)
        bench.pass(20_000)
        bench.attempt("b", 1, succeeds: true)
        bench.backlog(0)
        bench.pass(300_000)
        #expect(bench.states == [.open] && bench.raised.isEmpty)
    }

    @Test func itHaltsWhenTheTakersFailToo() {
        var bench = cutOff()
        bench.attempt("b", 1, succeeds: false)
        bench.pass(500)
        #expect(bench.gate.state == .halted && bench.shuns == ["-a", "+a"])
    }

    @Test func itHaltsWhenTheTakersShowNothingInTime() {
        var bench = cutOff()
        bench.pass(20_000)
        #expect(bench.gate.state == .open)
        bench.pass(40_000)
        #expect(bench.gate.state == .halted && bench.gate.reason.contains("5 attempts"))
        bench.acknowledge()
        bench.attempt("b", 3, succeeds: true)
        bench.pass(20_000)
        #expect(bench.gate.state == .open)
    }

    /// One failure of another worker, long ago, makes the fifth; the next attempt of the one that is cut off is far away.
    @Test func itIsShunnedForMostOfTheFailures() {
        var bench = GateBench.working(["a", "b", "c"])
        bench.attempt("b", 1, succeeds: false)
        bench.pass(300_000)
        bench.attempt("a", 4, succeeds: false)
        bench.pass(6_000)
        #expect(bench.shuns == ["-a"] && bench.gate.state == .open)
        bench.attempt("c", 1, succeeds: true)
        bench.backlog(0)
        bench.pass(120_000)
        #expect(bench.gate.state == .open && bench.raised.isEmpty)
    }

    /// All have failed, the target is mended, and what is left lies with the one that cannot reach it.
    @Test func whoHasNothingLeftToTryIsGivenTheRest() {
        var bench = GateBench.working()
        bench.attempt("b", 1, succeeds: false)
        bench.attempt("a", 5, succeeds: false)
        bench.pass(30_000)
        #expect(bench.gate.state == .halted && bench.shuns.isEmpty)
        bench.attempt("a", 1, succeeds: false)
        bench.pass(31_000)
        #expect(bench.shuns == ["-a"])
        bench.attempt("b", 3, succeeds: true)
        bench.acknowledge()
        bench.pass(20_000)
        #expect(bench.gate.state == .open)
    }

    @Test func oneThatHasTriedNothingYetTakesOver() {
        var bench = GateBench.working(["a"])
        bench.join("c")
        bench.send(.health("c", [TargetHealth()]))
        bench.attempt("a", 5, succeeds: false)
        bench.pass(6_000)
        #expect(bench.shuns == ["-a"] && bench.gate.state == .open)
        bench.attempt("c", 1, succeeds: true)
        bench.pass(60_000)
        #expect(bench.gate.state == .open)
    }
}
