import Model
import Testing

@testable import Ledger

/// Invariant 5, write by write: after a death in any of them the ledger opens, holds every commit that had returned and
/// no part of another, and takes further ones.
@Suite struct CrashPointTests {
    /// A history from the first table to two closings, with checkpoints: a death in every write, truncation,
    /// synchronization and deletion of it.
    @Test(arguments: [false, true])
    func deathInEveryWrite(isPowerCut: Bool) async throws {
        try await withTemporaryDirectory { directory in
            let trial = try #require(try CrashTrial(name: "scripted-\(isPowerCut)", directory: directory))
            #expect(trial.scripted(fatal: 0, isPowerCut: isPowerCut, seed: 0).wrong == nil)
            var fatal: UInt64 = 0
            var isDying = true
            while isDying {
                fatal += 1
                for seed in UInt64(0)..<(isPowerCut ? 6 : 2) {
                    let (died, wrong) = trial.scripted(fatal: fatal, isPowerCut: isPowerCut, seed: seed)
                    #expect(wrong == nil, "operation \(fatal), seed \(seed)")
                    isDying = died
                }
            }
            #expect(fatal > 100)
        }
    }

    /// 10 000 histories of commits, groups, dead letters, batches in flight and removals, each with a death or two at
    /// moments of chance; of what was not synchronized any sectors survive.
    @Test(arguments: [0, 1] as [UInt64])
    func deathsInRandomHistories(half: UInt64) async throws {
        try await withTemporaryDirectory { directory in
            let trial = try #require(try CrashTrial(name: "random-\(half)", directory: directory))
            for seed in half * 5_000..<(half + 1) * 5_000 {
                let wrong = trial.random(seed: seed)
                #expect(wrong == nil, "seed \(seed)")
                if wrong != nil { break }
            }
        }
    }

    /// The trial finds what it is there to find.
    @Test(arguments: [CrashTrial.Plant.unsynchronized, .lyingDisk, .brokenCommits])
    func plantedMistakesAreFound(plant: CrashTrial.Plant) async throws {
        try await withTemporaryDirectory { directory in
            let trial = try #require(try CrashTrial(name: "planted-\(plant)", directory: directory, plant: plant))
            let found = (UInt64(0)..<500).first { trial.random(seed: $0) != nil }
            #expect(found != nil)
        }
    }
}
