public import Model

/// Whatever takes facts down for good: the ledger, or one that stands before it.
public protocol LedgerSink: Sendable {
    /// Remembers `changes`, all or none, and returns when they are on the disk.
    func commit(_ changes: [LedgerChange]) async throws(LedgerError)
}

extension Ledger: LedgerSink {}

/// Dead letters that are tried again, laid out as one input: what lanes report of that input, in terms of the letters.
///
/// The letters stay where they are until they are delivered, so a death at any moment loses none. What remains to
/// happen then is that a letter is delivered again whose acceptance was not written down in time.
public struct Revival: Sendable {
    /// A letter and where it lies in the input that is read.
    public struct Entry: Sendable {
        /// The dead letter's number.
        public var id: Int64
        /// Its target.
        public var target: String
        /// `metadata.uid`, empty if it could not be read.
        public var uid: String
        /// Where the record once came from.
        public var origin: SourceID
        /// Where it lies now, with its line end.
        public var range: Range<UInt64>
        /// SHA-256 of its bytes.
        public var digest: [UInt8]

        /// All parts.
        public init(id: Int64, target: String, uid: String, origin: SourceID, range: Range<UInt64>, digest: [UInt8]) {
            self.id = id
            self.target = target
            self.uid = uid
            self.origin = origin
            self.range = range
            self.digest = digest
        }
    }

    /// The input's number. No row of the ledger has it: its positions mean nothing after the retry.
    public static let source = SourceID(rawValue: -1)

    /// In the order of the input.
    public let entries: [Entry]
    /// Who tries them again.
    public let person: String

    /// - Parameter entries: in the order of the input, which they fill without gaps.
    public init(_ entries: [Entry], by person: String) {
        self.entries = entries
        self.person = person
    }

    /// What of the input is no business of `target`.
    public func settled(for target: String) -> PositionSet {
        var set = PositionSet()
        for entry in entries where entry.target != target { set.insert(entry.range) }
        return set
    }

    /// The letter that begins at `position`.
    public func entry(at position: UInt64) -> Entry? {
        let index = first(from: position)
        return index < entries.count && entries[index].range.lowerBound == position ? entries[index] : nil
    }

    /// What `changes`, a whole commit of one lane, mean for the letters.
    ///
    /// - Parameters:
    ///   - refused: positions of letters that the intake refused, so that no target was asked about them.
    ///   - time: Unix milliseconds, now.
    /// - Throws: `.invalid` if the lane counts other records than the letters it was given: then nothing is concluded.
    public func translate(
        _ changes: [LedgerChange], refused: Set<UInt64>, time: Int64
    ) throws(LedgerError) -> [LedgerChange] {
        var dead: Set<UInt64> = []
        var translated: [LedgerChange] = []
        for change in changes {
            switch change {
            case .deadLetter(let letter):
                guard let entry = entry(at: letter.range.lowerBound), entry.target == letter.target else {
                    throw Self.mismatch("a refusal at \(letter.range.lowerBound)")
                }
                dead.insert(letter.range.lowerBound)
                translated.append(
                    .deadLetterRefusedAgain(
                        id: entry.id, reason: letter.reason, code: letter.code, lastAttempt: letter.lastAttempt,
                        attempts: letter.attempts))
            case .accepted(let target, _, let range, let records, let bytes):
                translated += try accepted(target, range, records, bytes, except: dead.union(refused), time)
            case .departed:
                // Nobody forms this batch again: after a death the letters are laid out anew.
                continue
            case .unplacedDeadLetter, .told, .revivalsTold, .forgotten, .fileLength, .finished, .deadLetterRemoved,
                .deadLetterRefusedAgain, .deadLetterReadmitted:
                translated.append(change)
            }
        }
        return translated
    }

    private func accepted(
        _ target: String, _ range: Range<UInt64>, _ records: Int, _ bytes: Int, except gone: Set<UInt64>, _ time: Int64
    ) throws(LedgerError) -> [LedgerChange] {
        var delivered: [Entry] = []
        var index = first(from: range.lowerBound)
        while index < entries.count, entries[index].range.lowerBound < range.upperBound {
            let entry = entries[index]
            index += 1
            if entry.target == target, !gone.contains(entry.range.lowerBound) { delivered.append(entry) }
        }
        guard delivered.count == records else {
            throw Self.mismatch("\(records) accepted records where \(delivered.count) letters lie")
        }
        // Counted where the records came from, the bytes with the first. What was settled there stays settled.
        var rest = bytes
        var totals: [LedgerChange] = []
        for origin in Set(delivered.map(\.origin)).sorted(by: { $0.rawValue < $1.rawValue }) {
            let count = delivered.count { $0.origin == origin }
            totals.append(.accepted(target: target, source: origin, range: 0..<0, records: count, bytes: rest))
            rest = 0
        }
        return totals
            + delivered.map { entry in
                .deadLetterRemoved(
                    DeadLetterRemoval(
                        id: entry.id, outcome: .delivered, time: time, person: person, note: "", digest: entry.digest))
            }
    }

    /// Index of the first entry that begins at `position` or behind it.
    private func first(from position: UInt64) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].range.lowerBound < position { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func mismatch(_ what: String) -> LedgerError {
        LedgerError(
            .invalid,
            "a retry of dead letters was told of \(what); the letters stay as they are. This is a mistake in the program;"
                + " report it")
    }
}
