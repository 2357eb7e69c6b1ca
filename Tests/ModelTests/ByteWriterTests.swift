import Model
import Testing

@Suite struct ByteWriterTests {
    @Test func startsEmptyAndGivesEmptyBytes() {
        let out = ByteWriter(capacity: 0)
        let (isEmpty, count) = (out.isEmpty, out.count)
        #expect(isEmpty && count == 0)
        let sealed = out.seal()
        #expect(sealed.count == 0)
        #expect(sealed.array == [])
        let spanCount = sealed.span.count
        #expect(spanCount == 0)
    }

    @Test func keepsEveryByteWhileItGrows() {
        var out = ByteWriter(capacity: 1)
        var wanted: [UInt8] = []
        for number in 0..<10_000 {
            let byte = UInt8(truncatingIfNeeded: number &* 31)
            out.append(byte)
            wanted.append(byte)
        }
        let count = out.count
        #expect(count == wanted.count)
        let bytesWritten = out.seal().array
        #expect(bytesWritten == wanted)
    }

    /// A scratch writer begins empty whatever its storage held, may grow, and is given out again; two at a time are two.
    @Test func scratchWritersAreEmptyAndTheirStorageIsKept() {
        var out = ByteWriter()
        out.append("before ")
        for length in [10, 100_000, 20] {
            var scratch = out.takeScratch()
            var second = out.takeScratch()
            let counts = (scratch.count, second.count)
            #expect(counts == (0, 0))
            for _ in 0..<length { scratch.append(0x41) }
            second.append("second")
            out.append(scratch.span, 0..<3)
            out.append(second.span)
            out.keep(scratch)
            out.keep(second)
            let spare = out.takeSpare()
            let isKept = spare != nil
            #expect(isKept)
            if let spare { out.keep(spare) }
        }
        let written = out.seal().array
        #expect(written == Array("before AAAsecondAAAsecondAAAsecond".utf8))
    }

    private static func isSame(_ span: Span<UInt8>, _ wanted: [UInt8]) -> Bool {
        for index in wanted.indices where span[index] != wanted[index] { return false }
        return span.count == wanted.count
    }

    /// Every way to append, in random order, against an array.
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func appendsLikeAnArray(seed: UInt64) {
        var rng = PRNG(seed: seed)
        var out = ByteWriter(capacity: 64)
        var wanted: [UInt8] = []
        for _ in 0..<3_000 {
            switch rng.below(8) {
            case 0:
                out.append(0x41)
                wanted.append(0x41)
            case 1:
                out.append("literal é")
                wanted += Array("literal é".utf8)
            case 2:
                let text = String(repeating: "ß", count: Int(rng.below(50)))
                out.append(string: text)
                wanted += Array(text.utf8)
            case 3:
                let number = rng.next() >> rng.below(64)
                out.append(decimal: number)
                wanted += Array("\(number)".utf8)
            case 4:
                let bytes = (0..<Int(rng.below(300))).map { UInt8(truncatingIfNeeded: $0) }
                let low = Int(rng.below(UInt64(bytes.count + 1)))
                let high = low + Int(rng.below(UInt64(bytes.count - low + 1)))
                out.append(bytes.span, low..<high)
                wanted += bytes[low..<high]
            case 5:
                let length = Int(rng.below(UInt64(wanted.count + 1)))
                let kept = max(length, wanted.count - 20)
                out.truncate(to: kept)
                wanted.removeLast(wanted.count - kept)
            case 6 where !wanted.isEmpty:
                let index = Int(rng.below(UInt64(wanted.count)))
                out.replace(at: index, with: 0x7E)
                wanted[index] = 0x7E
            default:
                let room = Int(rng.below(100)) + 1
                let used = Int(rng.below(UInt64(room + 1)))
                unsafe out.append(room: room) { buffer in
                    for index in 0..<used { unsafe buffer[index] = 0x2A }
                    return used
                }
                wanted += [UInt8](repeating: 0x2A, count: used)
            }
        }
        let count = out.count
        #expect(count == wanted.count)
        let isSame = Self.isSame(out.span, wanted)
        #expect(isSame)
        let bytesWritten = out.seal().array
        #expect(bytesWritten == wanted)
    }

    @Test(arguments: [0, 1, 9, 10, 99, 100, 999_999, .max - 1, .max] as [UInt64])
    func writesDecimals(number: UInt64) {
        var out = ByteWriter()
        out.append(decimal: number)
        let bytesWritten = out.seal().array
        #expect(String(decoding: bytesWritten, as: UTF8.self) == String(number))
    }

    /// One character is a literal too, and must not be taken for a Unicode scalar without a pointer.
    @Test func appendsLiteralsOfAnyLength() {
        var out = ByteWriter()
        out.append("")
        out.append("x")
        out.append("\u{1F6A8}")
        let bytesWritten = out.seal().array
        #expect(bytesWritten == Array("x\u{1F6A8}".utf8))
    }

    @Test func anErrorInsideTheRoomLeavesTheBytes() {
        struct Refused: Error {}
        var out = ByteWriter(capacity: 64)
        out.append("kept")
        var wasThrown = false
        do throws(Refused) {
            unsafe try out.append(room: 1_000) { _ throws(Refused) -> Int in throw Refused() }
        } catch {
            wasThrown = true
        }
        #expect(wasThrown)
        let bytesWritten = out.seal().array
        #expect(bytesWritten == Array("kept".utf8))
    }

    @Test func removeAllForgetsAndGoesOn() {
        var out = ByteWriter()
        out.append("first")
        out.removeAll()
        let isEmpty = out.isEmpty
        #expect(isEmpty)
        out.append("second")
        let bytesWritten = out.seal().array
        #expect(bytesWritten == Array("second".utf8))
    }

    @Test func sealedBytesAreSharedAndUnchanged() {
        let bytes = SealedBytes([1, 2, 3])
        let other = bytes
        #expect(other.array == [1, 2, 3])
        let count = bytes.span.count
        #expect(count == 3)
        let sum = unsafe bytes.withUnsafeBytes { buffer in
            var total = 0
            for index in 0..<buffer.count { total += Int(unsafe buffer[index]) }
            return total
        }
        #expect(sum == 6)
        #expect(SealedBytes([]).array == [])
    }
}
