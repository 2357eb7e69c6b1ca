import Model
import Testing

@testable import Ledger

/// What lanes say of a file of dead letters, in terms of the letters.
@Suite struct RevivalTests {
    private static let a = SourceID(rawValue: 7)
    private static let b = SourceID(rawValue: 8)

    /// Four letters of ten bytes: 1, 2 and 4 of `t`, 3 of `u`.
    private static let revival = Revival(
        [entry(1, "t", a), entry(2, "t", b), entry(3, "u", a), entry(4, "t", a)], by: "tester")

    private static func entry(_ id: Int64, _ target: String, _ origin: SourceID) -> Revival.Entry {
        let start = UInt64(id - 1) * 10
        return Revival.Entry(
            id: id, target: target, uid: "uid-\(id)", origin: origin, range: start..<start + 10,
            digest: fingerprint(UInt8(id)))
    }

    private static func accepted(_ target: String, _ range: Range<UInt64>, _ records: Int) -> LedgerChange {
        .accepted(target: target, source: Revival.source, range: range, records: records, bytes: 100)
    }

    private static func gone(_ id: Int64) -> LedgerChange {
        .deadLetterRemoved(
            DeadLetterRemoval(
                id: id, outcome: .delivered, time: 5, person: "tester", note: "", digest: fingerprint(UInt8(id))))
    }

    private static func translate(_ changes: [LedgerChange], refused: Set<UInt64> = []) throws -> [LedgerChange] {
        try revival.translate(changes, refused: refused, time: 5)
    }

    @Test func everyTargetSeesItsOwnLettersOnly() {
        #expect(Self.revival.settled(for: "t").ranges == [20..<30])
        #expect(Self.revival.settled(for: "u").ranges == [0..<20, 30..<40])
        #expect(Self.revival.settled(for: "other").ranges == [0..<40])
        #expect(Self.revival.entry(at: 10)?.id == 2)
        #expect(Self.revival.entry(at: 11) == nil && Self.revival.entry(at: 40) == nil)
    }

    @Test func acceptedLettersLeaveAndCountWhereTheyCameFrom() throws {
        let changes = try Self.translate([Self.accepted("t", 0..<40, 3)])
        #expect(
            changes == [
                .accepted(target: "t", source: Self.a, range: 0..<0, records: 2, bytes: 100),
                .accepted(target: "t", source: Self.b, range: 0..<0, records: 1, bytes: 0),
                Self.gone(1), Self.gone(2), Self.gone(4),
            ])
        #expect(try Self.translate([Self.accepted("u", 10..<30, 1)]).last == Self.gone(3))
        // Those before the stretch are not meant.
        #expect(try Self.translate([Self.accepted("t", 10..<40, 2)]).suffix(2) == [Self.gone(2), Self.gone(4)])
        // A stretch without letters of the target.
        #expect(try Self.translate([Self.accepted("u", 0..<20, 0)]) == [])
    }

    @Test func refusedLettersStay() throws {
        var letter = deadLetter("t", Revival.source, 10..<20, reason: "again", attempts: 2, at: 900)
        letter.code = "hec-6"
        let changes = try Self.translate([.deadLetter(letter), Self.accepted("t", 0..<40, 2)])
        #expect(
            changes.first
                == .deadLetterRefusedAgain(id: 2, reason: "again", code: "hec-6", lastAttempt: 905, attempts: 2))
        #expect(Array(changes.suffix(2)) == [Self.gone(1), Self.gone(4)])
        // Refused at intake, so that the lane never had it.
        #expect(try Self.translate([Self.accepted("t", 0..<20, 1)], refused: [0]).suffix(1) == [Self.gone(2)])
    }

    @Test func otherCountsThanExpectedConcludeNothing() {
        let wrong: [[LedgerChange]] = [
            [Self.accepted("t", 0..<40, 4)], [Self.accepted("t", 0..<40, 2)], [Self.accepted("u", 0..<20, 1)],
            [.deadLetter(deadLetter("t", Revival.source, 20..<30))],
            [.deadLetter(deadLetter("t", Revival.source, 1..<10))],
        ]
        for changes in wrong {
            let error = #expect(throws: LedgerError.self) { try Self.translate(changes) }
            #expect(error?.kind == .invalid)
        }
    }

    @Test func onlyOutputFilesPassAsTheyAre() throws {
        let file = LedgerChange.fileLength(target: "t", path: "/out", length: 9)
        let batch = BatchInFlight(
            stretches: [.init(source: -1, range: 0..<10)], receipt: Receipt(channel: "c", id: 1), sentAt: 1)
        #expect(try Self.translate([.departed(target: "t", batch), file]) == [file])
    }
}
