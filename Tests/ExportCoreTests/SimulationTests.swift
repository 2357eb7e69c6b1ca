import ExportCore
import Testing

@testable import ExportCoreWorlds

/// The conservation oracle over thousands of seeds; a failure names its seed, which repeats it.
@Suite struct SimulationTests {
    @Test func everyRecordIsSettledOnceAndNeverFalsely() {
        var dead = 0
        var stored = 0
        for seed in 0..<4_000 as Range<UInt64> {
            var simulation = DeliverySimulation(seed: seed, faults: .all)
            simulation.run()
            #expect(simulation.breaches.isEmpty, "seed \(seed): \(simulation.breaches.prefix(5))")
            dead += simulation.dead
            stored += simulation.receiver.stored.count { $0 > 0 }
        }
        // The runs did meet both ends.
        #expect(dead > 1_000 && stored > 10_000)
    }

    /// With one permit, what can be stored twice by a crash is what was under way: one batch.
    @Test func crashDuplicatesAtMostOneBatch() {
        var crashes = 0
        var repeated = 0
        for seed in 0..<4_000 as Range<UInt64> {
            var simulation = DeliverySimulation(seed: seed, faults: .honest, concurrency: 1)
            simulation.run(crashAt: Int(seed % 61))
            #expect(simulation.breaches.isEmpty, "seed \(seed): \(simulation.breaches.prefix(5))")
            #expect(simulation.openAtCrash.count <= 1, "seed \(seed)")
            let open = Set(simulation.openAtCrash.joined())
            for (record, count) in simulation.receiver.stored.enumerated() where count > 1 {
                repeated += 1
                #expect(open.contains(record), "seed \(seed): record \(record) was not under way")
                #expect(count == 2, "seed \(seed): record \(record) stored \(count) times")
            }
            crashes += simulation.crashes
        }
        #expect(crashes > 2_000 && repeated > 100)
    }

    @Test func crashUnderAllFaultsLosesNothing() {
        for seed in 10_000..<12_000 as Range<UInt64> {
            var simulation = DeliverySimulation(seed: seed, faults: .all)
            simulation.run(crashAt: Int(seed % 97))
            #expect(simulation.breaches.isEmpty, "seed \(seed): \(simulation.breaches.prefix(5))")
        }
    }

    @Test func sameSeedSameRun() {
        var first = DeliverySimulation(seed: 77, faults: .all)
        var second = DeliverySimulation(seed: 77, faults: .all)
        first.run()
        second.run()
        #expect(first.receiver.stored == second.receiver.stored)
        #expect(first.dead == second.dead)
    }
}
