import ExportCore
import Formats
import Ledger
import Logging
import Model
import Protocol
import Synchronization
import Threading

/// The ledger as lanes of a cluster's worker see it: they speak of places in the stream, and what is kept are the records
/// that lie there, as rows for the leader.
///
/// Promises:
/// 1. Rows, dead letters and output lengths of one commit of a lane are one commit of the ledger.
/// 2. Rows are told only after that.
/// 3. A commit that failed and is tried again keeps its rows, since what it settles is no longer in hand.
final class WorkerLedger: LedgerSink {
    /// The input of all records that lanes of a cluster see. No row of the ledger has it: its positions mean nothing after
    /// the process.
    static let stream = SourceID(rawValue: 0)

    /// Characters of a reason that a leader is told; receivers may say a lot.
    private static let maxReason = 512

    private struct Attempt: Hashable {
        var target: String
        var places: [Range<UInt64>]
    }

    private let ledger: any LedgerSink
    private let desk: WorkerDesk
    private let forgetter: Forgetter
    private let targets: [String]
    /// What dead letters and totals of the cluster lie under.
    private let source: SourceID
    private let log: Logger
    private let isStopped = Atomic<Bool>(false)
    /// Whether the last commit failed.
    private let isFailing = Atomic<Bool>(false)
    /// Commits that failed, and will be tried again.
    private let failed = Mutex<[Attempt: [LedgerChange]]>([:])

    init(
        _ ledger: any LedgerSink, desk: WorkerDesk, forgetter: Forgetter, targets: [String], source: SourceID,
        log: Logger
    ) {
        self.ledger = ledger
        self.desk = desk
        self.forgetter = forgetter
        self.targets = targets
        self.source = source
        self.log = log
    }

    func commit(_ changes: [LedgerChange]) async throws(LedgerError) {
        var attempt = Attempt(target: "", places: [])
        for case .accepted(let target, _, let range, _, _) in changes {
            attempt.target = target
            attempt.places.append(range)
        }
        let kept = failed.withLock { $0.removeValue(forKey: attempt) }
        var own = kept ?? translate(changes, attempt)
        guard !own.isEmpty else { return }
        if let forgotten = forgetter.take() { own.append(forgotten) }
        do throws(LedgerError) {
            try await ledger.commit(own)
        } catch {
            if !attempt.places.isEmpty { failed.withLock { $0[attempt] = own } }
            refused(error)
            throw error
        }
        report(own)
    }

    /// Nothing is tried again from now on.
    func stop() { isStopped.store(true, ordering: .relaxed) }

    /// Takes records that are no valid results: given up for every target that was to have them. Returns when that is
    /// written down, for what lies around them may be settled only then; false if it could not be.
    func refuse(_ records: [BadRecord]) async -> Bool {
        let now = SystemClock.unixMilliseconds()
        var changes: [LedgerChange] = []
        for record in records {
            log.error("a record is refused: \(record.error)")
            changes.append(
                letter(
                    NewDeadLetter(
                        target: "", source: source, range: record.range, uid: RecordIdentity.uid(of: record.bytes),
                        reason: "\(record.error)", code: "invalid-record", firstAttempt: now, lastAttempt: now,
                        attempts: 0, bytes: record.bytes)))
        }
        let dead = records.map { WorkerHands.DeadRecord(position: $0.range.lowerBound, reason: "\($0.error)") }
        changes += rows(desk.refuse(dead))
        while true {
            do throws(LedgerError) {
                try await ledger.commit(changes)
                report(changes)
                return true
            } catch {
                log.error("the ledger did not take refused records; trying again: \(error)")
                refused(error)
                if isStopped.load(ordering: .relaxed) { return false }
                try? await Task.sleep(for: .milliseconds(1_000))
            }
        }
    }

    /// Takes letters of a target that a person has had delivered: the leader is told, in the commit that marks them as told.
    /// How many there is something to tell of; nil if the ledger did not take it before the end.
    func revived(_ letters: [RevivedLetter], of target: Int) async -> Int? {
        let keys = letters.compactMap(Self.key(of:))
        let changes = [.revivalsTold(letters.map(\.id))] + rows(desk.revive(target: target, keys))
        while true {
            do throws(LedgerError) {
                try await ledger.commit(changes)
                report(changes)
                return keys.count
            } catch {
                log.error("the ledger did not take that dead letters were delivered; trying again: \(error)")
                refused(error)
                // The row has its number, and those behind it wait for it.
                if isStopped.load(ordering: .relaxed) { return nil }
                try? await Task.sleep(for: .milliseconds(1_000))
            }
        }
    }

    /// The key of a letter's record, if that is its uid, as of every result of an API server. Others go by a place in a file,
    /// which no letter tells: to their leader they stay given up, and a key that it never gave out would only occupy it.
    static func key(of letter: RevivedLetter) -> RecordKey? {
        let digits = letter.uid.filter { $0 != "-" }
        guard digits.utf8.count == 32, let high = UInt64(digits.prefix(16), radix: 16),
            let low = UInt64(digits.suffix(16), radix: 16)
        else { return nil }
        let key = RecordKey(high: high, low: low)
        return place(key) == letter.position ? key : nil
    }

    private func translate(_ changes: [LedgerChange], _ attempt: Attempt) -> [LedgerChange] {
        var own: [LedgerChange] = []
        var dead: [WorkerHands.DeadRecord] = []
        for change in changes {
            switch change {
            case .accepted(let target, _, _, let records, let bytes):
                guard records > 0 else { continue }
                own.append(.accepted(target: target, source: source, range: 0..<0, records: records, bytes: bytes))
            case .deadLetter(let letter):
                let reason = "\(letter.reason.prefix(Self.maxReason)) [\(letter.code)]"
                dead.append(.init(position: letter.range.lowerBound, reason: reason))
                own.append(self.letter(letter))
            case .departed:
                // Nobody forms this batch again: after a death its records are sent anew, in other batches.
                continue
            case .unplacedDeadLetter, .told, .revivalsTold, .forgotten, .fileLength, .finished, .deadLetterRemoved,
                .deadLetterRefusedAgain, .deadLetterReadmitted:
                own.append(change)
            }
        }
        guard let target = targets.firstIndex(of: attempt.target) else { return own }
        return own + rows(desk.settle(target: target, attempt.places, dead: dead))
    }

    private func rows(_ rows: [WorkerHands.Row]) -> [LedgerChange] {
        rows.map { row in
            .told(
                ToldRow(
                    number: row.number, target: targets[row.target], kind: row.kind, reason: row.reason, keys: row.keys,
                    grants: row.grants))
        }
    }

    private func report(_ changes: [LedgerChange]) {
        var numbers: [UInt64] = []
        for case .told(let row) in changes { numbers.append(row.number) }
        if !numbers.isEmpty { desk.handle(.committed(numbers)) }
        if isFailing.exchange(false, ordering: .relaxed) { desk.handle(.ledgerTakes) }
    }

    private func refused(_ error: LedgerError) {
        isFailing.store(true, ordering: .relaxed)
        desk.handle(.uncommitted(reason: "\(error)"))
    }

    /// A letter by whose place the same record is found again, whoever sends it and when.
    private func letter(_ letter: NewDeadLetter) -> LedgerChange {
        var letter = letter
        let length = UInt64(letter.range.count)
        let key = desk.look { $0.hands.record(at: letter.range.lowerBound)?.key }
        let place = key.map(Self.place) ?? letter.range.lowerBound
        letter.source = source
        letter.range = place..<place + length
        return .unplacedDeadLetter(letter)
    }

    /// A number for a key, by which letters of one target are told apart: 62 well mixed bits. Among a million letters two
    /// share one with a chance of one in nine million.
    static func place(_ key: RecordKey) -> UInt64 { (mixed(key.high) &* 31 ^ mixed(key.low)) >> 2 }

    /// The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    private static func mixed(_ number: UInt64) -> UInt64 {
        var z = number &+ 0x9e37_79b9_7f4a_7c15
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
