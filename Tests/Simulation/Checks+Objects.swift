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

    /// Invariant 6: what cannot be read counts as waiting, for as long.
    func backlog(_ rest: SourceBacklog, failing milliseconds: UInt64) {
        if rest.records == 0 || (rest.oldestMilliseconds ?? 0) < milliseconds {
            violate("6: nothing can be read for \(milliseconds) ms, and the backlog is told as \(rest)")
        }
    }
}
