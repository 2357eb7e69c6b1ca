import ExportCore
import Foundation
import Model
import Protocol
import Threading

@testable import Coordinator
@testable import KubernetesAPI

/// A leader and one worker in a single task, without their sessions: the real source, ``Dispatch`` and store of status, of one
/// namespace.
struct ResultLeader {
    /// What a worker says of a record at a target; nil: nothing, it keeps it.
    typealias Verdict = (_ record: String, _ target: Int) -> Outcomes.Kind?

    let store: KubernetesStatusStore
    let source: KubernetesResultsSource
    let fence: Fence
    private(set) var dispatch: Dispatch
    var verdict: Verdict
    /// Targets that are told to have no room.
    var full: Set<Int> = []
    /// Whether outcomes are written.
    var writes = true
    /// Of what became of records nothing was told: their text by key, for each target.
    private(set) var kept: [Int: [RecordKey: String]] = [:]
    private(set) var records: [RecordKey: String] = [:]
    private(set) var handed: [Int: Int] = [:]
    private(set) var passes: [Int: Int] = [:]
    private(set) var notes: [String] = []
    private(set) var troubles: [StoreError] = []
    private(set) var refusedWrites: [StoreError] = []
    private var entries: [StatusEntry] = []
    private var through: UInt64 = 0
    private var row: UInt64 = 0
    private let worker = WorkerID(0)

    /// Takes the lease and begins a term.
    init(
        _ cluster: KubernetesCluster, namespace: String, targets: [String], term: UInt64, verdict: @escaping Verdict
    ) async throws {
        self.verdict = verdict
        fence = Fence(holder: "leader-\(term)", term: term)
        let record = LeaseRecord(
            holder: fence.holder, address: "", term: term, renewal: 1, durationMilliseconds: 600_000)
        let known = try await cluster.readLeader()
        _ = try await cluster.put(
            LeaseForm.lease(
                record, namespace: cluster.namespace, name: cluster.names.leader,
                replacing: known.map { LeaseVersion($0.resourceVersion) }, acquired: true, microseconds: 0))
        store = KubernetesStatusStore(cluster, namespace: namespace)
        let settled = try await store.takeOver(fence: fence, targets: targets)
        source = store.results(settled: settled, shardCount: 4, seed: term)
        dispatch = Dispatch(
            term: term, shardCount: 4, targetCount: targets.count, index: settled.index,
            forgetsSources: store.manner.forgetsSources)
        dispatch.opened(worker, windowBytes: 1 << 30)
        carryOut(dispatch.assigned((0..<4).map { ShardGrant(shard: $0, epoch: 1) }, to: worker))
    }

    /// Runs until it holds, for a minute at most; whether it does.
    mutating func run(until holds: (ResultLeader) async throws -> Bool) async throws -> Bool {
        for _ in 0..<3_000 {
            try await turn()
            if try await holds(self) { return true }
        }
        return false
    }

    private mutating func turn() async throws {
        let room = dispatch.hasRoom.enumerated().map { $1 && !full.contains($0) }
        var isIdle = true
        do throws(StoreError) {
            for event in try await source.next(hasRoom: room, bytes: 64 << 10) {
                isIdle = false
                switch event {
                case .page(let page):
                    for target in dispatch.targets.indices where page.targets.contains(target) {
                        handed[target, default: 0] += 1
                    }
                    let (isTaken, effects) = dispatch.take(page, now: SystemClock.now())
                    precondition(isTaken)
                    carryOut(effects)
                case .passed(let target):
                    passes[target, default: 0] += 1
                    carryOut(dispatch.passed(target: target))
                case .looked(let records): carryOut(dispatch.looked(for: records))
                case .settled(let source): entries.append(.finished(source: source))
                case .gone(let source): dispatch.forget(source)
                case .note(let text): notes.append(text)
                }
            }
        } catch {
            troubles.append(error)
        }
        if isIdle {
            carryOut(dispatch.flush())
            try await Task.sleep(for: .milliseconds(20))
        }
        guard writes, !entries.isEmpty else { return }
        do throws(StoreError) {
            try await store.write(entries, fence: fence)
            entries = []
            carryOut(dispatch.written(through: through))
        } catch {
            refusedWrites.append(error)
        }
    }

    private mutating func carryOut(_ effects: [Dispatch.Effect]) {
        for effect in effects {
            switch effect {
            case .write(let number, let facts):
                entries += facts.map { .facts($0) }
                through = number
            case .finished: fatalError("nothing is finished where sources are forgotten")
            case .settled: break
            case .send(_, let frame): receive(frame)
            }
        }
    }

    private mutating func receive(_ frame: RecordsFrame) {
        let bytes = frame.lines.gathered.array
        var start = 0
        for (place, key) in frame.keys.enumerated() {
            let text = String(decoding: bytes[start..<start + Int(frame.lengths[place])], as: UTF8.self)
            start += Int(frame.lengths[place])
            records[key] = text
            for target in dispatch.targets.indices where frame.targets & (1 << UInt32(target)) != 0 {
                if let kind = verdict(text, target) {
                    tell(key, target, kind, frame.grants[place])
                    if kind == .failed { kept[target, default: [:]][key] = text }
                } else {
                    kept[target, default: [:]][key] = text
                }
            }
        }
    }

    /// The worker says what became of a record.
    mutating func tell(_ key: RecordKey, _ target: Int, _ kind: Outcomes.Kind, _ grant: ShardGrant? = nil) {
        row += kind == .failed ? 0 : 1
        if kind != .failed { kept[target]?[key] = nil }
        carryOut(
            dispatch.outcomes(
                Outcomes(
                    row: row, term: fence.term, target: UInt8(target), kind: kind,
                    reason: kind == .delivered ? "" : "because", keys: [key],
                    grants: [grant ?? ShardGrant(shard: 0, epoch: 1)]), from: worker))
    }

    /// What is kept at a target is delivered.
    mutating func deliver(_ target: Int) {
        for key in (kept[target] ?? [:]).keys { tell(key, target, .delivered) }
    }
}
