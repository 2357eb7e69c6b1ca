import Compression
import Model
import Testing

@testable import Backends

/// A body is compressed once, beforehand or when it is sent, and never taken for another.
@Suite struct BodyCompressorTests {
    private static func body(_ number: Int) -> SealedBytes {
        SealedBytes(Array(String(repeating: "body \(number) ", count: 500).utf8))
    }

    @Test func whatWasPreparedIsUsedForThatBodyOnly() async throws {
        let compressor = BodyCompressor()
        let bodies = (0..<3).map(Self.body)
        await compressor.prepare(bodies[1])
        let first = try await compressor.compress(bodies[0])
        let second = try await compressor.compress(bodies[1])
        let again = try await compressor.compress(bodies[1])
        #expect(try Gzip.decompress(first.span, limit: 1 << 20) == bodies[0].array)
        #expect(try Gzip.decompress(second.span, limit: 1 << 20) == bodies[1].array)
        // Nothing is kept of it once it was used.
        #expect(again !== second && again.array == second.array)
    }

    @Test func preparingTwiceIsDoneOnceAndTheLastOneIsKept() async throws {
        let compressor = BodyCompressor()
        let bodies = (0..<2).map(Self.body)
        for body in [bodies[0], bodies[0], bodies[1]] { await compressor.prepare(body) }
        let counts = await compressor.count
        #expect(counts == 2)
        let found = try await compressor.compress(bodies[1])
        let packed = await compressor.count
        #expect(packed == 2)
        #expect(try Gzip.decompress(found.span, limit: 1 << 20) == bodies[1].array)
        let other = try await compressor.compress(bodies[0])
        #expect(try Gzip.decompress(other.span, limit: 1 << 20) == bodies[0].array)
    }
}
