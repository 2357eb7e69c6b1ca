import ExportCore
import Model
import Testing

@testable import ExportCoreWorlds

@Suite struct StatusHistoryTests {
    private static func status(delivered: Int, term: UInt64 = 1) -> ClusterStatus {
        var status = ClusterStatus(
            coordinator: .init(name: "c0", address: "c0:7443", role: .leader, program: "1", upMilliseconds: 0))
        status.leader = .init(
            name: "c0", address: "c0:7443", endpoint: "", term: term, sinceMilliseconds: 0, renewedMilliseconds: 0)
        var target = TargetStatus(name: "splunk", backend: "splunk", format: "json")
        target.delivered = delivered
        target.deliveredBytes = delivered * 100
        target.failures = delivered / 10
        status.targets = [target]
        return status
    }

    private static func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    @Test func rateIsTheDifferenceOfCountersOverTheTimeBetween() {
        var history = StatusHistory()
        var rates: [Double?] = []
        for second in 0...12 {
            var status = Self.status(delivered: second * second * 10)
            history.observe(&status, now: Self.at(UInt64(second) * 1_000), unixMilliseconds: 0)
            rates.append(status.targets[0].recordsPerSecond)
        }
        #expect(rates[0] == nil)
        #expect(rates[1] == 10)
        // Over the last five seconds: (144 - 49) * 10 / 5.
        #expect(rates[12] == 190)
        let samples = history.record().samples
        #expect(samples.map(\.recordsPerSecond) == [[nil], [50], [150]])
        #expect(samples.map(\.bytesPerSecond) == [[nil], [5_000], [15_000]])
        #expect(samples.map(\.failures) == [[nil], [25], [75]])
        #expect(samples.map(\.number) == [1, 2, 3])
    }

    @Test func nothingIsComparedAcrossTermsOrNewCounts() {
        var history = StatusHistory()
        for (second, status) in [
            (0, Self.status(delivered: 1_000)), (5, Self.status(delivered: 900, term: 2)),
            (10, Self.status(delivered: 950, term: 2)), (15, Self.status(delivered: 7, term: 2)),
            (20, Self.status(delivered: 12, term: 3)), (25, Self.status(delivered: 22, term: 3)),
        ] {
            var status = status
            history.observe(&status, now: Self.at(UInt64(second) * 1_000), unixMilliseconds: 0)
            let rate = [10: 10.0, 25: 2.0][second]
            #expect(status.targets[0].recordsPerSecond == rate, "second \(second)")
        }
        #expect(history.record().samples.map { $0.recordsPerSecond[0] } == [nil, nil, 10, nil, nil, 2])
    }

    @Test func samplesAreBoundedAndForgotten() {
        var history = StatusHistory()
        for second in stride(from: UInt64(0), through: 3_600, by: 1) {
            var status = Self.status(delivered: Int(second))
            history.observe(&status, now: Self.at(second * 1_000), unixMilliseconds: Int64(second) * 1_000)
        }
        let samples = history.record().samples
        #expect(samples.count == StatusHistory.capacity)
        #expect(samples.first?.unixMilliseconds == 2_705_000)
        #expect(samples.last?.unixMilliseconds == 3_600_000)
        let number = samples[170].number
        #expect(history.record(after: number).samples.count == 9)
        #expect(history.record(after: samples[179].number).samples.isEmpty)
        // After standing still for longer than the window, only what is new is shown.
        var status = Self.status(delivered: 9_000)
        history.observe(&status, now: Self.at(9_000_000), unixMilliseconds: 9_000_000)
        #expect(history.record().samples.count == 1)
    }

    @Test func oneLookTwiceInAMomentIsNoRate() {
        var history = StatusHistory()
        var first = Self.status(delivered: 0)
        history.observe(&first, now: Self.at(0), unixMilliseconds: 0)
        var second = Self.status(delivered: 5_000)
        #expect(!history.observe(&second, now: Self.at(50), unixMilliseconds: 50))
        #expect(second.targets[0].recordsPerSecond == nil)
        var third = Self.status(delivered: 5_000)
        history.observe(&third, now: Self.at(1_000), unixMilliseconds: 1_000)
        #expect(third.targets[0].recordsPerSecond == 5_000)
    }

    @Test func otherTargetsBeginANewHistory() {
        var history = StatusHistory()
        var status = Self.status(delivered: 1)
        history.observe(&status, now: Self.at(0), unixMilliseconds: 0)
        status.targets.append(TargetStatus(name: "search", backend: "elasticsearch", format: "json"))
        history.observe(&status, now: Self.at(5_000), unixMilliseconds: 5_000)
        let record = history.record()
        #expect(record.targets == ["splunk", "search"])
        #expect(record.samples.map(\.number) == [2])
        #expect(record.samples[0].recordsPerSecond == [nil, nil])
    }

    @Test func targetSumsUpWhatWorkersReport() {
        var target = TargetStatus(name: "splunk", backend: "splunk", format: "json")
        var healthy = TargetAtWorker()
        (healthy.latencyMicroseconds, healthy.inFlight, healthy.limit, healthy.queuedBytes) = (1_000, 3, 4, 10)
        healthy.successMilliseconds = 20
        var failing = TargetAtWorker()
        (failing.breaker, failing.consecutiveFailures, failing.failure) = (.open, 7, "503")
        (failing.latencyMicroseconds, failing.limit, failing.successMilliseconds) = (6_000, 1, 90_000)
        target.take([healthy, failing])
        #expect(target.breaker == .halfOpen)
        #expect(target.openBreakers == 1)
        #expect(target.reporting == 2)
        #expect(target.latencyMicroseconds == 2_000)
        #expect(target.limit == 5)
        #expect(target.successMilliseconds == 20)
        #expect(target.failure == "503")
        target.take([failing])
        #expect(target.breaker == .open)
        #expect(target.successMilliseconds == 90_000)
        target.take([])
        #expect(target.breaker == .closed)
        #expect(target.latencyMicroseconds == nil)
        #expect(target.failure == nil)
    }
}
