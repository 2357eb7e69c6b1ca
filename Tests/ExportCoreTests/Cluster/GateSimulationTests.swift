import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

/// Invariant 6 over thousands of seeds; a failure names its seed, which repeats it.
@Suite struct GateSimulationTests {
    /// Four parts, so that they run side by side.
    @Test(arguments: 0..<4)
    func theGateIsClosedAndOpenWhenItHasToBe(part: UInt64) {
        var met = (halts: 0, reopenings: 0, alerts: 0, leaders: 0, shuns: 0)
        for seed in (part * 300)..<(part * 300 + 300) {
            var simulation = GateSimulation(seed: seed)
            simulation.run()
            #expect(simulation.oracle.breaches.isEmpty, "seed \(seed): \(simulation.oracle.breaches)")
            met.halts += simulation.oracle.halts
            met.reopenings += simulation.oracle.reopenings
            met.alerts += simulation.oracle.alertCount
            met.leaders += simulation.leaders
            met.shuns += simulation.shuns
        }
        // The runs did meet everything.
        #expect(
            met.halts > 200 && met.reopenings > 150 && met.alerts > 200 && met.leaders > 500 && met.shuns > 30,
            "\(met)")
    }

    @Test(arguments: PlantedGateBug.allCases)
    func plantedBugIsFound(bug: PlantedGateBug) {
        for seed in 0..<2_000 as Range<UInt64> {
            var simulation = GateSimulation(seed: seed, bug: bug)
            simulation.run()
            let found = simulation.oracle.breaches
            if found.contains(where: { breach in bug.rules.contains { breach.contains(": \($0)") } }) { return }
        }
        Issue.record("not found in 2 000 seeds: \(bug)")
    }
}
