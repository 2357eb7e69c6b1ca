/// Every statement of the ledger, compiled once.
final class Statements {
    let progress: Statement
    let allProgress: Statement
    let deleteProgress: Statement
    let insertProgress: Statement
    let targetsOfSource: Statement
    let addTotal: Statement
    let totalOfSource: Statement
    let totalOfTarget: Statement
    let sourcesOfPath: Statement
    let addSource: Statement
    let findSource: Statement
    let finishSource: Statement
    let setFileLength: Statement
    let fileLength: Statement
    let allFileLengths: Statement

    let letters: LetterStatements
    let told: ToldStatements

    let allInFlight: Statement
    let inFlight: Statement
    let addInFlight: Statement
    let dropInFlightThere: Statement
    let dropInFlightSettled: Statement
    let dropInFlightOfSource: Statement
    let dropInFlightBeyond: Statement

    init(_ connection: Connection) throws(LedgerError) {
        func compile(_ sql: String) throws(LedgerError) -> Statement { try Statement(connection, sql) }
        progress = try compile("SELECT start, end, sum FROM progress WHERE target = ?1 AND source = ?2")
        allProgress = try compile("SELECT target, source, start, end, sum FROM progress")
        // Every stored range lies inside the one that replaces it or outside it altogether.
        deleteProgress = try compile(
            "DELETE FROM progress WHERE target = ?1 AND source = ?2 AND start >= ?3 AND start < ?4")
        insertProgress = try compile(
            "INSERT INTO progress (target, source, start, end, sum) VALUES (?1, ?2, ?3, ?4, ?5)")
        targetsOfSource = try compile("SELECT DISTINCT target FROM progress WHERE source = ?1")
        addTotal = try compile(
            """
            INSERT INTO total (target, source, records, bytes) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT DO UPDATE SET records = records + excluded.records, bytes = bytes + excluded.bytes
            """)
        totalOfSource = try compile("SELECT records, bytes FROM total WHERE target = ?1 AND source = ?2")
        totalOfTarget = try compile("SELECT sum(records), sum(bytes) FROM total WHERE target = ?1")
        sourcesOfPath = try compile(
            "SELECT id, path, fingerprint, fingerprint_length, finished FROM source WHERE path = ?1 ORDER BY id DESC")
        addSource = try compile(
            """
            INSERT INTO source (path, fingerprint, fingerprint_length) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING
            """)
        findSource = try compile(
            "SELECT id FROM source WHERE path = ?1 AND fingerprint = ?2 AND fingerprint_length = ?3")
        finishSource = try compile("UPDATE source SET finished = 1 WHERE id = ?1")
        setFileLength = try compile(
            "INSERT OR REPLACE INTO file_length (target, path, length, sum) VALUES (?1, ?2, ?3, ?4)")
        fileLength = try compile("SELECT target, path, length, sum FROM file_length WHERE target = ?1")
        allFileLengths = try compile("SELECT target, path, length, sum FROM file_length")
        letters = try LetterStatements(connection)
        told = try ToldStatements(connection)
        let flight = "batch, target, source, start, end, channel, ack, sent_at, sum"
        allInFlight = try compile("SELECT \(flight) FROM in_flight ORDER BY batch, part")
        inFlight = try compile("SELECT \(flight) FROM in_flight WHERE target = ?1 ORDER BY batch, part")
        addInFlight = try compile(
            """
            INSERT INTO in_flight (batch, part, target, source, start, end, channel, ack, sent_at, sum)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
            """)
        dropInFlightThere = try compile(
            """
            DELETE FROM in_flight WHERE batch IN (
                SELECT batch FROM in_flight WHERE target = ?1 AND source = ?2 AND start < ?4 AND end > ?3)
            """)
        dropInFlightSettled = try compile(
            "DELETE FROM in_flight WHERE target = ?1 AND source = ?2 AND start >= ?3 AND end <= ?4")
        dropInFlightOfSource = try compile("DELETE FROM in_flight WHERE source = ?1")
        dropInFlightBeyond = try compile(
            """
            DELETE FROM in_flight WHERE target = ?1 AND batch <= (
                SELECT DISTINCT batch FROM in_flight WHERE target = ?1 ORDER BY batch DESC LIMIT 1 OFFSET ?2)
            """)
    }
}

/// Those of the dead letters.
final class LetterStatements {
    let add: Statement
    let delete: Statement
    let refuse: Statement
    let addRemoval: Statement
    let one: Statement
    let all: Statement
    let ofTarget: Statement
    let count: Statement
    let countOfTarget: Statement
    let countOfSource: Statement
    let tell: Statement
    let untold: Statement

    /// What a dead letter had from the first version of the tables on.
    static let columns =
        "id, target, source, position, uid, reason, code, first_attempt, last_attempt, attempts, bytes, sum"

    init(_ connection: Connection) throws(LedgerError) {
        func compile(_ sql: String) throws(LedgerError) -> Statement { try Statement(connection, sql) }
        add = try compile(
            """
            INSERT INTO dead_letter (target, source, position, uid, reason, code, first_attempt, last_attempt,
                attempts, bytes, sum, length)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
            ON CONFLICT (target, source, position) DO UPDATE SET
                reason = excluded.reason, code = excluded.code, attempts = max(attempts, excluded.attempts),
                first_attempt = min(first_attempt, excluded.first_attempt),
                last_attempt = max(last_attempt, excluded.last_attempt)
            """)
        delete = try compile("DELETE FROM dead_letter WHERE id = ?1")
        refuse = try compile(
            """
            UPDATE dead_letter SET reason = ?2, code = ?3, last_attempt = max(last_attempt, ?4),
                attempts = attempts + ?5 WHERE id = ?1
            """)
        addRemoval = try compile(
            """
            INSERT INTO removed_letter (id, target, source, position, uid, reason, code, first_attempt, last_attempt,
                attempts, size, length, digest, outcome, removed_at, removed_by, note, sum)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
            """)
        let wanted = "\(Self.columns), length"
        one = try compile("SELECT \(wanted) FROM dead_letter WHERE id = ?1")
        all = try compile("SELECT \(wanted) FROM dead_letter WHERE id > ?1 ORDER BY id LIMIT ?2")
        ofTarget = try compile(
            "SELECT \(wanted) FROM dead_letter WHERE id > ?1 AND target = ?3 ORDER BY id LIMIT ?2")
        count = try compile("SELECT count(*) FROM dead_letter")
        countOfTarget = try compile("SELECT count(*) FROM dead_letter WHERE target = ?1")
        countOfSource = try compile("SELECT count(*) FROM dead_letter WHERE target = ?1 AND source = ?2")
        tell = try compile("UPDATE removed_letter SET told = 1 WHERE id = ?1")
        untold = try compile(
            """
            SELECT id, position, uid FROM removed_letter
            WHERE told = 0 AND outcome = 'delivered' AND target = ?1 AND source = ?2 ORDER BY id LIMIT ?3
            """)
    }
}
