import Model
import Protocol
import Testing

@testable import Coordinator
@testable import ExportCore

/// What is written when, and what counts as written.
@Suite struct WriteQueueTests {
    private func facts(_ keys: Range<UInt64>) -> StatusEntry {
        .facts(
            Dispatch.Facts(
                target: 0, kind: .delivered, reason: "", keys: keys.map { RecordKey(high: $0, low: 1) },
                lengths: keys.map { UInt32($0) }))
    }

    /// Keys that entries speak of; what is finished is a million and more.
    private func keys(_ entries: [StatusEntry]) -> [UInt64] {
        entries.flatMap { entry -> [UInt64] in
            switch entry {
            case .facts(let facts):
                #expect(facts.keys.map(\.high) == facts.lengths.map { UInt64($0) })
                return facts.keys.map(\.high)
            case .finished(let source): return [1_000_000 + source]
            }
        }
    }

    @Test func aJournalGetsAllAtOnce() {
        var queue = WriteQueue()
        queue.add([facts(0..<5_000), .finished(source: 1)], number: 1, most: .max)
        queue.add([facts(5_000..<9_000)], number: 2, most: .max)
        let all = queue.first(.max)
        #expect(all.count == 3 && queue.records == 9_001 && queue.through == 2)
        queue.add([facts(9_000..<9_001)], number: 3, most: .max)
        #expect(queue.wrote(all.count) == 2 && queue.records == 1 && !queue.isEmpty)
        #expect(queue.wrote(queue.first(.max).count) == 3 && queue.isEmpty && queue.records == 0)
    }

    /// A write counts when all of it is written, and no record is left out or told twice.
    @Test func aLongWriteIsDoneInParts() {
        var queue = WriteQueue()
        queue.add([facts(0..<250)], number: 1, most: 100)
        queue.add([facts(250..<260), .finished(source: 7)], number: 2, most: 100)
        queue.add([facts(260..<270)], number: 3, most: 100)
        var told: [[UInt64]] = []
        var numbers: [UInt64] = []
        while !queue.isEmpty {
            let part = queue.first(100)
            told.append(keys(part))
            numbers.append(queue.wrote(part.count))
        }
        #expect(told.map(\.count) == [100, 100, 71])
        #expect(told.flatMap { $0 } == Array(0..<260) + [1_000_007] + Array(260..<270))
        #expect(numbers == [0, 0, 3] && queue.records == 0)
    }

    /// As long as nothing can be written, nothing is exported: the backlog is as old as that at the least.
    @Test func whatIsStuckIsAged() {
        var queue = WriteQueue()
        queue.add([facts(0..<3)], number: 1, most: 100)
        let start = Tick(nanoseconds: 0)
        queue.isWriting = true
        queue.failed(now: start, pause: 500)
        queue.failed(now: start.adding(milliseconds: 700), pause: 500)
        #expect(queue.stuckSince == start && !queue.isWriting)
        #expect(queue.pausedUntil == start.adding(milliseconds: 1_200))
        let none = SourceBacklog(records: 0, oldestMilliseconds: nil)
        #expect(none.held(by: 9_000) == SourceBacklog(records: 1, oldestMilliseconds: 9_000))
        let old = SourceBacklog(records: 7, oldestMilliseconds: 20_000)
        #expect(old.held(by: 9_000) == old && old.held(by: nil) == old)
        _ = queue.wrote(1)
        #expect(queue.stuckSince == nil && queue.pausedUntil == nil)
    }

    @Test func oneEntryAtLeast() {
        var queue = WriteQueue()
        queue.add([facts(0..<10)], number: 4, most: .max)
        #expect(keys(queue.first(3)).count == 10)
        #expect(queue.wrote(1) == 4)
    }
}
