import Backends
import ExportCore
import Logging
import Model
import Protocol
import Synchronization
import Synthetic
import Testing
import Threading

@testable import Ledger
@testable import ShardWorker

/// Records of the cluster: their lines, keys and shards.
struct ClusterRecords {
    static let shards: UInt16 = 16
    var lines: [[UInt8]] = []
    var keys: [RecordKey] = []
    var shards: [UInt16] = []

    init(count: Int, seed: UInt64 = 1) {
        var generator = ProbeResultGenerator(seed: seed)
        for index in 0..<count {
            var out = ByteWriter()
            generator.next(into: &out)
            var line = out.seal().array
            if line.last != 0x0A { line.append(0x0A) }
            lines.append(line)
            keys.append(RecordKey(high: seed, low: UInt64(index)))
            shards.append(UInt16(index) % Self.shards)
        }
    }

    static func grants(epoch: UInt32 = 1) -> [ShardGrant] { (0..<shards).map { ShardGrant(shard: $0, epoch: epoch) } }

    /// Records `range` as a frame for target 0 or more.
    func frame(_ range: Range<Int>, term: UInt64 = 1, epoch: UInt32 = 1, targets: UInt32 = 1) -> Message {
        .records(
            RecordsFrame(
                term: term, targets: targets, keys: Array(keys[range]),
                grants: range.map { ShardGrant(shard: shards[$0], epoch: epoch) },
                lengths: range.map { UInt32(lines[$0].count) }, bytes: SealedBytes(lines[range].flatMap { $0 })))
    }
}

/// Counts what it gets, and takes it or not as it is told.
final class ClusterReceiver: Backend {
    let works = Atomic<Bool>(true)
    /// Answers nothing as long as it is set.
    let hangs = Atomic<Bool>(false)
    private let state = Mutex<(requests: Int, answered: Int, cut: Int, lines: [[UInt8]: Int])>((0, 0, 0, [:]))

    var requests: Int { state.withLock { $0.requests } }
    /// Requests that are not answered yet.
    var underWay: Int { state.withLock { $0.requests - $0.answered } }
    /// Requests whose sender went away before they were answered.
    var cut: Int { state.withLock { $0.cut } }
    /// Records it accepted, each as often as it did.
    var accepted: Int { state.withLock { $0.lines.values.reduce(0, +) } }
    /// Different ones.
    var distinct: Int { state.withLock { $0.lines.count } }

    func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
        state.withLock { $0.requests += 1 }
        defer { state.withLock { $0.answered += 1 } }
        repeat {
            try? await Task.sleep(for: .milliseconds(2))
            guard !Task.isCancelled else {
                state.withLock { $0.cut += 1 }
                return DeliveryAnswer(.unknown(Reason(code: "stopped", message: "the task was cancelled")))
            }
        } while hangs.load(ordering: .relaxed)
        guard works.load(ordering: .relaxed) else {
            return DeliveryAnswer(.retry(Reason(code: "down", message: "down"), retryAfterMilliseconds: nil))
        }
        let lines = parcel.body().array.split(separator: 0x0A).map { Array($0) }
        state.withLock { state in for line in lines { state.lines[line, default: 0] += 1 } }
        return DeliveryAnswer(.delivered(slowDown: false))
    }

    func probe() async -> Reason? { nil }
    func close() async {}
}

/// A ledger that keeps commits waiting, or refuses them, while it is told to.
final class SlowLedger: LedgerSink {
    let holds = Atomic<Bool>(false)
    let refuses = Atomic<Bool>(false)
    private let ledger: Ledger

    init(before ledger: Ledger) { self.ledger = ledger }

    func commit(_ changes: [LedgerChange]) async throws(LedgerError) {
        while holds.load(ordering: .relaxed) { try? await Task.sleep(for: .milliseconds(5)) }
        if refuses.load(ordering: .relaxed) { throw LedgerError(.diskFull, "no room") }
        try await ledger.commit(changes)
    }
}

/// A worker at work, with its leader and receivers.
struct ClusterBench {
    let ledger: Ledger
    let sink: SlowLedger
    let leader: FakeLeader
    let receivers: [ClusterReceiver]
    let worker: ClusterWorker
    let running: Task<Bool, Never>

    init(
        _ ledger: Ledger, leader: FakeLeader, receivers: [ClusterReceiver] = [ClusterReceiver()], encoders: Int = 1,
        batch: Int = 5, ageMilliseconds: UInt64 = 5, boot: UInt64 = 1
    ) async throws {
        self.ledger = ledger
        self.leader = leader
        self.receivers = receivers
        sink = SlowLedger(before: ledger)
        let plans = receivers.enumerated().map { index, receiver in
            var target = target(.elasticsearch, records: batch)
            target.name = "t\(index)"
            target.batch.maxAgeMilliseconds = ageMilliseconds
            return LanePlan(target: target, writer: lineWriter(target), backend: receiver)
        }
        let settings = WorkerCore.Settings(
            identity: "w0", boot: RecordKey(high: boot, low: 0), capacity: 2, windowBytes: 8 << 20,
            targets: plans.map(\.target.name))
        var parts = ClusterWorker.Parts(
            ledger: ledger, log: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }, limits: Limits(),
            encoders: encoders, dial: { try await leader.dial($0) })
        parts.sink = sink
        let worker = try await ClusterWorker(settings, coordinators: ["c0:7443"], plans: plans, parts: parts)
        self.worker = worker
        running = Task { await worker.run() }
    }

    static func leader(lease: UInt32 = 60_000, targets: Int = 1) -> FakeLeader {
        let leader = FakeLeader(targets: (0..<targets).map { "t\($0)" }, leaseMilliseconds: lease)
        leader.setGrants(ClusterRecords.grants())
        return leader
    }

    /// Ends the worker whatever it has in hand.
    func end() async {
        worker.stop(graceMilliseconds: 0)
        _ = await running.value
    }
}

/// Waits until something is so, on a busy machine too.
func eventually(
    _ what: Comment, within milliseconds: UInt64 = 30_000, sourceLocation: SourceLocation = #_sourceLocation,
    _ isSo: () async -> Bool
) async {
    let began = SystemClock.now()
    repeat {
        if await isSo() { return }
        try? await Task.sleep(for: .milliseconds(5))
    } while SystemClock.now().milliseconds(since: began) < milliseconds
    Issue.record("waited in vain: \(what)", sourceLocation: sourceLocation)
}
