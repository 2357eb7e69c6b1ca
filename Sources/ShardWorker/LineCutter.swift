import Glibc

/// Cuts text into lines: LF ends one, a CR before it goes with it, a last line needs no end.
public struct LineCutter: Sendable {
    private var at: Int
    private let end: Int

    /// Lines of `bytes[range]`.
    public init(_ range: Range<Int>) {
        at = range.lowerBound
        end = range.upperBound
    }

    /// The next line with its end (`whole`) and without (`text`); nil at the end.
    public mutating func next(_ bytes: Span<UInt8>) -> (whole: Range<Int>, text: Range<Int>)? {
        guard at < end else { return nil }
        let start = at
        let found = unsafe bytes.withUnsafeBufferPointer { buffer -> Int? in
            guard let base = buffer.baseAddress,
                let hit = unsafe memchr(base + start, 0x0A, end - start)
            else { return nil }
            return unsafe UnsafeRawPointer(base).distance(to: UnsafeRawPointer(hit))
        }
        let stop = found ?? end
        at = found.map { $0 + 1 } ?? end
        let textEnd = stop > start && bytes[stop - 1] == 0x0D ? stop - 1 : stop
        return (start..<at, start..<textEnd)
    }

    /// Whether a line holds nothing but white space.
    public static func isBlank(_ bytes: Span<UInt8>, _ line: Range<Int>) -> Bool {
        for index in line where bytes[index] != 0x20 && bytes[index] != 0x09 { return false }
        return true
    }
}
