import KubernetesAPI
import Model
import Testing

@testable import Coordinator
@testable import ExportCore

/// What a reader of an API server's results says of what it cannot see.
@Suite struct KubernetesResultsReadingTests {
    private let made: Int64 = 1_700_000_000_000

    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    /// One look; `outputs` are what is there, and nothing else is.
    @discardableResult
    private func look(
        _ reading: inout KubernetesResultsReading, _ milliseconds: UInt64, isWatching: Bool,
        _ outputs: [ObjectFeed.Output] = []
    ) throws -> SourceBacklog {
        let wall = made + Int64(milliseconds)
        var rest = outputs[...]
        var turn = reading.begin(
            hasRoom: [true], bytes: 1 << 20, now: at(milliseconds), unixMilliseconds: wall)
        while let ask = reading.next(&turn) {
            if case .poll = ask { reading.took(rest.popFirst(), &turn) }
        }
        _ = try reading.end(turn, ObjectFeed.Standing(failingSince: nil, isWatching: isWatching))
        return reading.backlog(failing: nil, now: at(milliseconds), unixMilliseconds: wall)[0]
    }

    /// A reader that has listed everything, there is nothing, and whose watch was open and quiet for a while.
    private func reader() throws -> KubernetesResultsReading {
        var reading = KubernetesResultsReading(
            KubernetesResultsHands(targets: ["a"]), shardCount: 16, now: at(0))
        let page = try ObjectPage(Array(#"{"metadata":{"resourceVersion":"5"},"items":[]}"#.utf8))
        try look(&reading, 0, isWatching: false, [.restarted, .page(page), .listed])
        for time in stride(from: UInt64(100), through: 5_000, by: 100) { try look(&reading, time, isWatching: true) }
        return reading
    }

    @Test("While a watch is open and tells nothing, nothing waits")
    func quietIsQuiet() throws {
        var reading = try reader()
        let rest = try look(&reading, 9_000, isWatching: true)
        #expect(rest.records == 0 && rest.oldestMilliseconds == nil)
    }

    @Test("A watch that was asked for and not answered has told nothing: what waits may be as old as that")
    func askedIsNotOpen() throws {
        var reading = try reader()
        for time in stride(from: UInt64(5_100), through: 12_000, by: 100) {
            let rest = try look(&reading, time, isWatching: false)
            if time > 8_100 { #expect(rest.records == 1 && (rest.oldestMilliseconds ?? 0) >= time - 5_100) }
        }
    }

    @Test("A watch that follows another at once is nothing to speak of, and one that came late has to catch up")
    func openedAgain() throws {
        var reading = try reader()
        try look(&reading, 5_100, isWatching: false)
        for time in stride(from: UInt64(5_200), through: 9_000, by: 100) {
            #expect(try look(&reading, time, isWatching: true).records == 0, "after \(time) ms")
        }
        for time in stride(from: UInt64(9_100), through: 14_000, by: 100) {
            try look(&reading, time, isWatching: false)
        }
        #expect(try look(&reading, 15_900, isWatching: true).records == 1)
        #expect(try look(&reading, 16_100, isWatching: true).records == 0)
    }
}
