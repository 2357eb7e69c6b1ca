public import Protocol

/// What a worker of a cluster tells its leader of records of one target, until the leader has it for good.
public struct ToldRow: Sendable, Equatable {
    /// Grows from row to row and is never used again, also after the row was forgotten.
    public var number: UInt64
    /// The target's name.
    public var target: String
    /// `delivered` or `dead`.
    public var kind: Outcomes.Kind
    /// Why, for `dead`.
    public var reason: String
    /// The records.
    public var keys: [RecordKey]
    /// The grants they were taken under, one for each.
    public var grants: [ShardGrant]

    /// All parts.
    public init(
        number: UInt64, target: String, kind: Outcomes.Kind, reason: String, keys: [RecordKey], grants: [ShardGrant]
    ) {
        self.number = number
        self.target = target
        self.kind = kind
        self.reason = reason
        self.keys = keys
        self.grants = grants
    }
}

/// Told rows. Like all of the store: on the ledger's thread only.
extension LedgerStore {
    func tell(_ row: ToldRow) throws(LedgerError) {
        let number = Int64(clamping: row.number)
        let records = row.records
        let kind = Int64(row.kind.rawValue) | ToldRow.packed
        let sum = RowSum.told(number, row.target, kind, row.reason, records)
        try statements.told.add.run([
            .integer(number), .text(row.target), .integer(kind), .text(row.reason),
            .blob(records), .integer(sum),
        ])
    }

    func forget(through number: UInt64) throws(LedgerError) {
        try statements.told.drop.run([.integer(Int64(clamping: number))])
    }

    /// All rows, and a number above every one that was ever used.
    func toldRows() throws(LedgerError) -> (rows: [ToldRow], next: UInt64) {
        var rows: [ToldRow] = []
        var next: UInt64 = 1
        let path = connection.path
        try statements.told.all.each([]) { (row: Statement) throws(LedgerError) in
            let (number, target, kind, reason) = (row.integer(0), row.text(1), row.integer(2), row.text(3))
            let records = row.blob(4)
            guard number > 0, RowSum.told(number, target, kind, reason, records) == row.integer(5),
                let read = ToldRow(
                    number: UInt64(number), target: target, kind: kind, reason: reason, records: records)
            else { throw .corrupt(path, "the checksum of row \(number) of what '\(target)' settled is wrong") }
            rows.append(read)
        }
        try statements.told.last.each([]) { (row: Statement) throws(LedgerError) in
            next = UInt64(clamping: row.integer(0)) + 1
        }
        return (rows, next)
    }
}

/// Statements of the told rows.
final class ToldStatements {
    let add: Statement
    let drop: Statement
    let all: Statement
    let last: Statement

    init(_ connection: Connection) throws(LedgerError) {
        // A number comes twice only when its first commit was answered as failed: then it is the same row.
        add = try Statement(
            connection,
            "INSERT OR REPLACE INTO told (number, target, kind, reason, records, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
        drop = try Statement(connection, "DELETE FROM told WHERE number <= ?1")
        all = try Statement(connection, "SELECT number, target, kind, reason, records, sum FROM told ORDER BY number")
        // Kept by SQLite for AUTOINCREMENT, whatever was deleted (SQLite, Autoincrement).
        last = try Statement(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'told'")
    }
}
