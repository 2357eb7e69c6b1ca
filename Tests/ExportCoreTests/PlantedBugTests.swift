import ExportCore
import Testing

@testable import ExportCoreWorlds

/// A simulation that finds nothing proves nothing: each of these bugs it has to find, and by the right rule.
@Suite struct PlantedBugTests {
    @Test(arguments: PlantedBug.allCases)
    func plantedBugIsFound(bug: PlantedBug) {
        for seed in 0..<400 as Range<UInt64> {
            var simulation = DeliverySimulation(seed: seed, faults: .all) {
                BuggyDelivery(bug, policy: $0, permits: $1, floor: $2)
            }
            simulation.run(faultySteps: 80)
            if simulation.breaches.contains(where: { $0.contains(bug.rawValue) }) { return }
        }
        Issue.record("not found in 400 seeds: \(bug)")
    }
}
