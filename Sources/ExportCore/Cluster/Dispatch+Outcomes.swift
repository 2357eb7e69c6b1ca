public import Protocol

extension Dispatch {
    /// A worker told what became of records.
    public mutating func outcomes(_ told: Outcomes, from worker: WorkerID) -> [Effect] {
        let target = Int(told.target)
        guard target < targetCount, worker.index < workers.count, workers[worker.index].isOpen else { return [] }
        if told.kind == .failed { return failures(told, target, worker) }
        // A worker tells its rows in the order of their numbers, so this one was told before in this session.
        guard told.row > workers[worker.index].rows.last else { return [] }
        var facts: [Facts] = []
        var touched: [UInt64] = []
        var pending = 0
        for key in told.keys {
            guard let slot = slots[key] else {
                if !index.contains(key.low, of: key.high, target: target) {
                    pending += keep(told, key, worker)
                }
                continue
            }
            let page = Slot.page(slot)
            if touched.last != page { touched.append(page) }
            if !settle(slot, target, told, worker, &facts) { pending += keep(told, key, worker) }
        }
        var effects = write(facts)
        workers[worker.index].rows.append(told.row, barrier: lastWrite, pending: pending)
        for page in Set(touched).sorted() { effects += close(page) }
        return effects + pump(worker) + settledRows()
    }

    /// Facts up to write `number` are kept for good.
    public mutating func written(through number: UInt64) -> [Effect] {
        writtenThrough = max(writtenThrough, number)
        return settledRows()
    }

    /// Takes a fact down. False if `target` has not read the record's page yet.
    private mutating func settle(
        _ slot: UInt64, _ target: Int, _ told: Outcomes, _ worker: WorkerID, _ facts: inout [Facts]
    ) -> Bool {
        let place = Int(Slot.page(slot) - firstPage)
        let (offset, bit) = (Slot.offset(slot), UInt32(1) << UInt32(target))
        guard let entry = pages[place]?.entries[offset] else { return true }
        if entry.sent & bit != 0, owners[Int(entry.shard)]?.worker == worker {
            pages[place]?.entries[offset].sent &= ~bit
            pages[place]?.sentCount -= 1
            workers[worker.index].outstanding[target] -= Int(entry.length)
        }
        guard var page = pages[place] else { return true }
        guard entry.owed & bit != 0 else {
            return page.isOpen(for: target) || index.contains(entry.position, of: page.source, target: target)
        }
        pages[place] = nil
        page.entries[offset].owed &= ~bit
        page.remaining[target] -= 1
        targets[target].inHand -= 1
        count(told.kind, target)
        facts.add(
            RecordKey(high: page.source, low: entry.position), page.reach(of: offset), target, told.kind, told.reason)
        if page.remaining[target] == 0 { settle(&page, for: target) }
        pages[place] = page
        return true
    }

    private mutating func failures(_ told: Outcomes, _ target: Int, _ worker: WorkerID) -> [Effect] {
        guard told.term == term else { return [] }
        let bit = UInt32(1) << UInt32(target)
        var facts: [Facts] = []
        for (key, grant) in zip(told.keys, told.grants) {
            guard let slot = slots[key] else { continue }
            let (place, offset) = (Int(Slot.page(slot) - firstPage), Slot.offset(slot))
            guard let entry = pages[place]?.entries[offset], let reach = pages[place]?.reach(of: offset),
                entry.owed & bit != 0, entry.sent & bit != 0, entry.failed & bit == 0,
                owners[Int(entry.shard)] == Owner(worker: worker, epoch: grant.epoch), entry.shard == grant.shard
            else { continue }
            pages[place]?.entries[offset].failed |= bit
            targets[target].failed += 1
            facts.add(key, reach, target, .failed, told.reason)
        }
        return write(facts)
    }

    /// Keeps what was said of a record that was not read yet; 1 if it was kept.
    private mutating func keep(_ told: Outcomes, _ key: RecordKey, _ worker: WorkerID) -> Int {
        guard hints.count < bounds.maxHints else { return 0 }
        hints[key, default: []].append(
            Hint(
                target: Int(told.target), kind: told.kind, reason: told.reason, worker: worker,
                session: workers[worker.index].rows.session, row: told.row))
        return 1
    }

    /// What was said of a record at `target`, which is written down next.
    mutating func takeHints(_ key: RecordKey, _ target: Int) -> Hint? {
        guard !hints.isEmpty, let all = hints[key] else { return nil }
        let mine = all.filter { $0.target == target }
        guard !mine.isEmpty else { return nil }
        let rest = all.filter { $0.target != target }
        hints[key] = rest.isEmpty ? nil : rest
        for hint in mine { resolve(hint, barrier: lastWrite + 1) }
        // Accepted outweighs given up: both may be true, and the record is there.
        return mine.first { $0.kind == .delivered } ?? mine.first
    }

    mutating func resolve(_ hint: Hint, barrier: UInt64) {
        guard workers[hint.worker.index].rows.session == hint.session else { return }
        workers[hint.worker.index].rows.resolve(hint.row, barrier: barrier)
    }

    mutating func settledRows() -> [Effect] {
        var effects: [Effect] = []
        for number in workers.indices where workers[number].isOpen {
            guard let last = workers[number].rows.takeSettled(writtenThrough) else { continue }
            effects.append(.settled(WorkerID(UInt32(number)), through: last))
        }
        return effects
    }

    mutating func write(_ facts: [Facts]) -> [Effect] {
        guard !facts.isEmpty else { return [] }
        lastWrite += 1
        return [.write(number: lastWrite, facts)]
    }

    mutating func count(_ kind: Outcomes.Kind, _ target: Int) {
        switch kind {
        case .delivered: targets[target].delivered += 1
        case .dead: targets[target].dead += 1
        case .failed: targets[target].failed += 1
        }
    }
}
