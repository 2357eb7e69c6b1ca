import Backends
import ExportCore
import Formats
import Ledger
import Model
import Testing
import Threading

@testable import ShardWorker

/// After a crash the batches that were under way come about again, byte for byte.
@Suite struct LaneBuilderTests {
    private struct Formed: Equatable {
        var stretches: [BatchInFlight.Stretch]
        var bytes: [UInt8]

        init(_ batch: LaneBatch) {
            stretches = batch.stretches
            bytes = batch.encoded.bytes.array
        }
    }

    /// Reads the inputs in order, closing by age at random, and returns the batches.
    private static func form(
        _ inputs: [TestInput], _ builder: LaneBuilder, from start: (input: Int, offset: UInt64) = (0, 0),
        age: UInt64, rng: inout PRNG
    ) -> [LaneBatch] {
        var reader = ProbeResultReader()
        var formed: [LaneBatch] = []
        var now = Tick(nanoseconds: 0)
        for (index, input) in inputs.enumerated() where index >= start.input {
            let chunks = input.chunks(
                of: Int64(index + 1), from: index == start.input ? start.offset : 0, rng: &rng)
            for chunk in chunks {
                builder.begin(chunk)
                var lines = LineCutter(0..<chunk.bytes.count)
                while let (whole, text) = lines.next(chunk.bytes.span) {
                    let place = chunk.start + UInt64(whole.lowerBound)..<chunk.start + UInt64(whole.upperBound)
                    if LineCutter.isBlank(chunk.bytes.span, text) || builder.has(place.lowerBound) { continue }
                    try? reader.read(chunk.bytes.span, text)
                    builder.append(reader.record, of: chunk.bytes.span, at: place, now: now)
                }
                builder.end(chunk)
                now = now.adding(milliseconds: rng.below(age))
                builder.closeIfDue(now: now, force: false)
                formed += builder.takeClosed()
            }
        }
        builder.closeIfDue(now: now, force: true)
        return formed + builder.takeClosed()
    }

    private static func builder(
        _ lane: TargetLane, records: Int, settled: [Int64: PositionSet] = [:], planned: [BatchInFlight] = []
    ) -> LaneBuilder {
        let target = target(.s3, records: records)
        return LaneBuilder(
            lane: lane, writer: lineWriter(target), bounds: target.batch, settled: settled,
            planned: PlannedBatches(planned))
    }

    private static func withLane(_ body: (TargetLane) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let target = target(.s3, records: 10)
            let lane = TargetLane(
                gauge: LaneGauge(target: target, now: SystemClock.now()), backend: NotingBackend(answer: never),
                ledger: ledger, doorbell: Doorbell(), log: parts(ledger).log, seed: 1, lookup: { _, _ in nil })
            try await body(lane)
            await lane.stop()
            try await ledger.close()
        }
    }

    @Test func plannedBatchesComeAboutAgain() async throws {
        try await Self.withLane { lane in
            var reformed = 0
            for seed in UInt64(0)..<400 {
                var rng = PRNG(seed: seed)
                let inputs = (0...rng.below(3)).map { _ in
                    TestInput(records: 1 + Int(rng.below(25)), rng: &rng)
                }
                let bound = 1 + Int(rng.below(8))
                let first = Self.form(inputs, Self.builder(lane, records: bound), age: 8, rng: &rng)
                // The process dies: some batches are settled, some were under way, the rest had not left.
                var settled: [Int64: PositionSet] = [:]
                var flying: [LaneBatch] = []
                for batch in first.prefix(Int(rng.below(UInt64(first.count + 1)))) {
                    if batch.count > 0, rng.below(2) == 0 {
                        flying.append(batch)
                    } else {
                        for part in batch.segments { settled[part.source, default: PositionSet()].insert(part.range) }
                    }
                }
                let planned = flying.map { batch in
                    BatchInFlight(
                        stretches: batch.stretches, receipt: Receipt(channel: "c", id: Int64(batch.starts[0])),
                        sentAt: 0)
                }
                let start = inputs.indices.first { index in
                    (settled[Int64(index + 1)]?.highWaterMark ?? 0) < UInt64(inputs[index].bytes.count)
                }
                guard let start else { continue }
                let mark = settled[Int64(start + 1)]?.highWaterMark ?? 0
                let builder = Self.builder(lane, records: bound, settled: settled, planned: planned)
                let second = Self.form(inputs, builder, from: (start, mark), age: 8, rng: &rng)
                for batch in flying {
                    let same = second.first { Formed($0) == Formed(batch) }
                    #expect(same != nil, "seed \(seed): \(batch.stretches) did not come about again")
                    #expect(same?.earlier?.receipt?.id == Int64(batch.starts[0]), "seed \(seed)")
                    reformed += 1
                }
                Self.checkConservation(inputs, settled, second, "seed \(seed)")
            }
            #expect(reformed > 500)
        }
    }

    /// Smaller bounds leave planned batches unmatched; no record is lost or doubled by that.
    @Test func smallerBoundsLoseNothing() async throws {
        try await Self.withLane { lane in
            for seed in UInt64(0)..<100 {
                var rng = PRNG(seed: seed)
                let inputs = [TestInput(records: 30, rng: &rng)]
                let first = Self.form(inputs, Self.builder(lane, records: 8), age: 3, rng: &rng)
                let planned = first.map { BatchInFlight(stretches: $0.stretches, receipt: nil, sentAt: 0) }
                let second = Self.form(
                    inputs, Self.builder(lane, records: 3, planned: planned), age: 3, rng: &rng)
                Self.checkConservation(inputs, [:], second, "seed \(seed)")
                #expect(second.allSatisfy { $0.count <= 3 })
            }
        }
    }

    /// What was planned need not fit the input at all.
    @Test func foreignPlansLoseNothing() async throws {
        try await Self.withLane { lane in
            for seed in UInt64(0)..<200 {
                var rng = PRNG(seed: seed)
                let inputs = [TestInput(records: 12, rng: &rng), TestInput(records: 5, rng: &rng)]
                let planned = (0..<4).map { _ in
                    let start = rng.below(UInt64(inputs[0].bytes.count))
                    return BatchInFlight(
                        stretches: [
                            .init(source: 1, range: start..<start + 1 + rng.below(9_000)),
                            .init(source: Int64(1 + rng.below(3)), range: 0..<1 + rng.below(9_000)),
                        ], receipt: nil, sentAt: 0)
                }
                let formed = Self.form(inputs, Self.builder(lane, records: 4, planned: planned), age: 3, rng: &rng)
                Self.checkConservation(inputs, [:], formed, "seed \(seed)")
            }
        }
    }

    /// Every byte of the inputs is settled by what was settled before or by exactly one batch.
    private static func checkConservation(
        _ inputs: [TestInput], _ settled: [Int64: PositionSet], _ batches: [LaneBatch], _ told: String
    ) {
        for (index, input) in inputs.enumerated() {
            let source = Int64(index + 1)
            var all = settled[source] ?? PositionSet()
            let records = batches.flatMap { batch in
                batch.segments.indices.filter { batch.segments[$0].source == source }
                    .flatMap { batch.items(of: $0).map { batch.starts[$0] } }
            }
            #expect(records == records.sorted() && Set(records).count == records.count, "\(told): order, repetition")
            #expect(!records.contains { settled[source]?.contains($0) ?? false }, "\(told): sent again")
            for part in batches.flatMap(\.segments) where part.source == source { all.insert(part.range) }
            #expect(all.ranges == [0..<UInt64(input.bytes.count)], "\(told): gaps")
        }
    }
}
