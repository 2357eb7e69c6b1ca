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

/// A dead letter that was delivered after all.
public struct RevivedLetter: Sendable, Equatable {
    /// Its number.
    public var id: Int64
    /// Offset of the record's first byte in the source.
    public var position: UInt64
    /// `metadata.uid`, empty if it could not be read.
    public var uid: String
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
    /// Bytes it had in its input, line end included; 0 if that is not known.
    public var length: Int

    /// Whether ``bytes`` are less than the record was.
    public var isCut: Bool { isCutShort(length: length, kept: bytes.count) }
}

/// A line end has two bytes at the most, and may be kept or not.
func isCutShort(length: Int, kept: Int) -> Bool { kept == 0 || kept + 2 < length }

/// What there is to say about a dead letter without its bytes: for lists.
public struct DeadLetterEntry: Sendable, Equatable, Identifiable {
    /// Unique and never reused.
    public var id: Int64
    /// The target's name; empty if the record was refused at intake, before any target.
    public var target: String
    /// Path of the input it came from; empty if the ledger does not know it.
    public var input: String
    /// Offset of the record's first byte in the input.
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
    /// Bytes that are kept.
    public var size: Int
    /// Whether they are less than the record was.
    public var isCut: Bool
}

/// Which dead letters are meant. What is empty or nil does not restrict.
public struct DeadLetterFilter: Sendable, Equatable {
    /// Their numbers.
    public var ids: [Int64] = []
    /// The target's name; empty for those of the intake.
    public var target: String?
    /// Unix milliseconds: last tried then or later.
    public var since: Int64?
    /// Part of the reason or of the code; upper and lower case of ASCII are alike.
    public var reason: String?
    /// Only higher numbers.
    public var after: Int64 = 0
    /// Highest number: what an exporter adds meanwhile is not meant.
    public var through: Int64?

    /// All dead letters.
    public init() {}
}

/// That a dead letter goes, for the record of removals.
public struct DeadLetterRemoval: Sendable, Equatable {
    /// How it went.
    public enum Outcome: String, Sendable {
        /// The target accepted it after all.
        case delivered
        /// A person gave it up.
        case discarded
        /// It became dead letters of the targets, which are tried again.
        case readmitted
    }

    /// The dead letter.
    public var id: Int64
    /// How it goes.
    public var outcome: Outcome
    /// Unix milliseconds.
    public var time: Int64
    /// Who did it, as the system knows them.
    public var person: String
    /// What they said about it; may be empty.
    public var note: String
    /// SHA-256 of the letter's bytes.
    public var digest: [UInt8]

    /// All parts.
    public init(id: Int64, outcome: Outcome, time: Int64, person: String, note: String, digest: [UInt8]) {
        self.id = id
        self.outcome = outcome
        self.time = time
        self.person = person
        self.note = note
        self.digest = digest
    }
}

/// A dead letter that went, as the ledger remembers it.
public struct RemovedLetter: Sendable, Equatable, Identifiable {
    /// What it was; ``DeadLetterEntry/size`` counts the bytes that the digest covers.
    public var letter: DeadLetterEntry
    /// How it went.
    public var removal: DeadLetterRemoval

    /// Both parts.
    public init(letter: DeadLetterEntry, removal: DeadLetterRemoval) {
        self.letter = letter
        self.removal = removal
    }

    /// The dead letter's number.
    public var id: Int64 { letter.id }
}
