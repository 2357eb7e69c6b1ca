import ExportCore
import Glibc
import Model
import Protocol
import Testing

@testable import Coordinator

/// A worker delivered of a file that the next leader cannot read.
@Suite(.serialized) struct UnreadFileTests {
    @Test func whatIsToldOfItIsKeptAndHoldsUpNothing() async throws {
        try await withStoreDirectory { directory in
            let files = try FileClusterStore(directory: directory)
            let results = directory + "/results"
            put(Array("{\"n\":1}\n{\"n\":2}\n".utf8), at: results + "/a.ndjson")
            put(Array("{\"n\":3}\n".utf8), at: results + "/b.ndjson")
            let stamp = try #require(ResultStamp(path: results + "/a.ndjson"))
            let source = try ResultFile(name: "a.ndjson", path: results + "/a.ndjson", stamp: stamp) { _ in [] }.source
            // Where it was lies something that is no file.
            #expect(unsafe rename(results + "/a.ndjson", results + "/.a") == 0)
            #expect(unsafe mkdir(results + "/a.ndjson", 0o755) == 0)

            let store = MemoryStore()
            let leader = try await TestCoordinator("c0", store, debounce: 1_000) {
                files.results(settled: $0, shardCount: UInt16(TestCoordinator.shardCount))
            }
            await until("it leads") { await leader.role == .leader }
            let worker = try await ScriptedWorker("w0", port: leader.port, row: 1)
            await until("it is welcome") { worker.now.welcome != nil }
            let key = RecordKey(high: source, low: 0)
            try await worker.say(
                .outcomes(
                    Outcomes(
                        row: 1, term: 0, target: 0, kind: .delivered, reason: "", keys: [key],
                        grants: [ShardGrant(shard: 0, epoch: 1)])))
            await until("the other file is delivered") { worker.now.records == 1 }
            await until("the worker may forget both rows") { worker.now.settledThrough == 2 }
            #expect(await store.delivered[0]?.contains(key) == true)

            #expect(unsafe rmdir(results + "/a.ndjson") == 0)
            #expect(unsafe rename(results + "/.a", results + "/a.ndjson") == 0)
            await until("the rest of it is delivered") { worker.now.settledThrough == 3 }
            await until("it is finished") { await store.finished.contains(source) }
            #expect(worker.now.records == 2)
            #expect(await store.delivered[0]?.filter { $0.high == source }.sorted().map(\.low) == [0, 8])
            await worker.leave()
            await leader.stop()
            await files.close()
        }
    }
}
