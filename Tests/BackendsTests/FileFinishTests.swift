import Compression
import ExportCore
import FoundationEssentials
import Glibc
import Model
import Synchronization
import Testing

@testable import Backends

/// Final names, and files of gzip members.
@Suite struct FileFinishTests {
    /// Delivers, and has the ledger take it.
    private func settle(_ lines: [String], _ backend: FileBackend, _ ledger: FileLedger) async throws {
        let answer = await backend.deliver(lines: lines)
        #expect(answer.verdict == .delivered(slowDown: false))
        ledger.write(try #require(answer.outputFile))
    }

    private func unpacked(_ path: String) throws -> String {
        let bytes = Array(try #require(FileManager.default.contents(atPath: path)))
        return String(decoding: try Gzip.decompress(bytes.span, limit: 1 << 20), as: UTF8.self)
    }

    @Test func theEndGivesTheFinalNameAndTheNextRunAnotherFile() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            try await withFileBackend(directory, ledger) { try await settle(["a"], $0, ledger) }
            #expect(names(in: directory) == ["t-000001.ndjson"])
            #expect(ledger.file == OutputFile(path: directory + "/t-000001.ndjson", length: 2))
            // A finished file is its reader's.
            try FileManager.default.removeItem(atPath: directory + "/t-000001.ndjson")
            try await withFileBackend(directory, ledger) { try await settle(["b"], $0, ledger) }
            #expect(names(in: directory) == ["t-000002.ndjson"], "a name is not used twice")
            #expect(contents(directory + "/t-000002.ndjson") == "b\n")
        }
    }

    @Test func whatTheLedgerDoesNotHaveStaysOpen() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            try await withFileBackend(directory, ledger) { _ = await $0.deliver(lines: ["a"]) }
            #expect(names(in: directory) == ["t-000001.ndjson.open"])
            try await withFileBackend(directory, ledger) { try await settle(["a", "b"], $0, ledger) }
            #expect(names(in: directory) == ["t-000001.ndjson"])
            #expect(contents(directory + "/t-000001.ndjson") == "a\nb\n")
        }
    }

    /// A crash between the last commit and the rename, and a next run that has nothing to deliver.
    @Test func aFileThatOnlyWantsItsNameGetsItWithoutRecords() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            ledger.write(OutputFile(path: directory + "/t-000003.ndjson.open", length: 4))
            try write("all\n", to: directory + "/t-000003.ndjson.open")
            try await withFileBackend(directory, ledger) { _ in }
            #expect(names(in: directory) == ["t-000003.ndjson"])
            #expect(contents(directory + "/t-000003.ndjson") == "all\n")
            // One with more in it than the ledger has is not finished.
            ledger.write(OutputFile(path: directory + "/t-000004.ndjson.open", length: 4))
            try write("all\nand more\n", to: directory + "/t-000004.ndjson.open")
            try await withFileBackend(directory, ledger) { _ in }
            #expect(names(in: directory) == ["t-000003.ndjson", "t-000004.ndjson.open"])
        }
    }

    /// A crash between the rename and the ledger's next commit.
    @Test func aRenamedFileThatTheLedgerCallsOpenIsFinished() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            ledger.write(OutputFile(path: directory + "/t-000003.ndjson.open", length: 4))
            try write("old\n", to: directory + "/t-000003.ndjson")
            try await withFileBackend(directory, ledger) { try await settle(["a"], $0, ledger) }
            #expect(names(in: directory) == ["t-000003.ndjson", "t-000004.ndjson"])
            #expect(contents(directory + "/t-000003.ndjson") == "old\n")
            #expect(contents(directory + "/t-000004.ndjson") == "a\n")
        }
    }

    /// A crash between making a file and telling the ledger of it.
    @Test func anEmptyFileThatTheLedgerNeverHeardOfIsTakenAway() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            try write("", to: directory + "/t-000001.ndjson.open")
            try write("x\n", to: directory + "/t-000002.ndjson.open")
            try write("", to: directory + "/other-000003.ndjson.open")
            try await withFileBackend(directory, ledger) { try await settle(["a"], $0, ledger) }
            #expect(
                names(in: directory) == ["other-000003.ndjson.open", "t-000002.ndjson.open", "t-000003.ndjson"],
                "what holds something, or belongs to another target, stays")
        }
    }

    /// A crash between telling the ledger the final name and the rename.
    @Test func aFileThatTheLedgerCallsFinishedIsRenamed() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            ledger.write(OutputFile(path: directory + "/t-000003.ndjson", length: 4))
            try write("old\n", to: directory + "/t-000003.ndjson.open")
            try await withFileBackend(directory, ledger) { try await settle(["a"], $0, ledger) }
            #expect(names(in: directory) == ["t-000003.ndjson", "t-000004.ndjson"])
            #expect(contents(directory + "/t-000003.ndjson") == "old\n")
        }
    }

    @Test(arguments: [("ol", "file-shrunk"), ("old\nmore\n", "file-grew")])
    func aFileThatTheLedgerCallsFinishedHasItsLength(text: String, code: String) async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            ledger.write(OutputFile(path: directory + "/t-000003.ndjson", length: 4))
            try write(text, to: directory + "/t-000003.ndjson.open")
            try await withFileBackend(directory, ledger) { backend in
                #expect(refusal(await backend.deliver(lines: ["a"]).verdict)?.code == code)
            }
            #expect(names(in: directory) == ["t-000003.ndjson.open"])
        }
    }

    /// The finished file is taken away before the next one could be begun.
    @Test func aReaderMayTakeTheFileBeforeTheNextIsBegun() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            let final = directory + "/t-000001.ndjson"
            try await withFileBackend(directory, ledger, maxFileBytes: 5) { backend in
                try await settle(["aaaa"], backend, ledger)
                ledger.refuse(with: Reason(code: "ledger", message: "full"), from: directory + "/t-000002.ndjson.open")
                #expect(kind(await backend.deliver(lines: ["b"]).verdict) == "retry")
                #expect(names(in: directory) == ["t-000001.ndjson"])
                #expect(ledger.file == OutputFile(path: final, length: 5), "known before it can be taken")
                try FileManager.default.removeItem(atPath: final)
                ledger.refuse(with: nil)
                try await settle(["b"], backend, ledger)
            }
            #expect(names(in: directory) == ["t-000002.ndjson"])
        }
    }

    @Test func aRenameWhoseDirectorySyncFailedIsSyncedAgain() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            let fails = Mutex(false)
            let sync: FileBackend.SyncDirectory = { path throws(OutputLog.Failure) in
                if fails.withLock({ $0 }) { throw OutputLog.Failure(code: EIO, what: "sync", path: path) }
                try OutputLog.syncDirectory(path)
            }
            try await withFileBackend(directory, ledger, maxFileBytes: 5, syncDirectory: sync) { backend in
                try await settle(["aaaa"], backend, ledger)
                fails.withLock { $0 = true }
                for _ in 0..<2 {
                    #expect(refusal(await backend.deliver(lines: ["b"]).verdict)?.code == "errno-\(EIO)")
                    #expect(names(in: directory) == ["t-000001.ndjson"])
                }
                fails.withLock { $0 = false }
                try await settle(["b"], backend, ledger)
            }
            #expect(names(in: directory) == ["t-000001.ndjson", "t-000002.ndjson"])
            #expect(contents(directory + "/t-000001.ndjson") == "aaaa\n")
        }
    }

    @Test func aLedgerThatDoesNotTakeTheFinalNameKeepsTheFileOpen() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            try await withFileBackend(directory, ledger, maxFileBytes: 5) { backend in
                try await settle(["aaaa"], backend, ledger)
                ledger.refuse(with: Reason(code: "ledger", message: "full"))
                #expect(kind(await backend.deliver(lines: ["b"]).verdict) == "retry")
                #expect(names(in: directory) == ["t-000001.ndjson.open"])
                ledger.refuse(with: nil)
                try await settle(["b"], backend, ledger)
            }
            #expect(names(in: directory) == ["t-000001.ndjson", "t-000002.ndjson"])
        }
    }

    @Test func aRenamedFileOfAnotherLengthIsHeld() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            ledger.write(OutputFile(path: directory + "/t-000003.ndjson.open", length: 4))
            try write("ol", to: directory + "/t-000003.ndjson")
            try await withFileBackend(directory, ledger) { backend in
                #expect(refusal(await backend.deliver(lines: ["a"]).verdict)?.code == "file-shrunk")
            }
        }
    }

    @Test func anotherFileOfTheFinalNameIsNotOverwritten() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            let final = directory + "/t-000001.ndjson"
            try await withFileBackend(directory, ledger, maxFileBytes: 4) { backend in
                try await settle(["aaaa"], backend, ledger)
                try write("foreign", to: final)
                let verdict = await backend.deliver(lines: ["b"]).verdict
                #expect(kind(verdict) == "configuration")
                #expect(refusal(verdict)?.code == "file-exists")
                #expect(contents(final) == "foreign")
                try FileManager.default.removeItem(atPath: final)
                try await settle(["b"], backend, ledger)
                #expect(contents(final) == "aaaa\n")
            }
        }
    }

    @Test func anOldFileIsFinishedThoughNothingComes() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            try await withFileBackend(directory, ledger, maxFileAge: 100) { backend in
                try await settle(["a"], backend, ledger)
                for _ in 0..<500 where names(in: directory) != ["t-000001.ndjson"] {
                    try await Task.sleep(for: .milliseconds(10))
                }
                #expect(names(in: directory) == ["t-000001.ndjson"])
                try await settle(["b"], backend, ledger)
            }
            #expect(names(in: directory) == ["t-000001.ndjson", "t-000002.ndjson"])
        }
    }

    @Test func aFileOfAnotherFormIsFinishedFirst() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            try write("a\nb\nc", to: directory + "/t-000001.ndjson.open")
            ledger.write(OutputFile(path: directory + "/t-000001.ndjson.open", length: 2))
            try await withFileBackend(directory, ledger, gzip: true) { backend in
                try await settle(["b"], backend, ledger)
                try await settle(["c"], backend, ledger)
            }
            #expect(names(in: directory) == ["t-000001.ndjson", "t-000002.ndjson.gz"])
            #expect(contents(directory + "/t-000001.ndjson") == "a\nb\n")
            #expect(try unpacked(directory + "/t-000002.ndjson.gz") == "c\n")
        }
    }

    @Test func everyBatchIsAMember() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            try await withFileBackend(directory, ledger, maxFileBytes: 50, gzip: true) { backend in
                for _ in 0..<3 { try await settle(["one", "two"], backend, ledger) }
            }
            #expect(names(in: directory) == ["t-000001.ndjson.gz", "t-000002.ndjson.gz"])
            let first = Array(try #require(FileManager.default.contents(atPath: directory + "/t-000001.ndjson.gz")))
            let members = try Gzip.members(of: first.span, limit: 1 << 20)
            #expect(members.map { String(decoding: $0.content, as: UTF8.self) } == ["one\ntwo\n", "one\ntwo\n"])
            #expect(Array(first[..<members[0].end]) == Array(first[members[0].end...]), "the same bytes give the same")
            #expect(try unpacked(directory + "/t-000002.ndjson.gz") == "one\ntwo\n")
        }
    }

    /// A line that came again and was acknowledged stands in a member of its own; only what follows is cut into lines.
    @Test func membersBeforeTheFirstOfSeveralLinesAreNotRewritten() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            var bytes = try Gzip.compress(Array("a\n".utf8).span).array
            bytes[4] = 1  // A time (RFC 1952, section 2.3), which what is written anew would not have.
            let kept = bytes
            bytes += try Gzip.compress(Array("b\nc\n".utf8).span).array
            try Data(bytes).write(to: URL(filePath: directory + "/t-000001.ndjson.gz.open"))
            ledger.write(OutputFile(path: directory + "/t-000001.ndjson.gz.open", length: 0))
            try await withFileBackend(directory, ledger, gzip: true) { try await settle(["a", "b", "c"], $0, ledger) }
            let finished = directory + "/t-000001.ndjson.gz"
            let after = Array(try #require(FileManager.default.contents(atPath: finished)))
            #expect(Array(after.prefix(kept.count)) == kept)
            #expect(try unpacked(finished) == "a\nb\nc\n")
        }
    }

    /// The lost batch never comes again; the one behind it was acknowledged and must not be cut, even for a moment.
    @Test func newMembersBehindLinesThatWaitAreVouchedFor() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            try await withFileBackend(directory, ledger, gzip: true) { _ = await $0.deliver(lines: ["x", "y"]) }
            try await withFileBackend(directory, ledger, gzip: true) { backend in
                try await settle(["b", "c"], backend, ledger)
                let path = directory + "/t-000001.ndjson.gz.open"
                #expect(ledger.file == OutputFile(path: path, length: try #require(OutputLog.length(of: path))))
            }
            #expect(names(in: directory) == ["t-000001.ndjson.gz"])
            #expect(try unpacked(directory + "/t-000001.ndjson.gz") == "x\ny\nb\nc\n")
        }
    }

    /// Records in batches of any size; the process dies at any moment, with or without a commit, with a member torn at
    /// any byte. In the end every record is there once, and every file is whole.
    @Test(arguments: 0..<40 as Range<UInt64>) func crashesNeitherLoseNorRepeat(seed: UInt64) async throws {
        var rng = PRNG(seed: seed)
        let records = (0..<40).map { number in
            rng.below(4) == 0 ? "same" : "record \(number) " + String(repeating: "x", count: Int(rng.below(30)))
        }
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            var committed = 0
            while committed < records.count {
                committed = try await withFileBackend(directory, ledger, maxFileBytes: 150, gzip: true) { backend in
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
                if committed < records.count, rng.below(2) == 0, let path = ledger.file?.path,
                    FileRequestBuilder.isOpen(path), var bytes = FileManager.default.contents(atPath: path)
                {
                    let member = try Gzip.compress(Array("record to come\n".utf8).span).array
                    bytes.append(contentsOf: member.prefix(1 + Int(rng.below(UInt64(member.count - 1)))))
                    try bytes.write(to: URL(filePath: path))
                }
            }
            let text = try names(in: directory).map { try unpacked(directory + "/" + $0) }.joined()
            #expect(text.split(separator: "\n").map(String.init) == records, "seed \(seed)")
            #expect(!names(in: directory).contains { FileRequestBuilder.isOpen($0) }, "seed \(seed)")
        }
    }
}
