import ExportCore
import FoundationEssentials
import Glibc
import Model
import Testing

@testable import Backends

/// What the `file` backend does with files of an earlier run.
@Suite struct FileResumeTests {
    /// A file of `text`, of which the ledger knows `length` bytes.
    private func withFile(
        _ text: String, committed length: UInt64, _ body: (_ path: String, _ ledger: FileLedger) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/t-000003.ndjson.open"
            try write(text, to: path)
            let ledger = FileLedger()
            ledger.write(OutputFile(path: path, length: length))
            try await body(path, ledger)
        }
    }

    private func directory(_ path: String) -> String { String(path.dropLast("/t-000003.ndjson.open".utf8.count)) }

    @Test func wholeLinesAreAdoptedAndATornOneIsCut() async throws {
        try await withFile("old\na\nb\ncc", committed: 4) { path, ledger in
            try await withFileBackend(directory(path), ledger) { backend in
                let answer = await backend.deliver(lines: ["a", "b", "cc", "d"])
                #expect(answer.verdict == .delivered(slowDown: false))
                #expect(answer.outputFile == OutputFile(path: path, length: 13))
                #expect(contents(path) == "old\na\nb\ncc\nd\n")
                // Adopted once: a record that comes anew is another record.
                _ = await backend.deliver(lines: ["a"])
            }
            #expect(contents(path) == "old\na\nb\ncc\nd\na\n")
        }
    }

    @Test func lineThatStandsTwiceIsAdoptedTwice() async throws {
        try await withFile("a\na\nb\n", committed: 0) { path, ledger in
            try await withFileBackend(directory(path), ledger) { _ = await $0.deliver(lines: ["a", "a", "b", "a"]) }
            #expect(contents(path) == "a\na\nb\na\n")
        }
    }

    /// The first batch after a crash may hold fewer records than the one that was lost.
    @Test func committedLengthCoversOnlyWhatCameAgain() async throws {
        try await withFile("old\na\nb\nc\n", committed: 4) { path, ledger in
            try await withFileBackend(directory(path), ledger) { backend in
                let answer = await backend.deliver(lines: ["a"])
                #expect(answer.outputFile?.length == 6)
                ledger.write(try #require(answer.outputFile))
            }
            // Another crash: b and c are still known to be there.
            try await withFileBackend(directory(path), ledger) { backend in
                let answer = await backend.deliver(lines: ["b", "c", "d"])
                #expect(answer.outputFile?.length == 12)
            }
            #expect(contents(path) == "old\na\nb\nc\nd\n")
        }
    }

    @Test func fileIsNotRotatedWhileAdoptedLinesWait() async throws {
        try await withFile("aaaa\nbbbb\n", committed: 0) { path, ledger in
            try await withFileBackend(directory(path), ledger, maxFileBytes: 10) { backend in
                #expect(await backend.deliver(lines: ["aaaa"]).outputFile == OutputFile(path: path, length: 5))
                #expect(await backend.deliver(lines: ["bbbb"]).outputFile == OutputFile(path: path, length: 10))
                let next = await backend.deliver(lines: ["cccc"]).outputFile
                #expect(next == OutputFile(path: directory(path) + "/t-000004.ndjson.open", length: 5))
            }
            #expect(contents(FileRequestBuilder.finished(path)) == "aaaa\nbbbb\n")
        }
    }

    /// The lost batch does not come again; another one is acknowledged. Its length must be vouched for, or a third process
    /// would take it for what a crash left.
    @Test func committedLengthCoversNewLinesBehindLinesThatWait() async throws {
        try await withFile("old\na\nb\n", committed: 4) { path, ledger in
            try await withFileBackend(directory(path), ledger) { backend in
                let answer = await backend.deliver(lines: ["new"])
                #expect(answer.outputFile == OutputFile(path: path, length: 12))
                ledger.write(try #require(answer.outputFile))
                let late = await backend.deliver(lines: ["b"])
                #expect(late.outputFile?.length == 12, "still recognised")
            }
            let finished = FileRequestBuilder.finished(path)
            #expect(contents(finished) == "old\na\nb\nnew\n", "lines that never come do not keep the file open")
        }
    }

    @Test func linesInAFinishedFileAreStillRecognised() async throws {
        try await withFile("aaaa\nbbbb\n", committed: 0) { path, ledger in
            try await withFileBackend(directory(path), ledger, maxFileBytes: 10) { backend in
                #expect(await backend.deliver(lines: ["new"]).outputFile == OutputFile(path: path, length: 14))
                let next = await backend.deliver(lines: ["aaaa", "bbbb", "c"]).outputFile
                #expect(next == OutputFile(path: directory(path) + "/t-000004.ndjson.open", length: 2))
            }
        }
    }

    @Test(arguments: ["", "ol"]) func shrunkFileIsHeldForAPerson(rest: String) async throws {
        try await withFile(rest, committed: 4) { path, ledger in
            try await withFileBackend(directory(path), ledger) { backend in
                for _ in 0..<2 {
                    let answer = await backend.deliver(lines: ["a"])
                    #expect(kind(answer.verdict) == "configuration")
                    #expect(answer.outputFile == nil)
                    let reason = try #require(refusal(answer.verdict))
                    #expect(reason.code == "file-shrunk")
                    #expect(reason.message.contains("\(path) has \(rest.utf8.count) bytes, but 4 bytes were written"))
                    #expect(reason.message.contains("Restore the file"))
                }
                #expect(contents(path) == rest, "the evidence stays as it is")
                try write("old\n", to: path)
                #expect(await backend.deliver(lines: ["a"]).verdict == .delivered(slowDown: false))
            }
        }
    }

    @Test func missingFileIsHeldAndNotMade() async throws {
        try await withFile("old\n", committed: 4) { path, ledger in
            try FileManager.default.removeItem(atPath: path)
            try await withFileBackend(directory(path), ledger) { backend in
                let verdict = await backend.deliver(lines: ["a"]).verdict
                #expect(kind(verdict) == "configuration")
                #expect(refusal(verdict)?.message.contains("is gone") == true)
                #expect(names(in: directory(path)) == [])
            }
        }
    }

    @Test func missingFileThatWasEmptyIsNoLoss() async throws {
        try await withFile("", committed: 0) { path, ledger in
            try FileManager.default.removeItem(atPath: path)
            try await withFileBackend(directory(path), ledger) { backend in
                #expect(await backend.deliver(lines: ["a"]).verdict == .delivered(slowDown: false))
            }
        }
    }

    /// What is appended to a file without a name is lost; the rest that was vouched for is lost already.
    @Test func fileDeletedWhileExportingIsNoticed() async throws {
        try await withFile("old\n", committed: 4) { path, ledger in
            try await withFileBackend(directory(path), ledger) { backend in
                #expect(await backend.deliver(lines: ["a"]).verdict == .delivered(slowDown: false))
                try FileManager.default.removeItem(atPath: path)
                #expect(kind(await backend.deliver(lines: ["b"]).verdict) == "configuration")
                try write("old\na\n", to: path)
                #expect(await backend.deliver(lines: ["b"]).verdict == .delivered(slowDown: false))
                #expect(contents(path) == "old\na\nb\n")
                try write("old\n", to: path)
                #expect(refusal(await backend.deliver(lines: ["c"]).verdict)?.code == "file-shrunk")
            }
        }
    }

    @Test func fileFarLongerThanKnownIsHeld() async throws {
        try await withFile("old\n", committed: 4) { path, ledger in
            try #require(unsafe truncate(path, 65 << 20) == 0)
            try await withFileBackend(directory(path), ledger) { backend in
                let verdict = await backend.deliver(lines: ["a"]).verdict
                #expect(kind(verdict) == "configuration")
                #expect(refusal(verdict)?.code == "file-grew")
            }
        }
    }

    /// Another directory in the settings: the old files stay as they are.
    @Test func otherDirectoryBeginsAnew() async throws {
        try await withFile("old\n", committed: 4) { path, ledger in
            try await withFileBackend(directory(path) + "/new", ledger) { backend in
                let answer = await backend.deliver(lines: ["a"])
                #expect(answer.outputFile?.path == directory(path) + "/new/t-000001.ndjson.open")
            }
            #expect(contents(path) == "old\n")
        }
    }

    /// Records, some alike, in batches of any size; the process dies at any moment, with or without a commit, with or
    /// without half a line behind the last one. In the end every record is there once, in whole lines.
    @Test(arguments: 0..<60 as Range<UInt64>) func crashesNeitherLoseNorRepeat(seed: UInt64) async throws {
        var rng = PRNG(seed: seed)
        let records = (0..<40).map { number in
            rng.below(4) == 0 ? "same" : "record \(number) " + String(repeating: "x", count: Int(rng.below(30)))
        }
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            var committed = 0
            while committed < records.count {
                committed = try await withFileBackend(directory, ledger, maxFileBytes: 150) { backend in
                    var settled = committed
                    while settled < records.count {
                        let end = min(records.count, settled + 1 + Int(rng.below(12)))
                        let answer = await backend.deliver(lines: Array(records[settled..<end]))
                        guard answer.verdict == .delivered(slowDown: false), let file = answer.outputFile else {
                            Issue.record("seed \(seed): \(answer.verdict)")
                            return records.count
                        }
                        if rng.below(3) == 0 { break }
                        ledger.write(file)
                        settled = end
                    }
                    return settled
                }
                if committed < records.count, rng.below(2) == 0, let path = ledger.file?.path {
                    try write((contents(path) ?? "") + "record to", to: path)
                }
            }
            let text = names(in: directory).compactMap { contents(directory + "/" + $0) }.joined()
            #expect(text.split(separator: "\n").map(String.init) == records, "seed \(seed)")
            #expect(text.hasSuffix("\n"), "seed \(seed)")
        }
    }
}
