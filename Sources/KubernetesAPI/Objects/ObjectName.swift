import Formats
import Protocol

/// Names of objects, as they may stand in a path and in a message.
enum ObjectName {
    /// RFC 1123: lower-case letters, digits, `-` and `.`, at most 253; some kinds (RBAC's) also take `:`, which this client
    /// has no use for.
    static func isName(_ text: some Sequence<UInt8>) -> Bool {
        var (count, last) = (0, UInt8(0))
        for byte in text {
            let isInner = byte == 0x2D || byte == 0x2E
            guard isAlphanumeric(byte) || (isInner && count > 0) else { return false }
            // Two dots in a row are no label between them, and could climb in a path.
            if byte == 0x2E, last == 0x2E { return false }
            (count, last) = (count + 1, byte)
        }
        return 1...253 ~= count && isAlphanumeric(last)
    }

    /// A label of RFC 1123: as a name, without dots, at most 63.
    static func isLabel(_ text: some Sequence<UInt8>) -> Bool {
        var count = 0
        for byte in text {
            count += 1
            if byte == 0x2E { return false }
        }
        return count <= 63 && isName(text)
    }

    static func isName(_ value: JSONValue, _ bytes: Span<UInt8>) -> Bool {
        value.kind == .string && value.count <= 253 && isName(slice(value, bytes))
    }

    /// A namespace, or none.
    static func isNamespace(_ value: JSONValue, _ bytes: Span<UInt8>) -> Bool {
        guard value.isPresent, value.count > 0 else { return value.kind != .string || value.count == 0 }
        return value.kind == .string && value.count <= 63 && isLabel(slice(value, bytes))
    }

    /// An opaque word (Kubernetes API concepts, "Resource versions"): nothing in it that would need an escape.
    static func isVersion(_ value: JSONValue, _ bytes: Span<UInt8>) -> Bool {
        value.kind == .string && 1...128 ~= value.count && slice(value, bytes).allSatisfy(isWord)
    }

    static func isWord(_ byte: UInt8) -> Bool {
        isAlphanumeric(byte) || (0x41...0x5A).contains(byte) || byte == 0x2D || byte == 0x2E || byte == 0x5F
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte)
    }

    /// Short, so a copy costs nothing that matters beside the scan.
    private static func slice(_ value: JSONValue, _ bytes: Span<UInt8>) -> [UInt8] {
        value.range.map { bytes[$0] }
    }
}

/// A UUID in its text form (RFC 9562, section 4), in either case.
enum UIDText {
    /// The 16 bytes; nil if it is none.
    static func key(_ value: JSONValue, _ bytes: Span<UInt8>) -> RecordKey? {
        guard value.kind == .string, value.count == 36 else { return nil }
        var halves: (UInt64, UInt64) = (0, 0)
        var digits = 0
        for offset in 0..<36 {
            let byte = bytes[value.range.lowerBound + offset]
            if offset == 8 || offset == 13 || offset == 18 || offset == 23 {
                guard byte == 0x2D else { return nil }
                continue
            }
            guard let digit = hex(byte) else { return nil }
            if digits < 16 { halves.0 = halves.0 << 4 | digit } else { halves.1 = halves.1 << 4 | digit }
            digits += 1
        }
        return RecordKey(high: halves.0, low: halves.1)
    }

    private static func hex(_ byte: UInt8) -> UInt64? {
        switch byte {
        case 0x30...0x39: UInt64(byte - 0x30)
        case 0x41...0x46: UInt64(byte - 0x37)
        case 0x61...0x66: UInt64(byte - 0x57)
        default: nil
        }
    }
}

/// Text from outside, for a message.
enum PlainText {
    /// On one line, at most `limit` characters, nothing in it that moves a cursor.
    static func line(_ text: String, limit: Int = 600) -> String {
        var result = ""
        var isGap = false
        for scalar in text.unicodeScalars {
            if result.unicodeScalars.count >= limit { return result + "…" }
            if scalar.properties.generalCategory == .control || scalar == " " || scalar.properties.isWhitespace {
                isGap = !result.isEmpty
                continue
            }
            if isGap { result.unicodeScalars.append(" ") }
            isGap = false
            result.unicodeScalars.append(scalar)
        }
        return result
    }

    static func line(_ text: String) -> String { line(text, limit: 600) }
}
