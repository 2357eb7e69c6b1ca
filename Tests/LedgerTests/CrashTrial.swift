import CrashDisk
import Model

@testable import Ledger

/// A disk in memory that dies when told to.
@safe final class MemoryDisk {
    fileprivate let handle: OpaquePointer
    let name: String

    init?(name: String) {
        _ = isSQLitePrepared
        guard let made = unsafe crash_disk_make(name) else { return nil }
        unsafe handle = made
        self.name = name
    }

    deinit { unsafe crash_disk_free(handle) }

    var isDead: Bool { unsafe crash_disk_is_dead(handle) != 0 }
    /// Writes, truncations, synchronizations and deletions since it was armed.
    var operations: UInt64 { unsafe crash_disk_operations(handle) }

    func hold(whatIsOn other: MemoryDisk) { unsafe crash_disk_copy(handle, other.handle) }
    func arm(_ operation: UInt64, isPowerCut: Bool, seed: UInt64) {
        unsafe crash_disk_arm(
            handle, operation, Int32(isPowerCut ? CRASH_DISK_POWER.rawValue : CRASH_DISK_KILL.rawValue), seed)
    }
    func restart() { unsafe crash_disk_restart(handle) }
    func lie(_ lies: Bool) { unsafe crash_disk_lie(handle, lies ? 1 : 0) }
}

/// Lets ledgers die and holds what is found afterwards against the model.
struct CrashTrial {
    /// Mistakes that are planted to see that they are found.
    enum Plant {
        case none
        /// The ledger does not ask the disk to synchronize.
        case unsynchronized
        /// The disk says it has, and has not.
        case lyingDisk
        /// A commit in several transactions.
        case brokenCommits
    }

    private static let sources = [SourceID(rawValue: 1), SourceID(rawValue: 2)]

    let disk: MemoryDisk
    private let blank: MemoryDisk
    private let directory: StateDirectory
    private let options: LedgerOptions
    private let plant: Plant

    /// - Parameters:
    ///   - name: of the disk, unique in the process.
    ///   - directory: a real one, for the lock alone.
    init?(name: String, directory: String, plant: Plant = .none) throws(LedgerError) {
        guard let disk = MemoryDisk(name: name), let blank = MemoryDisk(name: name + "-blank") else { return nil }
        self.disk = disk
        self.blank = blank
        self.directory = try StateDirectory(directory)
        self.plant = plant
        var options = LedgerOptions()
        options.disk = blank.name
        options.checkpointPages = 12
        _ = try LedgerStore(holding: self.directory, options: options).close()
        options.disk = disk.name
        options.isDurable = plant != .unsynchronized
        self.options = options
        disk.lie(plant == .lyingDisk)
    }

    /// One history with its deaths; says what is wrong, or nothing.
    func random(seed: UInt64) -> String? {
        disk.hold(whatIsOn: blank)
        var rng = PRNG(seed: seed &* 2 &+ 1)
        var state = State(history: History(seed: seed))
        for _ in 0..<(rng.below(4) == 0 ? 2 : 1) {
            // Most deaths early, some after several checkpoints.
            let reach = 1 + rng.below(1 << (2 + rng.below(7)))
            disk.arm(reach, isPowerCut: rng.below(4) != 0, seed: rng.next())
            if let wrong = live(&state, commits: 1 + rng.below(10), closes: rng.below(2) == 0) { return wrong }
            disk.restart()
        }
        return final(&state)
    }

    /// The same history on an empty disk, dying in operation `fatal`; 0: never. Says whether it died at all, and what
    /// is wrong.
    func scripted(fatal: UInt64, isPowerCut: Bool, seed: UInt64) -> (died: Bool, wrong: String?) {
        // Whatever the disk held goes.
        guard let empty = MemoryDisk(name: disk.name + "-empty") else { return (false, "no memory") }
        disk.hold(whatIsOn: empty)
        var state = State(history: History(seed: 4))
        disk.arm(fatal, isPowerCut: isPowerCut, seed: seed)
        for _ in 0..<2 where !disk.isDead {
            if let wrong = live(&state, commits: 9, closes: true) { return (disk.isDead, wrong) }
        }
        let died = disk.isDead
        disk.restart()
        return (died, final(&state))
    }

    private struct State {
        var history: History
        /// What the ledger may hold: what had returned, and perhaps what was asked last.
        var candidates = [ModelLedger()]
    }

    /// Opens, commits and perhaps closes, until the disk dies.
    private func live(_ state: inout State, commits: UInt64, closes: Bool) -> String? {
        var store: LedgerStore
        do throws(LedgerError) {
            store = try LedgerStore(holding: directory, options: options)
        } catch {
            return disk.isDead ? nil : "cannot open: \(error)"
        }
        if let wrong = check(store, &state) { return wrong }
        for _ in 0..<commits {
            if let wrong = commit(store, &state) { return wrong }
            if disk.isDead { return nil }
        }
        if closes, case .failure(let error) = store.close(), !disk.isDead { return "cannot close: \(error)" }
        return nil
    }

    /// After the last death: it opens, holds what it should, takes a commit and keeps it.
    private func final(_ state: inout State) -> String? {
        disk.arm(0, isPowerCut: false, seed: 1)
        return live(&state, commits: 1, closes: true) ?? live(&state, commits: 0, closes: true)
    }

    private func check(_ store: LedgerStore, _ state: inout State) -> String? {
        do throws(LedgerError) {
            let found = try Snapshot(of: store, targets: History.targets, sources: Self.sources)
            let match = state.candidates.first {
                $0.snapshot(targets: History.targets, sources: Self.sources) == found
            }
            guard let match else {
                let expected = state.candidates.map {
                    $0.snapshot(targets: History.targets, sources: Self.sources).difference(from: found)
                }
                return "it holds neither what had returned nor that and the last: \(expected)"
            }
            state.candidates = [match]
            return nil
        } catch {
            return "cannot read: \(error)"
        }
    }

    private func commit(_ store: LedgerStore, _ state: inout State) -> String? {
        guard var model = state.candidates.first, let letters = try? store.deadLetters(target: nil, after: 0, limit: 99)
        else { return "cannot read" }
        model.learn(letters)
        let before = model
        var group: [[LedgerChange]] = []
        for _ in 0...state.history.below(2) {
            let changes = state.history.changes(Self.sources) + state.history.removals(letters)
            group.append(changes)
            model.apply(changes)
        }
        var result = Result<Void, LedgerError>.success(())
        if plant == .brokenCommits {
            for change in group.joined() where (try? result.get()) != nil { result = store.commit([[change]]) }
        } else {
            result = store.commit(group)
        }
        switch result {
        case .success: state.candidates = [model]
        case .failure(let error):
            guard disk.isDead else { return "cannot commit: \(error)" }
            state.candidates = [before, model]
        }
        return nil
    }
}

extension History {
    /// Sometimes something about a dead letter.
    mutating func removals(_ letters: [DeadLetter]) -> [LedgerChange] {
        guard below(3) == 0, !letters.isEmpty else { return [] }
        let letter = letters[Int(below(UInt64(letters.count)))]
        switch below(3) {
        case 0:
            return [
                .deadLetterRefusedAgain(
                    id: letter.id, reason: "again \(below(9))", code: "c", lastAttempt: Int64(below(2_000)), attempts: 1
                )
            ]
        case 1 where letter.target.isEmpty:
            return [
                .deadLetterReadmitted(
                    removal(letter.id, .readmitted), uid: letter.uid, targets: Array(Self.targets.dropFirst()))
            ]
        default:
            let removed = LedgerChange.deadLetterRemoved(removal(letter.id, below(2) == 0 ? .discarded : .delivered))
            return below(2) == 0 ? [removed] : [removed, .revivalsTold([letter.id])]
        }
    }
}

extension Snapshot {
    /// Where it is not as `other`.
    func difference(from other: Snapshot) -> String {
        var parts: [String] = []
        if progress != other.progress { parts.append("progress \(progress), not \(other.progress)") }
        if totals != other.totals { parts.append("totals \(totals), not \(other.totals)") }
        if files != other.files { parts.append("files \(files), not \(other.files)") }
        if letters != other.letters { parts.append("letters \(letters), not \(other.letters)") }
        if flights != other.flights { parts.append("flights \(flights), not \(other.flights)") }
        if told != other.told { parts.append("told \(told), not \(other.told)") }
        if removed != other.removed { parts.append("removed \(removed), not \(other.removed)") }
        return parts.joined(separator: "; ")
    }
}
