public import Protocol

extension Dispatch {
    /// A worker told what became of records.
    public mutating func outcomes(_ told: Outcomes, from worker: WorkerID) -> [Effect] {
        let target = Int(told.target)
        guard target < targetCount, worker.index < workers.count, workers[worker.index].isOpen else { return [] }
        if told.kind == .failed { return failures(told, target, worker) }
        // A worker tells its rows in the order of their numbers, so this one was told before in this session.
        guard told.row > workers[worker.index].rows.last else { return [] }
        var facts = Facts(target: target, kind: told.kind, reason: told.reason, keys: [], lengths: [])
        facts.keys.reserveCapacity(told.keys.count)
        facts.lengths.reserveCapacity(told.keys.count)
        var touched: [UInt64] = []
        var pending = 0
        unkept = 0
        var next = 0
        while next < told.keys.count {
            guard let id = places.page(of: told.keys[next]) else {
                pending += hear(told, next, worker)
                next += 1
                continue
            }
            touched.append(id)
            withPage(id) { page, dispatch in
                pending += dispatch.settle(&page, target, told, from: &next, worker, &facts)
            }
        }
        var effects = write(facts.keys.isEmpty ? [] : [facts])
        workers[worker.index].rows.append(
            told.row, target: told.target, barrier: lastWrite, pending: pending, unkept: unkept)
        for page in Set(touched).sorted() { effects += close(page) }
        return effects + pump(worker) + settledRows()
    }

    /// Facts up to write `number` are kept for good.
    public mutating func written(through number: UInt64) -> [Effect] {
        writtenThrough = max(writtenThrough, number)
        return settledRows()
    }

    /// Takes facts down about records of one page, as far as they follow one another in what was told, from `next` on.
    /// How many of them `target` has not read yet.
    private mutating func settle(
        _ page: inout WindowPage, _ target: Int, _ told: Outcomes, from next: inout Int, _ worker: WorkerID,
        _ facts: inout Facts
    ) -> Int {
        let bit = UInt32(1) << UInt32(target)
        var (guess, settled, pending) = (0, 0, 0)
        var freed = 0
        while next < told.keys.count, told.keys[next].high == page.source, page.range.contains(told.keys[next].low) {
            let key = told.keys[next]
            next += 1
            guard let offset = page.offset(of: key.low, guess: guess) else {
                pending += hear(told, next - 1, worker)
                continue
            }
            guess = offset + 1
            var entry = page.entries[offset]
            if entry.sent & bit != 0, owners[Int(entry.shard)]?.worker == worker {
                entry.sent &= ~bit
                page.sentCount -= 1
                freed += Int(entry.length)
            }
            if entry.owed & bit != 0 {
                entry.owed &= ~bit
                settled += 1
                facts.keys.append(key)
                facts.lengths.append(page.reach(of: offset))
            } else if forgetsSources, told.kind == .delivered, index.contains(key.low, of: key.high, target: target) {
                // It may have been given up before.
                facts.keys.append(key)
                facts.lengths.append(page.reach(of: offset))
            } else if !page.isOpen(for: target) {
                pending += hear(told, next - 1, worker)
            }
            page.entries[offset] = entry
        }
        workers[worker.index].outstanding[target] -= freed
        guard settled > 0 else { return pending }
        page.remaining[target] -= Int32(settled)
        targets[target].inHand -= settled
        count(told.kind, target, settled)
        if page.remaining[target] == 0 { settle(&page, for: target) }
        return pending
    }

    /// Takes what was said of the record with this number in a row, which is in no page; 1 if it was not read yet.
    private mutating func hear(_ told: Outcomes, _ number: Int, _ worker: WorkerID) -> Int {
        let key = told.keys[number]
        if index.contains(key.low, of: key.high, target: Int(told.target)) { return 0 }
        let isRevival = forgetsSources && told.kind == .delivered && told.grants[number].epoch == 0
        return keep(told, key, worker, isRevival)
    }

    private mutating func failures(_ told: Outcomes, _ target: Int, _ worker: WorkerID) -> [Effect] {
        guard told.term == term else { return [] }
        let bit = UInt32(1) << UInt32(target)
        var facts: [Facts] = []
        for (key, grant) in zip(told.keys, told.grants) {
            guard let id = places.page(of: key), let place = pages.place(of: id) else { continue }
            guard let offset = pages[place]?.offset(of: key.low, guess: 0), let entry = pages[place]?.entries[offset],
                let reach = pages[place]?.reach(of: offset), entry.owed & bit != 0, entry.sent & bit != 0,
                entry.failed & bit == 0,
                owners[Int(entry.shard)] == Owner(worker: worker, epoch: grant.epoch), entry.shard == grant.shard
            else { continue }
            pages[place]?.entries[offset].failed |= bit
            targets[target].failed += 1
            facts.add(key, reach, target, .failed, told.reason)
        }
        return write(facts)
    }

    /// Keeps what was said of a record that was not read yet, if there is room; what there is not counts as ``unkept``.
    private mutating func keep(_ told: Outcomes, _ key: RecordKey, _ worker: WorkerID, _ isRevival: Bool) -> Int {
        var hint = Hint(
            target: Int(told.target), kind: told.kind, reason: told.reason, isRevival: isRevival, worker: worker,
            session: workers[worker.index].rows.session, row: told.row)
        if let place = hints[key]?.firstIndex(where: { $0.isOutlived(by: hint) }), let former = hints[key]?[place] {
            // A worker tells its rows again in every session; what it once said to be there is there.
            if former.kind == .delivered { (hint.kind, hint.reason) = (former.kind, former.reason) }
            hint.isRevival = hint.isRevival || former.isRevival
            hints[key]?[place] = hint
        } else if hintCounts.reduce(0, +) < bounds.maxHints {
            hints[key, default: []].append(hint)
            hintsHeard += 1
            hintCounts[hint.target] += 1
        } else {
            unkept += 1
        }
        return 1
    }

    /// Records of which something was told, and that no page had: at most `most` of them, and the targets concerned. Where sources
    /// are forgotten, whoever reads them is to look for these.
    public func sought(most: Int) -> [RecordKey: SoughtRecord] {
        guard forgetsSources else { return [:] }
        var found: [RecordKey: SoughtRecord] = [:]
        for (key, all) in hints {
            guard found.count < most else { break }
            var record = SoughtRecord(targets: TargetMask(bits: 0))
            for hint in all {
                record.targets.bits |= 1 << UInt32(hint.target)
                if hint.isRevival { record.revived.bits |= 1 << UInt32(hint.target) }
            }
            found[key] = record
        }
        return found
    }

    /// Takes out what was said of a record at `target`.
    mutating func removeHints(_ key: RecordKey, _ target: Int) -> [Hint] {
        guard let all = hints[key] else { return [] }
        let mine = all.filter { $0.target == target }
        guard !mine.isEmpty else { return [] }
        let rest = all.filter { $0.target != target }
        hints[key] = rest.isEmpty ? nil : rest
        hintCounts[target] -= mine.count
        return mine
    }

    /// Whether somebody said of a record that is settled at `target` that it was delivered there: it may have been given up.
    func isNews(_ key: RecordKey, _ target: Int) -> Bool {
        guard forgetsSources, !hints.isEmpty else { return false }
        return hints[key]?.contains { $0.target == target && $0.kind == .delivered } ?? false
    }

    /// What was said of a record at `target`, which is written down next.
    mutating func takeHints(_ key: RecordKey, _ target: Int) -> Hint? {
        guard !hints.isEmpty else { return nil }
        let mine = removeHints(key, target)
        guard !mine.isEmpty else { return nil }
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

    mutating func count(_ kind: Outcomes.Kind, _ target: Int, _ records: Int) {
        switch kind {
        case .delivered: targets[target].delivered += UInt64(records)
        case .dead: targets[target].dead += UInt64(records)
        case .failed: targets[target].failed += UInt64(records)
        }
    }
}
