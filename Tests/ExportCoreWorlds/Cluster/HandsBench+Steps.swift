import ExportCore
import Model
import Protocol

extension HandsBench {
    /// One random event.
    mutating func step(faults: Bool) {
        let worker = Int(rng.below(UInt64(workers.count)))
        switch rng.below(faults ? 24 : 14) {
        case 0...2: feed()
        case 3...5: deliverDown(worker)
        case 6...8: deliverUp(worker)
        case 9...10: lane(worker)
        case 11: commit(worker)
        case 12: write()
        case 13: workers[worker].isOpen ? place() : open(worker)
        case 14...15: close(worker)
        case 16: restart(worker)
        case 17...18: move()
        case 19: fail(worker)
        case 20: changeLeader()
        default: lane(worker)
        }
    }

    mutating func feed() {
        let room = dispatch.hasRoom
        var mask: UInt32 = 0
        guard let number = cursors.indices.filter({ room[$0] && cursors[$0] < pageCount }).map({ cursors[$0] }).min()
        else {
            run(dispatch.flush())
            for target in cursors.indices where cursors[target] == pageCount { run(dispatch.passed(target: target)) }
            return
        }
        for target in cursors.indices where room[target] && cursors[target] == number {
            mask |= 1 << UInt32(target)
            cursors[target] += 1
        }
        let (isTaken, effects) = dispatch.take(
            page(number, for: TargetMask(bits: mask)), now: Tick(nanoseconds: 1))
        if !isTaken { violate("page \(number) was not taken") }
        run(effects)
    }

    mutating func run(_ effects: [Dispatch.Effect]) {
        for effect in effects {
            switch effect {
            case .send(let worker, let frame):
                if frame.keys.count > 5 { violate("frame of \(frame.keys.count) records") }
                workers[worker.index].down.append(.records(frame))
            case .settled(let worker, let row):
                workers[worker.index].down.append(.settled(term: term, through: row))
            case .write, .finished: unwritten.append(effect)
            }
        }
    }

    /// The store takes the oldest write.
    mutating func write() {
        guard !unwritten.isEmpty else { return }
        switch unwritten.removeFirst() {
        case .write(let number, let facts):
            for fact in facts where fact.kind != .failed {
                for key in fact.keys {
                    let isTrue =
                        fact.kind == .delivered
                        ? accepted[fact.target][key] != nil : buried[fact.target].contains(key)
                    if !isTrue { violate("\(key) told as \(fact.kind) for \(fact.target), which it is not") }
                    stored[fact.target][key] = fact.kind
                }
            }
            run(dispatch.written(through: number))
        case .finished(let source, let number):
            for key in allKeys where key.high == source {
                for target in 0..<2 where stored[target][key] == nil { violate("\(source) finished without \(key)") }
            }
            finished.insert(source)
            run(dispatch.written(through: number))
        default: return
        }
    }

    mutating func open(_ worker: Int) {
        workers[worker].down = []
        workers[worker].up = []
        workers[worker].isOpen = true
        sessionCount += 1
        let effects = workers[worker].hands.begin(SessionID(sessionCount), term: term, order: [0, 1])
        dispatch.opened(WorkerID(UInt32(worker)), windowBytes: 600)
        run(effects, of: worker)
        let claims = workers[worker].hands.claims
        // What is confirmed is granted anew.
        let mine = owner.indices.filter { owner[$0] == worker }.map { shard in
            revoking.remove(ShardGrant(shard: UInt16(shard), epoch: epochs[shard]))
            epochs[shard] += 1
            return ShardGrant(shard: UInt16(shard), epoch: epochs[shard])
        }
        // What it claims and does not own any more is taken from it; the rest is confirmed before any record.
        let lost = claims.map(\.grant).filter { owner[Int($0.shard)] != worker }
        if !lost.isEmpty { workers[worker].down.append(.revoke(term: term, grants: lost)) }
        workers[worker].down.append(.assign(term: term, grants: mine))
        run(dispatch.assigned(mine, to: WorkerID(UInt32(worker))))
    }

    mutating func close(_ worker: Int) {
        workers[worker].isOpen = false
        workers[worker].hands.leave()
        run(dispatch.closed(WorkerID(UInt32(worker))))
    }

    /// The process dies; what its ledger has is all that remains.
    mutating func restart(_ worker: Int) {
        close(worker)
        workers[worker].committing = []
        workers[worker].carried = [[], []]
        workers[worker].hands = WorkerHands(
            targetCount: 2, windowBytes: 600, rows: workers[worker].ledger, nextRow: workers[worker].highest + 1)
    }

    /// Gives a shard without owner to a worker.
    mutating func place() {
        guard let shard = owner.indices.first(where: { owner[$0] == nil }) else { return }
        let worker = Int(rng.below(UInt64(workers.count)))
        guard workers[worker].isOpen else { return }
        owner[shard] = worker
        epochs[shard] += 1
        let grants = [ShardGrant(shard: UInt16(shard), epoch: epochs[shard])]
        workers[worker].down.append(.assign(term: term, grants: grants))
        run(dispatch.assigned(grants, to: WorkerID(UInt32(worker))))
    }

    /// Begins to take a shard away, or takes it from a worker that is not there.
    mutating func move() {
        let shard = Int(rng.below(UInt64(shardCount)))
        guard let worker = owner[shard] else { return }
        if workers[worker].isOpen {
            let grant = ShardGrant(shard: UInt16(shard), epoch: epochs[shard])
            revoking.insert(grant)
            workers[worker].down.append(.revoke(term: term, grants: [grant]))
            dispatch.revoked([grant.shard], of: WorkerID(UInt32(worker)))
        } else {
            owner[shard] = nil
            run(dispatch.unassigned([UInt16(shard)]))
        }
    }

    /// Another leader begins with what the store has.
    mutating func changeLeader() {
        for worker in workers.indices where workers[worker].isOpen { close(worker) }
        term += 1
        var index = SettledIndex(targetCount: 2)
        for target in 0..<2 {
            for number in 0..<pageCount {
                let page = page(number, for: TargetMask(target))
                for record in page.records {
                    guard stored[target][RecordKey(high: page.source, low: record.position)] != nil else { continue }
                    index.insert(
                        record.position..<record.position + UInt64(record.length), of: page.source, target: target)
                }
            }
        }
        for source in finished { index.finish(source) }
        dispatch = Dispatch(term: term, shardCount: 8, targetCount: 2, index: index, bounds: Self.bounds)
        unwritten = []
        cursors = [0, 0]
        revoking = []
        owner = Array(repeating: nil, count: shardCount)
        epochs = Array(repeating: 0, count: shardCount)
    }
}
