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

    nonisolated let gauge: LaneGauge
    private let backend: any Backend
    private let ledger: any LedgerSink
    private let lookup: Lookup
    private let doorbell: Doorbell
    private let log: Logger
    private var delivery: Delivery
    private var rng: PRNG
    private var queue: [LaneBatch] = []
    private var batches: [BatchID: LaneBatch] = [:]
    private var outputFiles: [BatchID: OutputFile] = [:]
    /// Batches of which a request has left.
    private var departed: Set<BatchID> = []
    /// Batches whose request was told that the receiver wishes for less, before its verdict.
    private var wishes: Set<BatchID> = []
    private var nextNumber: UInt64 = 0
    /// Commits under way of stretches without records.
    private var coverings = 0
    private var alarm = Alarm()
    private var isStopped = false

    init(
        gauge: LaneGauge, backend: any Backend, ledger: any LedgerSink, doorbell: Doorbell, log: Logger, seed: UInt64,
        lookup: @escaping Lookup
    ) {
        self.gauge = gauge
        self.backend = backend
        self.ledger = ledger
        self.doorbell = doorbell
        self.log = log
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
        alarm.set(for: delivery.nextTick) { await self.wake($0) }
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
            case .failed(_, let kind, let reason): note(kind, reason)
            }
        }
    }

    private func send(_ id: BatchID, _ items: [Range<Int>]) {
        guard let batch = batches[id] else { return }
        let isFirst = departed.insert(id).inserted
        let parcel = Parcel(
            batch: batch.encoded, items: items, receipt: isFirst ? batch.earlier?.receipt : nil,
            remember: { await self.remember($0, of: items, in: batch) },
            slowDown: { await self.heed(id) })
        let backend = backend
        let mustBeKnown = isFirst && gauge.target.backend.recognisesBatches && batch.earlier == nil
        Task {
            if mustBeKnown, await !depart(batch.stretches, nil) {
                departed.remove(id)
                return handle(.notSent(id))
            }
            gauge.metrics.sends()
            let sent = SystemClock.now()
            let answer = await backend.deliver(parcel)
            let took = answer.requestNanoseconds ?? SystemClock.now().nanoseconds - sent.nanoseconds
            let wished = wishes.remove(id) != nil && answer.verdict.outcome == .delivered
            gauge.metrics.hears(wished ? .slowDown : answer.verdict.outcome, nanoseconds: took)
            noteUnconfirmed(answer.unconfirmed)
            if let file = answer.outputFile { outputFiles[id] = file }
            handle(.answered(id, answer.verdict, nanoseconds: took))
        }
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
        var total = 0
        for (index, segment) in batch.segments.enumerated() {
            let items = batch.items(of: index)
            var bytes = 0
            var records = 0
            for item in items where !deadItems.contains(item) {
                bytes += batch.encoded.range(of: item).count
                records += 1
            }
            total += bytes
            changes.append(
                .accepted(
                    target: gauge.target.name, source: SourceID(rawValue: segment.source), range: segment.range,
                    records: records, bytes: bytes))
        }
        if let file = outputFiles[id] {
            changes.append(.fileLength(target: gauge.target.name, path: file.path, length: file.length))
        }
        guard await write(changes) else { return handle(.commitFailed(id)) }
        batches[id] = nil
        outputFiles[id] = nil
        departed.remove(id)
        settled(batch, bytes: total, dead: dead.count)
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

    private func settled(_ batch: LaneBatch, bytes: Int, dead: Int) {
        let input = batch.segments.reduce(0) { $0 + UInt64($1.range.count) }
        let now = SystemClock.now()
        gauge.update {
            $0.delivered += batch.count - dead
            $0.deliveredBytes += bytes
            $0.settledInput += input
            $0.batches += batch.count > 0 ? 1 : 0
            $0.dead += dead
            $0.queuedBytes -= batch.encoded.bytes.count
            $0.lastProgress = now
            if dead == 0, batch.count > 0 { $0.lastFailure = nil }
        }
        gauge.metrics.settles(
            delivered: batch.count - dead, bytes: bytes, dead: dead, unixMilliseconds: SystemClock.unixMilliseconds())
    }

    private func letter(
        _ item: Delivery.DeadItem, _ batch: LaneBatch, _ now: Tick, _ wall: Int64
    ) async -> NewDeadLetter {
        let range = batch.starts[item.item]..<batch.starts[item.item] + UInt64(batch.lengths[item.item])
        let source = batch.source(of: item.item)
        let bytes = await lookup(source, range)
        let reason = bytes == nil ? "\(item.reason.message) (its bytes could not be read again)" : item.reason.message
        return NewDeadLetter(
            target: gauge.target.name, source: SourceID(rawValue: source), range: range,
            uid: RecordIdentity.uid(of: bytes ?? []), reason: reason, code: item.reason.code,
            firstAttempt: wall - Int64(now.milliseconds(since: item.firstAttempt)),
            lastAttempt: wall - Int64(now.milliseconds(since: item.lastAttempt)), attempts: item.attempts,
            bytes: bytes ?? [])
    }

    private func note(_ kind: Delivery.FailureClass, _ reason: Reason) {
        let isTargets = kind != .poison && kind != .tooLarge
        if isTargets { gauge.metrics.fails() }
        gauge.update {
            $0.lastFailure = reason
            if isTargets { $0.retries += 1 }
        }
        let metadata: Logger.Metadata = [
            "target": "\(gauge.target.name)", "class": "\(kind.rawValue)", "code": "\(reason.code)",
            "failures": "\(delivery.status.consecutiveFailures)",
        ]
        log.warning("\(reason.message)", metadata: metadata)
    }

    /// Says when the target is given up for a while, and when it is back.
    private func note(_ before: Delivery.Status, _ after: Delivery.Status) {
        if after.openings > before.openings { gauge.metrics.opens(times: after.openings - before.openings) }
        let metadata: Logger.Metadata = ["target": "\(gauge.target.name)"]
        switch (before.breaker, after.breaker) {
        case (.closed, .open(_, let until)):
            let pause = until.milliseconds(since: SystemClock.now())
            log.notice(
                "no further requests for \(pause) ms, then one at a time until one succeeds", metadata: metadata)
        case (.halfOpen(let since), .closed):
            let out = SystemClock.now().milliseconds(since: since)
            log.info("the target takes records again, after \(out) ms", metadata: metadata)
        default: return
        }
    }

    private func noteUnconfirmed(_ count: Int) {
        guard count > 0 else { return }
        gauge.metrics.misses(records: count)
        gauge.update { $0.unconfirmed += count }
        let metadata: Logger.Metadata = ["target": "\(gauge.target.name)", "records": "\(count)"]
        log.warning("taken but not acknowledged: sent again, so they may be there twice", metadata: metadata)
    }

    private func wake(_ time: Tick) {
        if alarm.hasRung(time) { handle(.tick) }
    }
}
