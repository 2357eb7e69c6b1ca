import Backends
import Configuration
import Coordinator
import CoreMetrics
import ExportCore
import Formats
import Ledger
import Logging
import Model
import ShardWorker
import Synchronization
import Telemetry
import Threading

/// One pass over a set of inputs: the coordinator's feed, the worker, and the end of both.
final class RunSession: Sendable {
    private let run: ExportRun
    private let reader: InputReader
    private let catalog: InputCatalog
    private let spool: StdinSpool?
    private let starts: [ChunkRef]
    /// Per target, bytes of the input that were settled before this session.
    private let settledBefore: [UInt64]
    /// Per target, records of these inputs that earlier runs delivered.
    private let deliveredBefore: [Int]
    private let refusals: any Refusals
    let worker: Worker
    /// Of this session alone: others may follow without the targets that it gives up.
    private let stop: StopSignal
    private let hasGivenUp = Atomic<Bool>(false)
    private let undelivered = Mutex<[String]>([])

    /// What a session works on.
    struct Plan: Sendable {
        var catalog: InputCatalog
        /// What still writes the last input, if something does.
        var spool: StdinSpool?
        /// Those that get something of it.
        var targets: [Target]
        /// Per target, what it needs nothing of any more, by input.
        var settled: [[Int64: PositionSet]]
        /// Per target, records of these inputs that earlier runs delivered.
        var delivered: [Int]
        /// Per target, batches that an earlier process had under way.
        var inFlight: [[BatchInFlight]]
        /// Where lanes write down what is settled.
        var ledger: any LedgerSink
    }

    /// - Parameter refusals: what takes records that no target gets to see; called once.
    init(run: ExportRun, plan: Plan, refusals make: (InputReader, StopSignal) -> any Refusals) async throws {
        self.run = run
        stop = StopSignal(partOf: run.stop)
        catalog = plan.catalog
        spool = plan.spool
        let reader = InputReader(catalog: plan.catalog, limits: run.configuration.limits, spool: plan.spool)
        self.reader = reader
        let refusals = make(reader, stop)
        self.refusals = refusals
        let stamp = ExportStamp(version: ExporterVersion.current, cluster: run.configuration.clusterName)
        let log = run.log
        let factory = BackendFactory(client: run.client, secrets: run.secrets, stamp: stamp) { target, reason in
            log.warning("\(reason.message)", metadata: ["target": "\(target)", "code": "\(reason.code)"])
        }
        var lanes: [LanePlan] = []
        for (target, inFlight) in zip(plan.targets, plan.inFlight) {
            lanes.append(try await Self.lane(target, factory, run.ledger, inFlight))
        }
        starts = plan.settled.map { Self.start(plan.catalog, $0) }
        deliveredBefore = plan.delivered
        settledBefore = starts.map { start in
            plan.catalog.entries.prefix(start.file).reduce(start.offset) { $0 + $1.size }
        }
        var seeds = SystemRandomNumberGenerator()
        let parts = Worker.Parts(
            ledger: plan.ledger, log: run.log, limits: run.configuration.limits, seed: seeds.next(),
            metrics: run.metrics,
            lookup: { await reader.record(source: $0, range: $1) }, refuse: { await refusals.take($0) })
        worker = Worker(lanes, settled: plan.settled, parts: parts)
    }

    /// What it takes to serve a target, with its receiver joined to the ledger.
    static func lane(
        _ target: Target, _ factory: BackendFactory, _ ledger: Ledger, _ inFlight: [BatchInFlight]
    ) async throws -> LanePlan {
        let known = try await ledger.fileLength(target: target.name)
        let announce: FileBackend.Announce = { file in
            do throws(LedgerError) {
                try await ledger.commit([.fileLength(target: target.name, path: file.path, length: file.length)])
                return nil
            } catch {
                return Reason(code: "ledger", message: "\(error)")
            }
        }
        let committed = known.map { OutputFile(path: $0.path, length: $0.length) }
        let recorded: FileBackend.Recorded = {
            guard let known = try? await ledger.fileLength(target: target.name) else { return nil }
            return OutputFile(path: known.path, length: known.length)
        }
        let made = factory.make(target, committed: committed, recorded: recorded, announce: announce)
        return LanePlan(target: target, writer: made.writer, backend: made.backend, inFlight: inFlight)
    }

    /// Where the first input begins that the target does not have whole.
    private static func start(_ catalog: InputCatalog, _ settled: [Int64: PositionSet]) -> ChunkRef {
        for (index, entry) in catalog.entries.enumerated() {
            let mark = settled[entry.source.rawValue]?.highWaterMark ?? 0
            if mark < entry.size || entry.size == 0 { return ChunkRef(file: index, offset: mark) }
        }
        return ChunkRef(file: catalog.entries.count, offset: 0)
    }

    /// Feeds, drains and ends.
    func execute() async throws(InputError) {
        let overseer = Task { await watchDeadline() }
        let loop = FeedLoop(reader: reader, fileCount: catalog.entries.count, sink: worker, stop: stop)
        let result: Result<Void, InputError>
        do throws(InputError) {
            _ = try await loop.run(from: starts)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await worker.closeBatches(force: true)
        await drain()
        overseer.cancel()
        let left = worker.gauges.filter { !$0.snapshot().isIdle }.map(\.target.name)
        undelivered.withLock { $0 = left }
        await worker.stop()
        await reader.close()
        try result.get()
    }

    /// Waits for what is in hand. After a stop, no longer than a stop may take, and not for what waits for a retry.
    private func drain() async {
        let stopLimit = run.configuration.limits.stopMilliseconds - 3_000
        var stopSeen: Tick?
        while true {
            let statuses = worker.gauges.map { $0.snapshot() }
            // Past the deadline everything but the targets given up is complete: an answer is not waited for.
            if statuses.allSatisfy(\.isIdle) || hasGivenUp.load(ordering: .relaxed) { return }
            if stop.isSet {
                let now = SystemClock.now()
                let since = stopSeen ?? now
                stopSeen = since
                if now.milliseconds(since: since) >= stopLimit { return }
                if statuses.allSatisfy({ $0.isIdle || !$0.isActive }) { return }
            }
            await worker.waitForProgress(milliseconds: 50)
        }
    }

    /// Asks to stop once every target has either everything or accepted nothing for too long.
    private func watchDeadline() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(100))
            let now = SystemClock.now()
            var overdue: [LaneGauge] = []
            var pending = 0
            for (index, gauge) in worker.gauges.enumerated() where !isComplete(index, gauge.snapshot()) {
                let status = gauge.snapshot()
                let waited = now.milliseconds(since: status.lastProgress)
                let isOverdue = !status.isIdle && waited >= run.options.deadlineMilliseconds
                if isOverdue { overdue.append(gauge) } else { pending += 1 }
            }
            guard pending == 0, !overdue.isEmpty, !stop.isSet else { continue }
            for gauge in overdue {
                let status = gauge.snapshot()
                let why = status.lastFailure.map { "\($0)" } ?? "no answer yet"
                run.log.error(
                    "giving up at the deadline: \(why)",
                    metadata: ["target": "\(gauge.target.name)", "queued": "\(status.taken - status.delivered)"])
            }
            hasGivenUp.store(true, ordering: .relaxed)
            stop.set()
        }
    }

    private func isComplete(_ index: Int, _ status: LaneStatus) -> Bool {
        guard let total = totalInput else { return false }
        return status.isIdle && settledBefore[index] + status.settledInput >= total
    }

    /// Bytes of all inputs; nil while a pipe still brings more.
    var totalInput: UInt64? {
        guard let spool else { return catalog.entries.reduce(0) { $0 + $1.size } }
        let progress = spool.progress
        return progress.isFinal ? progress.written : nil
    }

    /// How much of the input a target has settled, from 0 to 1; nil while the end is not known.
    func fraction(_ index: Int) -> Double? {
        guard let total = totalInput, total > 0 else { return nil }
        return min(1, Double(settledBefore[index] + worker.gauges[index].snapshot().settledInput) / Double(total))
    }

    /// Brings up to date what is measured when somebody looks.
    @Sendable func publishMetrics() async {
        let now = SystemClock.now()
        for gauge in worker.gauges { gauge.publish(now: now) }
        // A ledger that cannot be read is reported where it is needed; a figure that is unknown stays as it was.
        if let kept = try? await run.ledger.deadLetterCount() {
            ExportMetrics.deadLettersKept.meter(in: run.metrics).set(kept)
        }
    }

    /// Adds what this session did to the summary.
    func report(into summary: inout RunSummary) {
        let total = totalInput
        for (index, gauge) in worker.gauges.enumerated() {
            let status = gauge.snapshot()
            let isComplete = total.map { settledBefore[index] + status.settledInput >= $0 } ?? false
            summary.add(
                gauge.target.name, status,
                isComplete: isComplete && !undelivered.withLock { $0.contains(gauge.target.name) },
                earlier: deliveredBefore[index],
                milliseconds: status.lastProgress.milliseconds(since: run.startedAt))
        }
        summary.refused += refusals.count
        summary.inputBytes += total ?? spool?.progress.written ?? 0
        summary.inputs += catalog.entries.count
    }
}

extension RunSession.Plan {
    /// What every target still needs of `catalog`, by the ledger.
    init(run: ExportRun, catalog: InputCatalog, spool: StdinSpool?) async throws {
        var (settled, delivered, inFlight): ([[Int64: PositionSet]], [Int], [[BatchInFlight]]) = ([], [], [])
        for target in run.configuration.targets {
            var known: [Int64: PositionSet] = [:]
            var records = 0
            for entry in catalog.entries {
                known[entry.source.rawValue] = try await run.ledger.progress(target: target.name, source: entry.source)
                records += try await run.ledger.totals(target: target.name, source: entry.source).records
            }
            settled.append(known)
            delivered.append(records)
            inFlight.append(try await run.ledger.batchesInFlight(target: target.name))
        }
        self.init(
            catalog: catalog, spool: spool, targets: run.configuration.targets, settled: settled,
            delivered: delivered, inFlight: inFlight, ledger: run.ledger)
    }
}
