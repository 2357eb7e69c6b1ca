/// Why the ledger could not do what it was asked.
///
/// The message says what failed, on which file, why, and what to do about it.
public struct LedgerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What went wrong, for code that has to decide.
    public enum Kind: Sendable, Equatable {
        /// A newer program wrote the ledger: its schema version and the newest one this program knows.
        case newerSchema(found: Int, supported: Int)
        /// The file is a sound database of something else.
        case notALedger
        /// The file is damaged.
        case corrupt
        /// There is no state directory, or no ledger in it.
        case missing
        /// The state directory or a file in it cannot be created or written.
        case notWritable
        /// No space, or no quota. Nothing of the transaction counts.
        case diskFull
        /// Another opener holds the state directory; its process id if it could be read.
        case locked(pid: Int32?)
        /// The disk failed to read, write or synchronize.
        case inputOutput
        /// The ledger was closed before.
        case closed
        /// A value that the ledger cannot hold; nothing was written.
        case invalid
        /// Any other result code of SQLite, or of starting the thread.
        case other
    }

    /// What went wrong.
    public let kind: Kind
    /// A sentence or two for people.
    public let message: String
    /// SQLite's extended result code; 0 if SQLite was not involved.
    public let code: Int32
    /// `errno` of the failed system call; 0 if none failed.
    public let systemError: Int32

    init(_ kind: Kind, _ message: String, code: Int32 = 0, systemError: Int32 = 0) {
        self.kind = kind
        self.message = message
        self.code = code
        self.systemError = systemError
    }

    /// The message.
    public var description: String { message }
}

extension LedgerError {
    /// The ledger file at `path` is damaged; `finding` says how that was noticed.
    static func corrupt(_ path: String, _ finding: String, code: Int32 = 0) -> LedgerError {
        LedgerError(
            .corrupt,
            "the ledger \(path) is damaged: \(finding). Move this file and \(path)-wal aside and start again;"
                + " records that were already delivered may then be sent once more",
            code: code)
    }

    /// What was asked after ``Ledger/close()``.
    static let closed = LedgerError(.closed, "the ledger was closed; open it again before using it")
}
