import KubernetesAPI
import Model
import Protocol
import Testing

@testable import Coordinator
@testable import ExportCore

/// What a reader of an API server's results says of what it cannot see.
@Suite struct KubernetesResultsReadingTests {
    private let made: Int64 = 1_700_000_000_000

    private func at(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    /// What comes of one look at what is there: `outputs`, of which those are left that were not asked for.
    private func events(
        _ reading: inout KubernetesResultsReading, _ milliseconds: UInt64, isWatching: Bool, room: [Bool] = [true],
        _ outputs: inout ArraySlice<ObjectFeed.Output>
    ) throws -> [ResultEvent] {
        var turn = reading.begin(
            hasRoom: room, bytes: 1 << 20, now: at(milliseconds), unixMilliseconds: made + Int64(milliseconds))
        while let ask = reading.next(&turn) {
            if case .poll = ask { reading.took(outputs.popFirst(), &turn) }
        }
        return try reading.end(turn, ObjectFeed.Standing(failingSince: nil, isWatching: isWatching))
    }

    /// The backlog after such a look.
    private func look(
        _ reading: inout KubernetesResultsReading, _ milliseconds: UInt64, isWatching: Bool, room: [Bool] = [true],
        _ outputs: inout ArraySlice<ObjectFeed.Output>
    ) throws -> SourceBacklog {
        _ = try events(&reading, milliseconds, isWatching: isWatching, room: room, &outputs)
        return reading.backlog(
            failing: nil, now: at(milliseconds), unixMilliseconds: made + Int64(milliseconds))[0]
    }

    /// The same where nothing is there.
    @discardableResult
    private func look(
        _ reading: inout KubernetesResultsReading, _ milliseconds: UInt64, isWatching: Bool
    ) throws -> SourceBacklog {
        var none: ArraySlice<ObjectFeed.Output> = []
        return try look(&reading, milliseconds, isWatching: isWatching, &none)
    }

    /// A reader that has listed everything, there is nothing, and whose watch was open and quiet for a while.
    private func reader(targets: [String] = ["a"]) throws -> KubernetesResultsReading {
        try reader(KubernetesResultsHands(targets: targets))
    }

    private func reader(_ hands: KubernetesResultsHands) throws -> KubernetesResultsReading {
        var reading = KubernetesResultsReading(hands, shardCount: 16, now: at(0))
        let room = hands.targets.map { _ in true }
        var outputs: ArraySlice<ObjectFeed.Output> = [.restarted, .page(try page()), .listed]
        for time in stride(from: UInt64(0), through: 5_000, by: 100) {
            _ = try look(&reading, time, isWatching: time > 0, room: room, &outputs)
        }
        return reading
    }

    private func key(_ number: UInt64) -> RecordKey { RecordKey(high: number, low: 1 << 63 | number) }

    private func text(_ number: UInt64) -> String {
        #"{"metadata":{"name":"r-\#(number)","namespace":"n","resourceVersion":"\#(number)","#
            + #""uid":"\#(KubernetesStatusText.uid(key(number)))","creationTimestamp":"\#(StoreText.time(made))"},"#
            + #""spec":{"audit":{"exportStatus":"Pending"}}}"#
    }

    /// A result of which an attempt failed, or that was given up, and how it stands at `a` and `b`.
    private func text(_ number: UInt64, a: String, b: String) -> String {
        text(number).replacing(#""Pending""#, with: #""Failed""#).replacing(
            #"{"name""#,
            with: #"{"annotations":{"\#(KubernetesStatusText.owner)":"\#(KubernetesStatusText.uid(key(number)))","#
                + #""\#(KubernetesStatusText.annotation)":"{\"a\":\"\#(a)\",\"b\":\"\#(b)\"}"},"name""#)
    }

    private func page(_ numbers: UInt64...) throws -> ObjectPage { try page(numbers.map { text($0) }) }

    private func page(_ items: [String]) throws -> ObjectPage {
        try ObjectPage(
            Array(#"{"metadata":{"resourceVersion":"5"},"items":[\#(items.joined(separator: ","))]}"#.utf8))
    }

    private func added(_ number: UInt64) throws -> ObjectFeed.Output {
        var reader = WatchReader()
        return .changes(try #require(try reader.feed(Array(#"{"type":"ADDED","object":\#(text(number))}"#.utf8))))
    }

    @Test("A piece of the watch that nobody follows holds up no list")
    func pieceForNobody() throws {
        var reading = try reader(targets: ["a", "b"])
        // The second one has no room when something comes, and falls behind.
        var outputs: ArraySlice<ObjectFeed.Output> = [try added(11)]
        for time in stride(from: UInt64(5_100), through: 9_000, by: 100) {
            _ = try look(&reading, time, isWatching: true, room: [true, false], &outputs)
        }
        #expect(outputs.isEmpty)
        // While a list is asked for to look for one of its records, the watch's past is forgotten, and the first one follows none.
        reading.seek([key(11): SoughtRecord(targets: TargetMask(bits: 2))])
        outputs = [.restarted, try added(12), .page(try page(11, 12)), .listed]
        for time in stride(from: UInt64(9_100), through: 10_000, by: 100) {
            _ = try look(&reading, time, isWatching: true, room: [true, false], &outputs)
        }
        #expect(outputs.isEmpty)
    }

    @Test("What is called dead and was delivered since comes once more, but not for a view from before that")
    func revived() throws {
        let hands = KubernetesResultsHands(targets: ["a", "b"])
        var reading = try reader(hands)
        var record = SoughtRecord(targets: TargetMask(0))
        record.revived = TargetMask(0)
        let page = try page([text(21, a: "dead", b: "delivered"), text(22, a: "delivered", b: "failed")])
        /// Looks for both of them; to which targets which of them came.
        func search(from time: UInt64) throws -> [RecordKey: TargetMask] {
            reading.seek([key(21): record, key(22): record])
            var outputs: ArraySlice<ObjectFeed.Output> = [.relisted, .page(page), .listed]
            var came: [RecordKey: TargetMask] = [:]
            var hasLooked = false
            for time in stride(from: time, through: time + 1_000, by: 100) {
                for event in try events(&reading, time, isWatching: true, room: [true, true], &outputs) {
                    if case .page(let page) = event { came[key(page.source)] = page.targets }
                    guard case .looked(let records) = event else { continue }
                    hasLooked = records == [key(21): record, key(22): record]
                }
            }
            #expect(hasLooked && outputs.isEmpty)
            return came
        }
        #expect(try search(from: 5_100) == [key(21): TargetMask(0)], "the other one says it already")
        var writing = hands.writing([
            .facts(
                Dispatch.Facts(target: 0, kind: .delivered, reason: "", keys: [key(21)], lengths: [1]))
        ])
        var ended: [(RecordKey, StatusRound.End)] = []
        while case .patch(let key, let wanted)? = writing.round.next(&ended) {
            #expect(wanted.status.state == .exported)
            if let end = writing.round.answer(key, .written(version: nil)) { hands.ended(key, end, revision: 0) }
        }
        #expect(hands.finish(writing, writing.round, now: at(6_500)).isDone && hands.count == 0)
        #expect(try search(from: 70_000) == [:])
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
