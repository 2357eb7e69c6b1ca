import Backends
import ExportCore
import Ledger
import Logging
import Model
import Threading

/// Carries out what `Delivery` decides for one target: requests, commits, waiting.
///
/// Every lane has its own queue, permits and timer, so one target's trouble changes nothing for another.
actor TargetLane {
    /// Reads a record's own bytes out of its input again, for dead letters.
    typealias Lookup = @Sendable (_ source: Int64, _ range: Range<UInt64>) async -> [UInt8]?

    /// Who is asked before a request leaves and hears of withdrawals and failures, and by which number it knows the
    /// target.
    typealias Listener = (target: Int, told: any LaneListener)

    nonisolated let gauge: LaneGauge
    private let backend: any Backend
    private let ledger: any LedgerSink
    let lookup: Lookup
    private let doorbell: Doorbell
    private let listener: Listener?
    let log: Logger
    private(set) var delivery: Delivery
    private var rng: PRNG
    private var queue: [LaneBatch] = []
    private var batches: [BatchID: LaneBatch] = [:]
    private var outputFiles: [BatchID: OutputFile] = [:]
    /// Batches of which a request has left.
    private var departed: Set<BatchID> = []
    /// Requests under way, or about to be.
    private var requests: [BatchID: Task<Void, Never>] = [:]
    /// Batches whose request was told that the receiver wishes for less, before its verdict.
    private var wishes: Set<BatchID> = []
    private var nextNumber: UInt64 = 0
    /// Records of batches in `delivery` that are not to be settled.
    private var withdrawn: [BatchID: [Range<Int>]] = [:]
    /// Batches of which the listener heard that an attempt failed.
    private var failed: Set<BatchID> = []
    private var isPaused = false
    /// Commits under way of stretches without records.
    private var coverings = 0
    private var alarm = Alarm()
    private var isStopped = false

    init(
        gauge: LaneGauge, backend: any Backend, ledger: any LedgerSink, doorbell: Doorbell, log: Logger, seed: UInt64,
        listener: Listener? = nil, lookup: @escaping Lookup
    ) {
        self.gauge = gauge
        self.backend = backend
        self.ledger = ledger
        self.doorbell = doorbell
        self.log = log
        self.listener = listener
        self.lookup = lookup
        let target = gauge.target
        delivery = Delivery(
            policy: RetryPolicy(target.retry), permits: target.maxConcurrency, minConcurrency: target.minConcurrency)
        rng = PRNG(seed: seed)
    }

    /// Queues a batch. The feed looks at the gauge before it brings more, which bounds the queue.
    func enqueue(_ batch: LaneBatch) {
        let now = SystemClock.now()
        gauge.update {
            // Waiting for a receiver begins with something to wait for.
            if $0.isIdle { $0.lastProgress = now }
            $0.taken += batch.count
            $0.queuedBytes += batch.encoded.bytes.count
            $0.isIdle = false
        }
        gauge.metrics.takes(records: batch.count)
        var batch = batch
        batch.arrivedAt = now
        queue.append(batch)
        pump()
    }

    /// Ends: nothing more is sent. What is under way and has no answer yet was not acknowledged.
    func stop() async {
        isStopped = true
        alarm.cancel()
        await backend.close()
    }

    /// Lets nothing more leave, or again. What is under way ends and counts.
    func setPaused(_ pauses: Bool) {
        guard pauses != isPaused else { return }
        isPaused = pauses
        handle(pauses ? .pause : .resume)
    }

    /// Carries the records at `places` of an input no further; the listener hears which these were, for those that are
    /// under way only after their answer, unless that is not waited for.
    func withdraw(_ places: PositionSet, of source: Int64, awaitsAnswers: Bool = true) {
        guard !isStopped else { return }
        queue = queue.compactMap { batch in
            let items = batch.items(at: places, of: source)
            guard !items.isEmpty else { return batch }
            tell(batch, withdrawn: items)
            let rest = batch.without(items)
            gauge.update { $0.queuedBytes -= batch.encoded.bytes.count - (rest?.encoded.bytes.count ?? 0) }
            return rest
        }
        for (id, batch) in batches.sorted(by: { $0.key < $1.key }) {
            let items = batch.items(at: places, of: source)
            if !items.isEmpty { handle(awaitsAnswers ? .withdraw(id, items: items) : .abandon(id, items: items)) }
        }
        pump()
    }

    /// Ends the requests that carry records at `places` of an input. What became of them is unknown, unless the answer is here.
    func cutOff(_ places: PositionSet, of source: Int64) {
        for (id, request) in requests where !(batches[id]?.items(at: places, of: source) ?? []).isEmpty {
            request.cancel()
        }
    }

    private func tell(_ batch: LaneBatch, withdrawn items: [Range<Int>]) {
        gauge.update { $0.withdrawn += items.itemCount }
        listener?.told.withdrawn(target: listener?.target ?? 0, batch.stretches(of: items))
    }

    private func pump() {
        guard !isStopped else { return }
        while let first = queue.first, delivery.hasPermit || first.count == 0 {
            queue.removeFirst()
            if first.count == 0 {
                cover(first)
                continue
            }
            let id = BatchID(nextNumber)
            nextNumber += 1
            batches[id] = first
            perform(delivery.handle(.submit(id, items: first.count), now: SystemClock.now(), rng: &rng))
        }
        alarm.set(for: delivery.nextTick) { time in Task { await self.wake(time) } }
        let isIdle = queue.isEmpty && delivery.isIdle && coverings == 0
        let isActive = delivery.isActive || coverings > 0
        let shown = delivery.status
        let count = queue.count + batches.count
        let oldest = (batches.values.map(\.arrivedAt) + queue.prefix(1).map(\.arrivedAt)).min()
        gauge.update {
            $0.queuedBatches = count
            $0.oldest = oldest
            $0.isIdle = isIdle
            $0.isActive = isActive
            $0.delivery = shown
        }
        doorbell.ring()
    }

    private func handle(_ event: Delivery.Event) {
        guard !isStopped else { return }
        let before = delivery.status
        perform(delivery.handle(event, now: SystemClock.now(), rng: &rng))
        note(before, delivery.status)
        pump()
    }

    private func perform(_ effects: [Delivery.Effect]) {
        for effect in effects {
            switch effect {
            case .send(let id, let items): send(id, items)
            case .commit(let id, let dead): Task { await commit(id, dead) }
            case .withdrawn(let id, let items):
                guard let batch = batches[id] else { continue }
                var gone = withdrawn[id] ?? []
                gone.appendMerging(items)
                withdrawn[id] = gone.sorted { $0.lowerBound < $1.lowerBound }
                tell(batch, withdrawn: items)
            case .ended(let id):
                guard let batch = forget(id) else { continue }
                gauge.update { $0.queuedBytes -= batch.encoded.bytes.count }
            case .failed(let id, let kind, let reason):
                note(kind, reason)
                guard let listener, kind.isTargets, let batch = batches[id], failed.insert(id).inserted else {
                    continue
                }
                let owed = delivery.owed(id)
                if !owed.isEmpty { listener.told.failed(target: listener.target, batch.stretches(of: owed), reason) }
            }
        }
    }

    /// What is known of a batch goes, and the batch is returned.
    private func forget(_ id: BatchID) -> LaneBatch? {
        outputFiles[id] = nil
        withdrawn[id] = nil
        departed.remove(id)
        failed.remove(id)
        return batches.removeValue(forKey: id)
    }

    private func send(_ id: BatchID, _ items: [Range<Int>]) {
        guard let batch = batches[id] else { return }
        let isFirst = departed.insert(id).inserted
        let parcel = Parcel(
            batch: batch.encoded, items: items, receipt: isFirst ? batch.earlier?.receipt : nil,
            upcoming: delivery.hasPermit ? nil : queue.first?.encoded.bytes,
            remember: { await self.remember($0, of: items, in: batch) },
            slowDown: { await self.heed(id) })
        let backend = backend
        let mustBeKnown = isFirst && gauge.target.backend.recognisesBatches && batch.earlier == nil
        requests[id] = Task {
            let isKnown = mustBeKnown ? await depart(batch.stretches, nil) : true
            // Only now: the ledger may have taken its time, and so may whoever ran before this task.
            guard isKnown, !isPaused, mayStart(batch, items) else {
                if isFirst { departed.remove(id) }
                requests[id] = nil
                return handle(.notSent(id))
            }
            gauge.metrics.sends()
            let sent = SystemClock.now()
            let answer = await backend.deliver(parcel)
            requests[id] = nil
            let took = answer.requestNanoseconds ?? SystemClock.now().nanoseconds - sent.nanoseconds
            let wished = wishes.remove(id) != nil && answer.verdict.outcome == .delivered
            gauge.hears(
                answer.verdict, as: wished ? .slowDown : answer.verdict.outcome, records: items.itemCount,
                nanoseconds: took)
            noteUnconfirmed(answer.unconfirmed)
            if let file = answer.outputFile { outputFiles[id] = file }
            handle(.answered(id, answer.verdict, nanoseconds: took))
        }
    }

    private func mayStart(_ batch: LaneBatch, _ items: [Range<Int>]) -> Bool {
        guard let listener else { return true }
        return listener.told.mayStart(target: listener.target, at: SystemClock.now()) { batch.stretches(of: items) }
    }

    private func heed(_ id: BatchID) {
        wishes.insert(id)
        handle(.slowDown(id))
    }

    /// Writes down what is under way, so that the next process can form the same batch, or ask for it.
    private func depart(_ stretches: [BatchInFlight.Stretch], _ receipt: Receipt?) async -> Bool {
        let batch = BatchInFlight(stretches: stretches, receipt: receipt, sentAt: SystemClock.unixMilliseconds())
        return await write([.departed(target: gauge.target.name, batch)])
    }

    private func remember(_ receipt: Receipt?, of items: [Range<Int>], in batch: LaneBatch) async -> Bool {
        await depart(batch.stretches(of: items), receipt)
    }

    private func commit(_ id: BatchID, _ dead: [Delivery.DeadItem]) async {
        guard let batch = batches[id] else { return }
        let now = SystemClock.now()
        let wall = SystemClock.unixMilliseconds()
        var changes: [LedgerChange] = []
        for item in dead { changes.append(.deadLetter(await letter(item, batch, now, wall))) }
        let deadItems = Set(dead.map(\.item))
        let gone = withdrawn[id] ?? []
        var total = 0
        for part in batch.parts(without: gone) {
            var bytes = 0
            var records = 0
            for item in part.items where !deadItems.contains(item) {
                bytes += batch.encoded.range(of: item).count
                records += 1
            }
            total += bytes
            changes.append(
                .accepted(
                    target: gauge.target.name, source: SourceID(rawValue: part.source), range: part.range,
                    records: records, bytes: bytes))
        }
        if let file = outputFiles[id] {
            changes.append(.fileLength(target: gauge.target.name, path: file.path, length: file.length))
        }
        guard await write(changes) else { return handle(.commitFailed(id)) }
        _ = forget(id)
        settled(batch, bytes: total, dead: dead.count, withdrawn: gone.itemCount)
        handle(.committed(id))
    }

    /// Commits a stretch that held no record for this target.
    private func cover(_ batch: LaneBatch) {
        coverings += 1
        Task {
            let changes = batch.segments.map { segment in
                LedgerChange.accepted(
                    target: gauge.target.name, source: SourceID(rawValue: segment.source), range: segment.range,
                    records: 0, bytes: 0)
            }
            // If the ledger refuses, the stretch is read again by the next run: nothing of it was for this target.
            if await write(changes) { settled(batch, bytes: 0, dead: 0) }
            coverings -= 1
            pump()
        }
    }

    private func write(_ changes: [LedgerChange]) async -> Bool {
        do throws(LedgerError) {
            try await ledger.commit(changes)
            return true
        } catch {
            let metadata: Logger.Metadata = ["target": "\(gauge.target.name)", "why": "\(error)"]
            log.error("the ledger did not take a batch", metadata: metadata)
            let reason = Reason(code: "ledger", message: "\(error)")
            gauge.update { $0.lastFailure = reason }
            return false
        }
    }

    private func settled(_ batch: LaneBatch, bytes: Int, dead: Int, withdrawn: Int = 0) {
        let input = batch.segments.reduce(0) { $0 + UInt64($1.range.count) }
        let now = SystemClock.now()
        let records = batch.count - dead - withdrawn
        gauge.update {
            $0.delivered += records
            $0.deliveredBytes += bytes
            $0.settledInput += input
            $0.batches += batch.count > 0 ? 1 : 0
            $0.dead += dead
            $0.queuedBytes -= batch.encoded.bytes.count
            $0.lastProgress = now
            if dead == 0, batch.count > 0 { $0.lastFailure = nil }
        }
        gauge.metrics.settles(
            delivered: records, bytes: bytes, dead: dead, unixMilliseconds: SystemClock.unixMilliseconds())
    }

    private func wake(_ time: Tick) {
        if alarm.hasRung(time) { handle(.tick) }
    }
}
