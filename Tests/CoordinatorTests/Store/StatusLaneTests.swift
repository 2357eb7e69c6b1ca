import ExportCore
import Glibc
import Model
import Protocol
import Testing

@testable import Coordinator

/// The journal where its disk, its files or its directory are not as they should be.
@Suite struct StatusLaneTests {
    private let targets = ["a", "b"]

    /// Everything of a file is delivered, its leader ends before saying so, and the file is removed.
    @Test func aFileThatIsGoneIsCalledFinishedByTheNextLeader() async throws {
        try await withStoreDirectory { directory in
            let first = try FileClusterStore(directory: directory)
            first.names.set(7, file: "f.ndjson", size: 1_000)
            let old = try await first.lead("a", 1)
            _ = try await first.takeOver(fence: old, targets: targets)
            try await first.write(
                [facts(0, .delivered, source: 7, [0..<1_000]), facts(1, .dead, source: 7, [0..<1_000], reason: "no")],
                fence: old)
            await first.close()
            let log = HeardLog()
            let next = try FileClusterStore(directory: directory, log: log.logger)
            let fence = try await next.lead("b", 2)
            let known = try await next.takeOver(fence: fence, targets: targets)
            #expect(known.untold == [7])
            let results = next.results(settled: known, shardCount: 16)
            #expect(try await results.next(hasRoom: [true, true]) != nil)
            next.names.set(8, file: "g.ndjson", size: 10)
            try await next.write(
                [.finished(source: 7), facts(0, .delivered, source: 8, [0..<10])], fence: fence)
            await results.finished(source: 7)
            #expect(next.names[7] == nil && next.names[8] != nil)
            let told = try await next.takeOver(fence: fence, targets: targets)
            #expect(told.isFinished(7) && told.untold.isEmpty && told.sources[8] != nil && log.heard.isEmpty)
            await results.close()
            await next.close()
        }
    }

    /// A journal of more than 16 MiB, with one line that is one.
    private func longJournal() -> [UInt8] {
        let line = StatusLine(
            term: 1, file: "f.ndjson", source: 7, size: 1 << 40,
            body: .facts(target: "a", .delivered, (0..<1_000).map { $0 * 2_000..<$0 * 2_000 + 1_000 }, reason: ""))
        var out = ByteWriter()
        line.write(into: &out)
        return out.span.array + [UInt8](repeating: 0x78, count: 17 << 20) + [0x0A]
    }

    /// What was written counts as written, though the journal cannot be made short afterwards; and that is not tried
    /// again with every write.
    @Test func aJournalThatCannotBeMadeShortIsStillWritten() async throws {
        try await withStoreDirectory { directory in
            let log = HeardLog()
            let store = try FileClusterStore(directory: directory, log: log.logger)
            for source in [7, 8] as [UInt64] { store.names.set(source, file: "f.ndjson", size: 1 << 40) }
            let fence = try await store.lead("a", 1)
            _ = try await store.takeOver(fence: fence, targets: targets)
            // Without a list of what is there nobody can tell what to leave out.
            #expect(unsafe rmdir(directory + "/results") == 0)
            let long = longJournal()
            put(long, at: directory + "/status.log")
            for number in 0..<3 as Range<UInt64> {
                try await store.write([facts(1, .delivered, source: 8, [number * 20..<number * 20 + 10])], fence: fence)
            }
            let after = try #require(contents(directory + "/status.log"))
            #expect(after.count - long.count < 1_000 && after.starts(with: long))
            #expect(log.heard.count == 1 && log.heard[0].contains("cannot be made short"), "\(log.heard)")
            // Nor does it keep anybody from leading.
            let next = try await store.lead("b", 2)
            let known = try await store.takeOver(fence: next, targets: targets)
            #expect(known.sources[7]?.targets["a"]?.delivered.ranges.count == 1_000)
            #expect(known.sources[8]?.targets["b"]?.delivered.ranges == [0..<10, 20..<30, 40..<50])
            #expect(log.heard.count == 2)
            // Once it can be, it is.
            #expect(unsafe mkdir(directory + "/results", 0o755) == 0)
            _ = try await store.takeOver(fence: next, targets: targets)
            #expect((contents(directory + "/status.log")?.count ?? .max) < 100_000)
            await store.close()
        }
    }

    /// However long the journal is: it is read in pieces.
    @Test func aJournalLongerThanAnyBoundCanBeTakenOver() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory, log: HeardLog().logger)
            let fence = try await store.lead("a", 1)
            let journal = longJournal()
            put(journal, at: directory + "/status.log")
            // A hole of 3 GiB is a line that is none of ours.
            #expect(unsafe truncate(directory + "/status.log", Int(3) << 30) == 0)
            let known = try await store.takeOver(fence: fence, targets: targets)
            #expect(known.sources[7]?.targets["a"]?.delivered.ranges.count == 1_000 && known.damagedLines > 0)
            await store.close()
        }
    }

    @Test func linesAreHandedOverWholeWhateverTheirLength() throws {
        let path = "/tmp/sidereal-lines-\(getpid())"
        defer { unsafe unlink(path + "/log") == 0 && rmdir(path) == 0 ? () : () }
        let directory = StoreDirectory(path, lockMilliseconds: 100)
        try directory.make([])
        #expect(try directory.lines(of: "log") { _ in } == 0)
        var rng = PRNG(seed: 5)
        var text: [UInt8] = []
        while text.count < 5 << 20 {
            text += [UInt8](repeating: 0x78, count: Int(rng.below(40_000))) + [0x0A]
        }
        text += Array("torn".utf8)
        put(text, at: path + "/log")
        var (all, pieces): ([UInt8], [Bool]) = ([], [])
        let length = try directory.lines(of: "log") { piece in
            all += piece.array
            pieces.append(piece[piece.count - 1] == 0x0A)
        }
        #expect(length == text.count && all == text)
        #expect(pieces.count > 4 && pieces.dropLast().allSatisfy { $0 } && pieces.last == false)
    }

    /// Whoever made the journal may have ended before its name was kept for good: an append makes sure, or is none.
    @Test func anAppendKeepsTheNameOfTheFileAsWell() throws {
        let path = "/tmp/sidereal-kept-\(getpid())"
        defer { unsafe unlink(path + "/log") == 0 && rmdir(path) == 0 ? () : () }
        try StoreDirectory(path, lockMilliseconds: 100).make([])
        put(Array("one\n".utf8), at: path + "/log")
        #expect(unsafe chmod(path + "/log", 0o666) == 0 && chmod(path, 0o333) == 0)
        let directory = StoreDirectory(path, lockMilliseconds: 100)
        // A directory that may not be opened cannot be synchronized.
        asNobody {
            #expect(throws: StoreError.self) { try directory.append(Array("two\n".utf8), to: "log") {} }
        }
        #expect(contents(path + "/log") == Array("one\n".utf8))
        #expect(unsafe chmod(path, 0o777) == 0)
        try asNobody { try directory.append(Array("two\n".utf8), to: "log") {} }
        // Once is enough, until it is another file.
        #expect(unsafe chmod(path, 0o333) == 0)
        try asNobody { try directory.append(Array("three\n".utf8), to: "log") {} }
        #expect(contents(path + "/log") == Array("one\ntwo\nthree\n".utf8))
        put(Array("four\n".utf8), at: path + "/log")
        #expect(unsafe chmod(path + "/log", 0o666) == 0)
        asNobody {
            #expect(throws: StoreError.self) { try directory.append(Array("five\n".utf8), to: "log") {} }
        }
    }

    /// An append fails at the disk, and before it is taken back another leads, who may have read it by then.
    @Test func whoeverMayNotWriteAnyMoreTakesNothingBack() throws {
        let path = "/tmp/sidereal-back-\(getpid())"
        defer { unsafe unlink(path + "/log") == 0 && rmdir(path) == 0 ? () : () }
        try StoreDirectory(path, lockMilliseconds: 100).make([])
        put(Array("one\n".utf8), at: path + "/log")
        // A directory that may not be opened cannot be synchronized.
        #expect(unsafe chmod(path + "/log", 0o666) == 0 && chmod(path, 0o333) == 0)
        let directory = StoreDirectory(path, lockMilliseconds: 100)
        for mayStillWrite in [false, true] {
            var checks = 0
            asNobody {
                #expect(throws: StoreError.self) {
                    try directory.append(Array("two\n".utf8), to: "log") { () throws(StoreError) in
                        checks += 1
                        if checks > 1, !mayStillWrite { throw StoreError(.fenced, "another leads") }
                    }
                }
            }
            #expect(checks == 2)
            // The first stays; the second is taken back.
            #expect(contents(path + "/log") == Array("one\ntwo\n".utf8))
        }
    }
}
