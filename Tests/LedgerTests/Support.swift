import FoundationEssentials
import Model
import Protocol

@testable import Ledger

#if canImport(Glibc)
    import Glibc
#endif

/// Calls `body` with a fresh directory and removes it afterwards.
func withTemporaryDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
    let path = FileManager.default.temporaryDirectory.path + "/sidereal-ledger-" + UUID().uuidString
    try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

func contents(_ path: String) -> [UInt8] {
    FileManager.default.contents(atPath: path).map(Array.init) ?? []
}

func write(_ bytes: [UInt8], to path: String) throws {
    try Data(bytes).write(to: URL(filePath: path))
}

func fingerprint(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 32) }

func deadLetter(
    _ target: String, _ source: SourceID, _ range: Range<UInt64>, reason: String = "mapping", attempts: Int = 1,
    at time: Int64 = 1_000, bytes: [UInt8] = Array("{}".utf8)
) -> NewDeadLetter {
    NewDeadLetter(
        target: target, source: source, range: range, uid: "uid-\(range.lowerBound)", reason: reason, code: "400",
        firstAttempt: time, lastAttempt: time + 5, attempts: attempts, bytes: bytes)
}

func removal(
    _ id: Int64, _ outcome: DeadLetterRemoval.Outcome = .discarded, at time: Int64 = 5_000, note: String = ""
) -> DeadLetterRemoval {
    DeadLetterRemoval(id: id, outcome: outcome, time: time, person: "tester", note: note, digest: fingerprint(9))
}

/// All that a ledger answers about the given targets and sources, comparable.
struct Snapshot: Equatable {
    struct Key: Hashable {
        var target: String
        var source: SourceID
    }

    struct Letter: Equatable {
        var reason: String
        var attempts: Int
        var firstAttempt: Int64
        var lastAttempt: Int64
        var bytes: [UInt8]
    }

    struct File: Equatable {
        var path: String
        var length: UInt64
    }

    var progress: [Key: PositionSet] = [:]
    var totals: [Key: AcceptedTotals] = [:]
    var files: [String: File] = [:]
    var letters: [Key: [UInt64: Letter]] = [:]
    var flights: [String: [BatchInFlight]] = [:]
    var told: [ToldRow] = []
    /// `id outcome` of letters that are gone, and whether that was told.
    var removed: [String] = []

    init() {}

    init(of store: LedgerStore, targets: [String], sources: [SourceID]) throws(LedgerError) {
        for target in targets {
            for source in sources {
                let key = Key(target: target, source: source)
                let set = try store.loaded(target, source)
                if !set.ranges.isEmpty { progress[key] = set }
                let total = try store.totals(target: target, source: source)
                if total.records + total.bytes > 0 { totals[key] = total }
            }
            if let file = try store.fileLength(target: target) {
                files[target] = File(path: file.path, length: file.length)
            }
            let flights = try store.flights(target: target)
            if !flights.isEmpty { self.flights[target] = flights }
        }
        for letter in try store.deadLetters(target: nil, after: 0, limit: 100_000) { add(letter) }
        told = try store.toldRows().rows
        removed = try store.connection.texts(
            "SELECT id || ' ' || outcome || iif(told, ' told', '') FROM removed_letter ORDER BY id")
    }

    private mutating func add(_ letter: DeadLetter) {
        letters[Key(target: letter.target, source: letter.source), default: [:]][letter.position] = Letter(
            reason: letter.reason, attempts: letter.attempts, firstAttempt: letter.firstAttempt,
            lastAttempt: letter.lastAttempt, bytes: letter.bytes)
    }

    init(of ledger: Ledger, targets: [String], sources: [SourceID]) async throws {
        for target in targets {
            for source in sources {
                let key = Key(target: target, source: source)
                let set = try await ledger.progress(target: target, source: source)
                if !set.ranges.isEmpty { progress[key] = set }
                let total = try await ledger.totals(target: target, source: source)
                if total.records + total.bytes > 0 { totals[key] = total }
            }
            if let file = try await ledger.fileLength(target: target) {
                files[target] = File(path: file.path, length: file.length)
            }
            let flights = try await ledger.batchesInFlight(target: target)
            if !flights.isEmpty { self.flights[target] = flights }
        }
        for letter in try await ledger.deadLetters(limit: 100_000) { add(letter) }
        told = try await ledger.toldRows().rows
    }
}

/// The ledger's meaning, without a disk.
struct ModelLedger {
    private var state = Snapshot()
    /// Progress without what was refused at intake.
    private var own: [Snapshot.Key: PositionSet] = [:]
    private var flights: [String: [BatchInFlight]] = [:]
    private var places: [Int64: (key: Snapshot.Key, position: UInt64)] = [:]
    private var removed: [Int64: String] = [:]

    mutating func apply(_ changes: [LedgerChange]) {
        for change in changes {
            switch change {
            case .accepted(let target, let source, let range, let records, let bytes):
                let key = Snapshot.Key(target: target, source: source)
                settle(key, range)
                if records + bytes > 0 {
                    state.totals[key, default: AcceptedTotals(records: 0, bytes: 0)].records += records
                    state.totals[key]?.bytes += bytes
                }
            case .deadLetter(let letter):
                let key = Snapshot.Key(target: letter.target, source: letter.source)
                settle(key, letter.range)
                keep(
                    key, letter.range.lowerBound,
                    Snapshot.Letter(
                        reason: letter.reason, attempts: letter.attempts, firstAttempt: letter.firstAttempt,
                        lastAttempt: letter.lastAttempt, bytes: letter.bytes))
            case .unplacedDeadLetter(let letter):
                keep(
                    Snapshot.Key(target: letter.target, source: letter.source), letter.range.lowerBound,
                    Snapshot.Letter(
                        reason: letter.reason, attempts: letter.attempts, firstAttempt: letter.firstAttempt,
                        lastAttempt: letter.lastAttempt, bytes: letter.bytes))
            case .told(let row):
                state.told.removeAll { $0.number == row.number }
                state.told.append(row)
                state.told.sort { $0.number < $1.number }
            case .revivalsTold(let letters):
                for id in letters {
                    if let outcome = removed[id]?.prefix(while: { $0 != " " }) { removed[id] = outcome + " told" }
                }
            case .forgotten(let through):
                state.told.removeAll { $0.number <= through }
            case .fileLength(let target, let path, let length):
                state.files[target] = Snapshot.File(path: path, length: length)
            case .departed(let target, let batch):
                flights[target, default: []].removeAll { old in
                    old.stretches.contains { old in
                        batch.stretches.contains { $0.source == old.source && $0.range.overlaps(old.range) }
                    }
                }
                flights[target, default: []].append(batch)
            case .finished(let source):
                for target in flights.keys { forget(target) { $0.source == source.rawValue } }
            case .deadLetterRemoved(let removal):
                remove(removal)
            case .deadLetterRefusedAgain(let id, let reason, _, let lastAttempt, let attempts):
                guard let place = places[id], var letter = state.letters[place.key]?[place.position] else { continue }
                letter.reason = reason
                letter.attempts += attempts
                letter.lastAttempt = max(letter.lastAttempt, lastAttempt)
                state.letters[place.key]?[place.position] = letter
            case .deadLetterReadmitted(let removal, _, let targets):
                guard let place = places[removal.id], var letter = remove(removal) else { continue }
                letter.reason =
                    "readmitted, not delivered yet; refused before (dead letter \(removal.id)): \(letter.reason)"
                letter.attempts = 0
                letter.lastAttempt = removal.time
                for target in targets {
                    keep(Snapshot.Key(target: target, source: place.key.source), place.position, letter)
                }
            }
        }
    }

    /// Which letter has which number: the numbers are the ledger's affair.
    mutating func learn(_ letters: [DeadLetter]) {
        places = [:]
        for letter in letters {
            places[letter.id] = (Snapshot.Key(target: letter.target, source: letter.source), letter.position)
        }
    }

    private mutating func keep(_ key: Snapshot.Key, _ position: UInt64, _ letter: Snapshot.Letter) {
        let kept = state.letters[key]?[position]
        state.letters[key, default: [:]][position] = Snapshot.Letter(
            reason: letter.reason, attempts: max(letter.attempts, kept?.attempts ?? 0),
            firstAttempt: min(letter.firstAttempt, kept?.firstAttempt ?? .max),
            lastAttempt: max(letter.lastAttempt, kept?.lastAttempt ?? .min), bytes: kept?.bytes ?? letter.bytes)
    }

    @discardableResult
    private mutating func remove(_ removal: DeadLetterRemoval) -> Snapshot.Letter? {
        // A later letter of the same place has another number.
        guard let place = places.removeValue(forKey: removal.id) else { return nil }
        let letter = state.letters[place.key]?.removeValue(forKey: place.position)
        if state.letters[place.key]?.isEmpty == true { state.letters[place.key] = nil }
        if letter != nil { removed[removal.id] = removal.outcome.rawValue }
        return letter
    }

    /// What the ledger stores for a target, without what was refused at intake, decides what has landed.
    private mutating func settle(_ key: Snapshot.Key, _ range: Range<UInt64>) {
        own[key, default: PositionSet()].insert(range)
        guard !range.isEmpty else { return }
        var set = own[key] ?? PositionSet()
        for refused in own[Snapshot.Key(target: "", source: key.source)]?.ranges ?? [] { set.insert(refused) }
        guard let merged = set.ranges.first(where: { $0.overlaps(range) }) else { return }
        forget(key.target) {
            $0.source == key.source.rawValue && merged.lowerBound <= $0.range.lowerBound
                && $0.range.upperBound <= merged.upperBound
        }
    }

    private mutating func forget(_ target: String, _ isLanded: (BatchInFlight.Stretch) -> Bool) {
        guard let old = flights[target] else { return }
        flights[target] = old.compactMap { batch in
            var batch = batch
            batch.stretches.removeAll(where: isLanded)
            return batch.stretches.isEmpty ? nil : batch
        }
    }

    func snapshot(targets: [String], sources: [SourceID]) -> Snapshot {
        var result = state
        result.flights = flights.filter { !$0.value.isEmpty }
        result.removed = removed.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        for target in targets {
            for source in sources {
                var set = own[Snapshot.Key(target: target, source: source)] ?? PositionSet()
                let refused = own[Snapshot.Key(target: "", source: source)] ?? PositionSet()
                for range in refused.ranges { set.insert(range) }
                if !set.ranges.isEmpty { result.progress[Snapshot.Key(target: target, source: source)] = set }
            }
        }
        return result
    }
}

/// Random changes, the same for the same seed.
struct History {
    static let targets = ["", "splunk", "elastic \u{e9}"]
    private var rng: PRNG

    init(seed: UInt64) { rng = PRNG(seed: seed) }

    mutating func below(_ bound: UInt64) -> UInt64 { rng.below(bound) }

    private mutating func range() -> Range<UInt64> {
        let start = rng.below(60)
        return start..<(start + rng.below(8))
    }

    mutating func change(_ sources: [SourceID]) -> LedgerChange {
        let target = Self.targets[Int(rng.below(3))]
        let source = sources[Int(rng.below(UInt64(sources.count)))]
        switch rng.below(13) {
        case 10, 11:
            let keys = (0...rng.below(4)).map { _ in RecordKey(high: rng.next(), low: rng.next()) }
            let grants = keys.map { _ in
                ShardGrant(shard: UInt16(rng.below(256)), epoch: UInt32(truncatingIfNeeded: rng.next()))
            }
            return .told(
                ToldRow(
                    number: 1 + rng.below(40), target: target, kind: rng.below(2) == 0 ? .delivered : .dead,
                    reason: "r\(rng.below(9))", keys: keys, grants: grants))
        case 12 where rng.below(2) == 0: return .forgotten(through: rng.below(30))
        case 12:
            return .unplacedDeadLetter(deadLetter(target, source, 100..<101, reason: "r\(rng.below(9))", attempts: 1))
        case 0, 1:
            let bytes = (0..<rng.below(200)).map { _ in UInt8(truncatingIfNeeded: rng.next()) }
            return .deadLetter(
                deadLetter(
                    target, source, range(), reason: "r\(rng.below(9))", attempts: Int(rng.below(5)),
                    at: Int64(rng.below(1_000)), bytes: bytes))
        case 2:
            return .fileLength(target: target, path: "/out/\(rng.below(3))", length: rng.below(1 << 40))
        case 3:
            return .finished(source: source)
        case 4, 5:
            let stretches = (0...rng.below(2)).map { part in
                let start = part * 40 + rng.below(30)
                return BatchInFlight.Stretch(source: source.rawValue, range: start..<start + 1 + rng.below(8))
            }
            let receipt = rng.below(2) == 0 ? nil : Receipt(channel: "c\(rng.below(3))", id: Int64(rng.below(1_000)))
            return .departed(
                target: target, BatchInFlight(stretches: stretches, receipt: receipt, sentAt: Int64(rng.below(9))))
        default:
            return .accepted(
                target: target, source: source, range: range(), records: Int(rng.below(9)),
                bytes: Int(rng.below(900)))
        }
    }

    mutating func changes(_ sources: [SourceID]) -> [LedgerChange] {
        (0...rng.below(4)).map { _ in change(sources) }
    }
}
