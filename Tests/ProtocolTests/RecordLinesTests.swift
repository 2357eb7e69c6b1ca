import Testing

@testable import Model
@_spi(NextRelease) @testable import Protocol

@Suite struct RecordLinesTests {
    private let page = SealedBytes(Array("one\ntwo\nthree\n".utf8))

    @Test func neighboursAreOnePieceAndNothingIsCopied() {
        var lines = RecordLines()
        lines.append(page, 0..<4)
        lines.append(page, 4..<8)
        let gathered = lines.gathered
        #expect(gathered.array == Array("one\ntwo\n".utf8))
        let isShared = unsafe gathered.withUnsafeBytes { part in
            unsafe page.withUnsafeBytes { unsafe part.baseAddress == $0.baseAddress }
        }
        #expect(isShared)
        lines.append(page, 8..<14)
        #expect(lines.gathered === page)
    }

    /// Records of several pages and with gaps: as a frame they are the same as from one place.
    @Test func aFrameIsGatheredFromSeveralPlaces() throws {
        let end = SealedBytes([0x0A])
        let other = SealedBytes(Array("four".utf8))
        var lines = RecordLines()
        lines.append(page, 8..<14)
        lines.append(page, 0..<4)
        lines.append(other, 0..<4)
        lines.append(end, 0..<1)
        let keys = (0..<3).map { RecordKey(high: 7, low: UInt64($0)) }
        let grants = Array(repeating: ShardGrant(shard: 1, epoch: 2), count: 3)
        let scattered = RecordsFrame(
            term: 1, targets: 1, keys: keys, grants: grants, lengths: [6, 4, 5], lines: lines)
        var whole = scattered
        whole.lines = RecordLines(SealedBytes(Array("three\none\nfour\n".utf8)))
        #expect(scattered == whole)
        var encoder = FrameEncoder()
        encoder.version = 1
        var a = ByteWriter()
        var b = ByteWriter()
        try encoder.encode(.records(scattered), into: &a)
        try encoder.encode(.records(whole), into: &b)
        let (first, second) = (a.seal(), b.seal())
        #expect(first.array == second.array)
        var decoder = FrameDecoder()
        decoder.version = 1
        #expect(try decoder.decode(first) == .records(whole))
        #expect(try decoder.decode(second.span) == .records(whole))
        whole.lines = RecordLines(SealedBytes(Array("three\none\nfive\n".utf8)))
        #expect(scattered != whole)
    }

    /// The bytes of a frame of its own, read in stretches that begin and end anywhere.
    private func bytes(_ frame: OutgoingFrame, _ rng: inout PRNG, _ sum: inout OutgoingFrame.Checksum) -> [UInt8] {
        var (found, at): ([UInt8], Int) = ([], 0)
        while at < frame.count {
            let end = at + 1 + Int(rng.below(UInt64(min(frame.count - at, 40_000))))
            unsafe frame.withStretches(of: at..<end, checksum: &sum) { unsafe found.append(contentsOf: $0) }
            at = end
        }
        return found
    }

    @Test(arguments: [ProtocolRelease.current, .next])
    func aFrameOfItsOwnHasTheSameBytes(_ release: ProtocolRelease) throws {
        var rng = PRNG(seed: 5)
        var maker = MessageMaker(seed: 6)
        var encoder = FrameEncoder(release: release)
        encoder.version = 1
        // Of the frame before, when one begins.
        var sum = OutgoingFrame.Checksum()
        for number in 0..<90 {
            var message = maker.next(MessageType.allCases[number % MessageType.allCases.count])
            if number % 3 == 0 {
                // A few pieces of several pages, long and short.
                var records = RecordsFrame(
                    term: 1, targets: 1, keys: [], grants: [], lengths: [], lines: RecordLines())
                for place in 0...number % 7 {
                    let page = SealedBytes((0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* (place + 3) >> 5) })
                    let start = place % 2 == 0 ? Int(rng.below(200)) : 70_000 - 1 - Int(rng.below(300))
                    records.keys.append(RecordKey(high: 1, low: UInt64(place)))
                    records.grants.append(ShardGrant(shard: UInt16(place), epoch: 1))
                    records.lengths.append(UInt32(page.count - start))
                    records.lines.append(page, start..<page.count)
                }
                message = .records(records)
            }
            if case .welcome = message { continue }
            var out = ByteWriter()
            try encoder.encode(message, into: &out)
            let frame = try encoder.frame(message)
            let whole = out.seal().array
            #expect(frame.count == whole.count && frame.announcedLength == whole.count - Frame.lengthBytes)
            #expect(bytes(frame, &rng, &sum) == whole)
        }
    }

    /// Queued frames are most of a coordinator's memory.
    @Test func aBufferOfTheFramesSizeDoesNotGrow() throws {
        var encoder = FrameEncoder()
        encoder.version = 1
        let frame = RecordsFrame(
            term: 1, targets: 1, keys: [RecordKey(high: 1, low: 1)], grants: [ShardGrant(shard: 1, epoch: 1)],
            lengths: [UInt32(page.count)], bytes: page)
        let size = Frame.recordsSize(count: 1, bytes: page.count)
        var out = ByteWriter(capacity: size)
        try encoder.encode(.records(frame), into: &out)
        #expect(out.count == size && out.capacity == size)
    }

    /// Lines that were decoded live on when the frame they came in is let go.
    @Test func linesOutliveTheirFrame() throws {
        var encoder = FrameEncoder()
        encoder.version = 1
        var out = ByteWriter()
        let frame = RecordsFrame(
            term: 1, targets: 1, keys: [RecordKey(high: 1, low: 1)], grants: [ShardGrant(shard: 1, epoch: 1)],
            lengths: [UInt32(page.count)], bytes: page)
        try encoder.encode(.records(frame), into: &out)
        var decoder = FrameDecoder()
        decoder.version = 1
        weak var whole: SealedBytes?
        var lines: SealedBytes?
        do {
            let sealed = out.seal()
            whole = sealed
            guard case .records(let decoded)? = try decoder.decode(sealed) else { throw ProtocolError.none }
            lines = decoded.bytes
        }
        #expect(whole != nil && lines?.array == page.array)
        lines = nil
        #expect(whole == nil)
    }
}

extension ProtocolError {
    fileprivate static let none = ProtocolError(.value, "records", "", at: 0, expected: "records", found: "another")
}
