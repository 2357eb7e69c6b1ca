public import Model

/// An input that positions count in. Unique for the life of a ledger; never reused.
public struct SourceID: Hashable, Sendable {
    /// The row's number.
    public var rawValue: Int64

    /// Source `rawValue`.
    public init(rawValue: Int64) { self.rawValue = rawValue }
}

/// What an input is recognized by after a restart.
public struct SourceIdentity: Hashable, Sendable {
    /// Absolute path, or `-` for standard input.
    public var path: String
    /// SHA-256 of the file's first ``fingerprintLength`` bytes: 32 bytes.
    public var fingerprint: [UInt8]
    /// How many bytes the fingerprint covers; less than the usual length if the file was shorter when first seen.
    public var fingerprintLength: Int

    /// All three parts.
    public init(path: String, fingerprint: [UInt8], fingerprintLength: Int) {
        self.path = path
        self.fingerprint = fingerprint
        self.fingerprintLength = fingerprintLength
    }
}

/// A source the ledger has met before.
public struct KnownSource: Hashable, Sendable {
    /// Its number.
    public var id: SourceID
    /// What it is recognized by.
    public var identity: SourceIdentity
    /// Whether ``LedgerChange/finished(source:)`` was committed for it.
    public var isFinished: Bool
}

/// A fact to remember.
public enum LedgerChange: Sendable, Equatable {
    /// `target` accepted the records that lie at `range` in `source`. An empty target name settles the range for
    /// every target: blank lines, for example.
    case accepted(target: String, source: SourceID, range: Range<UInt64>, records: Int, bytes: Int)
    /// A record was given up. The same (target, source, position) again updates what was kept: the latest reason
    /// and code, the widest span of attempts; it makes no second letter.
    case deadLetter(NewDeadLetter)
    /// The same for a record that lies in no input that is read on: nothing is settled by it. The position only tells
    /// letters apart.
    case unplacedDeadLetter(NewDeadLetter)
    /// What a worker tells its leader. The same number again replaces the row.
    case told(ToldRow)
    /// That these letters were delivered after all is told to the leader by rows of the same commit, as far as there is
    /// something to tell. It changes nothing of letters that are not gone.
    case revivalsTold([Int64])
    /// The leader has the rows up to this one.
    case forgotten(through: UInt64)
    /// A dead letter was delivered after all, or discarded by a person. Its bytes go; who, when and what remains in
    /// the record of removals. An unknown number changes nothing.
    case deadLetterRemoved(DeadLetterRemoval)
    /// A dead letter was tried again and refused again.
    case deadLetterRefusedAgain(id: Int64, reason: String, code: String, lastAttempt: Int64, attempts: Int)
    /// A record that the intake had refused is valid for this version: its letter becomes one of each target.
    case deadLetterReadmitted(DeadLetterRemoval, uid: String, targets: [String])
    /// Bytes of the output file at `path` that count; what lies behind them was never acknowledged.
    /// One file per target: a new path replaces the older one.
    case fileLength(target: String, path: String, length: UInt64)
    /// A batch of `target` leaves, or left and its receipt came. It replaces what was kept of batches that share a
    /// position with it, and is forgotten in the transaction that settles its stretches.
    case departed(target: String, BatchInFlight)
    /// Nothing of `source` is outstanding and it does not grow any more.
    case finished(source: SourceID)
}

/// What a target accepted.
public struct AcceptedTotals: Sendable, Equatable {
    /// Records.
    public var records: Int
    /// Bytes, as counted by whoever committed them.
    public var bytes: Int

    /// Both counts.
    public init(records: Int, bytes: Int) {
        self.records = records
        self.bytes = bytes
    }
}

extension LedgerChange {
    /// Refuses what SQLite's signed numbers cannot hold, before it can spoil the transaction of others.
    func validate() throws(LedgerError) {
        let numbers: [(String, Bool)] =
            switch self {
            case .accepted(_, _, let range, let records, let bytes):
                [("range", range.upperBound <= Int64.max), ("records", records >= 0), ("bytes", bytes >= 0)]
            case .deadLetter(let letter), .unplacedDeadLetter(let letter):
                [("range", letter.range.upperBound <= Int64.max), ("attempts", letter.attempts >= 0)]
            case .fileLength(_, _, let length):
                [("length", length <= Int64.max)]
            case .departed(_, let batch):
                [
                    ("range", batch.stretches.allSatisfy { $0.range.upperBound <= Int64.max && !$0.range.isEmpty }),
                    ("receipt", batch.receipt.map { $0.id >= 0 } ?? true),
                ]
            case .deadLetterRefusedAgain(_, _, _, _, let attempts):
                [("attempts", attempts >= 0)]
            case .told(let row):
                [
                    ("number", (1...UInt64(Int64.max) - 1).contains(row.number)),
                    ("grants", row.keys.count == row.grants.count),
                ]
            case .forgotten(let through):
                [("number", through <= Int64.max)]
            case .deadLetterRemoved, .deadLetterReadmitted, .finished, .revivalsTold:
                []
            }
        for (name, isValid) in numbers where !isValid {
            throw LedgerError(
                .invalid,
                "the ledger cannot hold \(self.name) with this \(name): it must lie in 0 to 2^63-1. This is"
                    + " a mistake in the program; report it")
        }
    }

    private var name: String {
        switch self {
        case .accepted: "an acceptance"
        case .deadLetter, .unplacedDeadLetter: "a dead letter"
        case .told: "what became of records"
        case .revivalsTold: "that the delivery of letters was told"
        case .forgotten: "that rows can go"
        case .deadLetterRemoved: "the removal of a dead letter"
        case .deadLetterRefusedAgain: "a dead letter's further attempt"
        case .deadLetterReadmitted: "a readmitted dead letter"
        case .fileLength: "a file length"
        case .departed: "a batch in flight"
        case .finished: "a finished source"
        }
    }
}
