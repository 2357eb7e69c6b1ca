import ExportCore
import Glibc
import Model
import Protocol
import Testing

@testable import Coordinator

/// Sources that nobody can look at, and such as are gone.
@Suite struct UnreadSourceTests {
    private let targets = ["a"]

    /// What was told of a file that could not be read outlasts leaders and compaction; once it is read, it has a name.
    @Test func whatIsWrittenWithoutAFileIsFoundWhenItIsThere() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            let path = directory + "/results/f.ndjson"
            put(Array("{\"n\":1}\n{\"n\":2}\n".utf8), at: path)
            let stamp = try #require(ResultStamp(path: path))
            let source = try ResultFile(name: "f.ndjson", path: path, stamp: stamp) { _ in [] }.source
            let fence = try await store.lead("a", 1)
            _ = try await store.takeOver(fence: fence, targets: targets)
            try await store.write([facts(0, .delivered, source: source, [8..<9])], fence: fence)
            var known = try await store.takeOver(fence: fence, targets: targets)
            #expect(known.untold.isEmpty && known.sources[source]?.file == "")
            var short = SettledSources(targets: targets)
            for line in known.compacted(term: 1, isPresent: { _ in false }) { short.apply(line) }
            #expect(short.sources == known.sources)
            #expect(known.index.contains(8, of: source, target: 0) && !known.index.contains(0, of: source, target: 0))

            let results = store.results(settled: known, shardCount: 16)
            #expect(await results.readable() == nil, "before anybody looked")
            guard case .page(let page)? = try await results.next(hasRoom: [true]) else {
                Issue.record("no page")
                return
            }
            #expect(page.source == source && page.range == 0..<16)
            #expect(await results.readable() == ReadableSources(sources: [source], isComplete: true))
            try await store.write([facts(0, .delivered, source: source, [0..<8])], fence: fence)
            known = try await store.takeOver(fence: fence, targets: targets)
            #expect(known.sources[source]?.file == "f.ndjson" && known.sources[source]?.size == 16)
            await results.close()
            await store.close()
        }
    }

    /// The next leader knows the file from the journal, and cannot open it.
    @Test func aFileOfTheJournalHasItsNameThoughItCannotBeRead() async throws {
        try await withStoreDirectory { directory in
            let first = try FileClusterStore(directory: directory)
            first.names.set(7, file: "f.ndjson", size: 100)
            var fence = try await first.lead("a", 1)
            _ = try await first.takeOver(fence: fence, targets: targets)
            try await first.write([facts(0, .delivered, source: 7, [0..<10])], fence: fence)
            #expect(unsafe mkdir(directory + "/results/f.ndjson", 0o755) == 0)
            let next = try FileClusterStore(directory: directory)
            fence = try await next.lead("b", 2)
            let results = next.results(
                settled: try await next.takeOver(fence: fence, targets: targets), shardCount: 16)
            _ = try await results.next(hasRoom: [true])
            #expect(await results.readable() == ReadableSources(sources: [], isComplete: false))
            try await next.write([facts(0, .delivered, source: 7, [50..<51])], fence: fence)
            let text = String(decoding: contents(directory + "/status.log") ?? [], as: UTF8.self)
            #expect(text.split(separator: "\n").allSatisfy { $0.contains(#""file":"f.ndjson""#) })
            await results.close()
            await first.close()
            await next.close()
        }
    }

    /// Settled files that were removed are remembered for a while: they come back with a file system that was unmounted.
    @Test func ofSettledFilesThatAreGoneTheLastAreRemembered() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            for number in 0..<5 {
                put(Array("{\"n\":\(number)}\n".utf8), at: directory + "/results/\(number).ndjson")
            }
            let results = ResultDirectory(
                directory + "/results", settled: SettledSources(targets: targets), shardCount: 16, limits: Limits(),
                names: store.names, mostDeparted: 3)
            var sources: [UInt64] = []
            while let event = try await results.next(hasRoom: [true]) {
                if case .page(let page) = event { sources.append(page.source) }
            }
            for source in sources { await results.finished(source: source) }
            /// What comes until `isEnough`.
            func listen(_ isEnough: ([UInt64], [UInt64]) -> Bool) async throws -> (gone: [UInt64], read: [UInt64]) {
                var (gone, read): ([UInt64], [UInt64]) = ([], [])
                await until("enough came") {
                    while let event = try? await results.next(hasRoom: [true]) {
                        if case .gone(let source) = event { gone.append(source) }
                        if case .page(let page) = event { read.append(page.source) }
                    }
                    return isEnough(gone, read)
                }
                return (gone, read)
            }
            #expect(unsafe rename(directory + "/results/0.ndjson", directory + "/0") == 0)
            await until("it is noticed") {
                _ = try? await results.next(hasRoom: [true])
                return await results.departures == 1
            }
            for number in 1..<5 {
                #expect(unsafe rename(directory + "/results/\(number).ndjson", directory + "/\(number)") == 0)
            }
            let told = try await listen { gone, _ in gone.count == 2 }
            #expect(told.gone.contains(sources[0]) && told.read.isEmpty)
            for number in 0..<5 {
                #expect(unsafe rename(directory + "/\(number)", directory + "/results/\(number).ndjson") == 0)
            }
            let again = try await listen { _, read in read.count == 2 }
            #expect(Set(again.read) == Set(told.gone))
            await results.close()
            await store.close()
        }
    }
}
