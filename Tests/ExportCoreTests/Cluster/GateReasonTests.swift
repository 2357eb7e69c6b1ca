import Model
import Protocol
import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

/// What the gate says of what is wrong: all of it, from the beginning, and what is so by now.
@Suite struct GateReasonTests {
    private func two(_ settings: ExportGateSettings = ExportGateSettings()) -> GateBench {
        GateBench.working(["a"], targets: ["splunk", "search"], settings: settings)
    }

    @Test func everyTargetThatIsBrokenIsNamedInRecordAndAlert() throws {
        var bench = two()
        bench.attempt("a", target: 0, 5, succeeds: false)
        bench.attempt("a", target: 1, 6, succeeds: false)
        bench.pass(1_000)
        let words =
            "5 attempts in a row failed at splunk, the last one: 503 of splunk;"
            + " 6 attempts in a row failed at search, the last one: 503 of search"
        #expect(bench.gate.episode?.cause == words && bench.stored?.episode?.cause == words)
        #expect(bench.gate.reason == "no probe is admitted any more: \(words)" && bench.news.isEmpty)
        let alert = try #require(bench.alerts.values.first)
        #expect(alert.message.contains(words))
    }

    /// Splunk fails; then Elasticsearch; then Splunk is mended: at no moment is nothing wrong.
    @Test func whatBreaksLaterAndWhatIsMendedBeforeIsTold() {
        var bench = two()
        bench.attempt("a", target: 0, 5, succeeds: false)
        bench.pass(10_000)
        #expect(bench.gate.reason.contains("splunk") && !bench.gate.reason.contains("search"))
        let since = bench.stored?.since
        bench.attempt("a", target: 1, 5, succeeds: false)
        bench.pass(1_000)
        #expect(bench.news.count == 1 && bench.gate.reason == bench.news[0])
        #expect(bench.gate.reason.contains("failed at splunk") && bench.gate.reason.contains("failed at search"))
        #expect(bench.transitions.last?.kinds == [.failures])
        #expect(bench.transitions.last?.description.hasPrefix("gate stays halted: ") == true)
        bench.attempt("a", target: 0, 3, succeeds: true)
        bench.pass(6_000)
        #expect(bench.news.count == 2 && bench.gate.reason.contains("search"))
        #expect(!bench.gate.reason.contains("splunk"))
        #expect(bench.stored?.reason == bench.gate.reason && bench.stored?.since == since)
        #expect(bench.gate.state == .halted)
        // Nothing new is wrong: nothing is counted again, and the episode has the one alert that it had.
        #expect(bench.transitions.last?.kinds == [] && bench.raised.count == 1)
        bench.attempt("a", target: 1, 3, succeeds: true)
        bench.acknowledge()
        bench.pass(20_000)
        #expect(bench.states == [.open, .degraded, .halted, .recovering, .open] && bench.news.count == 2)
    }

    @Test func whereProbesGoOnItIsToldAsWell() {
        var bench = two(ExportGateSettings(impactLevel: .moderate))
        bench.attempt("a", target: 0, 5, succeeds: false)
        bench.pass(10_000)
        bench.attempt("a", target: 1, 5, succeeds: false)
        bench.pass(1_000)
        #expect(bench.gate.state == .degraded && bench.gate.reason.contains("search") && bench.news.count == 1)
    }

    /// A target that comes and goes does not fill the log.
    @Test func newsHaveAPauseBetweenThem() {
        var bench = two()
        bench.attempt("a", target: 0, 5, succeeds: false)
        bench.pass(1_000)
        for _ in 0..<30 {
            bench.attempt("a", target: 1, 5, succeeds: false)
            bench.pass(1_000)
            bench.attempt("a", target: 1, 1, succeeds: true)
            bench.pass(1_000)
        }
        #expect((1...13).contains(bench.news.count))
    }

    /// The gate is being closed when its target is mended; it is not said to fail any more.
    @Test func whatIsMendedWhileTheGateClosesIsNotToldToFail() {
        var bench = GateBench.working(["a"])
        bench.attempt("a", 5, succeeds: false)
        // The store does not answer from here on.
        let effects = bench.gate.handle(
            .tick(leadUntil: bench.now.adding(milliseconds: 900), wallMilliseconds: bench.wall), now: bench.now)
        #expect(bench.gate.state == .degraded && effects.count == 2)
        bench.attempt("a", 1, succeeds: true)
        for _ in 0..<24 {
            bench.now = bench.now.adding(milliseconds: 250)
            bench.wall += 250
            for case .record(let change) in bench.gate.handle(
                .tick(leadUntil: bench.now.adding(milliseconds: 900), wallMilliseconds: bench.wall), now: bench.now)
            {
                bench.transitions.append(change)
            }
        }
        #expect(bench.gate.state == .degraded && bench.gate.reason == "nothing fails any more")
    }

    @Test func anOldRecordIsToldWithHowManyWaitAndTheLastError() {
        var bench = GateBench.working(["a"])
        bench.attempt("a", 2, succeeds: false)
        bench.pass(30_000)
        bench.attempt("a", 1, succeeds: true)
        bench.send(.backlog(target: 0, records: 1_200, oldestMilliseconds: 899_000, unwritten: 7))
        bench.send(.hindered("outcomes cannot be written, 9 times in a row: 500 of etcd"))
        bench.pass(1_000)
        #expect(
            bench.gate.episode?.cause
                == "the oldest of 1200 records for splunk has waited 900 s, and 7 are delivered and not marked so;"
                + " the last attempt that failed there, 31 s ago: 503 of splunk;"
                + " outcomes cannot be written, 9 times in a row: 500 of etcd")
        #expect(bench.gate.targetStatus(now: bench.now)[0].reason.contains("503 of splunk"))
        var failing = GateBench.working(["a"])
        failing.backlog(3, age: 899_000)
        failing.attempt("a", 2, succeeds: false)
        failing.pass(1_000)
        #expect(
            failing.gate.episode?.cause
                == "the oldest of 3 records for splunk has waited 900 s;"
                + " 2 attempts in a row failed there, the last one: 503 of splunk")
        var quiet = GateBench.working(["a"])
        quiet.backlog(3, age: 899_000)
        quiet.pass(1_000)
        #expect(quiet.gate.episode?.cause.hasSuffix("; no attempt is known to have failed there") == true)
    }

    @Test func withoutWorkersItIsToldWhoWasTheLastAndWhatFailed() {
        var bench = GateBench.working(["a", "b"], targets: ["splunk", "search"])
        bench.attempt("b", target: 1, 1, succeeds: false)
        bench.join("a", .fenced)
        bench.join("b", .idle)
        bench.pass(61_000)
        #expect(
            bench.gate.episode?.cause
                == "no worker was able to send for 60 s, to any target (splunk, search): of 2 workers 1 cut off,"
                + " 1 without shards, 0 shunned; the last that could send was a;"
                + " the last failed attempt, at search, 60 s ago: 503 of search")
        var nobody = GateBench()
        nobody.pass(61_000)
        #expect(nobody.gate.reason.contains("(splunk): no worker is known; none could since this leader began"))
    }

    @Test func anUnknownBacklogIsToldWithTheLastErrorOfReading() {
        var bench = two()
        bench.send(.feedSilent(milliseconds: 31_000))
        bench.send(.hindered("results cannot be read: no route"))
        bench.pass(1_000)
        #expect(
            bench.gate.episode?.cause
                == "the results that wait are unknown: their store was not read through for 31 s,"
                + " for any target (splunk, search); the last error: results cannot be read: no route")
    }

    /// However long errors are and however many targets there are, each is named.
    @Test func errorsAreCutBeforeNamesAre() {
        let names = (0..<8).map { "target-\($0)" }
        let causes = names.map {
            ExportGate.Cause.failures(target: $0, count: 5, reason: String(repeating: "é", count: 200))
        }
        for count in 1...8 {
            let words = ExportGate.Cause.words(Array(causes.prefix(count)))
            #expect(names.prefix(count).allSatisfy { words.contains($0) })
            #expect(words.utf8.count < (count < 6 ? 1_000 : 1_400))
        }
        #expect(ExportGate.Cause.words([causes[0]]).hasSuffix("é"), "of one nothing is cut")
    }

    @Test func aRecordOfALaterTermThatWasDeletedIsNoReasonAnyMore() {
        var bench = GateBench.working(["a"])
        bench.stored?.version.term = 9
        bench.pass(20_000)
        #expect(bench.outranked == [9] && bench.gate.reason.contains("of term 9"))
        bench.stored = nil
        bench.pass(15_000)
        #expect(bench.gate.state == .open && bench.gate.reason.isEmpty && bench.stored?.version.term == 1)
    }
}

/// What lies among the alerts besides the episode's own.
@Suite struct GateAlertTests {
    private func halted() -> GateBench {
        var bench = GateBench.working(["a"])
        bench.attempt("a", 5, succeeds: false)
        bench.pass(1_000)
        return bench
    }

    @Test func anEpisodeOnRecordNeedsItsOwnAlertAlone() {
        let bench = halted()
        var next = bench.successor(term: 2)
        next.alertsFail = true
        next.join("a")
        next.pass(2_000)
        #expect(next.gate.state == .recovering && next.gate.episode == bench.gate.episode)
        #expect(next.sought.first == bench.raised[0] && next.raised.isEmpty && next.gate.alert != nil)
        next.acknowledge()
        next.attempt("a", 1, succeeds: false)
        next.backlog(2)
        next.attempt("a", 3, succeeds: true)
        next.pass(20_000)
        #expect(next.gate.state == .open && next.gate.isAdmitting(now: next.now))
    }

    @Test func itsAlertThatIsGoneIsRaisedAgainUnderItsName() {
        let bench = halted()
        var next = bench.successor(term: 2)
        next.alerts = [:]
        next.join("a")
        next.pass(5_000)
        #expect(next.raised == bench.raised)
    }

    /// What nobody has put on record may be told by an alert alone: without the list nothing is opened.
    @Test func withoutAnEpisodeOnRecordTheListIsNeeded() {
        let bench = GateBench.working(["a"])
        var next = bench.successor(term: 2)
        next.alertsFail = true
        next.join("a")
        next.pass(20_000)
        #expect(next.gate.state == .unknown)
        next.alertsFail = false
        next.pass(15_000)
        #expect(next.gate.state == .open)
    }
}
