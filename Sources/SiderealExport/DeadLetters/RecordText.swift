/// A record's bytes for people's eyes.
enum RecordText {
    /// Past this depth lines are not indented further, or a megabyte of brackets would become a terabyte of blanks.
    private static let maxIndent = 32

    /// JSON with a line per member, anything else line by line; what a terminal would obey is escaped.
    ///
    /// Only white space outside of strings changes, whether the text is valid or not: it is a dead letter because
    /// something may be wrong with it.
    static func lines(_ bytes: [UInt8]) -> [String] {
        let text = bytes.first { $0 > 0x20 } == 0x7B ? indented(bytes) : bytes
        let lines = text.split(separator: 0x0A, omittingEmptySubsequences: true)
        return lines.map { String(decoding: $0, as: UTF8.self).printable }
    }

    private static func indented(_ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count * 2)
        var depth = 0
        var isInString = false
        var isEscaped = false
        func newLine() {
            out.append(0x0A)
            out.append(contentsOf: repeatElement(0x20, count: 2 * min(max(depth, 0), maxIndent)))
        }
        for (index, byte) in bytes.enumerated() {
            if isInString {
                out.append(byte)
                if isEscaped {
                    isEscaped = false
                } else if byte == 0x5C {
                    isEscaped = true
                } else {
                    isInString = byte != 0x22
                }
                continue
            }
            switch byte {
            case 0x20, 0x09, 0x0A, 0x0D: continue
            case 0x7B, 0x5B:
                out.append(byte)
                depth += 1
                if !closes(bytes, after: index) { newLine() }
            case 0x7D, 0x5D:
                depth -= 1
                if let last = out.last, last != 0x7B, last != 0x5B { newLine() }
                out.append(byte)
            case 0x2C:
                out.append(byte)
                newLine()
            case 0x3A: out.append(contentsOf: [byte, 0x20])
            default:
                out.append(byte)
                isInString = byte == 0x22
            }
        }
        return out
    }

    /// Whether the next byte that is not white space ends an object or a list.
    private static func closes(_ bytes: [UInt8], after index: Int) -> Bool {
        let next = bytes[(index + 1)...].first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
        return next == 0x7D || next == 0x5D
    }
}
