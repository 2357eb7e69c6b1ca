import ExportCore
import Glibc
import Model
import Protocol
import Testing

@testable import Coordinator

@Suite struct StatusJournalTests {
    private let targets = ["splunk", "arch\"ive"]

    /// The journal's bytes, and what is settled after them, by a set of single positions.
    private struct Model: Equatable {
        var settled: [UInt64: [[Bool]]] = [:]
        var finished: Set<UInt64> = []

        static func state(_ settled: SettledSources, size: Int) -> [UInt64: [[Bool]]] {
            var all: [UInt64: [[Bool]]] = [:]
            for (number, source) in settled.sources {
                all[number] = settled.targets.map { name in
                    let set = source.settled(at: name)
                    return (0..<size).map { set.contains(UInt64($0)) }
                }
            }
            return all
        }
    }

    /// A leader ended between the last fact and the word that it was the last: the next one says it.
    @Test func whatIsSettledAndWasNeverCalledFinishedIsKnown() {
        var known = SettledSources(targets: targets)
        func fact(_ source: UInt64, _ target: String, _ range: Range<UInt64>, dead: Bool = false) {
            known.apply(
                StatusLine(
                    term: 1, file: "f\(source)", source: source, size: 60,
                    body: .facts(target: target, dead ? .dead : .delivered, [range], reason: dead ? "no" : "")))
        }
        for target in targets { fact(1, target, 0..<60) }
        fact(2, targets[0], 0..<60)
        fact(2, targets[1], 0..<40)
        fact(2, targets[1], 40..<60, dead: true)
        fact(3, targets[0], 0..<60)
        for target in targets { fact(4, target, 1..<60) }
        for target in targets { fact(5, target, 0..<60) }
        known.apply(StatusLine(term: 1, file: "f5", source: 5, size: 60, body: .finished(targets: targets)))
        #expect(known.untold == [1, 2])
    }

    @Test func linesAreReadAsTheyWereWritten() {
        let bodies: [StatusLine.Body] = [
            .facts(target: "a", .delivered, [0..<512, 1_024..<1_536], reason: ""),
            .facts(target: "ä\"\\\n", .dead, [7..<8], reason: "no \u{1} \"such\" thing"),
            .facts(target: "a", .failed, [0..<(1 << 40)], reason: "x"), .finished(targets: ["a", "b"]),
            .finished(targets: []),
        ]
        for body in bodies {
            let line = StatusLine(
                term: 3, file: "é \"1\".ndjson", source: 0x00ab_cdef_0123_4567, size: 1 << 40, body: body)
            var out = ByteWriter()
            line.write(into: &out)
            #expect(out.span[out.count - 1] == 0x0A)
            #expect(StatusLine(out.span, 0..<out.count - 1) == line)
            // Any change of a byte is noticed.
            for index in 0..<out.count - 1 {
                var bytes = out.span.array
                bytes[index] ^= 1
                #expect(StatusLine(bytes.span, 0..<bytes.count - 1) == nil, "byte \(index)")
            }
            for end in 0..<out.count - 1 { #expect(StatusLine(out.span, 0..<end) == nil) }
        }
    }

    /// Random facts and compactions, against a model that knows every position.
    /// Of a later release: a member more, and a kind of line more.
    @Test func linesOfALaterReleaseAreReadAsFarAsTheyAreKnown() {
        func line(_ members: String) -> [UInt8] {
            let text = Array((#"{"term":9,"file":"f","source":"0000000000000001","size":60,"# + members).utf8)
            var sum: UInt64 = 0xcbf2_9ce4_8422_2325
            for byte in text { sum = (sum ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
            let digits = String(sum, radix: 16)
            let padded = String(repeating: "0", count: 16 - digits.count) + digits
            return text + Array((#","sum":""# + padded + "\"}\n").utf8)
        }
        var known = SettledSources(targets: ["a"])
        let journal =
            line(#""target":"a","delivered":[[0,20]],"lane":{"x":[1]}"#)
            + line(#""target":"a","quarantined":[[20,40]]"#)
            + line(#""target":"a","delivered":[[40,60]]"#)
        known.read(journal.span)
        #expect(known.sources[1]?.settled(at: "a").ranges == [0..<20, 40..<60])
        #expect(known.damagedLines == 1 && known.highestTerm == 9)
    }

    @Test(arguments: 0..<8)
    func compactionChangesNothingThatIsKnown(part: UInt64) {
        for seed in part * 125..<(part + 1) * 125 {
            var rng = PRNG(seed: seed)
            var known = SettledSources(targets: targets)
            var model: [UInt64: [[Bool]]] = [:]
            var dead: [UInt64: [[Bool]]] = [:]
            for _ in 0..<40 {
                let source = rng.below(3)
                let target = Int(rng.below(2))
                let start = rng.below(60)
                let range = start..<start + 1 + rng.below(60 - start)
                var line = StatusLine(
                    term: 1, file: "f\(source)", source: source, size: 60, body: .finished(targets: targets))
                var states = model[source] ?? [[Bool]](repeating: [Bool](repeating: false, count: 60), count: 2)
                var gone = dead[source] ?? [[Bool]](repeating: [Bool](repeating: false, count: 60), count: 2)
                switch rng.below(16) {
                case 0:
                    states = [[Bool]](repeating: [Bool](repeating: true, count: 60), count: 2)
                case 1: line.body = .facts(target: targets[target], .failed, [range], reason: "f")
                case 2...4:
                    line.body = .facts(target: targets[target], .dead, [range], reason: "r\(rng.below(2))")
                    for position in range where !states[target][Int(position)] { gone[target][Int(position)] = true }
                    for position in range { states[target][Int(position)] = true }
                default:
                    line.body = .facts(target: targets[target], .delivered, [range], reason: "")
                    for position in range { states[target][Int(position)] = true }
                }
                known.apply(line)
                model[source] = states
                dead[source] = gone
                guard rng.below(6) == 0 else { continue }
                var out = ByteWriter()
                let lines = known.compacted(term: 2) { _ in true }
                for line in lines { line.write(into: &out) }
                var again = SettledSources(targets: targets)
                again.read(out.span)
                #expect(again.damagedLines == 0)
                #expect(Model.state(again, size: 60) == Model.state(known, size: 60), "seed \(seed)")
                #expect(again.compacted(term: 2) { _ in true } == lines, "seed \(seed)")
                known = again
            }
            for (source, states) in model {
                #expect(Model.state(known, size: 60)[source] == states, "seed \(seed) source \(source)")
            }
        }
    }

    @Test func whatIsFinishedTakesOneLineAndWhatWasGivenUp() {
        var known = SettledSources(targets: targets)
        func line(_ body: StatusLine.Body) -> StatusLine {
            StatusLine(term: 1, file: "f", source: 1, size: 60, body: body)
        }
        for start in 0..<60 as Range<UInt64> {
            known.apply(line(.facts(target: "splunk", .delivered, [start..<start + 1], reason: "")))
        }
        known.apply(line(.facts(target: "arch\"ive", .failed, [0..<60], reason: "f")))
        known.apply(line(.facts(target: "arch\"ive", .dead, [0..<20], reason: "r")))
        known.apply(line(.facts(target: "arch\"ive", .delivered, [10..<60], reason: "")))
        known.apply(line(.finished(targets: targets)))
        #expect(
            known.compacted(term: 1) { _ in true } == [
                line(.finished(targets: ["arch\"ive", "splunk"])),
                line(.facts(target: "arch\"ive", .dead, [0..<10], reason: "r")),
            ])
        #expect(known.compacted(term: 1) { _ in false } == [])
        #expect(known.index.isFinished(1))
        // A target that came later has to be given everything.
        var later = SettledSources(targets: ["new", "splunk"])
        later.apply(line(.finished(targets: targets)))
        #expect(!later.index.isFinished(1) && !later.index.contains(5, of: 1, target: 0))
        #expect(later.index.contains(59, of: 1, target: 1) && !later.index.contains(60, of: 1, target: 1))
    }

    private func store(_ directory: String, _ log: HeardLog = HeardLog()) throws -> FileClusterStore {
        let store = try FileClusterStore(directory: directory, log: log.logger)
        for source in 1...3 as ClosedRange<UInt64> { store.names.set(source, file: "f\(source).ndjson", size: 1_000) }
        return store
    }

    @Test func aLateRequestOfAnEarlierTermWritesNothingThoughTheLeaseWasSetBack() async throws {
        try await withStoreDirectory { directory in
            let a = try store(directory)
            let first = try await a.lead("a", 1)
            _ = try await a.takeOver(fence: first, targets: targets)
            try await a.write([facts(0, .delivered, source: 1, [0..<10])], fence: first)
            let (lease, kept) = (directory + "/lease.json", directory + "/lease.old")
            #expect(unsafe link(lease, kept) == 0)
            let second = try await a.lead("a", 2)
            try await a.write([facts(0, .delivered, source: 1, [10..<20])], fence: second)
            let before = contents(directory + "/status.log")
            // Somebody puts the old lease back.
            #expect(unsafe rename(kept, lease) == 0)
            #expect(
                await refusal { try await a.write([facts(0, .delivered, source: 1, [20..<30])], fence: first) }
                    == .fenced)
            #expect(contents(directory + "/status.log") == before)
            await a.close()
        }
    }

    @Test func aLeaderThatWasReplacedWritesNothing() async throws {
        try await withStoreDirectory { directory in
            let (a, b) = (try store(directory), try store(directory))
            let old = try await a.lead("a", 1)
            _ = try await a.takeOver(fence: old, targets: targets)
            try await a.write([facts(0, .delivered, source: 1, [0..<10, 10..<20, 40..<50])], fence: old)
            let before = contents(directory + "/status.log")
            let new = try await b.lead("b", 2)
            for fence in [old, Fence(holder: "b", term: 1), Fence(holder: "a", term: 2)] {
                #expect(
                    await refusal { try await a.write([facts(0, .delivered, source: 1, [20..<30])], fence: fence) }
                        == .fenced)
                await #expect(throws: StoreError.self) { try await a.takeOver(fence: fence, targets: targets) }
            }
            #expect(contents(directory + "/status.log") == before)
            let known = try await b.takeOver(fence: new, targets: targets)
            #expect(known.sources[1]?.targets["splunk"]?.delivered.ranges == [0..<20, 40..<50])
            // Given back, and gone.
            try await b.lead("", 2)
            await #expect(throws: StoreError.self) { try await b.write([.finished(source: 1)], fence: new) }
            #expect(unsafe unlink(directory + "/lease.json") == 0)
            await #expect(throws: StoreError.self) { try await b.write([.finished(source: 1)], fence: new) }
            await a.close()
            await b.close()
        }
    }

    @Test func aTermBelowThatOfTheJournalIsTold() async throws {
        try await withStoreDirectory { directory in
            let store = try store(directory)
            let late = try await store.lead("a", 9)
            _ = try await store.takeOver(fence: late, targets: targets)
            try await store.write([facts(0, .delivered, source: 1, [0..<10])], fence: late)
            #expect(unsafe unlink(directory + "/lease.json") == 0 && unlink(directory + "/highest-term.json") == 0)
            let early = try await store.lead("a", 1)
            #expect(
                await refusal { _ = try await store.takeOver(fence: early, targets: targets) } == .superseded(by: 9))
            await store.close()
        }
    }

    /// Whatever a crash leaves of the journal: what it still says whole is known, nothing else, and writing goes on.
    @Test func aJournalCutAnywhereIsReadAsFarAsItGoes() async throws {
        try await withStoreDirectory { directory in
            let store = try store(directory)
            let fence = try await store.lead("a", 1)
            _ = try await store.takeOver(fence: fence, targets: targets)
            try await store.write(
                [
                    facts(0, .delivered, source: 1, [0..<10]), facts(1, .dead, source: 1, [0..<10], reason: "bad"),
                    .finished(source: 2),
                ], fence: fence)
            let whole = try #require(contents(directory + "/status.log"))
            let ends = whole.indices.filter { whole[$0] == 0x0A }
            #expect(ends.count == 3)
            for cut in stride(from: 0, through: whole.count, by: 3) {
                put(Array(whole[..<cut]), at: directory + "/status.log")
                let count = ends.filter { $0 < cut }.count
                let known = try await store.takeOver(fence: fence, targets: targets)
                #expect(known.sources[1]?.targets["splunk"]?.delivered.ranges == (count > 0 ? [0..<10] : nil))
                #expect(known.sources[1]?.targets["arch\"ive"]?.dead["bad"]?.ranges == (count > 1 ? [0..<10] : nil))
                #expect(known.isFinished(2) == (count > 2))
                #expect(known.damagedLines == (cut == 0 || whole[cut - 1] == 0x0A ? 0 : 1))
                try await store.write([facts(0, .delivered, source: 3, [5..<6])], fence: fence)
                let next = try await store.takeOver(fence: fence, targets: targets)
                #expect(next.damagedLines == 0 && next.sources[3] != nil)
                #expect(next.isFinished(2) == (count > 2))
            }
            await store.close()
        }
    }

    /// Without a take-over in between: a line that was cut off does not swallow the next.
    @Test func aTornLineDoesNotSpoilTheNext() throws {
        let path = "/tmp/sidereal-append-\(getpid())"
        defer {
            for name in ["/log", "/.lock"] { unsafe unlink(path + name) }
            unsafe rmdir(path)
        }
        let directory = StoreDirectory(path, lockMilliseconds: 100)
        try directory.make([])
        put(Array("one\ntor".utf8), at: path + "/log")
        try directory.append(Array("two\n".utf8), to: "log") {}
        #expect(contents(path + "/log") == Array("one\ntor\ntwo\n".utf8))
    }

    @Test func aDamagedLineCostsNothingElse() async throws {
        try await withStoreDirectory { directory in
            let store = try store(directory)
            let fence = try await store.lead("a", 1)
            _ = try await store.takeOver(fence: fence, targets: targets)
            for source in 1...3 as ClosedRange<UInt64> {
                try await store.write([facts(0, .delivered, source: source, [0..<1_000])], fence: fence)
            }
            var bytes = try #require(contents(directory + "/status.log"))
            bytes[bytes.count / 2] ^= 4
            put(bytes, at: directory + "/status.log")
            let known = try await store.takeOver(fence: fence, targets: targets)
            #expect(known.damagedLines == 1 && Set(known.sources.keys) == [1, 3])
            await store.close()
        }
    }

    /// full(4) answers every write as a full disk does. What a part of a write leaves, the cut journals above show.
    @Test func aFullDiskIsAnErrorAndNothingHalfCounts() async throws {
        try await withStoreDirectory { directory in
            let store = try store(directory)
            let fence = try await store.lead("a", 1)
            _ = try await store.takeOver(fence: fence, targets: targets)
            try await store.write([facts(0, .delivered, source: 1, [0..<10])], fence: fence)
            let before = try #require(contents(directory + "/status.log"))
            #expect(unsafe unlink(directory + "/status.log") == 0)
            #expect(unsafe symlink("/dev/full", directory + "/status.log") == 0)
            #expect(
                await refusal { try await store.write([facts(0, .delivered, source: 1, [10..<20])], fence: fence) }
                    == .full)
            put(before, at: directory + "/status.log")
            let known = try await store.takeOver(fence: fence, targets: targets)
            #expect(known.sources[1]?.targets["splunk"]?.delivered.ranges == [0..<10])
            await store.close()
        }
    }

    @Test func thousandsOfRecordsAreOneRange() async throws {
        try await withStoreDirectory { directory in
            let log = HeardLog()
            let store = try store(directory, log)
            let fence = try await store.lead("a", 1)
            _ = try await store.takeOver(fence: fence, targets: targets)
            var ranges = (0..<10_000 as Range<UInt64>).map { $0 * 1_200..<($0 + 1) * 1_200 }
            var rng = PRNG(seed: 3)
            ranges.shuffle(using: &rng)
            try await store.write([facts(0, .delivered, source: 1, ranges)], fence: fence)
            #expect((contents(directory + "/status.log")?.count ?? 0) < 300)
            // Nobody can say how long a source is of which no file is known; the rest is written all the same.
            try await store.write(
                [
                    facts(0, .delivered, source: 99, [0..<1]), .finished(source: 98),
                    facts(0, .delivered, source: 2, [0..<1]),
                ], fence: fence)
            let known = try await store.takeOver(fence: fence, targets: targets)
            #expect(Set(known.sources.keys) == [1, 2, 99])
            #expect(log.heard.count == 1 && log.heard.allSatisfy { $0.hasPrefix("error: something was to be written") })
            await #expect(throws: StoreError.self) {
                try await store.write([facts(2, .delivered, source: 1, [0..<1])], fence: fence)
            }
            await store.close()
        }
    }
}
