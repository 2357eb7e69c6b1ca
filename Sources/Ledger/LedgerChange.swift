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

/// A record that a target, or the intake, gave up on: what the caller hands over.
public struct NewDeadLetter: Sendable, Equatable {
    /// The target's name; empty if the record was refused at intake, before any target.
    public var target: String
    /// Where the record came from.
    public var source: SourceID
    /// Byte range of the record in the source. It counts as settled for the target from then on; refused at
    /// intake, for every target.
    public var range: Range<UInt64>
    /// `metadata.uid`, empty if it could not be read.
    public var uid: String
    /// For people: what was wrong.
    public var reason: String
    /// For machines: the receiver's code or our own.
    public var code: String
    /// Unix milliseconds of the first attempt.
    public var firstAttempt: Int64
    /// Unix milliseconds of the last attempt.
    public var lastAttempt: Int64
    /// Attempts made.
    public var attempts: Int
    /// The record as it came in. Cut to `Limits.maxDeadLetterBytes`; the reason then says so.
    public var bytes: [UInt8]

    /// All parts.
    public init(
        target: String, source: SourceID, range: Range<UInt64>, uid: String, reason: String, code: String,
        firstAttempt: Int64, lastAttempt: Int64, attempts: Int, bytes: [UInt8]
    ) {
        self.target = target
        self.source = source
        self.range = range
        self.uid = uid
        self.reason = reason
        self.code = code
        self.firstAttempt = firstAttempt
        self.lastAttempt = lastAttempt
        self.attempts = attempts
        self.bytes = bytes
    }
}

/// A record that a target, or the intake, gave up on, as the ledger keeps it.
public struct DeadLetter: Sendable, Equatable, Identifiable {
    /// Unique and never reused.
    public var id: Int64
    /// The target's name; empty if the record was refused at intake, before any target.
    public var target: String
    /// Where the record came from.
    public var source: SourceID
    /// Offset of the record's first byte in the source.
    public var position: UInt64
    /// `metadata.uid`, empty if it could not be read.
    public var uid: String
    /// For people: what was wrong.
    public var reason: String
    /// For machines: the receiver's code or our own.
    public var code: String
    /// Unix milliseconds of the first attempt.
    public var firstAttempt: Int64
    /// Unix milliseconds of the last attempt.
    public var lastAttempt: Int64
    /// Attempts made.
    public var attempts: Int
    /// The record as it came in, perhaps cut.
    public var bytes: [UInt8]
}

/// A fact to remember.
public enum LedgerChange: Sendable, Equatable {
    /// `target` accepted the records that lie at `range` in `source`. An empty target name settles the range for
    /// every target: blank lines, for example.
    case accepted(target: String, source: SourceID, range: Range<UInt64>, records: Int, bytes: Int)
    /// A record was given up. The same (target, source, position) again updates what was kept: the latest reason
    /// and code, the widest span of attempts; it makes no second letter.
    case deadLetter(NewDeadLetter)
    /// The dead letter was delivered after all, or discarded by a person. An unknown number changes nothing.
    case deadLetterSettled(id: Int64)
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
            case .deadLetter(let letter):
                [("range", letter.range.upperBound <= Int64.max), ("attempts", letter.attempts >= 0)]
            case .fileLength(_, _, let length):
                [("length", length <= Int64.max)]
            case .departed(_, let batch):
                [
                    ("range", batch.stretches.allSatisfy { $0.range.upperBound <= Int64.max && !$0.range.isEmpty }),
                    ("receipt", batch.receipt.map { $0.id >= 0 } ?? true),
                ]
            case .deadLetterSettled, .finished:
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
        case .deadLetter: "a dead letter"
        case .deadLetterSettled: "a settled dead letter"
        case .fileLength: "a file length"
        case .departed: "a batch in flight"
        case .finished: "a finished source"
        }
    }
}
