import Backends
import ExportCore
import Formats
import Ledger
import Model
import Synchronization
import Testing
import Threading

@testable import ShardWorker

/// Lanes that give records back: what they settle and what they withdraw is every record once, wherever it stands.
@Suite struct WithdrawalTests {
    @Test func aQueuedBatchLosesRecordsAndNothingElse() {
        var rng = PRNG(seed: 9)
        for seed in 0..<200 as Range<UInt64> {
            let batch = randomBatch(&rng)
            var gone: [Range<Int>] = []
            for item in 0..<batch.count where rng.below(3) == 0 { gone.appendMerging([item..<item + 1]) }
            let kept = [0..<batch.count].parted(by: gone).outside.joined().map { $0 }
            let rest = batch.without(gone)
            #expect((rest == nil) == kept.isEmpty, "seed \(seed)")
            guard let rest else { continue }
            #expect(rest.starts == kept.map { batch.starts[$0] })
            #expect(rest.lengths == kept.map { batch.lengths[$0] })
            for (item, old) in kept.enumerated() {
                #expect(bytes(rest, item) == bytes(batch, old))
                #expect(rest.source(of: item) == batch.source(of: old))
            }
            // It settles what it settled before, without the places of those that are gone.
            #expect(places(rest.parts(without: [])) == places(batch.parts(without: gone)))
            let all = places(batch.parts(without: []))
            for item in 0..<batch.count {
                let isGone = gone.joined().contains(item)
                let place = Place(source: batch.source(of: item), position: batch.starts[item])
                #expect(all.contains(place) && places(rest.parts(without: [])).contains(place) == !isGone)
            }
        }
    }

    private struct Place: Hashable {
        var source: Int64
        var position: UInt64
    }

    private func places(_ parts: [LaneBatch.Part]) -> Set<Place> {
        Set(parts.flatMap { part in part.range.map { Place(source: part.source, position: $0) } })
    }

    private func bytes(_ batch: LaneBatch, _ item: Int) -> [UInt8] {
        batch.encoded.range(of: item).map { batch.encoded.bytes.span[$0] }
    }

    private func randomBatch(_ rng: inout PRNG) -> LaneBatch {
        var segments: [LaneBatch.Segment] = []
        var (starts, lengths, ends): ([UInt64], [UInt32], [UInt32]) = ([], [], [])
        var bytes: [UInt8] = []
        var at: UInt64 = 0
        for _ in 0...rng.below(3) {
            at += rng.below(20)
            let (begin, first) = (at, starts.count)
            for _ in 0...rng.below(5) {
                at += rng.below(3)
                let length = 1 + rng.below(4)
                starts.append(at)
                lengths.append(UInt32(length))
                at += length
                for _ in 0...rng.below(3) { bytes.append(UInt8(truncatingIfNeeded: rng.next())) }
                ends.append(UInt32(bytes.count))
            }
            at += rng.below(3)
            segments.append(.init(source: Int64(rng.below(2)), range: begin..<at, firstItem: first))
        }
        return LaneBatch(
            encoded: EncodedBatch(bytes: SealedBytes(bytes), ends: ends, earliest: .latest), segments: segments,
            starts: starts, lengths: lengths)
    }

    /// A target that fails, records of which some are under way and others wait: what is withdrawn is heard of, comes to
    /// no receiver again and is not in the ledger; the rest is.
    @Test(arguments: 1...12 as ClosedRange<UInt64>) func everyRecordIsSettledOrWithdrawn(seed: UInt64) async throws {
        try await withTemporaryDirectory { directory in
            var rng = PRNG(seed: seed)
            let input = TestInput(records: 60, rng: &rng)
            let source = SourceID(rawValue: 1)
            let ledger = try await Ledger.open(directory: directory)
            let receiver = Switchable()
            let listener = Noting()
            let target = target(.elasticsearch, records: 7)
            var parts = parts(ledger)
            parts.listener = listener
            let worker = Worker(
                [LanePlan(target: target, writer: lineWriter(target), backend: receiver)], settled: [[:]], parts: parts)
            for chunk in input.chunks(of: 1, from: 0, rng: &rng) { await worker.take(chunk, for: [0]) }
            await worker.closeBatches(force: true)
            while receiver.requests < 3 || listener.failures.withLock({ $0 }) == 0 {
                await worker.waitForProgress(milliseconds: 5)
            }
            let middle = input.ends[input.ends.count / 3]..<input.ends[input.ends.count * 2 / 3]
            await worker.withdraw(target: 0, PositionSet([middle]), of: 1)
            receiver.works.store(true, ordering: .relaxed)
            while !worker.gauges[0].snapshot().isIdle { await worker.waitForProgress(milliseconds: 5) }

            let status = worker.gauges[0].snapshot()
            #expect(status.delivered + status.withdrawn == 60 && status.withdrawn > 5 && status.queuedBytes == 0)
            let settled = try await ledger.progress(target: "t", source: source)
            for (place, line) in input.records {
                let wasWithdrawn = listener.withdrawn.withLock { $0.contains(place.lowerBound) }
                // What was under way may have been accepted after all.
                #expect(!wasWithdrawn || middle.contains(place.lowerBound), "seed \(seed), \(place)")
                #expect(settled.contains(place.lowerBound) != wasWithdrawn, "seed \(seed), \(place)")
                #expect(receiver.accepted(line) == !wasWithdrawn, "seed \(seed), \(place)")
            }
            // Each batch that failed was told of once.
            #expect(listener.failures.withLock { $0 } > 0)
            #expect(listener.failures.withLock { $0 } <= status.batches + 60 / 7 + 1)
            await worker.stop()
            try await ledger.close()
        }
    }

    /// A fenced worker starts nothing, and goes on when it may.
    @Test func nothingLeavesWithoutALease() async throws {
        try await withTemporaryDirectory { directory in
            var rng = PRNG(seed: 4)
            let ledger = try await Ledger.open(directory: directory)
            let receiver = Switchable()
            receiver.works.store(true, ordering: .relaxed)
            let listener = Noting()
            listener.hasLease.store(false, ordering: .relaxed)
            // A receiver that recognises batches: here the ledger is asked before.
            let target = target(.s3, records: 7)
            var parts = parts(ledger)
            parts.listener = listener
            let worker = Worker(
                [LanePlan(target: target, writer: lineWriter(target), backend: receiver)], settled: [[:]], parts: parts)
            for chunk in TestInput(records: 20, rng: &rng).chunks(of: 1, from: 0, rng: &rng) {
                await worker.take(chunk, for: [0])
            }
            await worker.closeBatches(force: true)
            while listener.asked.load(ordering: .relaxed) < 2 { await worker.waitForProgress(milliseconds: 5) }
            await worker.setPaused(true)
            listener.hasLease.store(true, ordering: .relaxed)
            try await Task.sleep(for: .milliseconds(1_200))
            #expect(receiver.requests == 0 && worker.gauges[0].snapshot().delivery.consecutiveFailures == 0)
            await worker.setPaused(false)
            while !worker.gauges[0].snapshot().isIdle { await worker.waitForProgress(milliseconds: 5) }
            #expect(worker.gauges[0].snapshot().delivered == 20)
            await worker.stop()
            try await ledger.close()
        }
    }
}

/// A receiver that is down until it is told to work, and keeps what it accepts.
private final class Switchable: Backend {
    let works = Atomic<Bool>(false)
    private let count = Atomic<Int>(0)
    private let lines = Mutex<Set<[UInt8]>>([])

    var requests: Int { count.load(ordering: .relaxed) }
    func accepted(_ line: [UInt8]) -> Bool { lines.withLock { $0.contains(line) } }

    func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
        count.add(1, ordering: .relaxed)
        try? await Task.sleep(for: .milliseconds(3))
        guard works.load(ordering: .relaxed) else {
            return DeliveryAnswer(.retry(Reason(code: "down", message: "down"), retryAfterMilliseconds: nil))
        }
        let body = parcel.body().array
        lines.withLock { for line in body.split(separator: 0x0A) { $0.insert(Array(line)) } }
        return DeliveryAnswer(.delivered(slowDown: false))
    }

    func probe() async -> Reason? { nil }
    func close() async {}
}

private final class Noting: LaneListener {
    let hasLease = Atomic<Bool>(true)
    let asked = Atomic<Int>(0)
    let withdrawn = Mutex(PositionSet())
    let failures = Mutex(0)

    func mayStart(target: Int, at now: Tick, _ stretches: () -> [BatchInFlight.Stretch]) -> Bool {
        asked.add(1, ordering: .relaxed)
        return hasLease.load(ordering: .relaxed)
    }

    func withdrawn(target: Int, _ stretches: [BatchInFlight.Stretch]) {
        withdrawn.withLock { for stretch in stretches { $0.insert(stretch.range) } }
    }

    func failed(target: Int, _ stretches: [BatchInFlight.Stretch], _ reason: Reason) {
        failures.withLock { $0 += 1 }
    }
}
