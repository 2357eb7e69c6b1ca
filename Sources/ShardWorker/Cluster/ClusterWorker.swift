public import CoreMetrics
public import ExportCore
import Formats
public import Ledger
public import Logging
public import Model
import Protocol
import Synchronization
import Telemetry
import Threading

/// A worker of the cluster: carries out what `WorkerCore` decides, with a connection to the leader, encoders, lanes and the
/// ledger.
///
/// Promises:
/// 1. What is told as delivered or dead was in the ledger before, and is told again, in this process and the next, until
///    the leader has it.
/// 2. No request begins without a lease; lanes ask before each.
/// 3. Memory is bounded by what the leader was told it may send. Frames are read as they come, for a leader's echo must
///    never wait behind records: a leader that sends more than it may is left.
/// 4. Dead letters that a person has had delivered beside it, by `dead-letters retry`, are told like what its lanes delivered.
/// 5. Records that were in hand when the process died are the leader's to send again: they are in no row, so they form new
///    batches. A receiver that knows batches by their content, or by a receipt, may have them twice then.
public final class ClusterWorker: Sendable {
    /// What it needs from those who start it.
    public struct Parts: Sendable {
        /// Where what was settled is written down.
        public var ledger: Ledger
        /// What stands before it when something is written; nil for nothing.
        public var sink: (any LedgerSink)?
        /// For what happens.
        public var log: Logger
        /// Bounds.
        public var limits: Limits
        /// Where metrics are reported to.
        public var metrics: any MetricsFactory
        /// Tasks that encode.
        public var encoders: Int
        /// Connects to a coordinator.
        public var dial: WorkerDial

        /// All of them.
        public init(
            ledger: Ledger, log: Logger, limits: Limits, metrics: any MetricsFactory = NOOPMetricsHandler.instance,
            encoders: Int, dial: @escaping WorkerDial
        ) {
            self.ledger = ledger
            self.log = log
            self.limits = limits
            self.metrics = metrics
            self.encoders = max(encoders, 1)
            self.dial = dial
        }
    }

    private let parts: Parts
    private let windowBytes: UInt64
    private let release: ProtocolRelease
    private let desk: WorkerDesk
    private let sink: WorkerLedger
    private let lanes: WorkerLanes
    private let links = Mutex<[SessionID: WorkerLink]>([:])
    private let complaints: DialComplaints
    private let forgetter: Forgetter
    private let figures: WorkerFigures
    private let source: SourceID
    private let gate = Mutex<Bool?>(nil)

    /// What dead letters of the cluster lie under in every ledger.
    public static let source = SourceIdentity(
        path: "cluster", fingerprint: Array(repeating: 0, count: 32), fingerprintLength: 0)

    /// Reads from the ledger what is still to be told.
    ///
    /// - Parameters:
    ///   - settings: `targets` are those of `plans`, in their order.
    ///   - coordinators: `host:port`, at least one.
    /// - Throws: `LedgerError`.
    public init(
        _ settings: WorkerCore.Settings, coordinators: [String], plans: [LanePlan], parts: Parts
    ) async throws(LedgerError) {
        let names = plans.map(\.target.name)
        precondition(names == settings.targets)
        let known = try await parts.ledger.toldRows()
        let source = try await parts.ledger.addSource(Self.source)
        let rows = known.rows.compactMap { row -> WorkerHands.Row? in
            guard let target = names.firstIndex(of: row.target) else { return nil }
            return WorkerHands.Row(
                number: row.number, target: target, kind: row.kind, reason: row.reason, keys: row.keys,
                grants: row.grants)
        }
        if rows.count < known.rows.count {
            // No leader asks for a target that nobody has any more; they go when later rows do.
            parts.log.warning(
                "what was settled for targets that are no longer configured is not told",
                metadata: ["rows": "\(known.rows.count - rows.count)"])
        }
        var seeds = SystemRandomNumberGenerator()
        let core = WorkerCore(
            settings,
            dial: CoordinatorDial(
                addresses: coordinators, first: Int(truncatingIfNeeded: seeds.next() >> 33), now: SystemClock.now()),
            rows: rows, nextRow: known.next)
        let desk = WorkerDesk(core, seed: seeds.next())
        let forgetter = Forgetter(parts.sink ?? parts.ledger, log: parts.log)
        let sink = WorkerLedger(
            parts.sink ?? parts.ledger, desk: desk, forgetter: forgetter, targets: names, source: source,
            log: parts.log)
        var laneParts = Worker.Parts(
            ledger: sink, log: parts.log, limits: parts.limits, seed: seeds.next(), metrics: parts.metrics,
            lookup: { _, range in desk.look { $0.hands.bytes(at: range) } }, refuse: { await sink.refuse($0) })
        laneParts.listener = desk
        self.parts = parts
        complaints = DialComplaints(parts.log)
        self.desk = desk
        self.sink = sink
        windowBytes = settings.windowBytes
        release = settings.release
        let lanes = WorkerLanes(plans, encoders: parts.encoders, parts: laneParts)
        desk.deliver { [weak lanes] in lanes?.take($0) }
        self.lanes = lanes
        self.forgetter = forgetter
        figures = WorkerFigures(in: parts.metrics)
        self.source = source
    }

    /// How each target fares.
    public var gauges: [LaneGauge] { lanes.gauges }

    /// Rows of its ledger that no leader has for good yet.
    public var unsettledRows: Int { desk.look { $0.hands.unsettledRows } }

    /// Whether a leader has given it shards, or confirmed that it has none.
    public var isReady: Bool { desk.look(\.isReady) }

    /// Gives shards back, delivers what is in hand, waits for the leader to have that for good, and ends after
    /// `graceMilliseconds` at the latest.
    public func stop(graceMilliseconds: UInt64) {
        lanes.drain()
        desk.handle(.stop(graceMilliseconds: graceMilliseconds))
    }

    /// Brings up to date what is measured when somebody looks.
    public func publish() {
        let now = SystemClock.now()
        for gauge in gauges { gauge.publish(now: now) }
        figures.shows(
            desk.look { core in
                WorkerFigures.Values(
                    shards: core.hands.shardCount, rows: core.hands.unsettledRows, term: core.term,
                    hasLease: core.leaseEnd.map { now < $0 } ?? false, carried: core.hands.carriedBytes.max() ?? 0)
            })
    }

    /// Works until it was asked to stop. True if nothing was left in hand.
    public func run() async -> Bool {
        await lanes.setPaused(true)
        lanes.start()
        desk.handle(.timer)
        let reviving = Task { await self.tellRevived() }
        var ending: Bool?
        while ending == nil {
            let (effects, due) = desk.take()
            for effect in effects {
                if let isClean = await perform(effect) { ending = isClean }
            }
            guard effects.isEmpty, ending == nil else { continue }
            await desk.wait(until: due)
        }
        sink.stop()
        reviving.cancel()
        await reviving.value
        let links = links.withLock { $0.map(\.value) }
        for link in links {
            link.close(PeerFault(code: .shutdown, message: "the worker ends"))
        }
        await lanes.stop()
        await forgetter.flush()
        await linksAreGone()
        return ending ?? false
    }

    /// Carries an effect out, or has it carried out. Not nil at the end.
    private func perform(_ effect: WorkerCore.Effect) async -> Bool? {
        switch effect {
        case .dial(let session, let address): connect(session, address)
        case .send(let session, let message): link(session)?.send(message)
        case .heartbeat(let session, let term, let number, let order, let lapsed):
            let health = order.map { self.health(of: $0) }
            let beat = Heartbeat(term: term, number: number, health: health, lapsedMilliseconds: lapsed)
            link(session)?.sendUrgently(.heartbeat(beat))
        case .close(let session, let fault):
            guard let link = link(session) else { break }
            if let fault {
                complaints.tell(
                    .warning, link.address, "the session with \(link.address) is given up: \(fault.message)")
            }
            link.close(fault)
        case .intake(let delivery): lanes.take(delivery)
        case .withdraw(let target, let ranges):
            // The rest of the time is for the commit and the way to the leader. What is not to be given back has more time.
            lanes.withdraw(
                target: target, ranges,
                milliseconds: UInt64(desk.releaseMilliseconds.load(ordering: .relaxed)) / 2,
                late: { [desk] in desk.look { $0.hands.leaving(target: target, ranges) } })
        case .cutOff(let target, let ranges):
            parts.log.warning("requests of \(gauges[target].target.name) are cut off: their shards may be others' now")
            lanes.cutOff(target: target, ranges)
        case .fenced(let isFenced):
            await lanes.setPaused(isFenced)
            if isFenced {
                parts.log.warning("no leader within the lease: nothing is sent until one is found")
            } else {
                parts.log.info("the leader's lease holds: records are sent")
            }
        case .forget(let row): forgetter.forget(through: row)
        case .gate(let isOpen, let reason): note(gate: isOpen, reason)
        case .note(let text): parts.log.info("\(text)")
        case .exit(let isClean): return isClean
        }
        return nil
    }

    private func link(_ session: SessionID) -> WorkerLink? { links.withLock { $0[session] } }

    private func connect(_ session: SessionID, _ address: String) {
        let link = WorkerLink(
            session, at: address, desk: desk, log: parts.log, complaints: complaints,
            maxCarriedBytes: 4 * windowBytes + UInt64(Frame.maxLength), release: release)
        links.withLock { $0[session] = link }
        Task {
            await link.run(parts.dial)
            links.withLock { $0[session] = nil }
        }
    }

    /// Waits for what is still to be sent; connections bound that themselves.
    private func linksAreGone() async {
        for _ in 0..<200 where links.withLock({ !$0.isEmpty }) { try? await Task.sleep(for: .milliseconds(10)) }
    }

    /// Looks from time to time whether letters were delivered beside this process. What is told of them is looked up by the
    /// leader, so there is no more of it at a time than it has dealt with.
    private func tellRevived() async {
        while !Task.isCancelled {
            for target in gauges.indices where !desk.look({ $0.hands.hasRevivals(of: target) }) {
                await tellRevived(of: target)
            }
            try? await Task.sleep(for: .milliseconds(Self.reviveMilliseconds))
        }
    }

    private func tellRevived(of target: Int) async {
        let name = gauges[target].target.name
        do throws(LedgerError) {
            let letters = try await parts.ledger.revivedLetters(
                target: name, source: source, limit: Self.mostRevived)
            guard !letters.isEmpty, let told = await sink.revived(letters, of: target), told > 0 else { return }
            parts.log.notice(
                "dead letters that were delivered after all are told to the leader",
                metadata: ["target": "\(name)", "letters": "\(told)"])
        } catch {
            parts.log.warning(
                "whether dead letters were delivered after all cannot be read; it is tried again",
                metadata: ["target": "\(name)", "cause": "\(error)"])
        }
    }

    /// Letters in one row, and how often it is looked.
    private static let (mostRevived, reviveMilliseconds) = (4_096, 5_000)

    private func note(gate isOpen: Bool, _ reason: String) {
        let before = gate.withLock { gate in
            defer { gate = isOpen }
            return gate
        }
        guard before != isOpen else { return }
        if isOpen {
            parts.log.info("the gate is open: probes are admitted")
        } else {
            parts.log.warning("the gate is closed: \(reason.isEmpty ? "no probe is admitted" : reason)")
        }
    }

    private func health(of target: Int) -> TargetHealth {
        guard gauges.indices.contains(target) else { return TargetHealth() }
        return TargetHealth(gauges[target].snapshot(), now: SystemClock.now())
    }
}

extension TargetHealth {
    /// What a lane shows of its target.
    init(_ status: LaneStatus, now: Tick) {
        self.init()
        attempts = UInt64(status.attempts)
        successes = UInt64(status.successes)
        consecutiveFailures = UInt32(clamping: status.delivery.consecutiveFailures)
        delivered = UInt64(status.delivered)
        deliveredBytes = UInt64(status.deliveredBytes)
        dead = UInt64(status.dead)
        sinceSuccessMilliseconds = status.lastSuccess.map { now.milliseconds(since: $0) }
        oldestMilliseconds = status.oldest.map { now.milliseconds(since: $0) }
        queuedBytes = UInt64(max(status.queuedBytes, 0))
        latencyMicroseconds = UInt32(clamping: status.times.median / 1_000)
        inFlight = UInt16(clamping: status.delivery.inFlight)
        concurrencyLimit = UInt16(clamping: status.delivery.concurrencyLimit)
        breaker =
            switch status.delivery.breaker {
            case .closed: .closed
            case .open: .open
            case .halfOpen: .halfOpen
            }
        reason = status.lastFailure.map { "\($0)" } ?? ""
    }
}
