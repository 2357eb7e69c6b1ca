import Backends
import ExportCore
import Ledger
import Model
import Synchronization
import Testing

@testable import ShardWorker

/// A backend hears what will be sent next while all permits are in use, so that it can be compressed meanwhile.
@Suite struct UpcomingTests {
    private struct Seen {
        var body: SealedBytes
        var upcoming: SealedBytes?
    }

    private static func seen(permits: Int) async throws -> [Seen] {
        let seen = Mutex<[Seen]>([])
        let isFed = Mutex(false)
        let backend = NotingBackend { parcel in
            // Nothing is answered before everything waits.
            while !isFed.withLock({ $0 }) { try? await Task.sleep(for: .milliseconds(1)) }
            seen.withLock { $0.append(Seen(body: parcel.body(), upcoming: parcel.upcoming)) }
            return DeliveryAnswer(.delivered(slowDown: false))
        }
        return try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            var target = target(.splunk, records: 4)
            (target.maxConcurrency, target.minConcurrency) = (permits, permits)
            let plan = LanePlan(target: target, writer: lineWriter(target), backend: backend)
            let worker = Worker([plan], settled: [[:]], parts: parts(ledger))
            var rng = PRNG(seed: 1)
            for chunk in TestInput(records: 20, rng: &rng).chunks(of: 1, from: 0, rng: &rng) {
                await worker.take(chunk, for: [0])
            }
            await worker.closeBatches(force: true)
            isFed.withLock { $0 = true }
            while !worker.gauges[0].snapshot().isIdle { await worker.waitForProgress(milliseconds: 10) }
            await worker.stop()
            try await ledger.close()
            return seen.withLock { $0 }
        }
    }

    @Test func theNextBatchIsTold() async throws {
        let seen = try await Self.seen(permits: 1)
        #expect(seen.count >= 5)
        for (one, next) in zip(seen.dropFirst(), seen.dropFirst(2)) { #expect(one.upcoming === next.body) }
        #expect(seen.last?.upcoming == nil)
    }

    @Test func nothingIsToldWhereThereArePermits() async throws {
        let seen = try await Self.seen(permits: 8)
        #expect(seen.count >= 5 && seen.allSatisfy { $0.upcoming == nil })
    }
}
