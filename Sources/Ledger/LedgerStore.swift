internal import Glibc
internal import Model

/// What tests change; the defaults are what runs.
struct LedgerOptions: Sendable {
    /// Pages after which SQLite reports a full disk; zero for no bound.
    var maxPages = 0
    /// Pages in the write-ahead log after which a commit also moves them into the database.
    var checkpointPages = 1_000
    /// Whether a commit waits for the disk.
    var isDurable = true
    /// Dead letters are cut to this many bytes.
    var maxDeadLetterBytes: Int
    /// Their reasons are cut to this many bytes.
    var maxReasonBytes: Int

    /// Name of the VFS that has the database; nil for the system's files.
    var disk: String?

    init(_ limits: Limits = Limits()) {
        maxDeadLetterBytes = limits.maxDeadLetterBytes
        maxReasonBytes = limits.maxReasonBytes
    }
}

/// The database and what is remembered of it. Lives and dies on the ledger's thread.
///
/// Promises:
/// 1. A transaction holds whole commits only, in the order they were asked for.
/// 2. After a failed transaction memory shows what the disk holds: every remembered set is forgotten and loaded
///    again at its next use.
final class LedgerStore {
    // Released in the order statements, connection, lock: the database is closed before the next process may open it.
    private let directory: StateDirectory
    let connection: Connection
    let statements: Statements
    private let options: LedgerOptions
    private static let maxCodeBytes = 256
    /// Per source and target; a target's set also holds what was refused at intake.
    private var sets: [SourceID: [String: PositionSet]] = [:]
    /// Targets that have, or had, batches in flight: only their acceptances look for some to forget.
    var flying: [String: Int] = [:]
    var nextFlight: Int64 = 0

    convenience init(
        directory path: String, use: StateDirectory.Use = .exporting, options: LedgerOptions
    ) throws(LedgerError) {
        try self.init(holding: StateDirectory(path, for: use), options: options)
    }

    init(holding directory: StateDirectory, options: LedgerOptions) throws(LedgerError) {
        self.directory = directory
        connection = try Connection(path: directory.databasePath, disk: options.disk)
        self.options = options
        try Self.configure(connection, options, beside: directory.exporter)
        statements = try Statements(connection)
        try verifySums()
    }

    /// The exporter that works on the ledger beside us; nil if we keep exporters out.
    var exporter: Int32? { directory.exporter }

    private static func configure(
        _ connection: Connection, _ options: LedgerOptions, beside exporter: Int32?
    ) throws(LedgerError) {
        // SQLite's own locks are left at NORMAL, so that people can look at dead letters beside a running exporter.
        for pragma in ["trusted_schema = OFF", "cell_size_check = ON", "foreign_keys = OFF"] {
            try connection.execute("PRAGMA \(pragma)", doing: "configure")
        }
        try Schema.check(connection)
        let findings = try connection.texts("PRAGMA quick_check(3)")
        if findings != ["ok"] { throw .corrupt(connection.path, findings.joined(separator: "; ")) }
        let mode = try connection.texts("PRAGMA journal_mode = WAL")
        guard mode == ["wal"] else {
            throw LedgerError(
                .notWritable,
                "the ledger \(connection.path) cannot use a write-ahead log (SQLite stayed in mode"
                    + " \(mode.joined())). Use a local file system for the state directory")
        }
        // FULL: a commit in the write-ahead log is synchronized before COMMIT returns (SQLite, PRAGMA synchronous).
        for pragma in [
            "synchronous = \(options.isDurable ? "FULL" : "OFF")",
            "wal_autocheckpoint = \(options.checkpointPages)",
            "journal_size_limit = 8388608",
        ] {
            try connection.execute("PRAGMA \(pragma)", doing: "configure")
        }
        if let exporter {
            try Schema.requireCurrent(connection, writtenBy: exporter)
        } else {
            try Schema.migrate(connection)
        }
        if options.maxPages > 0 {
            try connection.execute("PRAGMA max_page_count = \(options.maxPages)", doing: "configure")
        }
    }

    /// A flipped bit in an offset would be taken for progress, so every row is looked at before any is believed.
    private func verifySums() throws(LedgerError) {
        let path = connection.path
        try statements.allProgress.each([]) { (row: Statement) throws(LedgerError) in
            _ = try Self.interval(row, target: row.text(0), source: row.integer(1), first: 2, path)
        }
        try statements.allFileLengths.each([]) { (row: Statement) throws(LedgerError) in
            _ = try Self.fileLength(row, path)
        }
        try loadFlights()
        _ = try toldRows()
    }

    /// Closes the database; what was committed stays whatever the answer.
    func close() -> Result<Void, LedgerError> {
        sets.removeAll()
        do throws(LedgerError) {
            try connection.execute("PRAGMA wal_checkpoint(TRUNCATE)", doing: "close")
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    /// Applies all of `group` in one transaction.
    func commit(_ group: [[LedgerChange]]) -> Result<Void, LedgerError> {
        do throws(LedgerError) {
            try connection.transaction { () throws(LedgerError) in
                for changes in group {
                    for change in changes { try apply(change) }
                }
            }
            return .success(())
        } catch {
            sets.removeAll()
            return .failure(error)
        }
    }

    private func apply(_ change: LedgerChange) throws(LedgerError) {
        switch change {
        case .accepted(let target, let source, let range, let records, let bytes):
            try settle(target, source, range)
            if records != 0 || bytes != 0 {
                try statements.addTotal.run([
                    .text(target), .integer(source.rawValue), .integer(Int64(records)), .integer(Int64(bytes)),
                ])
            }
        case .deadLetter(let letter):
            try keep(letter)
            try settle(letter.target, letter.source, letter.range)
        case .unplacedDeadLetter(let letter):
            try keep(letter)
        case .told(let row):
            try tell(row)
        case .revivalsTold(let letters):
            for id in letters { try statements.letters.tell.run([.integer(id)]) }
        case .forgotten(let through):
            try forget(through: through)
        case .deadLetterRemoved(let removal):
            try remove(removal)
        case .deadLetterRefusedAgain(let id, let reason, let code, let lastAttempt, let attempts):
            try statements.letters.refuse.run([
                .integer(id), .text(Self.bounded(reason, options.maxReasonBytes)),
                .text(Self.bounded(code, Self.maxCodeBytes)), .integer(lastAttempt), .integer(Int64(attempts)),
            ])
        case .deadLetterReadmitted(let removal, let uid, let targets):
            try readmit(removal, uid, targets)
        case .fileLength(let target, let path, let length):
            let stored = Int64(clamping: length)
            let sum = RowSum.fileLength(target: target, path: path, length: stored)
            try statements.setFileLength.run([.text(target), .text(path), .integer(stored), .integer(sum)])
        case .departed(let target, let batch):
            try depart(target, batch)
        case .finished(let source):
            try finish(source)
        }
    }

    func keep(_ letter: NewDeadLetter) throws(LedgerError) {
        var bytes = letter.bytes
        var reason = Self.bounded(letter.reason, options.maxReasonBytes)
        if bytes.count > options.maxDeadLetterBytes {
            reason += " [cut from \(bytes.count) to \(options.maxDeadLetterBytes) bytes]"
            bytes.removeLast(bytes.count - options.maxDeadLetterBytes)
        }
        let source = letter.source.rawValue
        let position = Int64(clamping: letter.range.lowerBound)
        let sum = RowSum.deadLetter(target: letter.target, source: source, position: position, bytes: bytes)
        try statements.letters.add.run([
            .text(letter.target), .integer(source), .integer(position), .text(letter.uid), .text(reason),
            .text(Self.bounded(letter.code, Self.maxCodeBytes)), .integer(letter.firstAttempt),
            .integer(letter.lastAttempt),
            .integer(Int64(letter.attempts)), .blob(bytes), .integer(sum), .integer(Int64(letter.range.count)),
        ])
    }

    /// `text`, cut to `bytes` bytes: reasons quote receivers, and those may say a lot.
    private static func bounded(_ text: String, _ bytes: Int) -> String {
        guard text.utf8.count > bytes else { return text }
        var kept = text.unicodeScalars.prefix(bytes)
        while String(kept).utf8.count > bytes - 3 { kept.removeLast() }
        return String(kept) + "…"
    }

    /// Adds `range` to what is settled, in memory and in the table: one deletion and one insertion, however many
    /// ranges it joins.
    private func settle(_ target: String, _ source: SourceID, _ range: Range<UInt64>) throws(LedgerError) {
        guard !range.isEmpty else { return }
        var set = try loaded(target, source)
        let merged = set.insert(range).merged
        sets[source, default: [:]][target] = set
        try write(target, source, merged)
        try land(target, source, merged)
        guard target.isEmpty else { return }
        // Refused at intake is settled for every target. Their rows follow when they next change.
        for other in (sets[source] ?? [:]).keys where !other.isEmpty {
            sets[source]?[other]?.insert(range)
        }
    }

    /// Replaces every row inside `interval` by one.
    private func write(_ target: String, _ source: SourceID, _ interval: Range<UInt64>) throws(LedgerError) {
        let start = Int64(clamping: interval.lowerBound)
        let end = Int64(clamping: interval.upperBound)
        let key: [Value] = [.text(target), .integer(source.rawValue), .integer(start), .integer(end)]
        let sum = RowSum.progress(target: target, source: source.rawValue, start: start, end: end)
        try statements.deleteProgress.run(key)
        try statements.insertProgress.run(key + [.integer(sum)])
    }

    /// A finished source keeps one mark and, per target, the rows of its intervals; nothing of it stays in memory.
    private func finish(_ source: SourceID) throws(LedgerError) {
        var targets: [String] = []
        try statements.targetsOfSource.each([.integer(source.rawValue)]) { (row: Statement) throws(LedgerError) in
            targets.append(row.text(0))
        }
        for target in targets {
            // The set may have joined rows over what was refused at intake; now the table says so too.
            for interval in try loaded(target, source).ranges { try write(target, source, interval) }
        }
        try statements.finishSource.run([.integer(source.rawValue)])
        try statements.dropInFlightOfSource.run([.integer(source.rawValue)])
        sets[source] = nil
    }

    /// What is settled of `source` for `target`, refusals at intake included.
    func loaded(_ target: String, _ source: SourceID) throws(LedgerError) -> PositionSet {
        if let set = sets[source]?[target] { return set }
        var set = target.isEmpty ? PositionSet() : try loaded("", source)
        let path = connection.path
        try statements.progress.each([.text(target), .integer(source.rawValue)]) {
            (row: Statement) throws(LedgerError) in
            set.insert(try Self.interval(row, target: target, source: source.rawValue, first: 0, path))
        }
        sets[source, default: [:]][target] = set
        return set
    }

    private static func interval(
        _ row: Statement, target: String, source: Int64, first: Int32, _ path: String
    ) throws(LedgerError) -> Range<UInt64> {
        let start = row.integer(first)
        let end = row.integer(first + 1)
        let sum = RowSum.progress(target: target, source: source, start: start, end: end)
        guard sum == row.integer(first + 2), start >= 0, start < end else {
            throw .corrupt(path, "the checksum of the progress \(start)..<\(end) of target '\(target)' is wrong")
        }
        return UInt64(start)..<UInt64(end)
    }

    /// Reads a row of `file_length`: target, path, length, sum.
    static func fileLength(_ row: Statement, _ path: String) throws(LedgerError) -> (path: String, length: UInt64) {
        let found = (path: row.text(1), length: row.integer(2))
        let sum = RowSum.fileLength(target: row.text(0), path: found.path, length: found.length)
        guard sum == row.integer(3), found.length >= 0 else {
            throw .corrupt(path, "the checksum of the committed length of target '\(row.text(0))' is wrong")
        }
        return (found.path, UInt64(found.length))
    }
}
