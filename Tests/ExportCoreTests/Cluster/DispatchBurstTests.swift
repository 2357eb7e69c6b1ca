import Model
import Protocol
import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

/// When what was read goes to the workers: in few large frames, and never later than the feed rests.
@Suite struct DispatchBurstTests {
    private static let workerCount = 4
    private let now = Tick(nanoseconds: 0)

    /// Each worker has one shard.
    private func dispatch() -> Dispatch {
        var bounds = Dispatch.Bounds()
        bounds.windowBytes = 16_000
        bounds.frameBytes = 2_000
        var dispatch = Dispatch(
            term: 1, shardCount: Self.workerCount, targetCount: 1, index: SettledIndex(targetCount: 1), bounds: bounds)
        for number in 0..<Self.workerCount {
            dispatch.opened(WorkerID(UInt32(number)), windowBytes: 16_000)
            _ = dispatch.assigned([ShardGrant(shard: UInt16(number), epoch: 1)], to: WorkerID(UInt32(number)))
        }
        return dispatch
    }

    /// A page of five records of a hundred bytes, the shards in turn; the pages of a source follow one another.
    private func page(_ number: UInt64) -> FeedPage {
        let line = Array(repeating: UInt8(ascii: "x"), count: 99) + [0x0A]
        var page = FeedPage(
            targets: TargetMask(0), source: 7, range: number * 500..<(number + 1) * 500, sourceSize: 1_000_000,
            ageMilliseconds: 0, bytes: SealedBytes((0..<5).flatMap { _ in line }))
        for record in 0..<5 {
            page.append(
                position: number * 500 + UInt64(record * 100),
                shard: UInt16((Int(number) * 5 + record) % Self.workerCount), start: UInt32(record * 100), length: 100)
        }
        return page
    }

    private func frames(_ effects: [Dispatch.Effect]) -> [(worker: WorkerID, frame: RecordsFrame)] {
        effects.compactMap { effect in
            if case .send(let worker, let frame) = effect { (worker, frame) } else { nil }
        }
    }

    @Test func workersGetWhatWasReadInHalvesOfFramesAtLeast() {
        var dispatch = dispatch()
        for number in 0..<7 {
            #expect(frames(dispatch.take(page(UInt64(number)), now: now).effects).isEmpty)
        }
        // Half a frame for each of the four is there with the eighth page.
        let sent = frames(dispatch.take(page(7), now: now).effects)
        #expect(sent.map(\.worker.number).sorted() == [0, 1, 2, 3])
        #expect(sent.allSatisfy { $0.frame.keys.count == 10 })
        #expect(dispatch.flush().isEmpty)
    }

    /// No frame is cut a record after its end.
    @Test func aSingleWorkerGetsWholeFrames() {
        var dispatch = dispatch()
        for number in 1..<Self.workerCount { _ = dispatch.closed(WorkerID(UInt32(number))) }
        _ = dispatch.assigned((1..<4).map { ShardGrant(shard: $0, epoch: 2) }, to: WorkerID(0))
        #expect(frames(dispatch.take(page(0), now: now).effects).isEmpty)
        let sent = frames(dispatch.take(page(1), now: now).effects)
        #expect(sent.map(\.frame.keys.count) == [10])
    }

    @Test func whatIsLittleGoesWhenTheFeedRests() {
        var dispatch = dispatch()
        #expect(frames(dispatch.take(page(0), now: now).effects).isEmpty)
        let sent = frames(dispatch.flush())
        #expect(sent.reduce(0) { $0 + $1.frame.keys.count } == 5)
        #expect(dispatch.flush().isEmpty)
    }

    /// What no worker takes yet is not read: it would wait in memory. Without workers the window is what bounds it.
    @Test(arguments: [(4_000, 8), (6_000, 12), (100_000, 32), (0, 32)]) func noMoreIsReadThanWorkersTake(
        windowBytes: Int, pages: UInt64
    ) {
        var bounds = Dispatch.Bounds()
        (bounds.windowBytes, bounds.frameBytes) = (16_000, 2_000)
        var dispatch = Dispatch(
            term: 1, shardCount: Self.workerCount, targetCount: 1, index: SettledIndex(targetCount: 1), bounds: bounds)
        if windowBytes > 0 {
            dispatch.opened(WorkerID(0), windowBytes: windowBytes)
            _ = dispatch.assigned((0..<4).map { ShardGrant(shard: $0, epoch: 1) }, to: WorkerID(0))
        }
        var number: UInt64 = 0
        while dispatch.hasRoom[0] {
            #expect(dispatch.roomBytes == min(windowBytes == 0 ? 16_000 : windowBytes, 16_000) - Int(number) * 500)
            _ = dispatch.take(page(number), now: now)
            number += 1
        }
        #expect(number == pages)
    }

    /// Pages are asked for again only when there is room for several.
    @Test func aFullTargetReadsOnWhenAnEighthIsFree() {
        var dispatch = dispatch()
        var number: UInt64 = 0
        var sent: [(worker: WorkerID, frame: RecordsFrame)] = []
        while dispatch.hasRoom[0] {
            sent += frames(dispatch.take(page(number), now: now).effects)
            number += 1
        }
        sent += frames(dispatch.flush())
        #expect(number == 32)
        let keys = sent.flatMap { sent in sent.frame.keys.map { (key: $0, worker: sent.worker) } }
            .sorted { $0.key.low < $1.key.low }
        #expect(keys.count == 160)
        var free = 0
        for (row, told) in keys.enumerated() {
            _ = dispatch.outcomes(
                Outcomes(
                    row: UInt64(row + 1), term: 1, target: 0, kind: .delivered, reason: "", keys: [told.key],
                    grants: [ShardGrant(shard: UInt16(told.worker.number), epoch: 1)]), from: told.worker)
            free = (row + 1) / 5 * 500
            #expect(dispatch.hasRoom[0] == (free >= 2_000))
        }
        #expect(dispatch.recordsInHand == 0)
    }
}
