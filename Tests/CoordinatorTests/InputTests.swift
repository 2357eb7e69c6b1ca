import ExportCore
import FoundationEssentials
import Glibc
import Ledger
import Model
import Testing
import Threading

@testable import Coordinator

@Suite struct InputTests {
    @Test(arguments: [64, 100, 4096, 1 << 20])
    func chunksAreWholeLinesAndCoverTheInput(_ chunkBytes: Int) async throws {
        try await withDirectory { directory in
            let text = lines(count: 500, seed: UInt64(chunkBytes)) + Array("no end".utf8)
            let reader = try await openReader(directory, text, chunkBytes: chunkBytes)
            var offset: UInt64 = 0
            var borders: Set<UInt64> = []
            var read: [UInt8] = []
            while true {
                let chunk = try #require(try await reader.read(ChunkRef(file: 0, offset: offset)))
                #expect(chunk.start == offset && !chunk.isCut)
                read += chunk.bytes.array
                borders.insert(chunk.end)
                if chunk.isLast { break }
                #expect(chunk.bytes.array.last == 0x0A)
                offset = chunk.end
            }
            #expect(read == text)
            // From any line on, the next border is one that every reader comes to.
            for start in lineStarts(text).dropLast() {
                let chunk = try #require(try await reader.read(ChunkRef(file: 0, offset: start)))
                #expect(borders.contains(chunk.end), "from \(start)")
            }
            await reader.close()
        }
    }

    @Test func anOverlongLineIsPassedOverNotKept() async throws {
        try await withDirectory { directory in
            let long = [UInt8](repeating: 0x78, count: 100_000)
            let text = Array("first\n".utf8) + long + Array("\nlast\n".utf8)
            var limits = Limits()
            limits.maxRecordBytes = 1_000
            limits.chunkBytes = 256
            let reader = try await openReader(directory, text, limits: limits)
            let chunk = try #require(try await reader.read(ChunkRef(file: 0, offset: 0)))
            #expect(chunk.isCut && chunk.end == 6 + 100_001)
            #expect(chunk.bytes.count < 20_000)
            #expect(chunk.bytes.count > 6 + 1_000)
            let next = try #require(try await reader.read(ChunkRef(file: 0, offset: chunk.end)))
            #expect(next.isLast && next.bytes.array == Array("last\n".utf8))
            #expect(await reader.place(source: chunk.source, offset: chunk.end).hasSuffix(":3"))
            await reader.close()
        }
    }

    @Test func aFileThatGrewGoesOnAndOneThatWasReplacedStartsAnew() async throws {
        try await withDirectory { directory in
            let ledger = try await Ledger.open(directory: directory + "/state")
            let path = directory + "/in.ndjson"
            try write(Array("one\n".utf8), path)
            let first = try await InputCatalog.open([path], ledger: ledger).entries[0].source
            try write(Array("one\ntwo\n".utf8), path)
            #expect(try await InputCatalog.open([path], ledger: ledger).entries[0].source == first)
            try write(Array("other\n".utf8), path)
            #expect(try await InputCatalog.open([path], ledger: ledger).entries[0].source != first)
            #expect(try await InputCatalog.open([path], ledger: ledger, knownByPath: true).entries[0].source != first)
            try await ledger.close()
        }
    }

    @Test(arguments: [1, 7, 4096])
    func aPipeBecomesSegmentsThatEndWithARecord(_ piece: Int) async throws {
        try await withDirectory { directory in
            let text = lines(count: 2_000, seed: 9)
            let maxBytes = 20_000
            var ends: [Int32] = [0, 0]
            #expect(unsafe pipe(&ends) == 0)
            let (input, output) = (ends[0], ends[1])
            // Writing into a full pipe blocks, which has no place on the pool's threads.
            let feeding = SystemThread.start {
                var sent = 0
                while sent < text.count {
                    let part = Array(text[sent..<min(sent + piece * 97, text.count)])
                    let count = unsafe Glibc.write(output, part, part.count)
                    guard count > 0 else { break }
                    sent += count
                }
                close(output)
            }
            var read: [UInt8] = []
            var hasMore = true
            while hasMore {
                let spool = try StdinSpool.start(state: directory, input: input, maxBytes: UInt64(maxBytes))
                while !spool.progress.isFinal { try await Task.sleep(for: .milliseconds(2)) }
                let bytes = try Array(Data(contentsOf: URL(filePath: spool.path)))
                #expect(spool.progress.failure == nil && bytes.count == Int(spool.progress.written))
                hasMore = spool.progress.hasMore
                // One read of 64 KiB may come before the bound is looked at, and one record after.
                #expect(bytes.count <= maxBytes + (64 << 10) + 300)
                if hasMore { #expect(bytes.last == 0x0A) }
                read += bytes
                StdinSpool.remove(spool.path)
                // Names have milliseconds.
                try await Task.sleep(for: .milliseconds(2))
            }
            pthread_join(try feeding.get(), nil)
            close(input)
            #expect(read == text)
        }
    }

    private func lines(count: Int, seed: UInt64) -> [UInt8] {
        var rng = PRNG(seed: seed)
        var text: [UInt8] = []
        for _ in 0..<count {
            text += [UInt8](repeating: UInt8(97 + rng.below(26)), count: Int(rng.below(200)))
            text.append(0x0A)
        }
        return text
    }

    private func lineStarts(_ text: [UInt8]) -> [UInt64] {
        [0] + text.indices.filter { text[$0] == 0x0A }.map { UInt64($0 + 1) }
    }

    private func openReader(_ directory: String, _ text: [UInt8], chunkBytes: Int) async throws -> InputReader {
        var limits = Limits()
        limits.chunkBytes = chunkBytes
        return try await openReader(directory, text, limits: limits)
    }

    private func openReader(_ directory: String, _ text: [UInt8], limits: Limits) async throws -> InputReader {
        let path = directory + "/in.ndjson"
        try write(text, path)
        let ledger = try await Ledger.open(directory: directory + "/state")
        let catalog = try await InputCatalog.open([path], ledger: ledger)
        try await ledger.close()
        return InputReader(catalog: catalog, limits: limits)
    }

    private func write(_ bytes: [UInt8], _ path: String) throws {
        try Data(bytes).write(to: URL(filePath: path))
    }

    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.path() + "sidereal-input-\(UUID())"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await body(directory)
    }
}
