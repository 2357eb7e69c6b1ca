import FoundationEssentials
import Glibc
import Model
import Testing

@testable import Ledger

/// Invariant 5: what was acknowledged survives `kill -9` at any instruction, and a power failure.
@Suite struct CrashTests {
    private static let sources = [SourceID(rawValue: 1), SourceID(rawValue: 2)]

    private static func snapshot(_ directory: String) async throws -> Snapshot {
        let ledger = try await Ledger.open(directory: directory)
        let snapshot = try await Snapshot(of: ledger, targets: History.targets, sources: sources)
        try await ledger.close()
        return snapshot
    }

    @Test func randomHistoriesAgreeWithTheModel() async throws {
        for seed in UInt64(0)..<1_000 {
            try await withTemporaryDirectory { directory in
                var options = LedgerOptions()
                options.isDurable = false
                options.checkpointPages = 8
                var history = History(seed: seed)
                var model = ModelLedger()
                for _ in 0...history.below(2) {
                    let ledger = try await Ledger.open(directory: directory, options: options)
                    for _ in 0..<history.below(12) {
                        let changes = history.changes(Self.sources)
                        try await ledger.commit(changes)
                        model.apply(changes)
                    }
                    try await ledger.close()
                }
                let expected = model.snapshot(targets: History.targets, sources: Self.sources)
                #expect(try await Self.snapshot(directory) == expected, "seed \(seed)")
            }
        }
    }

    /// Between checkpoints the database file is not written and the log only grows, so a power failure leaves the
    /// same database and a log of which everything synchronized is there, and any part of the rest, or garbage in its
    /// place. So: cut the log anywhere, append garbage, reopen. Each commit whose end lies in the log must be there,
    /// the later ones must not, and none in part.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func everyCutOfTheLogIsAPrefixOfCommits(seed: UInt64) async throws {
        try await withTemporaryDirectory { directory in
            var options = LedgerOptions()
            options.checkpointPages = 0
            let ledger = try await Ledger.open(directory: directory + "/whole", options: options)
            let database = contents(directory + "/whole/ledger.db")
            var history = History(seed: seed)
            var model = ModelLedger()
            var ends: [(length: Int, expected: Snapshot)] = []
            func remember() {
                ends.append(
                    (
                        contents(directory + "/whole/ledger.db-wal").count,
                        model.snapshot(targets: History.targets, sources: Self.sources)
                    ))
            }
            remember()
            for _ in 0..<15 {
                let changes = history.changes(Self.sources)
                try await ledger.commit(changes)
                model.apply(changes)
                remember()
            }
            #expect(contents(directory + "/whole/ledger.db") == database)
            let log = contents(directory + "/whole/ledger.db-wal")
            try await ledger.close()

            let first = try #require(ends.first).length
            var cuts = ends.flatMap { [$0.length - 1, $0.length, $0.length + 1] }
            for _ in 0..<60 { cuts.append(first + Int(history.below(UInt64(log.count - first)))) }
            for cut in cuts where cut >= first && cut <= log.count {
                let expected = try #require(ends.last { $0.length <= cut }).expected
                for garbage in [0, 5_000] {
                    let copy = directory + "/cut"
                    try? FileManager.default.removeItem(atPath: copy)
                    try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: false)
                    try write(database, to: copy + "/ledger.db")
                    let tail = (0..<garbage).map { _ in UInt8(truncatingIfNeeded: history.below(256)) }
                    try write(log[..<cut] + tail, to: copy + "/ledger.db-wal")
                    #expect(try await Self.snapshot(copy) == expected, "cut at \(cut), garbage \(garbage)")
                }
            }
        }
    }

    /// A child commits a known sequence, notes each commit that returned, and is killed at a moment of chance,
    /// checkpoints included. What it noted must be there, and the whole must be a prefix of the sequence.
    @Test func killedProcessKeepsWhatItAcknowledged() async throws {
        var rng = PRNG(seed: 20)
        var acknowledged = 0
        for trial in UInt64(0)..<12 {
            let microseconds = rng.below(150_000)
            acknowledged += try await withTemporaryDirectory { directory in
                await #expect(processExitsWith: .signal(SIGKILL)) {
                    [directory = directory as String, trial = trial as UInt64, microseconds = microseconds as UInt64] in
                    try await CrashTests.commitUntilKilled(directory, seed: trial, after: microseconds)
                }
                return try await Self.checkSurvivor(directory, seed: trial)
            }
        }
        #expect(acknowledged > 0)
    }

    private static func commitUntilKilled(_ directory: String, seed: UInt64, after microseconds: UInt64) async throws {
        var options = LedgerOptions()
        options.checkpointPages = 10
        let ledger = try await Ledger.open(directory: directory, options: options)
        let notes = unsafe open(directory + "/notes", O_WRONLY | O_CREAT | O_APPEND, 0o600)
        killThisProcess(after: microseconds)
        var history = History(seed: seed)
        while true {
            try await ledger.commit(history.changes(sources))
            _ = unsafe Glibc.write(notes, "x", 1)
        }
    }

    private static func checkSurvivor(_ directory: String, seed: UInt64) async throws -> Int {
        let acknowledged = contents(directory + "/notes").count
        let found = try await snapshot(directory)
        var history = History(seed: seed)
        var model = ModelLedger()
        for _ in 0..<acknowledged { model.apply(history.changes(sources)) }
        // At most one commit was on its way.
        var candidates = [model.snapshot(targets: History.targets, sources: sources)]
        model.apply(history.changes(sources))
        candidates.append(model.snapshot(targets: History.targets, sources: sources))
        #expect(candidates.contains(found), "seed \(seed), \(acknowledged) acknowledged")
        return acknowledged
    }
}

/// Kills this process from a thread of its own, so that no instruction of the others is favoured.
private func killThisProcess(after microseconds: UInt64) {
    var number = pthread_t()
    let delay = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    unsafe delay.initialize(to: UInt32(microseconds))
    unsafe pthread_create(
        &number, nil,
        { raw in
            guard let delay = unsafe raw?.assumingMemoryBound(to: UInt32.self) else { return nil }
            unsafe usleep(delay.pointee)
            kill(getpid(), SIGKILL)
            return nil
        }, delay)
}
