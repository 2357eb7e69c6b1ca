import ExportCore
import Model
import Testing

@Suite struct FeedScheduleTests {
    /// An input of files that hold `pieces` pieces each; a piece's offset is its number.
    private struct Input {
        var pieces: [Int]

        func exists(_ ref: ChunkRef) -> Bool { ref.file < pieces.count && ref.offset < UInt64(pieces[ref.file]) }

        func after(_ ref: ChunkRef) -> ChunkRef {
            ref.offset + 1 < UInt64(pieces[ref.file])
                ? ChunkRef(file: ref.file, offset: ref.offset + 1) : ChunkRef(file: ref.file + 1, offset: 0)
        }

        var all: [ChunkRef] {
            pieces.indices.flatMap { file in
                (0..<UInt64(pieces[file])).map { ChunkRef(file: file, offset: $0) }
            }
        }
    }

    private static let beginning = ChunkRef(file: 0, offset: 0)

    @Test func everyTargetGetsEveryPieceOnceInOrder() {
        for seed in 0..<300 as Range<UInt64> {
            var rng = PRNG(seed: seed)
            let input = Input(pieces: (0..<1 + rng.below(4)).map { _ in 1 + Int(rng.below(6)) })
            let targets = 1 + Int(rng.below(4))
            let starts = (0..<targets).map { _ in input.all[Int(rng.below(UInt64(input.all.count)))] }
            var schedule = FeedSchedule(starts: starts)
            var got: [[ChunkRef]] = Array(repeating: [], count: targets)
            for _ in 0..<2_000 {
                let hasRoom = (0..<targets).map { _ in rng.below(3) > 0 }
                guard let next = schedule.next(hasRoom: hasRoom, isAvailable: input.exists) else { continue }
                #expect(!next.targets.isEmpty && next.targets.allSatisfy { hasRoom[$0] }, "seed \(seed)")
                for target in next.targets { got[target].append(next.ref) }
                schedule.advance(next.targets, to: input.after(next.ref))
            }
            for target in 0..<targets {
                #expect(got[target] == input.all.filter { $0 >= starts[target] }, "seed \(seed), target \(target)")
            }
            let after = schedule.next(hasRoom: Array(repeating: true, count: targets), isAvailable: input.exists)
            #expect(after == nil)
        }
    }

    @Test func targetsAtOnePlaceShareItsReading() {
        var schedule = FeedSchedule(starts: Array(repeating: Self.beginning, count: 3))
        let next = schedule.next(hasRoom: [true, true, true]) { _ in true }
        #expect(next?.ref == Self.beginning)
        #expect(next?.targets == [0, 1, 2])
    }

    @Test func targetWithoutRoomDelaysNobody() {
        let input = Input(pieces: [100])
        var schedule = FeedSchedule(starts: [Self.beginning, Self.beginning])
        for piece in 0..<100 as Range<UInt64> {
            let next = schedule.next(hasRoom: [false, true], isAvailable: input.exists)
            #expect(next?.ref == ChunkRef(file: 0, offset: piece))
            #expect(next?.targets == [1])
            schedule.advance([1], to: input.after(ChunkRef(file: 0, offset: piece)))
        }
        #expect(schedule.cursor(of: 0) == Self.beginning)
        let rooms = [[false, true], [true, true], [false, false]]
        let fed = rooms.map { schedule.next(hasRoom: $0, isAvailable: input.exists)?.targets }
        #expect(fed == [nil, [0], nil])
    }

    @Test func whoWaitsLeavesNobodyBehindAndDelaysNobodyElse() {
        let away = ChunkRef(file: 0, offset: 7)
        var schedule = FeedSchedule(starts: [Self.beginning, Self.beginning, away])
        let hasRoom = [true, false, true]
        #expect(schedule.isParting(hasRoom: hasRoom) { _ in true })
        #expect(!schedule.isParting(hasRoom: hasRoom) { $0 == away }, "nobody can go on there")
        for _ in 0..<3 {
            let next = schedule.next(hasRoom: hasRoom, waits: true) { _ in true }
            #expect(next?.ref == away)
            #expect(next?.targets == [2])
        }
        #expect(schedule.next(hasRoom: [true, false, false], waits: true, isAvailable: { _ in true }) == nil)
        #expect(schedule.next(hasRoom: [true, false, false], isAvailable: { _ in true })?.targets == [0])
        #expect(!schedule.isParting(hasRoom: [true, true, false]) { _ in true })
        let both = schedule.next(hasRoom: [true, true, false], waits: true) { _ in true }
        #expect(both?.targets == [0, 1])
    }

    @Test func cursorsThatMeetShareReadingsAgain() {
        let input = Input(pieces: [10])
        var schedule = FeedSchedule(starts: [ChunkRef(file: 0, offset: 0), ChunkRef(file: 0, offset: 4)])
        var readings = 0
        var hasRoom = [true, false]
        while let next = schedule.next(hasRoom: hasRoom, isAvailable: input.exists) {
            readings += 1
            schedule.advance(next.targets, to: input.after(next.ref))
            if schedule.cursor(of: 0) == schedule.cursor(of: 1) { hasRoom = [true, true] }
        }
        #expect(readings == 10)
        #expect(schedule.cursor(of: 0) == schedule.cursor(of: 1))
    }

    @Test func targetsWithRoomTakeTurns() {
        var schedule = FeedSchedule(starts: (0..<3).map { ChunkRef(file: $0, offset: 0) })
        var fed = [0, 0, 0]
        for _ in 0..<30 {
            guard let next = schedule.next(hasRoom: [true, true, true], isAvailable: { _ in true }) else { break }
            for target in next.targets { fed[target] += 1 }
            // Far apart, so that no two ever share a reading.
            schedule.advance(next.targets, to: ChunkRef(file: next.ref.file, offset: next.ref.offset + 1))
        }
        #expect(fed == [10, 10, 10])
    }

    /// A piece that does not exist yet for one target does not stop the others.
    @Test func missingPieceDelaysOnlyItsTarget() {
        var schedule = FeedSchedule(starts: [ChunkRef(file: 5, offset: 0), Self.beginning])
        let next = schedule.next(hasRoom: [true, true]) { $0.file == 0 }
        #expect(next?.targets == [1])
    }
}
