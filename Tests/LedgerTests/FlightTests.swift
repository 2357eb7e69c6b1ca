import Model
import Testing

@testable import Ledger

/// Batches in flight: kept from departure until settled, whatever happens to the process.
@Suite struct FlightTests {
    private static let source = SourceID(rawValue: 1)

    private static func batch(_ ranges: Range<UInt64>..., receipt: Receipt? = nil) -> BatchInFlight {
        BatchInFlight(stretches: ranges.map { .init(source: 1, range: $0) }, receipt: receipt, sentAt: 7)
    }

    private static func accepted(_ range: Range<UInt64>, by target: String = "t") -> LedgerChange {
        .accepted(target: target, source: source, range: range, records: 1, bytes: 1)
    }

    @Test func survivesReopeningWithItsReceipt() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let first = Self.batch(0..<10, receipt: Receipt(channel: "c", id: 0))
            let second = BatchInFlight(
                stretches: [.init(source: 1, range: 10..<20), .init(source: 2, range: 0..<5)],
                receipt: Receipt(channel: "c", id: 1), sentAt: 8)
            try await ledger.commit([.departed(target: "t", first), .departed(target: "t", second)])
            try await ledger.commit([.departed(target: "u", Self.batch(0..<10))])
            try await ledger.close()

            let again = try await Ledger.open(directory: directory)
            #expect(try await again.batchesInFlight(target: "t") == [first, second])
            #expect(try await again.batchesInFlight(target: "u") == [Self.batch(0..<10)])
            // Numbers go on where they were: the order of departure is kept.
            try await again.commit([.departed(target: "t", Self.batch(30..<40))])
            #expect(try await again.batchesInFlight(target: "t") == [first, second, Self.batch(30..<40)])
            try await again.close()
        }
    }

    @Test func isForgottenInTheTransactionThatSettlesIt() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            try await ledger.commit([
                .departed(target: "t", Self.batch(0..<10)), .departed(target: "t", Self.batch(10..<20)),
                .departed(target: "u", Self.batch(0..<10)),
            ])
            // Half of a batch does not settle it; two halves do, though none of them covers it.
            try await ledger.commit([Self.accepted(0..<15)])
            #expect(try await ledger.batchesInFlight(target: "t") == [Self.batch(10..<20)])
            try await ledger.commit([Self.accepted(15..<20)])
            #expect(try await ledger.batchesInFlight(target: "t") == [])
            #expect(try await ledger.batchesInFlight(target: "u") == [Self.batch(0..<10)])
            try await ledger.commit([.finished(source: Self.source)])
            #expect(try await ledger.batchesInFlight(target: "u") == [])
            try await ledger.close()
        }
    }

    @Test func aLaterDepartureReplacesWhatItOverlaps() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            try await ledger.commit([.departed(target: "t", Self.batch(0..<10, 20..<30))])
            try await ledger.commit([.departed(target: "t", Self.batch(40..<50))])
            let halves = [Self.batch(25..<27, receipt: Receipt(channel: "d", id: 4)), Self.batch(27..<30)]
            try await ledger.commit(halves.map { .departed(target: "t", $0) })
            #expect(try await ledger.batchesInFlight(target: "t") == [Self.batch(40..<50)] + halves)
            try await ledger.close()
        }
    }

    @Test func valuesThatCannotBeKeptAreRefused() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let wrong = [
                Self.batch(5..<5), Self.batch(0..<(UInt64(Int64.max) + 1)),
                Self.batch(0..<5, receipt: Receipt(channel: "c", id: -1)),
            ]
            for batch in wrong {
                let error = await #expect(throws: LedgerError.self) {
                    try await ledger.commit([.departed(target: "t", batch)])
                }
                #expect(error?.kind == .invalid)
            }
            #expect(try await ledger.batchesInFlight(target: "t") == [])
            try await ledger.close()
        }
    }

    /// A flipped bit in a number could pass for somebody else's acknowledgement.
    @Test(arguments: ["ack = 8", "channel = 'd'", "start = 1", "end = 11", "source = 2", "target = 'u'"])
    func aChangedRowIsNoticed(change: String) async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let batch = Self.batch(0..<10, receipt: Receipt(channel: "c", id: 7))
            try await ledger.commit([.departed(target: "t", batch)])
            try await ledger.close()
            try Connection(path: directory + "/ledger.db").execute("UPDATE in_flight SET \(change)", doing: "damage")
            let error = await #expect(throws: LedgerError.self) { try await Ledger.open(directory: directory) }
            #expect(error?.kind == .corrupt)
        }
    }

    @Test func whatNeverLandsIsBounded() async throws {
        try await withTemporaryDirectory { directory in
            let store = try LedgerStore(directory: directory, options: LedgerOptions())
            let (kept, slack) = (Int(LedgerStore.maxFlights), LedgerStore.departuresPerLook)
            let batches = (Int64(0)..<Int64(kept + 2 * slack)).map { input in
                BatchInFlight(stretches: [.init(source: input, range: 0..<10)], receipt: nil, sentAt: 7)
            }
            // One that has a single batch under way does not pay for the one that leaves so many behind.
            try store.commit([[.departed(target: "u", Self.batch(0..<10))]]).get()
            try store.commit(batches.map { [LedgerChange.departed(target: "t", $0)] }).get()
            let found = try store.flights(target: "t")
            #expect(found == batches.suffix(found.count) && kept...kept + slack ~= found.count, "\(found.count)")
            #expect(try store.flights(target: "u") == [Self.batch(0..<10)])
        }
    }

    /// However few departures a process lives for.
    @Test func theFirstDepartureLooksWhatEarlierProcessesLeft() async throws {
        try await withTemporaryDirectory { directory in
            let (kept, more) = (Int(LedgerStore.maxFlights), LedgerStore.departuresPerLook - 1)
            let changes = (Int64(0)..<Int64(kept + more)).map { input in
                let batch = BatchInFlight(stretches: [.init(source: input, range: 0..<10)], receipt: nil, sentAt: 7)
                return [LedgerChange.departed(target: "t", batch)]
            }
            try LedgerStore(directory: directory, options: LedgerOptions()).commit(changes).get()
            let store = try LedgerStore(directory: directory, options: LedgerOptions())
            #expect(try store.flights(target: "t").count == kept + more)
            let last = BatchInFlight(stretches: [.init(source: -5, range: 0..<10)], receipt: nil, sentAt: 7)
            try store.commit([[.departed(target: "t", last)]]).get()
            let found = try store.flights(target: "t")
            #expect(found.count == kept && found.last == last)
        }
    }

    @Test func aLedgerOfTheFirstVersionIsBroughtUp() async throws {
        try await withTemporaryDirectory { directory in
            try write([], to: directory + "/ledger.db")
            let sum = RowSum.progress(target: "t", source: 1, start: 0, end: 10)
            try Connection(path: directory + "/ledger.db").execute(
                """
                \(Schema.migrations[0]) PRAGMA user_version = 1;
                INSERT INTO progress (target, source, start, end, sum) VALUES ('t', 1, 0, 10, \(sum));
                """, doing: "make")

            let ledger = try await Ledger.open(directory: directory)
            #expect(try await ledger.progress(target: "t", source: Self.source).ranges == [0..<10])
            try await ledger.commit([.departed(target: "t", Self.batch(10..<20))])
            #expect(try await ledger.batchesInFlight(target: "t") == [Self.batch(10..<20)])
            try await ledger.close()
        }
    }
}
