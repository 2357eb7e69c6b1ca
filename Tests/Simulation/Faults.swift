import ExportCore
import KubernetesAPI
import Model
import Protocol

extension World {
    /// Faults come in at random, of the kinds that the seed allows, and most of them go away again.
    func scheduleFault() {
        after(200 * World.millisecond + rng.below(3 * World.second)) {
            guard self.isFaulty else { return }
            self.fault()
            self.scheduleFault()
        }
    }

    private func fault() {
        let kind = Int(rng.below(plan.hasObjects ? 27 : 20))
        guard plan.faults & (1 << UInt64(kind)) != 0 else { return }
        let worker = workers[Int(rng.below(UInt64(workers.count)))]
        let coordinator = coordinators[Int(rng.below(UInt64(coordinators.count)))]
        note("fault \(kind) of \(worker.name), \(coordinator.name)")
        switch kind {
        case 0: restart(worker, after: rng.below(6 * World.second))
        case 1: restart(coordinator, after: rng.below(6 * World.second))
        case 2: pause(worker)
        case 3: pause(coordinator)
        case 4: cut(worker.name, coordinator.name)
        case 5: cut(worker.name, nil)
        case 6: cut(coordinator.name, "store")
        case 7: store.outageUntil = now + rng.below(8 * World.second)
        case 8: takeDown(receivers[Int(rng.below(UInt64(receivers.count)))])
        case 9: worker.breakLinks()
        case 10: handOver(coordinator, cutOff: worker)
        case 11: leave(worker)
        case 12: addSource()
        case 13: cutOff(worker, from: Int(rng.below(UInt64(plan.targetCount))))
        case 14: worker.diskFailsUntil = max(worker.diskFailsUntil, now + rng.below(12 * World.second))
        case 15: failFeed()
        case 16: store.tamper()
        case 17: worker.stallLinks(until: now + rng.below(8 * World.second))
        case 18: store.tamperWithGate()
        case 19: scale()
        case 20, 21: store.objects.compact()
        case 22: for watch in store.objects.watches { watch.end(APIFailure(.noAnswer, "the connection is lost")) }
        case 23: store.objects.failWatches()
        case 24: store.objects.deleteOne()
        default: store.objects.curseOne()
        }
    }

    private func restart(_ node: SimNode, after delay: UInt64) {
        node.crash()
        after(delay) { node.start() }
    }

    /// A coordinator ends in order and gives the lease back, sometimes while a worker can reach none.
    private func handOver(_ node: SimCoordinator, cutOff worker: SimWorker) {
        if rng.below(2) == 0 { cut(worker.name, nil) }
        node.stop()
        restart(node, after: World.second + rng.below(3 * World.second))
    }

    /// Longer than any lease, now and then.
    private func pause(_ node: SimNode) {
        guard node.isUp else { return }
        node.pause(rng.below(7 * World.second))
        node.wallError = rng.below(100_000)
    }

    /// Both directions, or one.
    private func cut(_ from: String, _ to: String?) {
        let others = to.map { [$0] } ?? coordinators.map(\.name)
        let both = rng.below(2) == 0
        var cut: [Direction] = []
        for other in others {
            cut.append(Direction(from: from, to: other))
            if both { cut.append(Direction(from: other, to: from)) }
        }
        blocked.formUnion(cut)
        after(rng.below(8 * World.second)) { self.blocked.subtract(cut) }
    }

    private func takeDown(_ receiver: SimReceiver) {
        guard !receiver.isDown else { return }
        receiver.goDown()
        guard plan.deadTarget != receiver.target else { return }
        let length = plan.hasLongOutages ? 25 + rng.below(30) : rng.below(12)
        after(length * World.second) { if self.plan.deadTarget != receiver.target { receiver.heal() } }
    }

    /// One worker does not reach one receiver.
    private func cutOff(_ worker: SimWorker, from target: Int) {
        worker.cutOff.insert(target)
        after(rng.below(40 * World.second)) { worker.cutOff.remove(target) }
    }

    /// Results cannot be read, now and then for so long that nobody can know any more what waits.
    private func failFeed() {
        guard now >= feedFailsUntil else { return }
        feedFailsSince = now
        feedFailsUntil = now + rng.below((plan.hasLongOutages ? 45 : 8) * World.second)
        after(feedFailsUntil - now) { if self.now >= self.feedFailsUntil { self.feedFailsSince = nil } }
    }

    private func leave(_ worker: SimWorker) {
        guard worker.isUp else { return }
        worker.isLeaving = true
        worker.stop()
        after(6 * World.second + rng.below(4 * World.second)) {
            worker.isLeaving = false
            worker.start()
        }
    }

    /// More workers, up to eight, or fewer, down to two.
    private func scale() {
        if workers.count < 8, rng.below(2) == 0 {
            let worker = SimWorker(world: self, name: "w\(workers.count)")
            workers.append(worker)
            worker.start()
        } else {
            for worker in workers.dropFirst(2) where rng.below(2) == 0 { leave(worker) }
        }
    }

    /// From one worker to eight and down to two, one after another; the six are gone for good, with their ledgers, whether they
    /// could finish or not.
    func scaleThrough() {
        let part = plan.faultySeconds * World.second / 5
        after(part) {
            for number in 0..<8 as Range<UInt64> {
                self.after(number * 300 * World.millisecond) {
                    guard self.workers.count < 8 else { return }
                    self.workers.append(SimWorker(world: self, name: "w\(self.workers.count)"))
                    self.workers.last?.start()
                }
            }
        }
        after(3 * part) {
            for (number, worker) in self.workers.dropFirst(2).enumerated() {
                self.after(UInt64(number) * 300 * World.millisecond) { self.retire(worker) }
            }
        }
    }

    private func retire(_ worker: SimWorker) {
        worker.isRetired = true
        guard worker.isUp else { return }
        worker.isLeaving = true
        worker.stop()
        after(7 * World.second) { worker.crash() }
    }

    func isPoison(_ key: RecordKey) -> Bool {
        guard !mended.contains(key) else { return false }
        return sources.first { $0.id == key.high }?.records.first { $0.key == key }?.isPoison ?? false
    }
}
