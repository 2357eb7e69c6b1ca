import Glibc
import Model
import Testing

@testable import Ledger

/// What people do with dead letters: look, remove, try again; also beside an exporter.
@Suite struct DeadLetterTests {
    private static let source = SourceID(rawValue: 1)

    /// Three letters: 1 of `splunk`, 2 of `search`, 3 of the intake.
    private static func fill(_ ledger: Ledger) async throws {
        let source = try await ledger.addSource(
            SourceIdentity(path: "/in.ndjson", fingerprint: fingerprint(1), fingerprintLength: 9))
        #expect(source == Self.source)
        try await ledger.commit([
            .deadLetter(deadLetter("splunk", source, 0..<4, reason: "Bad Event", at: 1_000)),
            .deadLetter(deadLetter("search", source, 10..<90, reason: "mapping", at: 2_000)),
            .deadLetter(deadLetter("", source, 100..<104, reason: "no object", at: 3_000)),
        ])
    }

    private static func filter(_ change: (inout DeadLetterFilter) -> Void) -> DeadLetterFilter {
        var filter = DeadLetterFilter()
        change(&filter)
        return filter
    }

    @Test func readerSeesWhatARunningExporterCommits() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let reader = try DeadLetterReader(directory: directory)
            #expect(try reader.count(DeadLetterFilter()).letters == 0)
            try await Self.fill(ledger)
            let entries = try reader.entries(DeadLetterFilter(), limit: 10)
            #expect(entries.map(\.id) == [1, 2, 3])
            #expect(entries.map(\.target) == ["splunk", "search", ""])
            #expect(entries.map(\.input) == ["/in.ndjson", "/in.ndjson", "/in.ndjson"])
            #expect(entries.map(\.position) == [0, 10, 100])
            #expect(entries.map(\.isCut) == [false, true, false])
            #expect(try reader.count(DeadLetterFilter()) == (3, 6))
            #expect(try reader.letter(id: 2) == (try await ledger.deadLetter(id: 2)))
            #expect(try reader.letter(id: 4) == nil)
            #expect(try reader.targets() == ["", "search", "splunk"])
            #expect(try reader.lastID() == 3)
            try await ledger.close()
            #expect(try reader.count(DeadLetterFilter()).letters == 3)
        }
    }

    @Test func filtersRestrict() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            try await Self.fill(ledger)
            let reader = try DeadLetterReader(directory: directory)
            let cases: [(DeadLetterFilter, [Int64])] = [
                (Self.filter { $0.ids = [3, 1, 7] }, [1, 3]),
                (Self.filter { $0.target = "search" }, [2]),
                (Self.filter { $0.target = "" }, [3]),
                (Self.filter { $0.target = "sea" }, []),
                (Self.filter { $0.since = 2_005 }, [2, 3]),
                (Self.filter { $0.since = 2_006 }, [3]),
                (Self.filter { $0.reason = "bad eVENT" }, [1]),
                (Self.filter { $0.reason = "40" }, [1, 2, 3]),
                (Self.filter { $0.reason = "%" }, []),
                (Self.filter { $0.through = 2 }, [1, 2]),
                (
                    Self.filter {
                        $0.since = 2_000
                        $0.reason = "o"
                    }, [3]
                ),
            ]
            for (filter, expected) in cases {
                #expect(try reader.entries(filter, limit: 10).map(\.id) == expected, "\(filter)")
                #expect(try reader.count(filter).letters == expected.count, "\(filter)")
            }
            #expect(try reader.entries(DeadLetterFilter(), limit: 2).map(\.id) == [1, 2])
            #expect(try reader.entries(DeadLetterFilter(), after: 2, limit: 2).map(\.id) == [3])
            try await ledger.close()
        }
    }

    @Test func removalIsRemembered() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            try await Self.fill(ledger)
            let gone = removal(2, note: "CHG-1; 'quoted'")
            try await ledger.commit([.deadLetterRemoved(gone), .deadLetterRemoved(removal(77))])
            // It is gone once; a second removal changes nothing.
            try await ledger.commit([.deadLetterRemoved(removal(2, .delivered, at: 9_000))])
            let reader = try DeadLetterReader(directory: directory)
            let removed = try reader.removed(DeadLetterFilter(), limit: 10)
            #expect(removed.map(\.removal) == [gone])
            let letter = try #require(removed.first?.letter)
            #expect(letter.target == "search" && letter.uid == "uid-10" && letter.reason == "mapping")
            #expect(letter.code == "400" && letter.attempts == 1 && letter.size == 2 && letter.isCut)
            #expect(try reader.entries(DeadLetterFilter(), limit: 10).map(\.id) == [1, 3])
            #expect(try reader.countRemoved(Self.filter { $0.since = 5_001 }) == 0)
            #expect(try reader.countRemoved(Self.filter { $0.since = 5_000 }) == 1)
            #expect(try reader.neighbours(of: 2) == [1, 3])
            #expect(try reader.neighbours(of: 9) == [3])
            // It stays settled: discarding is no order to send it again.
            #expect(try await ledger.progress(target: "search", source: Self.source).contains(10))
            try await ledger.close()
        }
    }

    /// What was delivered after all is for the leader, until a row tells it.
    @Test func revivedLettersAreThereUntilTheyAreTold() async throws {
        try await withTemporaryDirectory { directory in
            var ledger = try await Ledger.open(directory: directory)
            let cluster = SourceID(rawValue: 3)
            for position in 1...4 as ClosedRange<UInt64> {
                try await ledger.commit([.unplacedDeadLetter(deadLetter("t", cluster, position..<position + 1))])
            }
            try await ledger.commit([.deadLetter(deadLetter("t", SourceID(rawValue: 4), 1..<2))])
            try await ledger.commit([
                .deadLetterRemoved(removal(1, .delivered)), .deadLetterRemoved(removal(2)),
                .deadLetterRemoved(removal(4, .delivered)), .deadLetterRemoved(removal(5, .delivered)),
            ])
            let all = [1, 4].map { RevivedLetter(id: $0, position: UInt64($0), uid: "uid-\($0)") }
            func untold(_ target: String = "t", _ limit: Int = 9) async throws(LedgerError) -> [RevivedLetter] {
                try await ledger.revivedLetters(target: target, source: cluster, limit: limit)
            }
            #expect(try await untold() == all, "those of the cluster that were delivered, and none that was discarded")
            #expect(try await untold("t", 1) == [all[0]])
            #expect(try await untold("u") == [])
            try await ledger.commit([.revivalsTold([1, 3, 77])])
            try await ledger.commit([.deadLetterRemoved(removal(3, .delivered))])
            let late = RevivedLetter(id: 3, position: 3, uid: "uid-3")
            try await ledger.close()
            ledger = try await Ledger.open(directory: directory)
            #expect(try await untold() == [late, all[1]], "a letter that was there is told when it is gone")
            try await ledger.close()
            let removed = try DeadLetterReader(directory: directory).removed(DeadLetterFilter(), limit: 9)
            #expect(removed.count == 5, "for an assessor they are all there")
        }
    }

    @Test func changedRecordOfARemovalIsNoticed() async throws {
        try await withTemporaryDirectory { directory in
            let store = try LedgerStore(directory: directory, options: LedgerOptions())
            try store.commit([[.deadLetter(deadLetter("t", Self.source, 0..<2)), .deadLetterRemoved(removal(1))]]).get()
            try store.connection.execute("UPDATE removed_letter SET removed_by = 'nobody'", doing: "forge")
            let reader = try DeadLetterReader(directory: directory)
            let error = #expect(throws: LedgerError.self) { try reader.removed(DeadLetterFilter(), limit: 1) }
            #expect(error?.kind == .corrupt)
        }
    }

    @Test func refusedAgainCountsTheAttempts() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            try await Self.fill(ledger)
            try await ledger.commit([
                .deadLetterRefusedAgain(id: 1, reason: "still bad", code: "http-400", lastAttempt: 9_000, attempts: 2),
                .deadLetterRefusedAgain(id: 99, reason: "", code: "", lastAttempt: 1, attempts: 1),
            ])
            let letter = try #require(try await ledger.deadLetter(id: 1))
            #expect(letter.reason == "still bad" && letter.code == "http-400")
            #expect(letter.attempts == 3 && letter.firstAttempt == 1_000 && letter.lastAttempt == 9_000)
            #expect(try await ledger.deadLetterCount() == 3)
            try await ledger.close()
        }
    }

    @Test(arguments: [100, 101, 4_000])
    func longReasonIsCut(length: Int) async throws {
        try await withTemporaryDirectory { directory in
            var options = LedgerOptions()
            options.maxReasonBytes = 100
            let ledger = try await Ledger.open(directory: directory, options: options)
            // Two bytes each, so that a cut may fall inside one.
            let said = String(repeating: "é", count: length / 2)
            try await ledger.commit([.deadLetter(deadLetter("t", Self.source, 0..<2, reason: said))])
            let reason = try #require(try await ledger.deadLetter(id: 1)?.reason)
            #expect(reason.utf8.count <= 100)
            #expect(reason == said || (reason.hasSuffix("…") && said.hasPrefix(reason.dropLast())))
            #expect((reason == said) == (said.utf8.count <= 100))
            try await ledger.close()
        }
    }

    @Test func readmittedBecomesALetterOfEachTarget() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            try await Self.fill(ledger)
            let old = try #require(try await ledger.deadLetter(id: 3))
            try await ledger.commit([.deadLetterReadmitted(removal(3, .readmitted), uid: "found", targets: ["a", "b"])])
            let made = try await ledger.deadLetters(after: 3, limit: 10)
            #expect(made.map(\.target) == ["a", "b"])
            for letter in made {
                #expect(letter.bytes == old.bytes && letter.position == old.position && letter.length == old.length)
                #expect(letter.uid == "found" && letter.attempts == 0 && letter.firstAttempt == old.firstAttempt)
                #expect(letter.reason.contains("no object") && letter.reason.contains("dead letter 3"))
            }
            #expect(try await ledger.deadLetter(id: 3) == nil)
            #expect(
                try DeadLetterReader(directory: directory).removed(DeadLetterFilter(), limit: 9).map(\.removal)
                    == [removal(3, .readmitted)])
            try await ledger.close()
        }
    }

    @Test func oneAtATimeRemovesAlsoBesideAnExporter() async throws {
        try await withTemporaryDirectory { directory in
            let exporter = try await Ledger.open(directory: directory)
            try await Self.fill(exporter)
            let desk = try await Ledger.openForDeadLetters(directory: directory)
            #expect(try await desk.exporter() == getpid())
            let second = await #expect(throws: LedgerError.self) {
                try await Ledger.openForDeadLetters(directory: directory)
            }
            #expect(second?.kind == .locked(pid: getpid()))
            #expect(second?.message.contains("pid \(getpid())") == true)

            // Both write in turns; the exporter's progress and the removals are all there.
            for step in UInt64(0)..<40 {
                async let accepted: Void = exporter.commit([
                    .accepted(
                        target: "splunk", source: Self.source, range: step * 10..<step * 10 + 10, records: 1, bytes: 1)
                ])
                async let removed: Void = desk.commit([
                    .deadLetterRefusedAgain(id: 1, reason: "r", code: "c", lastAttempt: 1, attempts: 1)
                ])
                _ = try await (accepted, removed)
            }
            try await desk.commit([.deadLetterRemoved(removal(2))])
            try await desk.close()
            #expect(try await exporter.deadLetter(id: 1)?.attempts == 41)
            #expect(try await exporter.deadLetters(limit: 9).map(\.id) == [1, 3])
            try await exporter.close()

            let again = try await Ledger.open(directory: directory)
            #expect(try await again.progress(target: "splunk", source: Self.source).ranges == [0..<400])
            #expect(try await again.totals(target: "splunk").records == 40)
            try await again.close()
        }
    }

    @Test func withoutAnExporterNoneMayStart() async throws {
        try await withTemporaryDirectory { directory in
            try await Ledger.open(directory: directory).close()
            let desk = try await Ledger.openForDeadLetters(directory: directory)
            #expect(try await desk.exporter() == nil)
            let error = await #expect(throws: LedgerError.self) { try await Ledger.open(directory: directory) }
            #expect(error?.kind == .locked(pid: getpid()))
            try await desk.close()
            try await Ledger.open(directory: directory).close()
        }
    }

    @Test func nothingIsMadeWhereNothingIs() async throws {
        try await withTemporaryDirectory { directory in
            for path in [directory, directory + "/none"] {
                let opened = await #expect(throws: LedgerError.self) {
                    try await Ledger.openForDeadLetters(directory: path)
                }
                let read = #expect(throws: LedgerError.self) { try DeadLetterReader(directory: path) }
                for error in [opened, read] {
                    #expect(error?.kind == .missing)
                    #expect(error?.message.contains(path) == true && error?.message.contains("--state") == true)
                }
                #expect(unsafe access(directory + "/lock", F_OK) != 0)
                #expect(unsafe access(directory + "/none", F_OK) != 0)
            }
        }
    }

    @Test func ledgerOfAnOlderVersionIsReadAndUpgraded() async throws {
        try await withTemporaryDirectory { directory in
            var older: StateDirectory? = try StateDirectory(directory)
            var connection: Connection? = try Connection(path: directory + "/ledger.db")
            let sum = RowSum.deadLetter(target: "t", source: 1, position: 0, bytes: [0x7B, 0x7D])
            for sql in [
                "PRAGMA journal_mode = WAL", Schema.migrations[0], "PRAGMA user_version = 1",
                """
                INSERT INTO dead_letter (target, source, position, uid, reason, code, first_attempt, last_attempt,
                    attempts, bytes, sum) VALUES ('t', 1, 0, 'u', 'r', 'c', 1, 2, 3, x'7b7d', \(sum))
                """,
            ] {
                try connection?.execute(sql, doing: "fill")
            }
            let reader = try DeadLetterReader(directory: directory)
            #expect(try reader.entries(DeadLetterFilter(), limit: 9).map(\.uid) == ["u"])
            #expect(try reader.letter(id: 1)?.isCut == false)
            #expect(try reader.removed(DeadLetterFilter(), limit: 9).isEmpty)

            // While the older program works, its tables are left alone.
            let beside = await #expect(throws: LedgerError.self) {
                try await Ledger.openForDeadLetters(directory: directory)
            }
            #expect(beside?.kind == .locked(pid: getpid()))
            #expect(beside?.message.contains("older") == true)
            connection = nil
            older = nil
            withExtendedLifetime(older) {}
            let desk = try await Ledger.openForDeadLetters(directory: directory)
            try await desk.commit([.deadLetterRemoved(removal(1))])
            try await desk.close()
            let upgraded = try DeadLetterReader(directory: directory)
            #expect(try upgraded.removed(DeadLetterFilter(), limit: 9).map(\.letter.uid) == ["u"])
        }
    }
}
