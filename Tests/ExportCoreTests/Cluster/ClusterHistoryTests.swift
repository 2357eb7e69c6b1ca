import ExportCore
import Testing

@testable import ExportCoreWorlds

/// Who owns what and who is dead, over histories of joins, losses, drains, pauses and changes of leader.
@Suite struct ClusterHistoryTests {
    @Test func noShardHasTwoActingOwnersAndAllAreOwnedInTheEnd() {
        var seen = ShardTable.Counts()
        for seed in 0..<300 as Range<UInt64> {
            var history = ClusterHistory(seed: seed)
            history.run()
            #expect(history.breaches.isEmpty, "seed \(seed): \(history.breaches)")
            history.depose(gap: 0)
            seen.moved += history.counts.moved
            seen.refusedClaims += history.counts.refusedClaims
            seen.expelled += history.counts.expelled
        }
        // The histories did meet what they are about.
        #expect(seen.moved > 3_000 && seen.refusedClaims > 30 && seen.expelled > 30, "\(seen)")
    }

    @Test(arguments: ClusterBug.allCases)
    func plantedBugIsFound(bug: ClusterBug) {
        for seed in 0..<400 as Range<UInt64> {
            var history = ClusterHistory(seed: seed, bug: bug)
            history.run()
            if history.breaches.contains(where: { $0.contains(bug.trace) }) { return }
        }
        Issue.record("not found in 400 seeds: \(bug)")
    }
}
