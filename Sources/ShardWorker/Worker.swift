public import Backends
public import CoreMetrics
public import ExportCore
import Formats
public import Ledger
public import Logging
public import Model
import Threading

/// Everything between a chunk of records and their receivers: one intake, and a lane per target.
public final class Worker: RecordSink {
    /// What a worker needs from those who start it.
    public struct Parts: Sendable {
        /// What was delivered where.
        public var ledger: any LedgerSink
        /// For what goes wrong on the way.
        public var log: Logger
        /// Bounds.
        public var limits: Limits
        /// For jitter.
        public var seed: UInt64
        /// Where metrics are reported to.
        public var metrics: any MetricsFactory
        /// Reads the bytes of single records again.
        public var lookup: @Sendable (_ source: Int64, _ range: Range<UInt64>) async -> [UInt8]?
        /// Writes refused records down, for good; false if that could not be done.
        public var refuse: @Sendable ([BadRecord]) async -> Bool
        /// Who is asked before requests leave and hears what lanes do beside commits; nil if nobody does.
        public var listener: (any LaneListener)?

        /// All of them.
        public init(
            ledger: any LedgerSink, log: Logger, limits: Limits, seed: UInt64,
            metrics: any MetricsFactory = NOOPMetricsHandler.instance,
            lookup: @escaping @Sendable (Int64, Range<UInt64>) async -> [UInt8]?,
            refuse: @escaping @Sendable ([BadRecord]) async -> Bool
        ) {
            self.ledger = ledger
            self.log = log
            self.limits = limits
            self.seed = seed
            self.metrics = metrics
            self.lookup = lookup
            self.refuse = refuse
        }
    }

    /// One per target, in the order of the configuration.
    public let gauges: [LaneGauge]
    private let lanes: [TargetLane]
    private let intake: Intake
    private let doorbell = Doorbell()
    private let maxQueuedBytes: Int

    /// - Parameter settled: per target, what the ledger already has of each input.
    public init(_ plans: [LanePlan], settled: [[Int64: PositionSet]], parts: Parts) {
        precondition(plans.count == settled.count)
        let lanes = TargetLane.lanes(plans, parts, doorbell)
        var builders: [LaneBuilder] = []
        for ((plan, known), lane) in zip(zip(plans, settled), lanes) {
            builders.append(
                LaneBuilder(
                    lane: lane, writer: plan.writer, bounds: plan.target.batch, settled: known,
                    planned: PlannedBatches(plan.inFlight)))
        }
        self.lanes = lanes
        gauges = lanes.map(\.gauge)
        intake = Intake(
            limits: parts.limits, builders: builders, metrics: IntakeMetrics(in: parts.metrics), refuse: parts.refuse)
        maxQueuedBytes = parts.limits.maxQueuedBytesPerTarget
    }

    /// True for targets whose queue has room.
    public func hasRoom() -> [Bool] { gauges.map { $0.snapshot().queuedBytes < maxQueuedBytes } }

    /// Writes the chunk's records down for the targets.
    public func take(_ chunk: Chunk, for targets: [Int]) async { await intake.take(chunk, for: targets) }

    /// Closes open batches.
    public func closeBatches(force: Bool) async { await intake.close(force: force) }

    /// Waits for any lane.
    public func waitForProgress(milliseconds: UInt64) async { await doorbell.wait(milliseconds: milliseconds) }

    /// Lets nothing more leave, or again. What is under way ends and counts.
    public func setPaused(_ pauses: Bool) async {
        for lane in lanes { await lane.setPaused(pauses) }
    }

    /// Has a target's lane carry what lies at `places` of an input no further. What is under way is withdrawn when its
    /// answer does not settle it; the listener hears of both.
    public func withdraw(target: Int, _ places: PositionSet, of source: Int64) async {
        await intake.close(target)
        await lanes[target].withdraw(places, of: source)
    }

    /// Ends all lanes.
    public func stop() async {
        for lane in lanes { await lane.stop() }
    }
}

extension TargetLane {
    /// A lane for each plan, in their order.
    static func lanes(_ plans: [LanePlan], _ parts: Worker.Parts, _ doorbell: Doorbell) -> [TargetLane] {
        let now = SystemClock.now()
        var seeds = PRNG(seed: parts.seed)
        return plans.enumerated().map { index, plan in
            TargetLane(
                gauge: LaneGauge(target: plan.target, metrics: parts.metrics, now: now), backend: plan.backend,
                ledger: parts.ledger, doorbell: doorbell, log: parts.log, seed: seeds.next(),
                listener: parts.listener.map { (index, $0) }, lookup: parts.lookup)
        }
    }
}

/// A target with what it takes to serve it.
public struct LanePlan: Sendable {
    /// The target.
    public var target: Target
    /// How its records are written.
    public var writer: RecordWriter
    /// Its receiver.
    public var backend: any Backend
    /// What an earlier process had under way to it.
    public var inFlight: [BatchInFlight]

    /// All of them.
    public init(target: Target, writer: RecordWriter, backend: any Backend, inFlight: [BatchInFlight] = []) {
        self.target = target
        self.inFlight = inFlight
        self.writer = writer
        self.backend = backend
    }
}
