internal import Glibc

/// Looks at a ledger's dead letters, also while an exporter works with it, and changes nothing.
///
/// Each call sees the ledger as it is at that moment. Not `Sendable`, and calls block: for commands that do nothing
/// else meanwhile.
public final class DeadLetterReader {
    private let connection: Connection
    /// An older ledger has no record of removals yet.
    private let hasRemovals: Bool

    /// Opens the ledger in `directory`.
    ///
    /// - Throws: `LedgerError`: `.missing`, `.notALedger`, `.newerSchema`, `.corrupt`, `.notWritable`, `.locked`.
    public init(directory: String) throws(LedgerError) {
        try StateDirectory.requireLedger(directory)
        connection = try Self.open(directory)
        hasRemovals = try connection.integer("PRAGMA user_version") >= Schema.removalsVersion
    }

    private static func open(_ directory: String) throws(LedgerError) -> Connection {
        let path = directory + "/ledger.db"
        do throws(LedgerError) {
            let connection = try Connection(path: path, access: .read)
            try Schema.check(connection)
            return connection
        } catch {
            // On a copy or a volume that nobody may write to, a database in write-ahead mode opens only so. With a log
            // that was left there, that would hide what stands in it.
            var log = stat()
            let hasLog = unsafe stat(path + "-wal", &log) == 0 && log.st_size > 0
            guard error.kind == .notWritable, !hasLog, unsafe access(directory, W_OK) != 0 else { throw error }
            let connection = try Connection(path: path, access: .readOfUnchanging)
            try Schema.check(connection)
            return connection
        }
    }

    /// How many letters `filter` means, and how many bytes they keep.
    public func count(_ filter: DeadLetterFilter) throws(LedgerError) -> (letters: Int, bytes: Int) {
        let condition = Condition(filter, time: "last_attempt")
        var found = (letters: 0, bytes: 0)
        let sql = "SELECT count(*), ifnull(sum(length(bytes)), 0) FROM dead_letter d WHERE \(condition.sql)"
        try Statement(connection, sql).each(condition.values) { (row: Statement) throws(LedgerError) in
            found = (Int(row.integer(0)), Int(row.integer(1)))
        }
        return found
    }

    /// The first `limit` letters that `filter` means and whose number is over `after`, by number.
    public func entries(
        _ filter: DeadLetterFilter, after: Int64 = 0, limit: Int
    ) throws(LedgerError) -> [DeadLetterEntry] {
        let condition = Condition(filter, time: "last_attempt")
        let sql = """
            SELECT d.id, target, ifnull(path, ''), position, uid, reason, code, first_attempt, last_attempt, attempts,
                length(bytes), \(hasRemovals ? "length" : "0")
            FROM dead_letter d LEFT JOIN source ON source.id = d.source
            WHERE \(condition.sql) AND d.id > ?6 ORDER BY d.id LIMIT ?7
            """
        var entries: [DeadLetterEntry] = []
        let values = condition.values + [.integer(after), .integer(Int64(max(limit, 0)))]
        try Statement(connection, sql).each(values) { (row: Statement) throws(LedgerError) in
            entries.append(Self.entry(row))
        }
        return entries
    }

    /// Letter `id` with its bytes.
    public func letter(id: Int64) throws(LedgerError) -> DeadLetter? {
        let length = hasRemovals ? "length" : "0"
        var found: DeadLetter?
        let path = connection.path
        try Statement(connection, "SELECT \(LetterStatements.columns), \(length) FROM dead_letter WHERE id = ?1").each(
            [.integer(id)]
        ) { (row: Statement) throws(LedgerError) in found = try LedgerStore.deadLetter(row, path) }
        return found
    }

    /// The first `limit` letters that are gone, that `filter` means (by when they went) and whose number is over
    /// `after`, by number.
    public func removed(
        _ filter: DeadLetterFilter, after: Int64 = 0, limit: Int
    ) throws(LedgerError) -> [RemovedLetter] {
        guard hasRemovals else { return [] }
        let condition = Condition(filter, time: "removed_at")
        let sql = """
            SELECT d.id, target, ifnull(path, ''), position, uid, reason, code, first_attempt, last_attempt, attempts,
                size, length, digest, outcome, removed_at, removed_by, note, sum, source
            FROM removed_letter d LEFT JOIN source ON source.id = d.source
            WHERE \(condition.sql) AND d.id > ?6 ORDER BY d.id LIMIT ?7
            """
        var found: [RemovedLetter] = []
        let values = condition.values + [.integer(after), .integer(Int64(max(limit, 0)))]
        let path = connection.path
        try Statement(connection, sql).each(values) { (row: Statement) throws(LedgerError) in
            let letter = Self.entry(row)
            let removed = DeadLetterRemoval.Outcome(rawValue: row.text(13)).map { outcome in
                RemovedLetter(
                    letter: letter,
                    removal: DeadLetterRemoval(
                        id: letter.id, outcome: outcome, time: row.integer(14), person: row.text(15),
                        note: row.text(16), digest: row.blob(12)))
            }
            let sum = removed.map {
                RowSum.removedLetter($0, source: row.integer(18), length: Int(row.integer(11)))
            }
            guard let removed, sum == row.integer(17) else {
                throw .corrupt(path, "the checksum of the removal of dead letter \(letter.id) is wrong")
            }
            found.append(removed)
        }
        return found
    }

    /// How many letters that are gone `filter` means.
    public func countRemoved(_ filter: DeadLetterFilter) throws(LedgerError) -> Int {
        guard hasRemovals else { return 0 }
        let condition = Condition(filter, time: "removed_at")
        var found: Int64 = 0
        try Statement(connection, "SELECT count(*) FROM removed_letter d WHERE \(condition.sql)").each(condition.values)
        {
            (row: Statement) throws(LedgerError) in found = row.integer(0)
        }
        return Int(found)
    }

    /// The highest number of a dead letter; 0 if there are none.
    public func lastID() throws(LedgerError) -> Int64 { try connection.integer("SELECT max(id) FROM dead_letter") }

    /// The numbers next to `id` on both sides that do exist, for those who mistyped one.
    public func neighbours(of id: Int64) throws(LedgerError) -> [Int64] {
        var found: [Int64] = []
        let sql = """
            SELECT max(id) FROM dead_letter WHERE id < ?1 HAVING max(id) IS NOT NULL
            UNION SELECT min(id) FROM dead_letter WHERE id > ?1 HAVING min(id) IS NOT NULL
            """
        try Statement(connection, sql).each([.integer(id)]) { (row: Statement) throws(LedgerError) in
            found.append(row.integer(0))
        }
        return found
    }

    /// Names of the targets that have dead letters.
    public func targets() throws(LedgerError) -> [String] {
        try connection.texts("SELECT DISTINCT target FROM dead_letter ORDER BY target")
    }

    private static func entry(_ row: Statement) -> DeadLetterEntry {
        let size = Int(row.integer(10))
        return DeadLetterEntry(
            id: row.integer(0), target: row.text(1), input: row.text(2), position: UInt64(clamping: row.integer(3)),
            uid: row.text(4), reason: row.text(5), code: row.text(6), firstAttempt: row.integer(7),
            lastAttempt: row.integer(8), attempts: Int(row.integer(9)), size: size,
            isCut: isCutShort(length: Int(row.integer(11)), kept: size))
    }
}

/// A filter in SQL, with parameters 1 to 5.
private struct Condition {
    let sql: String
    let values: [Value]

    init(_ filter: DeadLetterFilter, time: String) {
        var parts: [String] = []
        if !filter.ids.isEmpty { parts.append("d.id IN (SELECT value FROM json_each(?1))") }
        if filter.target != nil { parts.append("target = ?2") }
        if filter.since != nil { parts.append("\(time) >= ?3") }
        if filter.reason != nil { parts.append("(instr(lower(reason), ?4) > 0 OR instr(lower(code), ?4) > 0)") }
        parts.append("d.id > \(filter.after) AND d.id <= ?5")
        sql = parts.joined(separator: " AND ")
        values = [
            .text("[\(filter.ids.map(String.init).joined(separator: ","))]"), .text(filter.target ?? ""),
            .integer(filter.since ?? 0), .text(Self.lowered(filter.reason ?? "")),
            .integer(filter.through ?? .max),
        ]
    }

    /// As SQLite's `lower()`: ASCII alone.
    private static func lowered(_ text: String) -> String {
        String(decoding: text.utf8.map { (0x41...0x5A).contains($0) ? $0 + 0x20 : $0 }, as: UTF8.self)
    }
}
