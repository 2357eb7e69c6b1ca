import ExportCore
import FoundationEssentials
import Glibc
import Model
import Testing

@testable import Backends

/// The `file` backend on real directories.
@Suite struct FileBackendTests {
    @Test func batchesAreAppendedAndTheirLengthTold() async throws {
        try await withTemporaryDirectory { root in
            let (directory, ledger) = (root + "/deep/er", FileLedger())
            try await withFileBackend(directory, ledger) { backend in
                let first = await backend.deliver(lines: ["one", "two"])
                #expect(first.verdict == .delivered(slowDown: false))
                #expect(first.outputFile == OutputFile(path: directory + "/t-000001.ndjson.open", length: 8))
                // The ledger knew of the file before anything was in it.
                #expect(ledger.announced == [directory + "/t-000001.ndjson.open"])
                let second = await backend.deliver(lines: ["three"])
                #expect(second.outputFile?.length == 14)
            }
            #expect(contents(directory + "/t-000001.ndjson.open") == "one\ntwo\nthree\n")
            var status = stat()
            unsafe stat(directory + "/t-000001.ndjson.open", &status)
            #expect(status.st_mode & 0o137 == 0, "nobody else reads audit records")
            unsafe stat(directory, &status)
            #expect(status.st_mode & 0o027 == 0)
        }
    }

    @Test func onlyTheRecordsOfTheParcelAreWritten() async throws {
        try await withTemporaryDirectory { directory in
            try await withFileBackend(directory, FileLedger()) { backend in
                let five = batch(["a", "b", "c", "d", "e"])
                let answer = await backend.deliver(Parcel(batch: five, items: [1..<3, 4..<5]))
                #expect(answer.outputFile?.length == 6)
            }
            #expect(contents(directory + "/t-000001.ndjson.open") == "b\nc\ne\n")
        }
    }

    @Test func filesAreRotatedBySizeBetweenBatches() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            try await withFileBackend(directory, ledger, maxFileBytes: 10) { backend in
                for number in 0..<3 {
                    let answer = await backend.deliver(lines: ["\(number)aaa", "\(number)bbb"])
                    let path = "\(directory)/t-00000\(number + 1).ndjson.open"
                    #expect(answer.outputFile == OutputFile(path: path, length: 10))
                }
                let small = await backend.deliver(lines: ["x"])
                #expect(small.outputFile?.path == directory + "/t-000004.ndjson.open")
                // Below the size: the same file, though it grows past it.
                let large = await backend.deliver(lines: ["yyyyyyyyyyyy"])
                #expect(large.outputFile == OutputFile(path: directory + "/t-000004.ndjson.open", length: 15))
            }
            // The ledger has not been told of the last batch, so the last file is left to the next run.
            let finished = (1...3).map { "t-00000\($0).ndjson" }
            #expect(names(in: directory) == finished + ["t-000004.ndjson.open"])
            #expect(contents(directory + "/t-000002.ndjson") == "1aaa\n1bbb\n")
            #expect(ledger.announced.count == 4)
        }
    }

    @Test func foreignFilesAreLeftAlone() async throws {
        try await withTemporaryDirectory { directory in
            for name in ["t-000007.ndjson", "other-000099.ndjson", "t-000050.log", "README"] {
                try write("foreign", to: directory + "/" + name)
            }
            try await withFileBackend(directory, FileLedger()) { backend in
                let answer = await backend.deliver(lines: ["a"])
                #expect(answer.outputFile?.path == directory + "/t-000051.ndjson.open")
            }
            #expect(contents(directory + "/t-000007.ndjson") == "foreign")
        }
    }

    @Test func ledgerThatRefusesTheFileStopsTheBatch() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            ledger.refuse(with: why)
            try await withFileBackend(directory, ledger) { backend in
                for _ in 0..<3 {
                    let answer = await backend.deliver(lines: ["a"])
                    #expect(answer.verdict == .retry(why, retryAfterMilliseconds: nil))
                    #expect(answer.outputFile == nil)
                }
                #expect(names(in: directory) == [], "no attempt leaves an empty file behind")
                ledger.refuse(with: nil)
                let answer = await backend.deliver(lines: ["a"])
                #expect(answer.outputFile?.path == directory + "/t-000001.ndjson.open")
            }
        }
    }

    private let why = Reason(code: "ledger", message: "the ledger is full")

    @Test func twoExportersOnOneFileAreRefusedInWords() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = FileLedger()
            try await withFileBackend(directory, ledger) { first in
                let answer = await first.deliver(lines: ["a"])
                ledger.write(try #require(answer.outputFile))
                try await withFileBackend(directory, ledger) { second in
                    let refused = await second.deliver(lines: ["b"])
                    #expect(kind(refused.verdict) == "retry")
                    let message = try #require(refusal(refused.verdict)).message
                    #expect(message.contains("another exporter writes to it"))
                    #expect(message.contains(directory + "/t-000001.ndjson.open"))
                }
            }
            // The first has gone, and finished its file.
            try await withFileBackend(directory, ledger) { second in
                #expect(await second.deliver(lines: ["b"]).verdict == .delivered(slowDown: false))
            }
            #expect(contents(directory + "/t-000001.ndjson") == "a\n")
            #expect(contents(directory + "/t-000002.ndjson.open") == "b\n")
        }
    }

    @Test func directoryBelowARegularFileIsASettingsMistake() async throws {
        try await withTemporaryDirectory { root in
            try write("", to: root + "/file")
            for directory in [root + "/file", root + "/file/below", root + "/file/deep/below"] {
                try await withFileBackend(directory, FileLedger()) { backend in
                    let verdict = await backend.deliver(lines: ["a"]).verdict
                    #expect(kind(verdict) == "configuration")
                    let reason = try #require(refusal(verdict))
                    #expect(reason.code == "errno-\(ENOTDIR)")
                    #expect(reason.message.contains(directory))
                    #expect(reason.message.contains("the directory of endpoint must exist or be creatable"))
                    #expect(await backend.probe()?.code == reason.code)
                }
            }
        }
    }

    @Test func probeMakesNothing() async throws {
        try await withTemporaryDirectory { root in
            for directory in [root, root + "/new", root + "/new/one"] {
                try await withFileBackend(directory, FileLedger()) { backend in
                    #expect(await backend.probe() == nil)
                }
            }
            #expect(names(in: root) == [])
        }
    }

    @Test func fullDiskIsWaitedForWithAdvice() async throws {
        try await withTemporaryDirectory { directory in
            // The kernel's device that is always full, in place of the file the ledger knows.
            let path = directory + "/t-000001.ndjson.open"
            try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/dev/full")
            let ledger = FileLedger()
            ledger.write(OutputFile(path: path, length: 0))
            try await withFileBackend(directory, ledger) { backend in
                for _ in 0..<3 {
                    let answer = await backend.deliver(lines: ["a", "b"])
                    #expect(kind(answer.verdict) == "retry")
                    #expect(answer.outputFile == nil)
                    let reason = try #require(refusal(answer.verdict))
                    #expect(reason.code == "errno-\(ENOSPC)")
                    #expect(reason.message.contains("free some space: exporting goes on by itself"))
                }
                // Space again.
                try FileManager.default.removeItem(atPath: path)
                try write("", to: path)
                #expect(await backend.deliver(lines: ["a", "b"]).verdict == .delivered(slowDown: false))
            }
            #expect(contents(path) == "a\nb\n")
        }
    }

    /// The file is sparse and ends just below the largest length the file system allows, so the write stops half-way.
    @Test func batchThatStopsHalfWayLeavesNothing() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/t-000001.ndjson.open"
            let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            try #require(descriptor >= 0)
            defer { close(descriptor) }
            let length = largestLength(descriptor) - 5
            try #require(ftruncate(descriptor, length) == 0)
            let ledger = FileLedger()
            ledger.write(OutputFile(path: path, length: UInt64(length)))
            try await withFileBackend(directory, ledger, maxFileBytes: .max) { backend in
                for _ in 0..<3 {
                    let answer = await backend.deliver(lines: ["aa", "bb", "cc"])
                    #expect(refusal(answer.verdict)?.code == "errno-\(EFBIG)")
                    #expect(kind(answer.verdict) == "retry")
                    var status = stat()
                    unsafe fstat(descriptor, &status)
                    #expect(status.st_size == length)
                }
                #expect(await backend.deliver(lines: ["aa"]).outputFile?.length == UInt64(length) + 3)
            }
        }
    }

    @Test(arguments: [
        (EACCES, "configuration", "right to write"), (EPERM, "configuration", "right to write"),
        (EROFS, "configuration", "read-only"), (ENOTDIR, "configuration", "must exist"),
        (ENOENT, "configuration", "must exist"), (EISDIR, "configuration", ""), (ENAMETOOLONG, "configuration", ""),
        (ELOOP, "configuration", ""), (ENOSPC, "retry", "free some space"), (EDQUOT, "retry", "free some space"),
        (EIO, "retry", ""), (EMFILE, "retry", ""), (EWOULDBLOCK, "retry", "another exporter"),
    ]) func everyErrorNumber(code: Int32, expected: String, advice: String) {
        let verdict = FileVerdict.of(code, "write to", "/a/b")
        #expect(kind(verdict) == expected)
        #expect(refusal(verdict)?.message.hasPrefix("cannot write to /a/b: ") == true)
        if !advice.isEmpty { #expect(refusal(verdict)?.message.contains(advice) == true) }
    }
}
