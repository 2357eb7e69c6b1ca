import Coordinator
import ExportCore
import Protocol

/// What must never be said of results that are objects.
extension Checks {
    /// A patch makes an object say `to`.
    func patched(_ key: RecordKey, from: ResultStatus, to: ResultStatus, _ term: UInt64, _ world: World) {
        if to.state < from.state { violate("1: \(key) was \(from.state) and is called \(to.state)") }
        if from.word.delivered.bits & ~to.word.delivered.bits != 0 {
            violate("1: \(key) was delivered at \(from.word.delivered) and is called delivered at \(to.word.delivered)")
        }
        for target in 0..<world.plan.targetCount {
            let accepted = world.receivers[target].accepted[key] != nil
            if to.state == .exported, !accepted { violate("1: \(key) is called exported without target \(target)") }
            if to.word.delivered.contains(target), !from.word.delivered.contains(target) {
                told(key, target, .delivered, world)
            }
            if to.word.dead.contains(target), !from.word.dead.contains(target) { told(key, target, .dead, world) }
            if to.word.failed.contains(target), !from.word.failed.contains(target) { failed(key, target, term) }
        }
    }

    /// Invariant 6: every object that is not settled at a target counts there as waiting, for as long as it is there; by the
    /// clock of the world and what the API server has, whatever the leader knows. A new leader has to be told first.
    ///
    /// - Parameters:
    ///   - milliseconds: how long the oldest has waited at a target, as the leader tells.
    ///   - led: for how long it has read.
    ///   - asleep: for how long of that it stood still.
    func oldest(_ target: Int, told milliseconds: UInt64, led: UInt64, asleep: UInt64, _ world: World) {
        let all = TargetMask(first: world.plan.targetCount)
        let wall = 1_700_000_000_000 + Int64(world.now / World.millisecond)
        for object in world.store.objects.objects.values
        where !object.status.word.settled.contains(target) || !object.status.isConsistent(targets: all) {
            let age = min(UInt64(wall - object.createdAt), led / World.millisecond)
            // Processes' clocks are up to 2 % off.
            guard milliseconds + milliseconds / 20 + Self.noticed + asleep / World.millisecond < age else { continue }
            violate(
                "6: \(object.name) is not settled at target \(target) since \(age) ms, and the oldest is told as \(milliseconds) ms"
            )
        }
    }

    /// Two requests that are given up, 1.5 s each, a pause, 1 s, the answer to the next one, and what the watch has to tell then.
    private static let noticed: UInt64 = 8_000
}
