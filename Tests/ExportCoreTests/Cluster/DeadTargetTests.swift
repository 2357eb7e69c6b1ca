import Model
import Protocol
import Testing

@testable import ExportCore
@testable import ExportCoreWorlds

/// One target takes nothing for hours while the other takes everything: the leader's window and a worker's hands.
@Suite struct DeadTargetTests {
    private static let windowBytes = 64 << 10
    private static let recordsPerPage: UInt64 = 100
    private static let recordBytes: UInt64 = 32

    /// A leader's hand and one worker's, with the feed in front of them and the store behind.
    private struct Bench {
        static let (live, dead) = (0, 1)
        var dispatch: Dispatch
        var hands: WorkerHands
        let worker = WorkerID(0)
        let pages: UInt64
        /// For each target, the next page.
        var cursor: [UInt64] = [0, 0]
        var queue: [Dispatch.Effect] = []
        /// What the live target's lane was handed and has not settled.
        var carried: [Range<UInt64>] = []
        var accepted: UInt64 = 0
        var mostPages = 0
        var mostItems = 0
        var mostBytes = 0
        var mostRecords = 0

        init(pages: UInt64) {
            self.pages = pages
            var bounds = Dispatch.Bounds()
            bounds.windowBytes = DeadTargetTests.windowBytes
            bounds.frameBytes = 8 << 10
            dispatch = Dispatch(
                term: 1, shardCount: 4, targetCount: 2, index: SettledIndex(targetCount: 2), bounds: bounds)
            hands = WorkerHands(
                targetCount: 2, windowBytes: UInt64(DeadTargetTests.windowBytes / 4), rows: [], nextRow: 1)
            dispatch.opened(worker, windowBytes: DeadTargetTests.windowBytes / 4)
            _ = hands.begin(SessionID(1), term: 1, order: [0, 1])
            let grants = (0..<4).map { ShardGrant(shard: UInt16($0), epoch: 1) }
            hands.assign(term: 1, grants)
            queue = dispatch.assigned(grants, to: worker)
        }

        /// The next page of whichever targets have room and stand at the same place.
        mutating func read() -> Bool {
            let room = dispatch.hasRoom
            guard let next = (0..<2).filter({ room[$0] && cursor[$0] < pages }).map({ cursor[$0] }).max() else {
                return false
            }
            let targets = (0..<2).filter { room[$0] && cursor[$0] == next }
            let width = DeadTargetTests.recordsPerPage * DeadTargetTests.recordBytes
            var page = FeedPage(
                targets: TargetMask(bits: targets.reduce(0) { $0 | 1 << UInt32($1) }), source: 7,
                range: next * width..<(next + 1) * width, sourceSize: pages * width, ageMilliseconds: 0,
                bytes: Self.lines)
            for record in 0..<DeadTargetTests.recordsPerPage {
                let start = record * DeadTargetTests.recordBytes
                page.append(
                    position: next * width + start, shard: UInt16(record % 4), start: UInt32(start),
                    length: UInt32(DeadTargetTests.recordBytes))
            }
            for target in targets { cursor[target] += 1 }
            let (isTaken, effects) = dispatch.take(page, now: Tick(nanoseconds: 0))
            queue += effects
            return isTaken
        }

        private static let lines = SealedBytes(
            (0..<DeadTargetTests.recordsPerPage).flatMap { _ in
                [UInt8](repeating: 0x61, count: Int(DeadTargetTests.recordBytes) - 1) + [0x0A]
            })

        /// Carries out what waits, and has the live target accept all that it was handed.
        mutating func work() {
            while !queue.isEmpty || !carried.isEmpty {
                let effects = queue
                queue = []
                for effect in effects {
                    switch effect {
                    case .send(_, let frame):
                        guard let delivery = hands.take(frame) else { continue }
                        if delivery.targets.contains(where: { $0.target == Self.live }) {
                            carried.append(delivery.range)
                        }
                    case .write(let number, let facts):
                        accepted += UInt64(facts.reduce(0) { $0 + $1.keys.count })
                        queue += dispatch.written(through: number)
                    case .finished(_, let number): queue += dispatch.written(through: number)
                    case .settled(_, let row): _ = hands.settled(term: 1, through: row)
                    }
                }
                let rows = hands.settle(target: Self.live, carried, dead: [])
                carried = []
                for effect in hands.committed(rows.map(\.number)) {
                    guard case .send(.outcomes(let told)) = effect else { continue }
                    queue += dispatch.outcomes(told, from: worker)
                }
                mostPages = max(mostPages, dispatch.pages.indices.count)
                mostItems = max(mostItems, hands.items.count)
                mostBytes = max(mostBytes, dispatch.bytesInHand + hands.pieces.reduce(0) { $0 + $1.bytes.count })
                mostRecords = max(mostRecords, dispatch.recordsInHand)
            }
        }
    }

    @Test func allRecordsPassATargetThatTakesNone() {
        let pages: UInt64 = 3_000
        var bench = Bench(pages: pages)
        repeat { bench.work() } while bench.read()
        bench.work()
        let all = pages * Self.recordsPerPage
        #expect(bench.accepted == all)
        #expect(bench.dispatch.targets[Bench.live].delivered == all)
        #expect(bench.dispatch.targets[Bench.live].inHand == 0)
        // The dead target holds what its window allows, and only that.
        let window = Self.windowBytes + Int(Self.recordsPerPage * Self.recordBytes)
        #expect(bench.dispatch.targets[Bench.dead].windowBytes <= window)
        #expect(bench.dispatch.targets[Bench.dead].inHand == Int(bench.cursor[Bench.dead] * Self.recordsPerPage))
        let windowRecords = window / Int(Self.recordBytes)
        #expect(bench.mostRecords <= 2 * windowRecords)
        #expect(bench.mostBytes <= 4 * window)
        #expect(bench.mostPages <= 4 * windowRecords / Int(Self.recordsPerPage))
        #expect(bench.mostItems <= 2 * 4_096 + 2 * windowRecords)
        #expect(bench.hands.unsettledRows == 0)
        #expect(bench.hands.known.count <= windowRecords)
    }
}
