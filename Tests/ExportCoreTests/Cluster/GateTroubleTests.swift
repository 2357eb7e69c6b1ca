import Model
import Protocol
import Testing

@testable import ExportCore

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
