import FoundationEssentials
import Glibc
import Model
import Testing

@testable import Ledger

/// What the ledger must refuse, and how it says so.
@Suite struct RefusalTests {
    private func refusal(_ directory: String) async -> LedgerError? {
        do {
            let ledger = try await Ledger.open(directory: directory)
            try await ledger.close()
            return nil
        } catch {
            return error
        }
    }

    @Test func secondOpenerIsToldWhoHoldsIt() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let error = try #require(await refusal(directory))
            #expect(error.kind == .locked(pid: getpid()))
            #expect(error.message.contains("pid \(getpid())"))
            #expect(error.message.contains(directory))
            try await ledger.close()
            #expect(await refusal(directory) == nil)
        }
    }

    @Test func otherProcessIsToldWhoHoldsIt() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            await #expect(processExitsWith: .success) { [directory = directory as String, holder = getpid() as Int32] in
                do throws(LedgerError) {
                    _ = try await Ledger.open(directory: directory)
                    exit(1)
                } catch {
                    #expect(error.kind == .locked(pid: holder))
                    #expect(error.message.contains("another process, pid \(holder)"))
                }
            }
            try await ledger.close()
        }
    }

    @Test func releasedLedgerFreesTheDirectory() async throws {
        try await withTemporaryDirectory { directory in
            do {
                let ledger = try await Ledger.open(directory: directory)
                try await ledger.commit([.finished(source: SourceID(rawValue: 1))])
            }
            // The thread closes in its own time; a bound keeps a leak from hanging the test.
            var attempts = 0
            while await refusal(directory) != nil, attempts < 500 {
                attempts += 1
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(attempts < 500)
        }
    }

    @Test func newerSchemaIsLeftAlone() async throws {
        try await withTemporaryDirectory { directory in
            #expect(await refusal(directory) == nil)
            let path = directory + "/ledger.db"
            var bytes = contents(path)
            // user_version: big-endian at offset 60 of the file header (SQLite, Database File Format, 1.3).
            bytes.replaceSubrange(60..<64, with: [0, 0, 0, 99])
            try write(bytes, to: path)
            let error = try #require(await refusal(directory))
            #expect(error.kind == .newerSchema(found: 99, supported: Schema.migrations.count))
            #expect(error.message.contains("99"))
            #expect(error.message.contains("up to \(Schema.migrations.count)."))
            #expect(error.message.contains("newer program"))
            #expect(contents(path) == bytes)
        }
    }

    /// Who goes back to an older program looks there which ledgers it takes.
    @Test func theVersionIsDocumented() throws {
        var root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        root.removeLast(3)
        let text = String(decoding: contents(root.joined(separator: "/") + "/docs/upgrading.md"), as: UTF8.self)
        let row = try #require(text.split(separator: "\n").first { $0.hasPrefix("| ledger |") })
        #expect(row.split(separator: "|")[1].contains("`PRAGMA user_version`"))
        #expect(row.split(separator: "|")[2] == " \(Schema.migrations.count) ")
    }

    @Test func foreignDatabaseIsLeftAlone() async throws {
        try await withTemporaryDirectory { directory in
            #expect(await refusal(directory) == nil)
            let path = directory + "/ledger.db"
            var bytes = contents(path)
            // application_id: big-endian at offset 68.
            bytes.replaceSubrange(68..<72, with: [1, 2, 3, 4])
            try write(bytes, to: path)
            #expect(await refusal(directory)?.kind == .notALedger)
            #expect(contents(path) == bytes)
        }
    }

    @Test func emptyFileIsTakenForANewLedger() async throws {
        try await withTemporaryDirectory { directory in
            try write([], to: directory + "/ledger.db")
            #expect(await refusal(directory) == nil)
        }
    }

    @Test(arguments: [1, 100, 512, 4096, 50_000])
    func garbageIsCalledDamaged(length: Int) async throws {
        try await withTemporaryDirectory { directory in
            var rng = PRNG(seed: UInt64(length))
            let path = directory + "/ledger.db"
            try write((0..<length).map { _ in UInt8(truncatingIfNeeded: rng.next()) }, to: path)
            let error = try #require(await refusal(directory))
            #expect(error.kind == .corrupt)
            #expect(error.message.contains(path) && error.message.contains("aside"))
            #expect(error.message.contains("sent once more"))
        }
    }

    /// Flips bytes all over the file: either opening (or reading) says that it is damaged, or what the ledger tells
    /// of progress and dead letters is true. Less than the truth means sending twice, which is allowed.
    @Test func flippedByteIsNoticedOrHarmless() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/ledger.db"
            let ledger = try await Ledger.open(directory: directory)
            let source = try await ledger.addSource(
                SourceIdentity(path: "/x", fingerprint: fingerprint(3), fingerprintLength: 9))
            for step in UInt64(0)..<40 {
                try await ledger.commit([
                    .accepted(target: "t", source: source, range: step * 10..<step * 10 + 5, records: 1, bytes: 5),
                    .fileLength(target: "t", path: "/out", length: step),
                ])
            }
            try await ledger.commit([
                .deadLetter(deadLetter("t", source, 9_000..<9_100, bytes: [UInt8](repeating: 65, count: 100)))
            ])
            let truth = try await ledger.progress(target: "t", source: source)
            try await ledger.close()
            let sound = contents(path)

            var noticed = 0
            var rng = PRNG(seed: 11)
            for trial in 0..<400 {
                var bytes = sound
                // The first hundred in the file's header, the rest in any page.
                let at = trial < 100 ? trial : Int(rng.below(UInt64(sound.count)))
                bytes[at] ^= UInt8(truncatingIfNeeded: 1 << rng.below(8))
                try write(bytes, to: path)
                try? FileManager.default.removeItem(atPath: path + "-wal")
                do {
                    let damaged = try await Ledger.open(directory: directory)
                    defer { withExtendedLifetime(damaged) {} }
                    do throws(LedgerError) {
                        let told = try await damaged.progress(target: "t", source: source)
                        for range in told.ranges {
                            var both = truth
                            both.insert(range)
                            #expect(both == truth, "byte \(at): \(range) was never settled")
                        }
                        for letter in try await damaged.deadLetters(target: "t", limit: 10) {
                            #expect(letter.bytes == [UInt8](repeating: 65, count: 100), "byte \(at)")
                        }
                        if let file = try await damaged.fileLength(target: "t") {
                            #expect(file.path == "/out" && file.length == 39, "byte \(at)")
                        }
                    } catch {
                        #expect(error.kind == .corrupt, "byte \(at): \(error)")
                        noticed += 1
                    }
                    try? await damaged.close()
                } catch let error as LedgerError {
                    let isExpected =
                        switch error.kind {
                        case .corrupt, .newerSchema, .notALedger: true
                        default: false
                        }
                    #expect(isExpected, "byte \(at): \(error)")
                    noticed += 1
                }
            }
            // Most bytes of so small a database are unused.
            #expect(noticed > 50)
        }
    }

    @Test func directoryBelowAFileIsNotWritable() async throws {
        try await withTemporaryDirectory { directory in
            try write([1], to: directory + "/file")
            let error = try #require(await refusal(directory + "/file/state"))
            #expect(error.kind == .notWritable)
            #expect(error.systemError == ENOTDIR)
            #expect(error.message.contains(directory + "/file/state"))
            #expect(error.message.contains("writable"))
        }
    }

    @Test func fileIsNotReadableByOthers() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory + "/new")
            for name in ["", "/ledger.db", "/ledger.db-wal", "/ledger.db-shm", "/lock"] {
                var status = stat()
                #expect(unsafe lstat(directory + "/new" + name, &status) == 0)
                #expect(status.st_mode & 0o077 == 0, "\(name)")
            }
            try await ledger.close()
        }
    }

    @Test func fullDiskCountsNothingAndRecovers() async throws {
        try await withTemporaryDirectory { directory in
            var options = LedgerOptions()
            options.maxPages = 40
            let ledger = try await Ledger.open(directory: directory, options: options)
            let source = SourceID(rawValue: 1)
            let big = [UInt8](repeating: 7, count: 30_000)
            var kept: UInt64 = 0
            var failure: LedgerError?
            while failure == nil, kept < 100 {
                do throws(LedgerError) {
                    try await ledger.commit([
                        .accepted(target: "t", source: source, range: kept..<kept + 1, records: 1, bytes: 1),
                        .deadLetter(deadLetter("u", source, kept..<kept + 1, bytes: big)),
                    ])
                    kept += 1
                } catch {
                    failure = error
                }
            }
            #expect(failure?.kind == .diskFull)
            #expect(failure?.message.contains("free space") == true)
            #expect(kept > 0)
            #expect(try await ledger.progress(target: "t", source: source).ranges == [0..<kept])
            #expect(try await ledger.progress(target: "u", source: source).ranges == [0..<kept])
            #expect(try await ledger.totals(target: "t").records == Int(kept))
            #expect(try await ledger.deadLetterCount() == Int(kept))

            let first = try #require(try await ledger.deadLetters(limit: 1).first)
            try await ledger.commit([.deadLetterRemoved(removal(first.id))])
            try await ledger.commit([
                .accepted(target: "t", source: source, range: kept..<kept + 1, records: 1, bytes: 1),
                .deadLetter(deadLetter("u", source, kept..<kept + 1, bytes: big)),
            ])
            #expect(try await ledger.progress(target: "t", source: source).ranges == [0..<kept + 1])
            try await ledger.close()
        }
    }
}
