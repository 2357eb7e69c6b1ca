import ExportCore
import Model
import Protocol

extension HandsBench {
    mutating func run(_ effects: [WorkerHands.Effect], of worker: Int) {
        for effect in effects {
            switch effect {
            case .send(let message): workers[worker].up.append(message)
            case .withdraw(let target, let ranges):
                var gone: [Range<UInt64>] = []
                workers[worker].carried[target].removeAll { item in
                    guard ranges.contains(where: { $0.contains(item.range.lowerBound) }) else { return false }
                    gone.append(item.range)
                    return true
                }
                run(workers[worker].hands.withdrawn(target: target, gone), of: worker)
            case .forget(let through): workers[worker].ledger.removeAll { $0.number <= through }
            case .cutOff: violate("requests were cut off though no lease ends here")
            case .intake: violate("records were taken up again though every withdrawal ends at once here")
            }
        }
    }

    mutating func deliverDown(_ worker: Int) {
        guard workers[worker].isOpen, !workers[worker].down.isEmpty else { return }
        switch workers[worker].down.removeFirst() {
        case .records(let frame): take(frame, worker)
        case .assign(let term, let grants): workers[worker].hands.assign(term: term, grants)
        case .revoke(let term, let grants): run(workers[worker].hands.revoke(term: term, grants), of: worker)
        case .settled(let term, let row):
            run(workers[worker].hands.settled(term: term, through: row), of: worker)
        default: violate("a message that no leader sends")
        }
    }

    private mutating func take(_ frame: RecordsFrame, _ worker: Int) {
        guard let delivery = workers[worker].hands.take(frame) else { return }
        for (target, skip) in delivery.targets {
            var at = delivery.range.lowerBound
            for (key, length) in zip(frame.keys, frame.lengths) {
                if !skip.contains(at) {
                    let here = workers[worker].carried[target]
                    if here.contains(where: { $0.key == key }) { violate("\(key) is carried twice") }
                    workers[worker].carried[target].append((at..<at + UInt64(length), key))
                }
                at += UInt64(length)
            }
            let bytes = workers[worker].carried[target].reduce(0) { $0 + UInt64($1.range.count) }
            if bytes > 600 + 45 { violate("\(bytes) bytes in the hands of worker \(worker)") }
        }
    }

    /// A lane settles some of what it carries.
    mutating func lane(_ worker: Int) {
        let target = Int(rng.below(2))
        let count = Int(rng.below(UInt64(workers[worker].carried[target].count + 1)))
        guard count > 0 else { return }
        let batch = Array(workers[worker].carried[target].prefix(count))
        workers[worker].carried[target].removeFirst(count)
        var dead: [WorkerHands.DeadRecord] = []
        for item in batch {
            if rng.below(20) == 0 {
                dead.append(.init(position: item.range.lowerBound, reason: "refused"))
            } else {
                accepted[target][item.key, default: 0] += 1
            }
        }
        workers[worker].committing += workers[worker].hands.settle(target: target, batch.map(\.range), dead: dead)
    }

    /// The ledger of a worker returns.
    mutating func commit(_ worker: Int) {
        let rows = workers[worker].committing
        guard !rows.isEmpty else { return }
        workers[worker].committing = []
        workers[worker].ledger += rows
        workers[worker].highest = rows.map(\.number).max() ?? 0
        for row in rows where row.kind == .dead { buried[row.target].formUnion(row.keys) }
        run(workers[worker].hands.committed(rows.map(\.number)), of: worker)
    }

    mutating func fail(_ worker: Int) {
        let target = Int(rng.below(2))
        let ranges = workers[worker].carried[target].prefix(3).map(\.range)
        run(workers[worker].hands.failed(target: target, ranges, reason: "503"), of: worker)
    }

    mutating func deliverUp(_ worker: Int) {
        guard workers[worker].isOpen, !workers[worker].up.isEmpty else { return }
        switch workers[worker].up.removeFirst() {
        case .outcomes(let told): run(dispatch.outcomes(told, from: WorkerID(UInt32(worker))))
        case .released(_, let grants):
            for grant in grants where owner[Int(grant.shard)] == worker && revoking.contains(grant) {
                for target in 0..<2 {
                    for item in workers[worker].carried[target]
                    where workers[worker].hands.record(at: item.range.lowerBound)?.shard == grant.shard {
                        violate("shard \(grant.shard) was released with \(item.key) in hand")
                    }
                }
                owner[Int(grant.shard)] = nil
                revoking.remove(grant)
                run(dispatch.unassigned([grant.shard]))
            }
        default: violate("a message that no worker sends")
        }
    }

    /// Everything goes well until nothing is left to do.
    mutating func settleDown() {
        for _ in 0..<4_000 {
            for worker in workers.indices {
                if !workers[worker].isOpen { open(worker) }
                while workers[worker].isOpen, !workers[worker].down.isEmpty { deliverDown(worker) }
                while workers[worker].isOpen, !workers[worker].up.isEmpty { deliverUp(worker) }
                lane(worker)
                commit(worker)
            }
            place()
            feed()
            write()
            if isDone { return }
        }
    }

    var isDone: Bool {
        allKeys.allSatisfy { key in (0..<2).allSatisfy { stored[$0][key] != nil } }
            && finished.count == pageCount / 3 && dispatch.recordsInHand == 0
            && workers.allSatisfy { $0.hands.unsettledRows == 0 && $0.ledger.isEmpty && $0.hands.isEmpty }
    }
}
