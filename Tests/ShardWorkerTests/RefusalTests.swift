import Backends
import ExportCore
import Ledger
import Model
import Synchronization
import Testing

@testable import ShardWorker

/// Records that no target gets to see: each is reported once, wherever targets begin to read.
@Suite struct RefusalTests {
    /// Lines of 100 bytes that are no records.
    private static func chunk(_ lines: Range<UInt64>) -> Chunk {
        let line = Array(repeating: UInt8(ascii: "x"), count: 99) + [0x0A]
        let bytes = lines.flatMap { _ in line }
        return Chunk(
            source: 1, start: lines.lowerBound * 100, end: lines.upperBound * 100, bytes: SealedBytes(bytes),
            isLast: false)
    }

    /// Feeds `reads` to two targets that have `settled` and returns the lines that were reported, in order.
    private static func reported(
        _ reads: [(lines: Range<UInt64>, target: Int)], settled: [PositionSet], isKept: Bool = true
    ) async throws -> (lines: [UInt64], settled: [UInt64]) {
        let found = Mutex<[UInt64]>([])
        return try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let plans = settled.map { _ in
                let target = target(.elasticsearch, records: 5)
                let backend = NotingBackend { _ in DeliveryAnswer(.delivered(slowDown: false)) }
                return LanePlan(target: target, writer: lineWriter(target), backend: backend)
            }
            let parts = parts(ledger) { records in
                found.withLock { $0 += records.map { $0.range.lowerBound / 100 } }
                return isKept
            }
            let worker = Worker(plans, settled: settled.map { [1: $0] }, parts: parts)
            for (lines, target) in reads { await worker.take(Self.chunk(lines), for: [target]) }
            await worker.closeBatches(force: true)
            while !worker.gauges.allSatisfy({ $0.snapshot().isIdle }) { await worker.waitForProgress(milliseconds: 10) }
            await worker.stop()
            try await ledger.close()
            return (found.withLock { $0 }, worker.gauges.map { $0.snapshot().settledInput })
        }
    }

    /// The first has what lies at the beginning and reads on; what it got there is refused of the second by now.
    @Test func whatATargetThatLagsReadsFirstIsReported() async throws {
        let found = try await Self.reported(
            [(10..<20, 0), (0..<10, 1), (10..<20, 1)], settled: [PositionSet([0..<1_000]), PositionSet()])
        #expect(found.lines == Array(10..<20) + Array(0..<10))
        #expect(found.settled == [1_000, 2_000])
    }

    /// As dead letters of several targets lie when they are tried again.
    @Test func eachTargetsOwnAreReportedInAnyOrder() async throws {
        let odd = PositionSet((0..<10 as Range<UInt64>).map { $0 * 200 + 100..<$0 * 200 + 200 })
        let even = PositionSet((0..<10 as Range<UInt64>).map { $0 * 200..<$0 * 200 + 100 })
        let found = try await Self.reported(
            [(10..<20, 0), (0..<10, 1), (0..<10, 0), (10..<20, 1)], settled: [odd, even])
        #expect(found.lines.sorted() == Array(0..<20))
    }

    @Test func whatIsReadAgainIsNotReportedAgain() async throws {
        let found = try await Self.reported(
            [(0..<7, 0), (7..<20, 0), (0..<13, 1), (13..<20, 1)], settled: [PositionSet(), PositionSet()])
        #expect(found.lines == Array(0..<20))
    }

    /// What could not be written down ends it: nothing around it is settled, and nothing more is taken.
    @Test func nothingIsSettledAroundWhatIsNotKept() async throws {
        let found = try await Self.reported(
            [(0..<10, 0), (10..<20, 0)], settled: [PositionSet(), PositionSet()], isKept: false)
        #expect(found.lines == Array(0..<10))
        #expect(found.settled == [0, 0])
    }
}
