import ExportCore
import FoundationEssentials
import Ledger
import Model
import Synchronization
import Testing

@testable import Coordinator

/// How the loop spends its readings on targets, one of which has no room at times.
@Suite struct FeedLoopTests {
    /// Two targets, the second of which gets room back only while somebody waits for progress.
    private final class Sink: RecordSink {
        struct State {
            var taken: [(start: UInt64, targets: [Int])] = []
            var room = Sink.most
            /// The first target was given everything.
            var isOver = false
        }

        static let most = 3
        let state = Mutex(State())
        private let isDown: Bool

        init(isDown: Bool) { self.isDown = isDown }

        func hasRoom() -> [Bool] { state.withLock { [true, $0.room > 0] } }

        func take(_ chunk: Chunk, for targets: [Int]) async {
            // Reading takes its time, so it is worth waiting for not having to do it again.
            try? await Task.sleep(for: .milliseconds(10))
            state.withLock {
                $0.taken.append((chunk.start, targets))
                $0.isOver = $0.isOver || targets.contains(0) && chunk.isLast
                if targets.contains(1) { $0.room -= 1 }
            }
        }

        func closeBatches(force: Bool) async {}

        func waitForProgress(milliseconds: UInt64) async {
            let hasRoom = state.withLock { state in
                if !isDown || state.isOver { state.room = Self.most }
                return state.room > 0
            }
            if !hasRoom { try? await Task.sleep(for: .milliseconds(2)) }
        }
    }

    private func feed(_ sink: Sink) async throws -> [(start: UInt64, targets: [Int])] {
        let directory = FileManager.default.temporaryDirectory.path() + "sidereal-feed-\(UUID())"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/in.ndjson"
        try Data((0..<400).flatMap { "a line of the input, number \($0)\n".utf8 }).write(to: URL(filePath: path))
        let ledger = try await Ledger.open(directory: directory + "/state")
        let catalog = try await InputCatalog.open([path], ledger: ledger)
        try await ledger.close()
        var limits = Limits()
        limits.chunkBytes = 1_000
        let reader = InputReader(catalog: catalog, limits: limits)
        let loop = FeedLoop(reader: reader, fileCount: 1, sink: sink, stop: StopSignal())
        let start = ChunkRef(file: 0, offset: 0)
        #expect(try await loop.run(from: [start, start]) == .complete)
        await reader.close()
        return sink.state.withLock { $0.taken }
    }

    @Test func shortPausesDoNotPartTargets() async throws {
        let taken = try await feed(Sink(isDown: false))
        #expect(taken.count > 10)
        #expect(taken.allSatisfy { $0.targets == [0, 1] }, "\(taken.map(\.targets))")
    }

    @Test func targetThatIsDownIsLeftBehindAndReadsForItself() async throws {
        let taken = try await feed(Sink(isDown: true))
        let first = taken.filter { $0.targets.contains(0) }.map(\.start)
        let second = taken.filter { $0.targets.contains(1) }.map(\.start)
        #expect(first == second && first == first.sorted(), "each gets every piece once, in order")
        #expect(taken.prefix(Sink.most).allSatisfy { $0.targets == [0, 1] })
        #expect(taken.dropFirst(Sink.most).prefix(first.count - Sink.most).allSatisfy { $0.targets == [0] })
    }
}
