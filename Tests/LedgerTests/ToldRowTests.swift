import Model
import Protocol
import Testing

@testable import Ledger

/// What a worker owes its leader: there until it is forgotten, and no number comes twice.
@Suite struct ToldRowTests {
    private static func row(_ number: UInt64, _ target: String = "t", kind: Outcomes.Kind = .delivered) -> ToldRow {
        ToldRow(
            number: number, target: target, kind: kind, reason: kind == .dead ? "mapping \u{e9}" : "",
            keys: [RecordKey(high: number, low: .max), RecordKey(high: .max, low: number)],
            grants: [ShardGrant(shard: 0, epoch: .max), ShardGrant(shard: .max, epoch: 0)])
    }

    @Test func rowsSurviveReopeningUntilTheyAreForgotten() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            #expect(try await ledger.toldRows().next == 1)
            let letter = deadLetter("t", SourceID(rawValue: 1), 7..<9)
            try await ledger.commit([
                .told(Self.row(2)), .told(Self.row(1, "other", kind: .dead)), .unplacedDeadLetter(letter),
            ])
            try await ledger.close()

            let again = try await Ledger.open(directory: directory)
            let found = try await again.toldRows()
            #expect(found.rows == [Self.row(1, "other", kind: .dead), Self.row(2)] && found.next == 3)
            // The letter is there and speaks of no progress.
            #expect(try await again.deadLetterCount(target: "t") == 1)
            #expect(try await again.progress(target: "t", source: SourceID(rawValue: 1)).ranges == [])
            try await again.commit([.forgotten(through: 1)])
            #expect(try await again.toldRows().rows == [Self.row(2)])
            try await again.close()
        }
    }

    /// Packed by how far records lie from one another, and read again as they were; cut anywhere, they are no row.
    @Test func recordsArePackedAndReadAgain() throws {
        var rng = PRNG(seed: 3)
        let far: [UInt64] = [1 << 47, 1 << 48, 1 << 49, 1 << 63, 0 &- (1 << 48), .max]
        let steps = far + [0, 1, 63, 64, 1_220, 0 &- 1_220]
        for shape in 0..<60 {
            var row = ToldRow(number: 1, target: "t", kind: .delivered, reason: "", keys: [], grants: [])
            var key = RecordKey(high: rng.next(), low: rng.next())
            var epoch: UInt32 = .max
            for _ in 0..<Int(rng.below(40)) {
                if rng.below(6) == 0 { key.high = rng.next() }
                key.low &+= shape % 2 == 0 ? 1_220 : steps[Int(rng.below(UInt64(steps.count)))]
                if rng.below(4) == 0 { epoch = UInt32(truncatingIfNeeded: rng.next()) }
                row.keys.append(key)
                row.grants.append(ShardGrant(shard: UInt16(truncatingIfNeeded: rng.next()), epoch: epoch))
            }
            func read(_ bytes: [UInt8]) -> ToldRow? {
                ToldRow(
                    number: 1, target: "t", kind: Int64(row.kind.rawValue) | ToldRow.packed, reason: "", records: bytes)
            }
            let bytes = row.records
            #expect(read(bytes) == row)
            #expect(bytes.count <= 23 * row.keys.count)
            // Where a record ends is no mistake: then it is a shorter row, and the row's checksum is wrong.
            for count in 0..<bytes.count {
                if let shorter = read(Array(bytes[..<count])) { #expect(row.keys.starts(with: shorter.keys)) }
            }
            #expect(read(bytes + [4]) == nil && read(bytes + [1]) == nil)
        }
        #expect(ToldRow(number: 1, target: "t", kind: ToldRow.packed, reason: "", records: [3, 0, 0, 0]) == nil)
    }

    /// A row that a program of before wrote is told as it was written, not as what it would be now.
    @Test func rowsFromBeforeAreRead() {
        let old: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 7, 0, 0, 0, 2]
        let row = ToldRow(number: 3, target: "t", kind: 0, reason: "", records: old + old)
        #expect(row?.keys == [RecordKey(high: 1, low: 9), RecordKey(high: 1, low: 9)])
        #expect(row?.grants == [ShardGrant(shard: 7, epoch: 2), ShardGrant(shard: 7, epoch: 2)])
        #expect(ToldRow(number: 3, target: "t", kind: 0, reason: "", records: old + [1]) == nil)
    }

    /// A million of them a day is what a worker's disk writes.
    @Test func neighboursTakeFiveBytes() {
        var row = ToldRow(number: 1, target: "t", kind: .delivered, reason: "", keys: [], grants: [])
        for place in 0..<1_000 as Range<UInt64> {
            row.keys.append(RecordKey(high: 7, low: place * 1_220))
            row.grants.append(ShardGrant(shard: UInt16(place % 256), epoch: 3))
        }
        #expect(row.records.count < 5_050)
    }

    @Test func noNumberIsUsedAgainAfterEverythingIsForgotten() async throws {
        try await withTemporaryDirectory { directory in
            var ledger = try await Ledger.open(directory: directory)
            try await ledger.commit([.told(Self.row(41))])
            try await ledger.commit([.forgotten(through: 41)])
            try await ledger.close()
            ledger = try await Ledger.open(directory: directory)
            let found = try await ledger.toldRows()
            #expect(found.rows.isEmpty && found.next == 42)
            try await ledger.close()
        }
    }

    @Test func theSameRecordAgainUpdatesItsLetter() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let source = SourceID(rawValue: 1)
            for attempts in 1...2 {
                let letter = deadLetter("t", source, 5..<6, reason: "r\(attempts)", attempts: attempts)
                try await ledger.commit([.unplacedDeadLetter(letter)])
            }
            let letters = try await ledger.deadLetters(limit: 9)
            #expect(letters.map(\.reason) == ["r2"] && letters.map(\.attempts) == [2])
            try await ledger.close()
        }
    }

    @Test(arguments: ["records = zeroblob(44)", "kind = 1 - kind", "reason = 'x'", "number = 9", "target = 'u'"])
    func aFlippedBitIsNoFact(change: String) async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            try await ledger.commit([.told(Self.row(1))])
            try await ledger.close()
            try Connection(path: directory + "/ledger.db").execute("UPDATE told SET \(change)", doing: "spoil")
            let error = await #expect(throws: LedgerError.self) { try await Ledger.open(directory: directory) }
            #expect(error?.kind == .corrupt)
        }
    }

    @Test(arguments: [
        ToldRow(number: 0, target: "t", kind: .delivered, reason: "", keys: [], grants: []),
        ToldRow(number: .max, target: "t", kind: .delivered, reason: "", keys: [], grants: []),
        ToldRow(
            number: 1, target: "t", kind: .delivered, reason: "", keys: [RecordKey(high: 1, low: 1)], grants: []),
    ])
    func whatTheTableCannotHoldIsRefused(row: ToldRow) async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let error = await #expect(throws: LedgerError.self) { try await ledger.commit([.told(row)]) }
            #expect(error?.kind == .invalid)
            try await ledger.close()
        }
    }

    @Test func aLedgerOfAnEarlierVersionIsBroughtUp() async throws {
        try await withTemporaryDirectory { directory in
            try write([], to: directory + "/ledger.db")
            let steps = Schema.migrations.prefix(3).joined(separator: "\n")
            try Connection(path: directory + "/ledger.db").execute("\(steps) PRAGMA user_version = 3;", doing: "make")
            let ledger = try await Ledger.open(directory: directory)
            #expect(try await ledger.toldRows().rows.isEmpty)
            try await ledger.commit([.told(Self.row(1))])
            #expect(try await ledger.toldRows().rows == [Self.row(1)])
            try await ledger.close()
        }
    }
}
