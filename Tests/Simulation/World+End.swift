import ExportCore
import Model

/// What is looked at once the faults are over, or all but one.
extension World {
    func freshRecordPasses() {
        addSource()
        demandsForgetting = true
        advance(to: now + plan.calmSeconds * World.second) { self.isSettled }
        if !isSettled { checks.violate("a fresh record did not pass: \(unsettled)") }
    }

    /// Invariant 3: what single objects did not take is written once they take it.
    func whatIsMendedIsWritten() {
        guard plan.hasObjects, store.objects.hasCurses, checks.violations.isEmpty else { return }
        store.objects.mend()
        advance(to: now + plan.calmSeconds * World.second) { self.isSettled }
        if !isSettled { checks.violate("3: after single objects were mended there is left \(unsettled)") }
    }

    /// Invariant 8: with one receiver dead and nothing else amiss, the others get what is theirs in time.
    func othersGoOn(without dead: Int) {
        heal(but: dead)
        for _ in 0..<6 { addSource() }
        let others = (0..<plan.targetCount).filter { $0 != dead }
        advance(to: now + Self.othersWithin) { self.owed(others) == nil }
        if let owed = owed(others) {
            checks.violate(
                "8: \(owed) after \(Self.othersWithin / World.second) s in which only target \(dead) was dead")
        }
        guard plan.hasObjects, plan.hasSelector, checks.violations.isEmpty else { return }
        // Nor does it keep workers from forgetting what became of records elsewhere.
        advance(to: now + Self.forgottenWithin) { self.rememberedElsewhere(than: dead) == nil }
        if let row = rememberedElsewhere(than: dead) {
            checks.violate(
                "8: \(row) after \(Self.forgottenWithin / World.second) s in which only target \(dead) was dead")
        }
    }

    private func rememberedElsewhere(than dead: Int) -> String? {
        for worker in workers where worker.isUp {
            if let row = worker.ledger.first(where: { $0.target != dead }) {
                return "row \(row.number) of target \(row.target) is not forgotten by \(worker.name)"
            }
        }
        return nil
    }

    /// Records are looked for once a minute, and a list of a minute goes before that.
    private static let forgottenWithin = 150 * World.second

    private static let othersWithin = 60 * World.second

    /// Invariant 6: one worker that is cut off from one receiver does not halt the others, however rarely results come.
    func oneIsCutOff() {
        workers[0].cutOff = [Int(rng.below(UInt64(plan.targetCount)))]
        checks.mustStayOpen = true
        for _ in 0..<4 {
            addSource()
            advance(to: now + 12 * World.second) { false }
        }
        advance(to: now + plan.calmSeconds * World.second) { self.isSettled }
        if !isSettled { checks.violate("with \(workers[0].name) cut off from one target there is left \(unsettled)") }
    }

    /// Invariant 7: workers delivered of a file, the next leader cannot read it, and rows pile up nowhere for that.
    func aFileCannotBeRead() {
        (checks.mustStayOpen, checks.healed) = (false, nil)
        for worker in workers { worker.cutOff = [] }
        // Nothing of it is written down before the leader is over.
        addSource()
        let file = sources.count - 1
        store.outageUntil = now + 20 * World.second
        advance(to: store.outageUntil) { false }
        hidden = [file]
        for _ in 0..<4 { addSource() }
        advance(to: now + plan.calmSeconds * World.second) { self.isForgotten }
        if !isForgotten { checks.violate("7: while a file cannot be read, what became of others is not forgotten") }
        hidden = []
        checks.healed = now
        advance(to: now + plan.calmSeconds * World.second) { self.isSettled }
        if !isSettled { checks.violate("after a file could not be read there is left \(unsettled)") }
    }

    /// All that can be read is finished, and no worker has anything left to tell.
    private var isForgotten: Bool {
        sources.indices.allSatisfy { hidden.contains($0) || store.finished.contains(sources[$0].id) }
            && workers.allSatisfy { !$0.isUp || $0.ledger.isEmpty }
    }

    /// Invariant 6: workers that can write nothing down deliver nothing for certain, so probing halts; and goes on when they
    /// can.
    func nobodyWritesDown() {
        for worker in workers {
            worker.cutOff = []
            worker.diskFailsUntil = .max
        }
        (checks.mustStayOpen, checks.healed) = (false, nil)
        for _ in 0..<4 { addSource() }
        advance(to: now + 60 * World.second) { !self.store.isAdmitting }
        if store.isAdmitting { checks.violate("6: for 60 s no worker can write anything down and probing goes on") }
        for worker in workers { worker.diskFailsUntil = 0 }
        checks.healed = now
        advance(to: now + plan.calmSeconds * World.second) { self.isSettled }
        if !isSettled { checks.violate("after all disks had failed there is left \(unsettled)") }
    }
}
