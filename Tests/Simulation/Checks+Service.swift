import ExportCore
import Model
import Protocol

/// What must go on: shards are held, probing is admitted when all is well, only owners' failures count.
extension Checks {
    struct Shard: Hashable {
        var term: UInt64
        var number: UInt16
    }

    struct Failure: Hashable {
        var term: UInt64
        var target: Int
        var key: RecordKey
    }

    /// A worker told of failures; they may count only if the shards are its own.
    func failureTold(_ told: Outcomes, by worker: String) {
        for (key, grant) in zip(told.keys, told.grants)
        where owner[Shard(term: told.term, number: grant.shard)] == worker {
            ownFailures.insert(Failure(term: told.term, target: Int(told.target), key: key))
        }
    }

    /// Invariant 4: a failure counts only from the owner.
    func failed(_ key: RecordKey, _ target: Int, _ term: UInt64) {
        if !ownFailures.contains(Failure(term: term, target: target, key: key)) {
            violate("4: \(key) was written as failed at target \(target), which no owner told in term \(term)")
        }
    }

    /// Invariant 6: with everything mended and acknowledged, probing is admitted.
    func gateIsOpen(_ world: World) {
        guard !world.store.isAdmitting else { return }
        let why = world.store.gate?.reason ?? "no record"
        if mustStayOpen { violate("6: one worker cut off from one target halts probing: \(why)") }
        if let healed, world.now > max(healed, lastLed) + Self.openWithin {
            violate(
                "6: no probe is admitted \((world.now - healed) / World.second) s after everything was mended: \(why)")
        }
    }

    /// Workers' return, the longest pause between attempts, what recovery demands, and a worker that is found out.
    private static let openWithin = 60 * World.second

    /// Invariant 4: while a leader and a worker are there, no shard is without one that may act for it for long.
    func shardsAreHeld(_ world: World) {
        var held: Set<UInt16> = []
        let leading = world.coordinators.filter { $0.isLeading && !$0.isPaused && $0.core != nil }
        for worker in world.workers {
            guard worker.isUp, !worker.isPaused, let core = worker.core,
                core.leaseEnd.map({ worker.tick < $0 }) ?? false
            else {
                wellSince[worker.name] = nil
                continue
            }
            for claim in core.hands.claims { held.insert(claim.grant.shard) }
            let isWell =
                !worker.isLeaving && core.session != nil
                && leading.contains { !world.isBlocked(worker.name, $0.name) && !world.isBlocked($0.name, worker.name) }
            wellSince[worker.name] = isWell ? wellSince[worker.name] ?? world.now : nil
        }
        let hasWell = wellSince.values.contains { world.now > $0 + Self.heldWithin }
        for shard in 0..<UInt16(SimSettings.shardCount) {
            unheld[shard] = held.contains(shard) ? nil : unheld[shard] ?? world.now
            guard hasWell, let since = unheld[shard], world.now > max(since, lastLed) + Self.heldWithin else {
                continue
            }
            violate("4: shard \(shard) has had no owner for \((world.now - since) / World.second) s")
        }
    }

    /// A worker's death, its margin, a release, and the way of the message; twice, since the next owner may die too.
    private static let heldWithin = 15 * World.second

    /// While the gate is shut, people are told of each target that fails, and of none that does not, with a pause between.
    func reasonHolds(_ word: (cause: String, at: Tick), _ gate: ExportGate, _ leader: String, at now: Tick) {
        let isShut = gate.state == .degraded || gate.state == .halted
        guard isShut, !gate.reason.hasPrefix("the stored record of the gate is of term"),
            now > word.at.adding(milliseconds: SimSettings.gate.suspicion)
        else {
            falseWords[leader] = nil
            return
        }
        var isTrue = true
        defer { falseWords[leader] = isTrue ? nil : falseWords[leader, default: 0] + 1 }
        for target in gate.targetStatus(now: now) {
            let isNamed =
                word.cause.contains("failed at \(target.name)") || word.cause.contains("for \(target.name) has waited")
            guard isNamed != (target.state == .broken) else { continue }
            isTrue = false
            // A worker that was forgiven in this very tick is heard in the next one.
            if falseWords[leader, default: 0] >= 3 {
                violate("6: \(leader) says of its gate: \(word.cause); but \(target.name) is \(target.state)")
            }
        }
    }
}
