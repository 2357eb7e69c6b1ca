import Model
import Testing

@testable import Ledger

@Suite struct LedgerTests {
    @Test func nobodyUsesSQLiteBeforeItIsPrepared() async throws {
        try await withTemporaryDirectory { try await Ledger.open(directory: $0).close() }
        #expect(isSQLitePrepared)
    }

    @Test func remembersAcrossReopening() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory + "/a/b")
            let identity = SourceIdentity(path: "/in.ndjson", fingerprint: fingerprint(1), fingerprintLength: 4096)
            let source = try await ledger.addSource(identity)
            try await ledger.commit([
                .accepted(target: "t", source: source, range: 0..<10, records: 1, bytes: 10),
                .accepted(target: "t", source: source, range: 20..<30, records: 1, bytes: 12),
                .fileLength(target: "t", path: "/old", length: 5),
            ])
            try await ledger.commit([
                .accepted(target: "t", source: source, range: 10..<20, records: 2, bytes: 8),
                .fileLength(target: "t", path: "/new", length: 7),
            ])
            try await ledger.close()

            let again = try await Ledger.open(directory: directory + "/a/b")
            #expect(try await again.progress(target: "t", source: source).ranges == [0..<30])
            #expect(try await again.totals(target: "t", source: source) == AcceptedTotals(records: 4, bytes: 30))
            #expect(try await again.totals(target: "t") == AcceptedTotals(records: 4, bytes: 30))
            #expect(try await again.totals(target: "other") == AcceptedTotals(records: 0, bytes: 0))
            let file = try #require(try await again.fileLength(target: "t"))
            #expect(file.path == "/new" && file.length == 7)
            #expect(
                try await again.knownSources(path: "/in.ndjson") == [
                    KnownSource(id: source, identity: identity, isFinished: false)
                ])
            try await again.close()
        }
    }

    @Test func sameSourceKeepsItsNumber() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let first = SourceIdentity(path: "/x", fingerprint: fingerprint(1), fingerprintLength: 10)
            var second = first
            second.fingerprint = fingerprint(2)
            let a = try await ledger.addSource(first)
            let b = try await ledger.addSource(second)
            #expect(a != b)
            #expect(try await ledger.addSource(first) == a)
            try await ledger.commit([.finished(source: a)])
            let known = try await ledger.knownSources(path: "/x")
            #expect(known.map(\.id) == [b, a])
            #expect(known.map(\.isFinished) == [false, true])
            #expect(try await ledger.knownSources(path: "/y").isEmpty)
            try await ledger.close()
        }
    }

    @Test func tableStaysOneRowWhileWorkSettlesInOrder() async throws {
        try await withTemporaryDirectory { directory in
            let store = try LedgerStore(directory: directory, options: LedgerOptions())
            let source = SourceID(rawValue: 1)
            for step in UInt64(0)..<50 {
                let range = step * 10..<step * 10 + 10
                // Every fifth record is refused at intake: no target ever accepts that range.
                let change: LedgerChange =
                    step % 5 == 4
                    ? .deadLetter(deadLetter("", source, range))
                    : .accepted(target: "t", source: source, range: range, records: 1, bytes: 1)
                try store.commit([[change]]).get()
            }
            try store.commit([[.finished(source: source)]]).get()
            #expect(try store.connection.integer("SELECT count(*) FROM progress WHERE target = 't'") == 1)
            #expect(try store.loaded("t", source).ranges == [0..<500])
        }
    }

    @Test func refusedAtIntakeIsSettledForEveryTarget() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let source = SourceID(rawValue: 1)
            try await ledger.commit([.accepted(target: "a", source: source, range: 0..<10, records: 1, bytes: 1)])
            try await ledger.commit([.deadLetter(deadLetter("", source, 10..<15))])
            #expect(try await ledger.progress(target: "a", source: source).ranges == [0..<15])
            #expect(try await ledger.progress(target: "b", source: source).ranges == [10..<15])
            try await ledger.close()
        }
    }

    @Test func deadLettersAreKeptOnceAndListed() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let source = SourceID(rawValue: 7)
            let letter = deadLetter("t", source, 5..<9, reason: "first", attempts: 3, at: 100)
            try await ledger.commit([.deadLetter(letter)])
            var repeated = letter
            repeated.reason = "second"
            repeated.attempts = 2
            repeated.firstAttempt = 50
            repeated.lastAttempt = 900
            try await ledger.commit([.deadLetter(repeated), .deadLetter(deadLetter("u", source, 5..<9))])

            #expect(try await ledger.deadLetterCount() == 2)
            #expect(try await ledger.deadLetterCount(target: "t") == 1)
            let other = SourceID(rawValue: 8)
            #expect(try await ledger.deadLetterCount(target: "t", sources: [other]) == 0)
            try await ledger.commit([.deadLetter(deadLetter("t", other, 5..<9))])
            #expect(try await ledger.deadLetterCount(target: "t", sources: [source]) == 1)
            #expect(try await ledger.deadLetterCount(target: "t", sources: [source, other]) == 2)
            let removed = try #require(try await ledger.deadLetters(target: "t", limit: 10).last)
            try await ledger.commit([.deadLetterRemoved(removal(removed.id))])
            let kept = try #require(try await ledger.deadLetters(target: "t", limit: 10).first)
            #expect(kept.reason == "second" && kept.attempts == 3 && kept.position == 5)
            #expect(kept.firstAttempt == 50 && kept.lastAttempt == 900 && kept.bytes == letter.bytes)
            #expect(try await ledger.deadLetter(id: kept.id) == kept)
            #expect(try await ledger.deadLetters(limit: 1).count == 1)
            #expect(try await ledger.deadLetters(after: kept.id, limit: 10).map(\.target) == ["u"])

            try await ledger.commit([.deadLetterRemoved(removal(kept.id))])
            #expect(try await ledger.deadLetter(id: kept.id) == nil)
            #expect(try await ledger.progress(target: "t", source: source).ranges == [5..<9])
            try await ledger.close()
        }
    }

    @Test func longDeadLetterIsCutAndSaysSo() async throws {
        try await withTemporaryDirectory { directory in
            var options = LedgerOptions()
            options.maxDeadLetterBytes = 100
            let ledger = try await Ledger.open(directory: directory, options: options)
            let bytes = [UInt8](repeating: 120, count: 101)
            try await ledger.commit([.deadLetter(deadLetter("t", SourceID(rawValue: 1), 0..<101, bytes: bytes))])
            let kept = try #require(try await ledger.deadLetters(limit: 1).first)
            #expect(kept.bytes.count == 100)
            #expect(kept.reason == "mapping [cut from 101 to 100 bytes]")
            try await ledger.close()
        }
    }

    @Test func valuesThatDoNotFitAreRefused() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let source = SourceID(rawValue: 1)
            let bad: [LedgerChange] = [
                .accepted(target: "t", source: source, range: 0..<UInt64(1) << 63, records: 1, bytes: 1),
                .accepted(target: "t", source: source, range: 0..<1, records: -1, bytes: 1),
                .accepted(target: "t", source: source, range: 0..<1, records: 1, bytes: -1),
                .fileLength(target: "t", path: "/p", length: .max),
                .deadLetter(deadLetter("t", source, 0..<UInt64.max)),
            ]
            for change in bad {
                let error = await #expect(throws: LedgerError.self) { try await ledger.commit([change]) }
                #expect(error?.kind == .invalid)
            }
            #expect(try await ledger.progress(target: "t", source: source).ranges.isEmpty)
            try await ledger.close()
        }
    }

    @Test func nothingIsAnsweredAfterClose() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            try await ledger.close()
            try await ledger.close()
            let commit = await #expect(throws: LedgerError.self) {
                try await ledger.commit([.finished(source: SourceID(rawValue: 1))])
            }
            #expect(commit?.kind == .closed)
            let read = await #expect(throws: LedgerError.self) { try await ledger.deadLetterCount() }
            #expect(read?.kind == .closed)
        }
    }

    @Test func concurrentCommitsAllCount() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let source = SourceID(rawValue: 1)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in UInt64(0)..<8 {
                    group.addTask {
                        for step in UInt64(0)..<25 {
                            let start = (step * 8 + task) * 3
                            try await ledger.commit([
                                .accepted(
                                    target: "t", source: source, range: start..<start + 3, records: 1, bytes: 3)
                            ])
                            // Every caller sees its own commit once it has returned.
                            let progress = try await ledger.progress(target: "t", source: source)
                            #expect(progress.contains(start))
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await ledger.progress(target: "t", source: source).ranges == [0..<600])
            #expect(try await ledger.totals(target: "t").records == 200)
            try await ledger.close()
        }
    }

    @Test func logDoesNotGrowWithoutBound() async throws {
        try await withTemporaryDirectory { directory in
            var options = LedgerOptions()
            options.checkpointPages = 20
            options.isDurable = false
            let ledger = try await Ledger.open(directory: directory, options: options)
            for step in UInt64(0)..<2_000 {
                try await ledger.commit([
                    .accepted(
                        target: "t", source: SourceID(rawValue: 1), range: step..<step + 1, records: 1, bytes: 1)
                ])
            }
            // A commit touches a handful of pages; 2000 of them without checkpoints would be over 16 MB.
            #expect(contents(directory + "/ledger.db-wal").count < 400_000)
            #expect(contents(directory + "/ledger.db").count < 200_000)
            try await ledger.close()
        }
    }
}
