import ExportCore
import Model
import Testing

@testable import ExportCoreWorlds

@Suite struct ElectionSimulationTests {
    /// Longest time from the end of faults to a leader: what is left of a lease by the slowest clock, the pause between
    /// two looks, and some requests, one of them unanswered.
    private static let bound: UInt64 = 30

    @Test(arguments: 0..<8)
    func atMostOneLeadsAndInTheEndOneDoes(part: UInt64) {
        var (leads, stepDowns) = (0, 0)
        for seed in part * 250..<(part + 1) * 250 {
            var world = ElectionWorld(seed: seed, candidates: 1 + Int(seed % 4)) { identity, now in
                LeaderElection(identity: identity, address: identity + ":7000", now: now)
            }
            world.run(faulty: 60, calm: 30, bound: Self.bound)
            #expect(world.breaches.isEmpty, "seed \(seed)")
            leads += world.leads
            stepDowns += world.stepDowns
        }
        // Histories in which nothing happens would prove nothing.
        #expect(leads > 500 && stepDowns > 100, "\(leads) leaders, \(stepDowns) lost leases")
    }

    @Test(arguments: ElectionBug.allCases)
    func plantedBugIsFound(bug: ElectionBug) {
        for seed in 0..<1_000 as Range<UInt64> {
            var world = ElectionWorld(seed: seed, candidates: 2 + Int(seed % 3)) { identity, now in
                BuggyElection(bug, identity: identity, now: now)
            }
            world.run(faulty: 60, calm: 5, bound: Self.bound)
            if world.breaches.contains(bug.breach) { return }
        }
        Issue.record("not found in 1 000 seeds: \(bug)")
    }
}
