import Compression
import Model
import Testing

@Suite struct GzipTests {
    static func random(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = PRNG(seed: seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    }

    static func text(_ lines: Int) -> [UInt8] {
        var generator = PRNG(seed: 7)
        var text = ""
        for line in 0..<lines {
            text += "{\"probe\":{\"id\":\"\(generator.next())\",\"profile\":\"rbac\"},\"line\":\(line)}\n"
        }
        return Array(text.utf8)
    }

    @Test(arguments: [0, 1, 2, 65_535, 65_536, 1_000_003])
    func randomBytesComeBack(count: Int) throws {
        let bytes = Self.random(count, seed: UInt64(count))
        let packed = try Gzip.compress(bytes.span)
        #expect(try Gzip.decompress(packed.span, limit: count) == bytes)
        #expect(packed.count <= count + count / 1000 + 64)
    }

    @Test func textShrinksAndTheGzipProgramReadsIt() async throws {
        let bytes = Self.text(20_000)
        let packed = try Gzip.compress(bytes.span)
        #expect(packed.count < bytes.count / 3)
        let program = try await Program.run(["gzip", "-dc"], input: packed.array)
        #expect(program.status == 0)
        #expect(program.output == bytes)
    }

    @Test(arguments: ["-1", "-9"]) func readsWhatTheGzipProgramWrote(level: String) async throws {
        let bytes = Self.text(5_000) + Self.random(10_000, seed: 3)
        let program = try await Program.run(["gzip", level, "-c"], input: bytes)
        #expect(try Gzip.decompress(program.output.span, limit: bytes.count) == bytes)
    }

    @Test func headerCarriesNeitherTimeNorName() throws {
        let packed = try Gzip.compress(Self.text(1).span).array
        #expect(Array(packed[0..<10]) == [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])
    }

    @Test func sameBytesSameResultWhateverTheRoomAndTheHistory() throws {
        let bytes = Self.text(30_000) + Self.random(100_000, seed: 9)
        var compressor = try Gzip.Compressor()
        let first = try compressor.compress(bytes.span).array
        _ = try compressor.compress(Self.random(50_000, seed: 1).span)
        for expecting in [0, 1024, 70_001, bytes.count * 2] {
            #expect(try compressor.compress(bytes.span, expecting: expecting).array == first)
        }
        #expect(try Gzip.compress(bytes.span).array == first)
    }

    @Test func membersOneAfterAnotherAreOneStream() throws {
        let first = Self.text(500)
        let third = Self.random(70_000, seed: 5)
        let packed =
            try Gzip.compress(first.span).array + Gzip.compress([UInt8]().span).array
            + Gzip.compress(third.span).array
        #expect(try Gzip.decompress(packed.span, limit: 1 << 20) == first + third)
    }

    @Test func limitIsExact() throws {
        let bytes = [UInt8](repeating: 65, count: 1_000_000)
        let packed = try Gzip.compress(bytes.span)
        #expect(try Gzip.decompress(packed.span, limit: bytes.count).count == bytes.count)
        #expect(try Gzip.decompress(packed.span, limit: .max).count == bytes.count)
        let failure = #expect(throws: CompressionError.self) {
            try Gzip.decompress(packed.span, limit: bytes.count - 1)
        }
        #expect(failure?.kind == .overLimit(bytes.count - 1))
    }

    @Test func everyCutIsTruncated() throws {
        let packed = try Gzip.compress(Self.text(3).span).array
        for length in 0..<packed.count {
            let cut = Array(packed[0..<length])
            let failure = #expect(throws: CompressionError.self) { try Gzip.decompress(cut.span, limit: 1 << 20) }
            #expect(failure?.kind == .truncated, "cut to \(length) of \(packed.count) bytes")
        }
    }

    @Test func damageNeverChangesWhatComesOut() throws {
        let bytes = Self.text(3)
        let packed = try Gzip.compress(bytes.span).array
        var noticed = 0
        for index in 10..<packed.count {
            var damaged = packed
            damaged[index] ^= 0x10
            do {
                // Only the padding behind the last block may change without harm.
                #expect(try Gzip.decompress(damaged.span, limit: 1 << 20) == bytes, "byte \(index)")
                #expect(index == packed.count - 9)
            } catch {
                noticed += 1
            }
        }
        #expect(noticed >= packed.count - 11)
    }

    @Test func bytesBehindTheLastMemberAreRefused() throws {
        let packed = try Gzip.compress(Self.text(3).span).array + Array("garbage behind the end".utf8)
        #expect(throws: CompressionError.self) { try Gzip.decompress(packed.span, limit: 1 << 20) }
    }

    @Test func piecesAreBoundedAndGiveTheWhole() throws {
        let bytes = Self.text(20_000)
        let packed = try Gzip.compress(bytes.span)
        var decompressor = try Gzip.Decompressor()
        var joined: [UInt8] = []
        var longest = 0
        try decompressor.forEachPiece(of: packed.span, limit: bytes.count) { piece in
            longest = max(longest, piece.count)
            for index in piece.indices { joined.append(piece[index]) }
        }
        #expect(joined == bytes)
        #expect((1...256 << 10).contains(longest))
    }

    @Test func decompressorStartsAfreshAfterAnError() throws {
        var decompressor = try Gzip.Decompressor()
        let bytes = Self.text(100)
        let packed = try Gzip.compress(bytes.span).array
        let cut = Array(packed.dropLast(9))
        var failed = false
        do { _ = try decompressor.decompress(cut.span, limit: 1 << 20) } catch { failed = error.kind == .truncated }
        #expect(failed)
        #expect(try decompressor.decompress(packed.span, limit: 1 << 20) == bytes)
    }
}
