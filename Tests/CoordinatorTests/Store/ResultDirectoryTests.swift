import ExportCore
import Formats
import Glibc
import Model
import Protocol
import Synthetic
import Testing

@testable import Coordinator

@Suite struct ResultDirectoryTests {
    private let targets = ["a", "b"]

    private var small: Limits {
        var limits = Limits()
        limits.chunkBytes = 4_096
        return limits
    }

    private func records(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = ProbeResultGenerator(seed: seed)
        var out = ByteWriter(capacity: count * 1_400)
        for _ in 0..<count {
            generator.next(into: &out)
            if out.span[out.count - 1] != 0x0A { out.append(0x0A) }
        }
        return out.span.array
    }

    /// A store with files in it.
    private func store(_ directory: String, _ files: [String: [UInt8]]) throws -> FileClusterStore {
        let store = try FileClusterStore(directory: directory)
        for (name, bytes) in files { put(bytes, at: "\(directory)/results/\(name)") }
        return store
    }

    private struct Told {
        /// For each target and source, positions in the order they came.
        var positions: [[UInt64: [UInt64]]]
        var pages: [FeedPage] = []
        var passed: [Int] = []
        var notes: [String] = []
    }

    /// Everything that comes until there is nothing more.
    private func drain(_ source: ResultDirectory, hasRoom: [Bool]? = nil) async throws -> Told {
        var told = Told(positions: Array(repeating: [:], count: targets.count))
        while let event = try await source.next(hasRoom: hasRoom ?? targets.map { _ in true }) {
            switch event {
            case .page(let page):
                told.pages.append(page)
                for target in targets.indices where page.targets.contains(target) {
                    told.positions[target][page.source, default: []] += page.records.map(\.position)
                }
            case .passed(let target): told.passed.append(target)
            case .settled, .looked, .gone: Issue.record("\(event); of files the journal knows")
            case .note(let text): told.notes.append(text)
            }
        }
        return told
    }

    private func lineStarts(_ bytes: [UInt8]) -> [UInt64] {
        [0] + bytes.indices.dropLast().filter { bytes[$0] == 0x0A }.map { UInt64($0) + 1 }
    }

    @Test func everyRecordOfEveryFileComesOnceToEachTarget() async throws {
        try await withStoreDirectory { directory in
            let files = [
                "2.ndjson": records(40, seed: 2), "1.ndjson": records(25, seed: 1), "3.ndjson": records(1, seed: 3),
            ]
            let store = try store(directory, files)
            put(records(3, seed: 9), at: directory + "/results/.hidden.ndjson")
            put(records(3, seed: 9), at: directory + "/results/other.txt")
            let source = store.results(settled: SettledSources(targets: targets), shardCount: 256, limits: small)
            let told = try await drain(source)
            #expect(told.passed.sorted() == [0, 1] && told.notes.isEmpty)
            for page in told.pages { #expect(page.targets.bits == 3) }
            let bySize = Dictionary(grouping: told.pages, by: \.source)
            #expect(bySize.count == 3)
            for (number, pages) in bySize {
                let name = try #require(store.names[number])
                let bytes = try #require(files[name.file])
                #expect(
                    told.positions[0][number] == lineStarts(bytes) && told.positions[1][number] == lineStarts(bytes))
                #expect(
                    pages.map(\.range).first?.lowerBound == 0 && pages.last?.range.upperBound == UInt64(bytes.count))
                #expect(zip(pages, pages.dropFirst()).allSatisfy { $0.range.upperBound == $1.range.lowerBound })
                #expect(pages.map(\.isLast) == pages.indices.map { $0 == pages.count - 1 })
                for page in pages { try check(page, bytes) }
            }
            // In the order of names.
            #expect(
                told.pages.map { store.names[$0.source]?.file ?? "" }
                    == told.pages.map { store.names[$0.source]?.file ?? "" }.sorted())
            // A file that comes later is found, and told to be passed again.
            put(records(5, seed: 4), at: directory + "/results/0.ndjson")
            try await Task.sleep(for: .milliseconds(250))
            let later = try await drain(source)
            #expect(later.pages.count > 0 && later.pages.allSatisfy { store.names[$0.source]?.file == "0.ndjson" })
            #expect(later.passed.sorted() == [0, 1])
            await source.close()
            await store.close()
        }
    }

    /// Several at a time are the same as one after the other: up to the bytes asked for, and news end a turn.
    @Test func severalPagesInOneTurn() async throws {
        try await withStoreDirectory { directory in
            let store = try store(directory, ["1.ndjson": records(40, seed: 1), "2.ndjson": records(9, seed: 2)])
            var ranges: [[Range<UInt64>]] = []
            for bytes in [0, 10_000] {
                let source = store.results(settled: SettledSources(targets: targets), shardCount: 256, limits: small)
                var (pages, passed, turns): ([FeedPage], Int, Int) = ([], 0, 0)
                while true {
                    let events = try await source.next(hasRoom: [true, true], bytes: max(1, bytes))
                    if events.isEmpty { break }
                    turns += 1
                    var sum = 0
                    for event in events {
                        #expect(sum < max(1, bytes))
                        switch event {
                        case .page(let page):
                            pages.append(page)
                            sum += page.bytes.count
                        case .passed:
                            passed += 1
                            sum = .max
                        case .settled, .looked, .gone, .note: Issue.record("\(event)")
                        }
                    }
                }
                #expect(passed == 2 && pages.count > 10)
                if bytes == 0 { #expect(turns == pages.count + 2) } else { #expect(turns <= pages.count / 2 + 2) }
                ranges.append(pages.map(\.range))
                await source.close()
            }
            #expect(ranges[0] == ranges[1])
            await store.close()
        }
    }

    /// Each record is where the page says, and in the shard that a reader of it would say.
    private func check(_ page: FeedPage, _ file: [UInt8]) throws {
        var reader = ProbeResultReader()
        for record in page.records {
            let start = Int(record.start)
            let end = start + Int(record.length)
            let at = Int(record.position)
            #expect(page.bytes.array[start..<end].elementsEqual(file[at..<at + end - start]))
            try reader.read(page.bytes.span, start..<end - 1)
            #expect(record.shard == reader.record.uidHash.shard(of: 256).number)
        }
    }

    @Test func linesThatAreNoRecordsHaveAPlaceAllTheSame() async throws {
        try await withStoreDirectory { directory in
            let text = Array("\n \t\r\n{\"x\":1}\r\n\nnot json\n{\"metadata\":{\"uid\":\"foobar\"}}".utf8)
            let store = try store(directory, ["a.ndjson": text, "b.ndjson": [], "c.ndjson": Array("\n\n".utf8)])
            let source = store.results(settled: SettledSources(targets: targets), shardCount: 256, limits: small)
            let told = try await drain(source)
            #expect(told.pages.count == 2)
            let page = try #require(told.pages.first)
            #expect(page.records.map(\.position) == [5, 15, 24] && page.range == 0..<UInt64(text.count))
            #expect(page.records.last?.shard == 153)
            let key = RecordKey(high: page.source, low: 5)
            #expect(page.records.first?.shard == ResultLines.keyHash(key).shard(of: 256).number)
            // The last line is given the end it lacks.
            #expect(page.bytes.count == text.count + 1 && page.records.last?.length == UInt32(text.count + 1 - 24))
            #expect(told.pages.last?.records.isEmpty == true && told.pages.last?.isLast == true)
            await source.close()
            await store.close()
        }
    }

    /// Pages are the same whoever reads them, whatever was settled before, and what is settled does not come again.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func whatIsSettledIsLeftOut(seed: UInt64) async throws {
        try await withStoreDirectory { directory in
            var rng = PRNG(seed: seed)
            let bytes = records(60, seed: seed + 1)
            let store = try store(directory, ["x.ndjson": bytes])
            let first = store.results(settled: SettledSources(targets: targets), shardCount: 16, limits: small)
            let whole = try await drain(first)
            let number = try #require(whole.pages.first?.source)
            let starts = lineStarts(bytes) + [UInt64(bytes.count)]
            var known = SettledSources(targets: targets)
            var settled: [Set<UInt64>] = [[], []]
            for target in 0..<2 {
                for _ in 0..<rng.below(4) {
                    let low = Int(rng.below(60))
                    let high = low + Int(rng.below(UInt64(61 - low)))
                    settled[target].formUnion(starts[low..<high])
                    known.apply(
                        StatusLine(
                            term: 1, file: "x.ndjson", source: number, size: UInt64(bytes.count),
                            body: .facts(target: targets[target], .delivered, [starts[low]..<starts[high]], reason: ""))
                    )
                }
            }
            let second = store.results(settled: known, shardCount: 16, limits: small)
            let told = try await drain(second)
            let ranges = Set(whole.pages.map(\.range))
            #expect(told.pages.allSatisfy { ranges.contains($0.range) })
            for target in 0..<2 {
                // Nothing that is needed is missing; a page of which all is settled does not come.
                let shown = told.positions[target][number] ?? []
                #expect(Set(shown).count == shown.count)
                #expect(Set(shown).union(settled[target]) == Set(starts.dropLast()))
                for page in told.pages where page.targets.contains(target) {
                    #expect(page.records.contains { !settled[target].contains($0.position) }, "seed \(seed)")
                }
            }
            #expect(told.passed.sorted() == [0, 1])
            let rest = await second.backlog()
            #expect(rest.allSatisfy { $0 == SourceBacklog(records: 0, oldestMilliseconds: nil) })
            await first.close()
            await second.close()
            await store.close()
        }
    }

    @Test func aTargetWithoutRoomDelaysNobody() async throws {
        try await withStoreDirectory { directory in
            let store = try store(directory, ["x.ndjson": records(60, seed: 1), "y.ndjson": records(10, seed: 2)])
            let source = store.results(settled: SettledSources(targets: targets), shardCount: 16, limits: small)
            let first = try await drain(source, hasRoom: [true, false])
            #expect(first.passed == [0] && first.positions[1].isEmpty)
            #expect(await source.inputs() == SourceInputs(begun: 2, waiting: 0))
            let waiting = await source.backlog()
            #expect(waiting[0].records == 0)
            #expect(waiting[1].oldestMilliseconds != nil && (50...90).contains(waiting[1].records))
            let second = try await drain(source)
            #expect(second.passed == [1] && second.positions[0].isEmpty)
            #expect(second.pages.map(\.range) == first.pages.map(\.range))
            #expect(second.positions[1] == first.positions[0])
            await source.close()
            await store.close()
        }
    }

    @Test func aFileThatCannotBeReadIsToldAndTheOthersGoOn() async throws {
        try await withStoreDirectory { directory in
            let store = try store(directory, ["a.ndjson": records(20, seed: 1), "b.ndjson": records(20, seed: 2)])
            let source = store.results(settled: SettledSources(targets: targets), shardCount: 16, limits: small)
            guard case .page? = try await source.next(hasRoom: [true, true]) else {
                Issue.record("no page")
                return
            }
            #expect(unsafe truncate(directory + "/results/a.ndjson", 5_000) == 0)
            let told = try await drain(source)
            #expect(told.notes.contains { $0.contains("a.ndjson became shorter") || $0.contains("a.ndjson changed") })
            let other = try #require(told.pages.first { store.names[$0.source]?.file == "b.ndjson" }).source
            #expect(told.positions[0][other]?.count == 20 && told.positions[1][other]?.count == 20)
            // What is left in it is not delivered, so nobody was shown everything; unless it was seen to be another file.
            let isAnother = told.notes.contains { $0.contains("changed") }
            #expect(told.passed.sorted() == (isAnother ? [0, 1] : []))
            #expect(await source.inputs().unread == (isAnother ? 0 : 1))
            await source.close()
            await store.close()
        }
    }

    @Test func aFileThatWasRemovedTooEarlyIsTold() async throws {
        try await withStoreDirectory { directory in
            let store = try store(directory, ["a.ndjson": records(20, seed: 1), "b.ndjson": records(20, seed: 2)])
            let source = store.results(settled: SettledSources(targets: targets), shardCount: 16, limits: small)
            _ = try await source.next(hasRoom: [true, true])
            #expect(await source.inputs() == SourceInputs(begun: 1, waiting: 1))
            #expect(unsafe unlink(directory + "/results/b.ndjson") == 0)
            try await Task.sleep(for: .milliseconds(250))
            let told = try await drain(source)
            #expect(told.notes.count == 1 && told.notes[0].contains("b.ndjson was removed"), "\(told.notes)")
            #expect(told.positions[0].count == 1 && told.passed.sorted() == [0, 1])
            #expect(await source.backlog().allSatisfy { $0.records == 0 })
            await source.close()
            await store.close()
        }
    }

    /// Ten thousand files that are settled one after the other leave nothing behind.
    @Test func finishedFilesAreForgotten() async throws {
        try await withStoreDirectory { directory in
            let store = try FileClusterStore(directory: directory)
            for number in 0..<10_000 {
                put(Array("{\"n\":\(number)}\n".utf8), at: directory + "/results/\(number).ndjson")
            }
            let fence = try await store.lead("a", 1)
            let known = try await store.takeOver(fence: fence, targets: targets)
            let source = store.results(settled: known, shardCount: 16, limits: Limits())
            let told = try await drain(source)
            #expect(told.pages.count == 10_000 && told.passed.sorted() == [0, 1])
            try await store.write(told.pages.map { .finished(source: $0.source) }, fence: fence)
            for page in told.pages { await source.finished(source: page.source) }
            #expect(await source.held == 0)
            let again = store.results(
                settled: try await store.takeOver(fence: fence, targets: targets), shardCount: 16, limits: Limits())
            let rest = try await drain(again)
            #expect(rest.pages.isEmpty && rest.passed.sorted() == [0, 1])
            #expect(await again.held == 0)
            await source.close()
            await again.close()
            await store.close()
        }
    }
}

extension ResultDirectory {
    /// One thing at a time.
    func next(hasRoom: [Bool]) throws(StoreError) -> ResultEvent? { try next(hasRoom: hasRoom, bytes: 1).first }
}
