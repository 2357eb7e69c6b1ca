import Model
import Protocol
import Testing

@testable import PeerTransport

/// A frame with `count` bytes behind its length field, drawn from `seed`.
func frame(_ count: Int, seed: UInt64 = 1) -> SealedBytes {
    var writer = ByteWriter(capacity: count + 4)
    for shift in [24, 16, 8, 0] { writer.append(UInt8(truncatingIfNeeded: count >> shift)) }
    var rng = PRNG(seed: seed)
    // A prime number of bytes, repeated: quick to make, and no two pieces of a stream look alike.
    let pattern = (0..<min(count, 251)).map { _ in UInt8(truncatingIfNeeded: rng.next()) }
    while writer.count < count + 4 {
        writer.append(pattern.span.extracting(0..<min(pattern.count, count + 4 - writer.count)))
    }
    return writer.seal()
}

@Suite struct FrameCutterTests {
    private func feed(_ cutter: inout FrameCutter, _ bytes: ArraySlice<UInt8>) throws -> [[UInt8]] {
        var frames: [SealedBytes] = []
        try cutter.feed(Array(bytes).span, into: &frames)
        return frames.map(\.array)
    }

    @Test func everyCutGivesTheSameFrames() throws {
        let whole = [frame(0), frame(1), frame(5, seed: 3), frame(0), frame(300, seed: 4)].map(\.array)
        let stream = whole.flatMap(\.self)
        for first in 0...stream.count {
            for second in stride(from: first, through: stream.count, by: 7) {
                var cutter = FrameCutter(firstLength: 1_020, maxLength: 1_020)
                var found = try feed(&cutter, stream[..<first])
                found += try feed(&cutter, stream[first..<second])
                found += try feed(&cutter, stream[second...])
                #expect(found == whole)
                let isAtBoundary = cutter.isAtBoundary
                #expect(isAtBoundary)
            }
        }
    }

    @Test func byteByByte() throws {
        let whole = [frame(70), frame(0), frame(900)].map(\.array)
        var cutter = FrameCutter(firstLength: 1_020, maxLength: 1_020)
        var found: [[UInt8]] = []
        for byte in whole.flatMap(\.self) { found += try feed(&cutter, [byte]) }
        #expect(found == whole)
    }

    @Test func aLengthPastTheLimitIsRefusedAtOnce() throws {
        for (length, isFine) in [(1_020, true), (1_021, false), (16 << 20, false), (0xFFFF_FFFF, false)] {
            var cutter = FrameCutter(firstLength: 1_020, maxLength: 1_020)
            let prefix = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) }
            #expect(try feed(&cutter, prefix[..<3]).isEmpty)
            var refused: Int?
            do {
                #expect(try feed(&cutter, prefix[3...]).isEmpty)
            } catch let error as FrameCutter.TooLong {
                refused = error.length
            }
            #expect(refused == (isFine ? nil : length))
        }
    }

    @Test func theFirstFrameIsShort() throws {
        for (first, second, isFine) in [(10, 90, true), (11, 0, false), (10, 91, false)] {
            var cutter = FrameCutter(firstLength: 10, maxLength: 90)
            var frames: [SealedBytes] = []
            var isRefused = false
            do { try cutter.feed((frame(first).array + frame(second).array).span, into: &frames) } catch {
                isRefused = true
            }
            #expect(isRefused == !isFine)
            #expect(frames.count == (isFine ? 2 : first > 10 ? 0 : 1))
        }
    }

    /// A peer that announces the largest frame and sends little holds little.
    @Test func memoryGrowsWithWhatArrived() throws {
        var cutter = FrameCutter(firstLength: 16 << 20, maxLength: 16 << 20)
        let whole = frame((16 << 20) - 4).array
        #expect(try feed(&cutter, whole[..<4]).isEmpty)
        var reserved = cutter.reservedBytes
        #expect(reserved <= 64)
        var arrived = 4
        while arrived < whole.count {
            let next = min(arrived + 1 + arrived / 3, whole.count)
            let found = try feed(&cutter, whole[arrived..<next])
            arrived = next
            reserved = cutter.reservedBytes
            #expect(reserved <= 2 * arrived)
            if arrived == whole.count { #expect(found == [whole]) }
        }
        let isAtBoundary = cutter.isAtBoundary
        #expect(isAtBoundary)
        #expect(reserved == 0)
    }

    /// Against a cutter of another make, which knows the whole stream: the same frames, and the error at the same place.
    @Test func randomBytesInRandomPieces() {
        for seed in 1...3_000 as ClosedRange<UInt64> {
            var rng = PRNG(seed: seed)
            var stream: [UInt8] = []
            for _ in 0..<rng.next() % 12 {
                let length = Int(rng.next() % 40)
                // Small lengths mostly, so that streams get past the first frame.
                let announced = rng.next() % 20 == 0 ? Int(rng.next() % (1 << 32)) : length
                stream += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: announced >> $0) }
                stream += (0..<length).map { _ in UInt8(truncatingIfNeeded: rng.next()) }
            }
            let expected = reference(stream, limit: 64)
            var cutter = FrameCutter(firstLength: 60, maxLength: 60)
            var frames: [SealedBytes] = []
            var tooLong: Int?
            var at = 0
            while at < stream.count, tooLong == nil {
                let end = min(stream.count, at + 1 + Int(rng.next() % 17))
                do throws(FrameCutter.TooLong) {
                    if rng.next() % 3 == 0 {
                        try take(&cutter, stream[at..<end], into: &frames)
                    } else {
                        try cutter.feed(Array(stream[at..<end]).span, into: &frames)
                    }
                } catch {
                    tooLong = error.length
                }
                let reserved = cutter.reservedBytes
                #expect(reserved <= 64)
                at = end
            }
            #expect(frames.map(\.array) == expected.frames, "seed \(seed)")
            #expect(tooLong == expected.tooLong, "seed \(seed)")
        }
    }

    /// Has the cutter fetch what it wants until nothing is left.
    private func take(
        _ cutter: inout FrameCutter, _ bytes: ArraySlice<UInt8>, into frames: inout [SealedBytes]
    ) throws(FrameCutter.TooLong) {
        var rest = bytes
        while !rest.isEmpty {
            _ = try unsafe cutter.take(into: &frames) { room in
                let piece = rest.prefix(room.count)
                unsafe room.copyBytes(from: piece)
                rest = rest.dropFirst(piece.count)
                return piece.count
            }
        }
    }

    /// Nothing that is announced is allocated before it comes, but for 16 KiB.
    @Test func memoryForWhatIsFetchedGrowsWithIt() throws {
        var cutter = FrameCutter(firstLength: 16 << 20, maxLength: 16 << 20)
        var frames: [SealedBytes] = []
        for whole in [frame((16 << 20) - 4).array, frame(0).array] {
            try take(&cutter, whole[..<4], into: &frames)
            var arrived = 4
            while arrived < whole.count {
                let next = min(arrived + 20_000, whole.count)
                try take(&cutter, whole[arrived..<next], into: &frames)
                arrived = next
                let reserved = cutter.reservedBytes
                #expect(reserved <= max(2 * arrived, 4 + 16 << 10))
            }
            #expect(frames.map(\.array) == [whole])
            frames = []
        }
    }

    private func reference(_ stream: [UInt8], limit: Int) -> (frames: [[UInt8]], tooLong: Int?) {
        var rest = stream[...]
        var frames: [[UInt8]] = []
        while rest.count >= 4 {
            let length = rest.prefix(4).reduce(0) { $0 * 256 + Int($1) }
            if length + 4 > limit { return (frames, length) }
            guard rest.count >= 4 + length else { break }
            frames.append(Array(rest.prefix(4 + length)))
            rest = rest.dropFirst(4 + length)
        }
        return (frames, nil)
    }
}

@Suite struct OutboundLanesTests {
    private func takeAll(_ lanes: inout OutboundLanes, _ limit: Int) -> [UInt8] {
        var found: [UInt8] = []
        var checksum = OutgoingFrame.Checksum()
        for piece in lanes.take(limit) {
            unsafe piece.frame.withStretches(of: piece.range, checksum: &checksum) {
                unsafe found.append(contentsOf: $0)
            }
        }
        return found
    }

    @Test func urgentFramesOvertakeOnlyWhatHasNotBegun() {
        let (first, second, urgent) = (frame(100, seed: 2), frame(50, seed: 3), frame(10, seed: 4))
        var lanes = OutboundLanes()
        lanes.append(OutgoingFrame(first), isUrgent: false)
        lanes.append(OutgoingFrame(second), isUrgent: false)
        var sent = takeAll(&lanes, 30)
        #expect(sent == Array(first.array[..<30]))
        lanes.append(OutgoingFrame(urgent), isUrgent: true)
        while !lanes.isEmpty { sent += takeAll(&lanes, 30) }
        #expect(sent == first.array + urgent.array + second.array)
    }

    @Test func aFrameCountsUntilItsLastByte() {
        var lanes = OutboundLanes()
        lanes.append(OutgoingFrame(frame(100)), isUrgent: false)
        let cost = 104 + OutboundLanes.overhead
        #expect(lanes.queuedBytes == cost)
        #expect(!lanes.hasRoom(1, limit: cost))
        #expect(lanes.hasRoom(1, limit: cost + 1 + OutboundLanes.overhead))
        _ = lanes.take(103)
        #expect(lanes.queuedBytes == cost)
        _ = lanes.take(1)
        #expect(lanes.queuedBytes == 0)
        #expect(lanes.isEmpty)
        #expect(lanes.hasRoom(16 << 20, limit: 1))
    }

    /// A coordinator's frames hold whole pages of results: those that left must not, however few came after them.
    @Test func whatLeftIsNotKept() {
        var lanes = OutboundLanes()
        weak var taken: SealedBytes?
        weak var waiting: SealedBytes?
        do {
            let (first, second) = (frame(100, seed: 2), frame(100, seed: 3))
            (taken, waiting) = (first, second)
            lanes.append(OutgoingFrame(first), isUrgent: false)
            lanes.append(OutgoingFrame(second), isUrgent: false)
        }
        _ = lanes.take(104)
        #expect(taken == nil && waiting != nil)
        _ = lanes.take(104)
        #expect(waiting == nil && lanes.isEmpty)
    }

    @Test func manySmallFramesLeaveInOrderAndTogether() {
        var lanes = OutboundLanes()
        let frames = (0..<1_000).map { frame(3, seed: $0 + 1) }
        for next in frames { lanes.append(OutgoingFrame(next), isUrgent: false) }
        var sent: [UInt8] = []
        var takes = 0
        while !lanes.isEmpty {
            sent += takeAll(&lanes, 1_000)
            takes += 1
        }
        #expect(sent == frames.flatMap(\.array))
        #expect(takes == 7)
    }
}
