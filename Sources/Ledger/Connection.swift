internal import CSQLite
internal import Glibc
import Threading

/// SQLite as this process uses it, to be asked for before anything else of it: a lazy global is initialized once, whatever
/// thread comes first. False if somebody else had initialized SQLite before, which then only counts its memory.
let isSQLitePrepared = sidereal_sqlite3_without_memory_count() == SQLITE_OK

/// A value to bind.
enum Value {
    case integer(Int64)
    case text(String)
    case blob([UInt8])
}

/// The one owner of a `sqlite3 *`.
///
/// Not `Sendable`: it is made, used and freed on the ledger's thread, which is why it opens without SQLite's own
/// mutexes.
@safe final class Connection {
    fileprivate let handle: OpaquePointer
    /// The database file.
    let path: String

    /// What a connection may do.
    enum Access {
        /// Read and write.
        case full
        /// Read, beside whoever writes.
        case read
        /// Read a file that nobody writes, in a directory that we may not write to either: no locks, no log.
        case readOfUnchanging
    }

    /// Milliseconds that a statement waits for another connection's transaction. Those are short: a group of commits
    /// with its sync, or a person's removal of dead letters.
    private static let patienceMilliseconds: Int32 = 5_000

    /// Opens `path`, which must exist.
    ///
    /// - Parameter disk: name of the VFS that has it; nil for the system's files.
    init(path: String, access: Access = .full, disk: String? = nil) throws(LedgerError) {
        _ = isSQLitePrepared
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let code =
            switch access {
            case .full: unsafe sqlite3_open_v2(path, &opened, flags | Self.writing(disk), disk)
            case .read: unsafe sqlite3_open_v2(path, &opened, flags | SQLITE_OPEN_READONLY, nil)
            case .readOfUnchanging:
                unsafe sqlite3_open_v2(
                    Self.unchanging(path), &opened, flags | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nil)
            }
        guard let opened = unsafe opened else {
            throw LedgerError(.other, "cannot open the ledger \(path): SQLite has no memory for it", code: code)
        }
        unsafe handle = opened
        self.path = path
        if code != SQLITE_OK { throw error(code, "open") }
        unsafe sqlite3_busy_timeout(handle, Self.patienceMilliseconds)
    }

    /// The system's file exists already, with the mode we want. On another disk it is made.
    private static func writing(_ disk: String?) -> Int32 {
        SQLITE_OPEN_READWRITE | (disk == nil ? 0 : SQLITE_OPEN_CREATE)
    }

    /// `path` as a URI with the parameter `immutable` (SQLite, "Uniform Resource Identifiers").
    private static func unchanging(_ path: String) -> String {
        let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-".utf8)
        let digits = Array("0123456789ABCDEF")
        let name = path.utf8.map { byte in
            plain.contains(byte)
                ? String(UnicodeScalar(byte)) : "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
        }
        return "file:\(name.joined())?immutable=1"
    }

    deinit {
        // Closes now, or when the last statement is finalized, whichever order they are released in.
        unsafe sqlite3_close_v2(handle)
    }

    /// Runs statements that give no rows anybody wants.
    func execute(_ sql: String, doing: String) throws(LedgerError) {
        let code = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
        if code != SQLITE_OK { throw error(code, doing) }
    }

    /// First column of each row, as text.
    func texts(_ sql: String) throws(LedgerError) -> [String] {
        let statement = try Statement(self, sql)
        var rows: [String] = []
        try statement.each([]) { (row: Statement) throws(LedgerError) in rows.append(row.text(0)) }
        return rows
    }

    /// First column of the first row; zero if there is none.
    func integer(_ sql: String) throws(LedgerError) -> Int64 {
        let statement = try Statement(self, sql)
        var found: Int64 = 0
        try statement.each([]) { (row: Statement) throws(LedgerError) in found = row.integer(0) }
        return found
    }

    /// Runs `body` in one transaction: all of it is on disk when this returns, or none of it counts.
    func transaction(_ body: () throws(LedgerError) -> Void) throws(LedgerError) {
        try execute("BEGIN IMMEDIATE", doing: "begin a transaction on")
        do throws(LedgerError) {
            try body()
            try execute("COMMIT", doing: "commit to")
        } catch {
            // Some errors have rolled back already (SQLite, "Response To Errors Within A Transaction").
            if unsafe sqlite3_get_autocommit(handle) == 0 {
                unsafe sqlite3_exec(handle, "ROLLBACK", nil, nil, nil)
            }
            throw error
        }
    }

    /// What SQLite's result code means for us.
    func error(_ code: Int32, _ doing: String) -> LedgerError {
        let said = unsafe String(cString: sqlite3_errmsg(handle))
        let cause = unsafe sqlite3_system_errno(handle)
        let because = cause == 0 ? said : "\(said) (\(systemErrorText(cause)))"
        let isInputOutput = code & 0xFF == SQLITE_IOERR || code & 0xFF == SQLITE_CANTOPEN
        if code & 0xFF == SQLITE_FULL || (isInputOutput && (cause == ENOSPC || cause == EDQUOT)) {
            return LedgerError(
                .diskFull,
                "cannot \(doing) the ledger \(path): the disk is full, \(because). Nothing of this transaction"
                    + " counts; free space on that file system and the export goes on",
                code: code, systemError: cause)
        }
        switch code & 0xFF {
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            return .corrupt(path, said, code: code)
        case SQLITE_BUSY, SQLITE_LOCKED:
            return LedgerError(
                .locked(pid: nil),
                "cannot \(doing) the ledger \(path): another program has it open, \(because). Close that program",
                code: code, systemError: cause)
        case SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_AUTH:
            return LedgerError(
                .notWritable,
                "cannot \(doing) the ledger \(path): \(because). Make the file and its directory writable for"
                    + " this user",
                code: code, systemError: cause)
        case SQLITE_IOERR:
            return LedgerError(
                .inputOutput,
                "cannot \(doing) the ledger \(path): \(because). Nothing of this transaction counts; look at the"
                    + " disk and the kernel's log",
                code: code, systemError: cause)
        default:
            return LedgerError(
                .other, "cannot \(doing) the ledger \(path): \(because)", code: code, systemError: cause)
        }
    }
}

/// The one owner of a `sqlite3_stmt *`. Keeps its connection alive.
@safe final class Statement {
    private let handle: OpaquePointer
    private let connection: Connection

    /// Compiles `sql`, one statement.
    init(_ connection: Connection, _ sql: String) throws(LedgerError) {
        var prepared: OpaquePointer?
        let code = unsafe sqlite3_prepare_v3(
            connection.handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard code == SQLITE_OK, let prepared = unsafe prepared else {
            let error = connection.error(code, "prepare a statement for")
            // The statements are constant: if one does not compile, the tables are not what we made.
            throw code == SQLITE_ERROR ? .corrupt(connection.path, error.message, code: code) : error
        }
        unsafe handle = prepared
        self.connection = connection
    }

    deinit {
        unsafe sqlite3_finalize(handle)
    }

    /// Runs the statement; it gives no rows.
    func run(_ values: [Value]) throws(LedgerError) {
        try each(values) { (_: Statement) throws(LedgerError) in }
    }

    /// Runs the statement and calls `body` at each row; the columns are valid during the call.
    func each(_ values: [Value], _ body: (Statement) throws(LedgerError) -> Void) throws(LedgerError) {
        // Resets also after an error, or the statement would hold the transaction open.
        defer {
            unsafe sqlite3_reset(handle)
            unsafe sqlite3_clear_bindings(handle)
        }
        for (index, value) in values.enumerated() {
            let code = bind(Int32(index + 1), value)
            if code != SQLITE_OK { throw connection.error(code, "bind a value for") }
        }
        while true {
            let code = unsafe sqlite3_step(handle)
            if code == SQLITE_DONE { return }
            if code != SQLITE_ROW { throw connection.error(code, "read or write") }
            try body(self)
        }
    }

    private func bind(_ index: Int32, _ value: Value) -> Int32 {
        switch value {
        case .integer(let number):
            return unsafe sqlite3_bind_int64(handle, index, number)
        case .text(var text):
            return text.withUTF8 { source in
                // An empty buffer may have no address, and a null pointer would bind NULL.
                guard let start = source.baseAddress, !source.isEmpty else {
                    return unsafe sidereal_sqlite3_bind_text(handle, index, "", 0)
                }
                let characters = unsafe UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self)
                return unsafe sidereal_sqlite3_bind_text(handle, index, characters, Int32(clamping: source.count))
            }
        case .blob(let bytes):
            guard !bytes.isEmpty else { return unsafe sqlite3_bind_zeroblob(handle, index, 0) }
            return unsafe bytes.withUnsafeBytes { source in
                unsafe sidereal_sqlite3_bind_blob(
                    handle, index, source.baseAddress, Int32(clamping: source.count))
            }
        }
    }

    /// Column `index` of the current row as a number.
    func integer(_ index: Int32) -> Int64 { unsafe sqlite3_column_int64(handle, index) }

    /// Column `index` of the current row as text; its length counts, so a NUL inside is kept.
    func text(_ index: Int32) -> String {
        guard let start = unsafe sqlite3_column_text(handle, index) else { return "" }
        let length = unsafe Int(sqlite3_column_bytes(handle, index))
        return unsafe String(decoding: UnsafeBufferPointer(start: start, count: length), as: UTF8.self)
    }

    /// Column `index` of the current row as bytes.
    func blob(_ index: Int32) -> [UInt8] {
        guard let start = unsafe sqlite3_column_blob(handle, index) else { return [] }
        let length = unsafe Int(sqlite3_column_bytes(handle, index))
        return unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: length))
    }
}
