import ExportCore
import Ledger
import Model
import Synchronization
import Threading

/// Encoders and lanes of a cluster's worker.
///
/// A record is read once and written for all targets by one encoder; there are as many of these as pay. Each has open
/// batches of its own, so frames go to the first one as long as it keeps up, and batches fill as in a single process.
final class WorkerLanes: Sendable {
    private let lanes: [TargetLane]
    private let encoders: [Encoder]
    private let tasks = Mutex<[Task<Void, Never>]>([])

    /// The leader has a bounded amount in hand, for all workers and encoders together, and sends more only when outcomes
    /// come. A batch that is not full by then would wait for its age: for objects in S3, a minute. Several workers share what
    /// is in hand, so none of them fills a batch, and this pause is what bounds their rate.
    private static let lull = Batching.Lull(milliseconds: 50, minBytes: 64 << 10)

    init(_ plans: [LanePlan], encoders count: Int, parts: Worker.Parts) {
        let doorbell = Doorbell()
        let lanes = TargetLane.lanes(plans, parts, doorbell)
        self.lanes = lanes
        encoders = (0..<count).map { _ in
            var builders: [LaneBuilder] = []
            for (plan, lane) in zip(plans, lanes) {
                builders.append(
                    LaneBuilder(
                        lane: lane, writer: plan.writer, bounds: plan.target.batch, settled: [:], lull: Self.lull))
            }
            return Encoder(
                Intake(
                    limits: parts.limits, builders: builders, metrics: IntakeMetrics(in: parts.metrics),
                    refuse: parts.refuse))
        }
    }

    var gauges: [LaneGauge] { lanes.map(\.gauge) }

    func start() {
        tasks.withLock { [encoders] tasks in
            tasks = encoders.map { encoder in Task { await encoder.run() } }
        }
    }

    func take(_ delivery: WorkerHands.Delivery) {
        encoders[Self.choice(of: encoders.lazy.map(\.backlog))].take(delivery)
    }

    /// Which encoder is to take what comes, by what waits for each, in bytes: the first one with less than a few
    /// milliseconds to do, or the one with least.
    static func choice(of backlogs: some Sequence<Int>) -> Int {
        var (chosen, least) = (0, Int.max)
        for (number, backlog) in backlogs.enumerated() where least >= busyBytes {
            if backlog < least { (chosen, least) = (number, backlog) }
        }
        return chosen
    }

    private static let busyBytes = 1 << 20

    /// Has a lane carry these stretches no further, once everything taken before has reached it. Answers to what is under
    /// way are waited for, but after `milliseconds` no longer to what is `late` then.
    func withdraw(
        target: Int, _ ranges: [Range<UInt64>], milliseconds: UInt64, late: @escaping @Sendable () -> [Range<UInt64>]
    ) {
        let latch = Latch(encoders.count)
        for encoder in encoders { encoder.flush(target: target, latch) }
        let lane = lanes[target]
        Task {
            await latch.wait()
            await lane.withdraw(PositionSet(ranges), of: WorkerLedger.stream.rawValue)
            try? await Task.sleep(for: .milliseconds(milliseconds))
            let left = late()
            guard !left.isEmpty else { return }
            await lane.withdraw(PositionSet(left), of: WorkerLedger.stream.rawValue, awaitsAnswers: false)
        }
    }

    /// Ends requests with what lies at these places, whatever their answer would have been.
    func cutOff(target: Int, _ ranges: [Range<UInt64>]) {
        let lane = lanes[target]
        Task { await lane.cutOff(PositionSet(ranges), of: WorkerLedger.stream.rawValue) }
    }

    func setPaused(_ pauses: Bool) async {
        for lane in lanes { await lane.setPaused(pauses) }
    }

    /// Batches are not kept open any more.
    func drain() {
        for encoder in encoders { encoder.drain() }
    }

    func stop() async {
        for encoder in encoders { encoder.stop() }
        for task in tasks.withLock({ $0 }) { await task.value }
        for lane in lanes { await lane.stop() }
    }
}
