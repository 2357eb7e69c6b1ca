import Backends
import ExportCore
import Model
import Synchronization
import Testing

@testable import Ledger
@testable import ShardWorker

/// For receivers that recognise a batch: its boundaries are on the disk before it leaves.
@Suite struct DepartureTests {
    /// With `cuts`, batches also close at moments of chance, as by age.
    private static func feed(_ input: TestInput, _ worker: Worker, _ rng: inout PRNG, cuts: Bool = false) async {
        for chunk in input.chunks(of: 1, from: 0, rng: &rng) {
            await worker.take(chunk, for: [0])
            if cuts, rng.below(3) == 0 { await worker.closeBatches(force: true) }
        }
        await worker.closeBatches(force: true)
    }

    private static func worker(
        _ kind: BackendKind, _ ledger: Ledger, _ backend: NotingBackend, records: Int = 5
    ) async throws -> Worker {
        let target = target(kind, records: records)
        let plan = LanePlan(
            target: target, writer: lineWriter(target), backend: backend,
            inFlight: try await ledger.batchesInFlight(target: "t"))
        let known = try await ledger.progress(target: "t", source: SourceID(rawValue: 1))
        return Worker([plan], settled: [[1: known]], parts: parts(ledger))
    }

    private static func wait(_ worker: Worker, for what: String, until isThere: () -> Bool) async {
        for _ in 0..<3_000 where !isThere() { await worker.waitForProgress(milliseconds: 10) }
        #expect(isThere(), "waited in vain for \(what)")
    }

    private static func waitUntilIdle(_ worker: Worker) async {
        await wait(worker, for: "the end") { worker.gauges[0].snapshot().isIdle }
    }

    @Test func boundariesAreKnownBeforeTheRequest() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let unknown = Mutex(0)
            let backend = NotingBackend { _ in
                let flights = (try? await ledger.batchesInFlight(target: "t")) ?? []
                if flights.isEmpty { unknown.withLock { $0 += 1 } }
                return DeliveryAnswer(.delivered(slowDown: false))
            }
            var rng = PRNG(seed: 3)
            let worker = try await Self.worker(.s3, ledger, backend)
            await Self.feed(TestInput(records: 40, rng: &rng), worker, &rng)
            await Self.waitUntilIdle(worker)
            #expect(backend.received.count >= 8 && unknown.withLock { $0 } == 0)
            #expect(try await ledger.batchesInFlight(target: "t") == [])
            await worker.stop()
            try await ledger.close()
        }
    }

    /// A process dies with requests under way; the next one sends the very same bodies, though it reads the input in
    /// other pieces and its batches would have closed elsewhere by age.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func theNextProcessSendsTheSameBodies(seed: UInt64) async throws {
        try await withTemporaryDirectory { directory in
            var rng = PRNG(seed: seed)
            let input = TestInput(records: 60, rng: &rng)
            let ledger = try await Ledger.open(directory: directory)
            let dying = NotingBackend(answer: never)
            let first = try await Self.worker(.s3, ledger, dying, records: 7)
            await Self.feed(input, first, &rng, cuts: true)
            await Self.wait(first, for: "four requests") { dying.received.count >= 4 }
            await first.stop()

            let living = NotingBackend { _ in DeliveryAnswer(.delivered(slowDown: false)) }
            let second = try await Self.worker(.s3, ledger, living, records: 7)
            await Self.feed(input, second, &rng)
            await Self.waitUntilIdle(second)
            #expect(Set(living.received).isSuperset(of: dying.received))
            #expect(living.received.reduce(0) { $0 + $1.count { $0 == 0x0A } } == 60)
            await second.stop()
            try await ledger.close()
        }
    }

    /// A receipt is on the disk when the backend goes on, the next process is handed it with the same records, and one
    /// that is worth nothing any more is not kept.
    @Test func receiptsOutliveTheProcess() async throws {
        try await withTemporaryDirectory { directory in
            var rng = PRNG(seed: 5)
            let input = TestInput(records: 12, rng: &rng)
            let ledger = try await Ledger.open(directory: directory)
            let numbers = Mutex<[[UInt8]: Int64]>([:])
            let dying = NotingBackend { parcel in
                let body = parcel.body().array
                let id = numbers.withLock {
                    let id = Int64($0.count + 1)
                    $0[body] = id
                    return id
                }
                _ = await parcel.remember?(Receipt(channel: "c", id: id))
                if id == 2 { _ = await parcel.remember?(nil) }
                let kept = (try? await ledger.batchesInFlight(target: "t")) ?? []
                #expect(kept.contains { $0.receipt?.id == id } == (id != 2))
                return await never(parcel)
            }
            let first = try await Self.worker(.splunk, ledger, dying, records: 4)
            await Self.feed(input, first, &rng)
            await Self.wait(first, for: "three requests") { numbers.withLock { $0.count } == 3 }
            while try await Set(ledger.batchesInFlight(target: "t").compactMap { $0.receipt?.id }) != [1, 3] {
                await first.waitForProgress(milliseconds: 10)
            }
            await first.stop()

            let handed = Mutex<[[UInt8]: Receipt?]>([:])
            let living = NotingBackend { parcel in
                handed.withLock { $0[parcel.body().array] = parcel.receipt }
                return DeliveryAnswer(.delivered(slowDown: false))
            }
            let second = try await Self.worker(.splunk, ledger, living, records: 4)
            await Self.feed(input, second, &rng)
            await Self.waitUntilIdle(second)
            for (body, id) in numbers.withLock({ $0 }) {
                let expected = id == 2 ? nil : Receipt(channel: "c", id: id)
                #expect(handed.withLock { $0[body] } == .some(expected))
            }
            #expect(try await ledger.batchesInFlight(target: "t") == [])
            await second.stop()
            try await ledger.close()
        }
    }

    /// The others pay nothing.
    @Test func receiversThatRecogniseNothingCostNoCommit() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let backend = NotingBackend(answer: never)
            var rng = PRNG(seed: 3)
            let worker = try await Self.worker(.elasticsearch, ledger, backend)
            await Self.feed(TestInput(records: 10, rng: &rng), worker, &rng)
            await Self.wait(worker, for: "a request") { !backend.received.isEmpty }
            #expect(try await ledger.batchesInFlight(target: "t") == [])
            await worker.stop()
            try await ledger.close()
        }
    }

    /// What is not written down does not leave, and the target is not to blame: it is no attempt, opens no breaker, and
    /// brings nothing nearer to the dead letters, even where the first failed attempt would be the last.
    @Test func nothingLeavesWithoutTheLedger() async throws {
        try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let backend = NotingBackend { _ in DeliveryAnswer(.delivered(slowDown: false)) }
            var rng = PRNG(seed: 3)
            var target = target(.s3, records: 5)
            target.retry.windowMilliseconds = 0
            let sink = FullDisk(before: ledger)
            let plan = LanePlan(target: target, writer: lineWriter(target), backend: backend, inFlight: [])
            let worker = Worker([plan], settled: [[:]], parts: parts(sink))
            let gauge = worker.gauges[0]
            await Self.feed(TestInput(records: 3, rng: &rng), worker, &rng)
            await Self.wait(worker, for: "the ledger's refusal") { gauge.snapshot().lastFailure != nil }
            #expect(backend.received.isEmpty)
            #expect(gauge.snapshot().lastFailure?.code == "ledger")
            sink.hasRoom.store(true, ordering: .relaxed)
            await Self.waitUntilIdle(worker)
            let status = gauge.snapshot()
            #expect(status.delivered == 3 && status.dead == 0 && status.retries == 0 && backend.received.count == 1)
            #expect(status.delivery.openings == 0 && status.delivery.consecutiveFailures == 0)
            await worker.stop()
            try await ledger.close()
        }
    }
}

/// A ledger that takes nothing until there is room.
private final class FullDisk: LedgerSink {
    let hasRoom = Atomic<Bool>(false)
    private let ledger: Ledger

    init(before ledger: Ledger) { self.ledger = ledger }

    func commit(_ changes: [LedgerChange]) async throws(LedgerError) {
        guard hasRoom.load(ordering: .relaxed) else { throw LedgerError(.diskFull, "no room") }
        try await ledger.commit(changes)
    }
}
