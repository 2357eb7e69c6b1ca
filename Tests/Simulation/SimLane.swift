import ExportCore
import Model
import Protocol

/// One target's lane in a simulated worker: the product's `Delivery` around a queue.
final class SimLane {
    struct Item {
        var position: UInt64
        var length: UInt64
        var key: RecordKey
        var shard: UInt16
    }

    private unowned let worker: SimWorker
    private unowned let world: World
    let target: Int
    private var delivery: Delivery
    private var queue: [Item] = []
    private var batches: [BatchID: [Item]] = [:]
    private var requests: [BatchID: SimReceiver.Request] = [:]
    private var told: Set<BatchID> = []
    /// Rows of batches that the ledger does not hold yet.
    private var rows: [BatchID: [WorkerHands.Row]] = [:]
    private var nextID: UInt64 = 0
    private var rng: PRNG
    var health = TargetHealth()
    private var lastSuccess: Tick?

    init(worker: SimWorker, target: Int) {
        self.worker = worker
        world = worker.world
        self.target = target
        rng = PRNG(seed: world.rng.next())
        delivery = Delivery(policy: RetryPolicy(SimSettings.retry), permits: 2)
        run(delivery.handle(.pause, now: worker.tick, rng: &rng))
    }

    var nextTick: Tick? { delivery.nextTick }

    func add(_ items: [Item]) {
        queue += items
        pump()
    }

    func pump() {
        while delivery.hasPermit, !queue.isEmpty {
            let count = min(queue.count, 1 + Int(world.rng.below(4)))
            let id = BatchID(nextID)
            nextID += 1
            batches[id] = Array(queue.prefix(count))
            queue.removeFirst(count)
            run(delivery.handle(.submit(id, items: count), now: worker.tick, rng: &rng))
        }
    }

    func handle(_ event: Delivery.Event) {
        run(delivery.handle(event, now: worker.tick, rng: &rng))
        pump()
        worker.setTimers()
    }

    func withdraw(_ ranges: [Range<UInt64>]) {
        func isMeant(_ item: Item) -> Bool { ranges.contains { $0.contains(item.position) } }
        let waiting = queue.filter(isMeant)
        queue.removeAll(where: isMeant)
        if !waiting.isEmpty { worker.handle(.withdrawn(target: target, waiting.map(Self.range))) }
        for id in batches.keys.sorted() {
            guard let items = batches[id] else { continue }
            let meant = items.indices.filter { isMeant(items[$0]) }.map { $0..<$0 + 1 }
            if !meant.isEmpty { handle(.withdraw(id, items: meant)) }
        }
    }

    /// Ends requests with these records; they reach nobody who has not heard them yet.
    func cutOff(_ ranges: [Range<UInt64>]) {
        for (id, request) in requests.sorted(by: { $0.key < $1.key }) {
            guard batches[id]?.contains(where: { item in ranges.contains { $0.contains(item.position) } }) ?? false
            else { continue }
            request.cutOff()
        }
    }

    private static func range(_ item: Item) -> Range<UInt64> { item.position..<item.position + item.length }

    private func run(_ effects: [Delivery.Effect]) {
        for effect in effects {
            world.note("\(worker.name) lane \(target): \(effect)")
            switch effect {
            case .send(let id, let ranges): send(id, ranges)
            case .commit(let id, let dead): commit(id, dead)
            case .failed(let id, _, let reason):
                guard let items = batches[id], told.insert(id).inserted else { continue }
                worker.handle(.failed(target: target, items.map(Self.range), reason: reason.message))
            case .withdrawn(let id, let ranges):
                guard let items = batches[id] else { continue }
                worker.handle(.withdrawn(target: target, ranges.flatMap { items[$0].map(Self.range) }))
            case .ended(let id): batches[id] = nil
            }
        }
    }

    private func send(_ id: BatchID, _ ranges: [Range<Int>]) {
        guard let items = batches[id] else { return }
        let sent = ranges.flatMap { items[$0] }
        guard mayLeave(sent) else {
            worker.later(0) { self.handle(.notSent(id)) }
            return
        }
        guard !worker.cutOff.contains(target) else {
            health.attempts += 1
            return worker.later(SimSettings.requestMilliseconds * World.millisecond) {
                self.handle(.answered(id, .retry(Self.unreachable, retryAfterMilliseconds: nil), nanoseconds: 1))
            }
        }
        let request = world.checks.requestBegins(sent, target, worker, world)
        health.attempts += 1
        let (checks, records) = (world.checks, sent.map { ($0.key, world.isPoison($0.key)) })
        let underWay = world.receivers[target].take(records, from: worker, arrived: { checks.requestEnds(request) }) {
            verdict in
            self.requests[id] = nil
            var verdict = verdict
            if case .unknown = verdict, self.world.plant == .unknownIsSuccess { verdict = .delivered(slowDown: false) }
            if case .delivered = verdict { self.succeeded() }
            if case .items = verdict { self.succeeded() }
            if case .poisonAt = verdict { self.succeeded() }
            self.handle(.answered(id, verdict, nanoseconds: World.millisecond))
        }
        requests[id] = underWay
    }

    private func mayLeave(_ items: [Item]) -> Bool {
        guard let core = worker.core, world.plant != .skipFencing else { return true }
        guard world.plant != .resumeBeforeWithdrawal else { return core.leaseEnd.map { worker.tick < $0 } ?? false }
        return core.mayStart(target: target, items.map(Self.range), at: worker.tick)
    }

    private static let unreachable = Reason(code: "connect", message: "no connection")

    private func succeeded() {
        health.successes += 1
        lastSuccess = worker.tick
    }

    private func commit(_ id: BatchID, _ dead: [Delivery.DeadItem]) {
        guard let items = batches[id] else { return }
        let records = dead.map { WorkerHands.DeadRecord(position: items[$0.item].position, reason: $0.reason.code) }
        // The rows are numbered once, however often the ledger refuses them.
        guard let rows = rows[id] ?? worker.core?.settle(target: target, items.map(Self.range), dead: records)
        else { return }
        self.rows[id] = rows
        worker.commit(rows) { isKept in
            guard isKept else { return self.handle(.commitFailed(id)) }
            self.rows[id] = nil
            self.batches[id] = nil
            self.health.delivered += UInt64(items.count - dead.count)
            self.health.dead += UInt64(dead.count)
            self.handle(.committed(id))
        }
    }

    /// What a heartbeat tells of it.
    var report: TargetHealth {
        var report = health
        report.sinceSuccessMilliseconds = lastSuccess.map { worker.tick.milliseconds(since: $0) }
        report.oldestMilliseconds = queue.isEmpty && batches.isEmpty ? nil : 0
        report.queuedBytes = UInt64(queue.count + batches.count)
        report.consecutiveFailures = UInt32(clamping: delivery.status.consecutiveFailures)
        report.breaker = delivery.status.breaker == .closed ? .closed : .open
        return report
    }
}
