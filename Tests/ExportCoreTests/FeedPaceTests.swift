import ExportCore
import Model
import Testing

/// Targets of different speed that are fed from one input, on a clock of the test's own: who is read for with whom, and what
/// that costs the fast ones.
@Suite struct FeedPaceTests {
    /// A target that settles a piece every so many microseconds, with room for some.
    private struct Lane {
        var perPiece: UInt64
        var queued = 0
        var sinceLast: UInt64 = 0
        var finishedAt: UInt64?
        static let room = 8

        mutating func pass(_ microseconds: UInt64) {
            sinceLast = queued == 0 ? 0 : sinceLast + microseconds
            while queued > 0, sinceLast >= perPiece {
                queued -= 1
                sinceLast -= perPiece
            }
        }
    }

    private struct Result {
        var readings = 0
        /// Microseconds until each had been fed everything.
        var ends: [UInt64] = []
    }

    /// Feeds `pieces` pieces, each of which takes `reading` microseconds to read for however many targets.
    ///
    /// - Parameter untilFirst: ends when the first target was fed everything.
    private static func feed(
        _ pieces: UInt64, reading: UInt64, speeds: [UInt64], isPatient: Bool = true, untilFirst: Bool = false
    ) -> Result {
        var lanes = speeds.map { Lane(perPiece: $0) }
        var schedule = FeedSchedule(starts: speeds.map { _ in ChunkRef(file: 0, offset: 0) })
        var patience = FeedPatience(saving: true)
        var result = Result(ends: speeds.map { _ in 0 })
        var now: UInt64 = 0
        func pass(_ microseconds: UInt64) {
            now += microseconds
            for lane in lanes.indices { lanes[lane].pass(microseconds) }
        }
        while now < 60_000_000, !lanes.indices.allSatisfy({ schedule.cursor(of: $0).offset == pieces }) {
            if untilFirst, result.ends[0] > 0 { break }
            let hasRoom = lanes.map { $0.queued < Lane.room }
            let exists = { (ref: ChunkRef) in ref.offset < pieces }
            let isShort = schedule.isParting(hasRoom: hasRoom, isAvailable: exists)
            let waits = patience.waits(isShort: isShort, now: Tick(nanoseconds: now * 1_000)) && isPatient
            guard let next = schedule.next(hasRoom: hasRoom, waits: waits, isAvailable: exists) else {
                pass(20)
                continue
            }
            pass(reading)
            patience.saved(nanoseconds: reading * 1_000 * UInt64(next.targets.count - 1))
            result.readings += 1
            schedule.advance(next.targets, to: ChunkRef(file: 0, offset: next.ref.offset + 1))
            for target in next.targets {
                lanes[target].queued += 1
                if schedule.cursor(of: target).offset == pieces { result.ends[target] = now }
            }
        }
        return result
    }

    /// Where reading takes most of the time, somewhat slower targets are kept along: apart, all three would be read for.
    @Test func targetsOfLikeSpeedStayTogether() {
        let together = Self.feed(5_000, reading: 300, speeds: [100, 420, 330])
        let apart = Self.feed(5_000, reading: 300, speeds: [100, 420, 330], isPatient: false)
        #expect(together.readings < 5_100, "\(together.readings) readings of 5000 pieces")
        #expect(apart.readings > 6_500, "\(apart.readings): without waiting they part")
        // And nobody is later for it than it would have been with all of the reading.
        #expect(together.ends[0] < 5_000 * 300 * 3)
        #expect((together.ends.max() ?? 0) <= (apart.ends.max() ?? 0))
    }

    /// One that is down or far slower costs the others no more than what reading with it saved until it was full.
    @Test(arguments: [5_000, 100_000_000] as [UInt64])
    func slowTargetIsLeftBehind(_ perPiece: UInt64) {
        let alone = Self.feed(5_000, reading: 300, speeds: [100])
        let both = Self.feed(5_000, reading: 300, speeds: [100, perPiece], untilFirst: true)
        // Some pieces fit into its queue, and each of them saved one reading. All others are read for it apart.
        let reread = UInt64(both.readings - 5_000) * 300
        let waited = both.ends[0] - min(both.ends[0], alone.ends[0] + reread)
        #expect(waited < 10_000 + alone.ends[0] / 20, "\(waited) us of \(both.ends[0])")
    }

    @Test func nothingIsWaitedBeforeSomethingWasSaved() {
        var patience = FeedPatience(saving: true)
        let waits = (0..<50 as Range<UInt64>).map {
            patience.waits(isShort: true, now: Tick(nanoseconds: $0 * 1_000_000))
        }
        #expect(!waits.contains(true))
    }

    /// What was saved may be waited, once, and half a second of it at the most.
    @Test(arguments: [(20, 20), (400, 400), (3_000, 500)] as [(UInt64, UInt64)])
    func whatWasSavedMayBeWaited(_ saved: UInt64, _ allowed: UInt64) {
        var patience = FeedPatience(saving: true)
        patience.saved(nanoseconds: saved * 1_000_000)
        var waited: UInt64 = 0
        var now = Tick(nanoseconds: 5)
        for _ in 0..<1_000 {
            guard patience.waits(isShort: true, now: now) else { break }
            waited += 1
            now = now.adding(milliseconds: 1)
        }
        #expect(waited == allowed)
    }
}
