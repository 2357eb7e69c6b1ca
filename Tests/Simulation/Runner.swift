import ExportCore
import Foundation

/// Runs many histories, one thread for each, and says which of them violated what.
public struct Runner: Sendable {
    private let threads: Int

    /// A runner on `threads` threads.
    public init(threads: Int) { self.threads = max(1, threads) }

    private struct Outcome: Sendable {
        var seed: UInt64
        var violations: [String]
        var events: Int
    }

    /// Runs `seeds`; true if none violated anything.
    public func run(_ seeds: Range<UInt64>) -> Bool {
        let began = Date()
        // Told as they are found: a long search may be ended before its end.
        let outcomes = histories(seeds, plant: nil) { outcome in
            guard !outcome.violations.isEmpty else { return false }
            let text =
                "seed \(outcome.seed): \(outcome.violations.joined(separator: "; "))\n"
                + "  replay with: make simulate SEED=\(outcome.seed)\n"
            FileHandle.standardOutput.write(Data(text.utf8))
            return false
        }
        let bad = outcomes.filter { !$0.violations.isEmpty }
        let events = outcomes.reduce(0) { $0 + $1.events }
        let seconds = String(format: "%.1f", Date().timeIntervalSince(began))
        print("\(outcomes.count) histories, \(events) events, \(bad.count) with violations, \(seconds) s")
        return bad.isEmpty
    }

    /// Plants every known mistake, or those named like `only`; true if each was found.
    public func findPlants(_ seeds: Range<UInt64>, only: String? = nil) -> Bool {
        var missed: [String] = []
        let plants = Plant.allCases.filter { plant in only.map { plant.rawValue == $0 } ?? true }
        for plant in plants {
            let near = max(seeds.lowerBound, min(plant.rareUntil, seeds.upperBound))
            let outcomes = histories(near..<seeds.upperBound, plant: plant) { !$0.violations.isEmpty }
            if let found = outcomes.filter({ !$0.violations.isEmpty }).min(by: { $0.seed < $1.seed }) {
                print("\(plant.rawValue): found, as in seed \(found.seed): \(found.violations[0])")
            } else {
                print("\(plant.rawValue): NOT found in \(outcomes.count) histories")
                missed.append(plant.rawValue)
            }
        }
        print("\(plants.count - missed.count) of \(plants.count) planted mistakes found")
        return missed.isEmpty && !plants.isEmpty
    }

    /// Runs one history, with a mistake planted or not, and says what it was.
    public func show(_ seed: UInt64, plant: String? = nil) -> Bool {
        let world = World(seed: seed, plant: plant.flatMap(Plant.init))
        world.isTracing = true
        let violations = world.run()
        print("seed \(seed): \(world.plan)")
        print("\(world.events) events, \(world.now / World.second) s; last term \(world.store.lease.highestTerm)")
        for line in world.trace { print(line) }
        for violation in violations { print("VIOLATION \(violation)") }
        return violations.isEmpty
    }

    private func histories(
        _ seeds: Range<UInt64>, plant: Plant?, until isEnough: @escaping @Sendable (Outcome) -> Bool
    ) -> [Outcome] {
        let state = Locked(next: seeds.lowerBound, end: seeds.upperBound)
        let group = DispatchGroup()
        for _ in 0..<threads {
            let thread = Thread {
                while let seed = state.take() {
                    let world = World(seed: seed, plant: plant)
                    let outcome = Outcome(seed: seed, violations: world.run(), events: world.events)
                    world.end()
                    state.add(outcome, isLast: isEnough(outcome))
                }
                group.leave()
            }
            thread.stackSize = 8 << 20
            group.enter()
            thread.start()
        }
        group.wait()
        return state.outcomes
    }

    private final class Locked: @unchecked Sendable {
        private let lock = NSLock()
        private var next: UInt64
        private var end: UInt64
        private(set) var outcomes: [Outcome] = []

        init(next: UInt64, end: UInt64) {
            self.next = next
            self.end = end
        }

        func take() -> UInt64? {
            lock.withLock {
                guard next < end else { return nil }
                next += 1
                return next - 1
            }
        }

        func add(_ outcome: Outcome, isLast: Bool) {
            lock.withLock {
                outcomes.append(outcome)
                if isLast { end = next }
            }
        }
    }
}
