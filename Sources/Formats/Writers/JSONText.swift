public import Model

/// Turns the escapes of JSON strings into the characters they stand for, or into their canonical spelling.
///
/// An escaped surrogate without its partner stands for no character. It becomes U+FFFD, as it does when the
/// Kubernetes API server decodes it.
public enum JSONText {
    /// Appends the characters of a string value as UTF-8.
    public static func decode(_ value: JSONValue, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        guard value.hasEscapes else {
            out.append(bytes, value.range)
            return
        }
        walk(value.range, bytes, &out, escaping: false)
    }

    /// Appends a string value between quotes, each character in its shortest JSON spelling.
    public static func writeString(
        _ value: JSONValue, of bytes: Span<UInt8>, into out: inout ByteWriter
    ) {
        out.append(0x22)
        if value.isCanonical {
            out.append(bytes, value.range)
        } else {
            walk(value.range, bytes, &out, escaping: true)
        }
        out.append(0x22)
    }

    /// Appends any value: no white space between tokens, strings in their shortest spelling, numbers as they are,
    /// objects by ascending key.
    public static func write(_ value: JSONValue, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        if value.kind == .string {
            writeString(value, of: bytes, into: &out)
        } else if value.isCanonical {
            out.append(bytes, value.range)
        } else if value.kind == .object {
            writeObject(value, bytes, &out)
        } else {
            writeList(value, bytes, &out)
        }
    }

    /// Appends `text` with JSON's escapes; the quotes are the caller's.
    public static func escape(_ text: Span<UInt8>, into out: inout ByteWriter) {
        var run = 0
        var at = 0
        while at < text.count {
            let byte = text[at]
            if byte >= 0x20, byte != 0x22, byte != 0x5C {
                at &+= 1
                continue
            }
            out.append(text, run..<at)
            writeEscaped(UInt32(byte), &out)
            at &+= 1
            run = at
        }
        out.append(text, run..<at)
    }

    /// Appends the annotations without the exporter's own, which change with every attempt and are no part of the record;
    /// nothing if none is left.
    static func writeAnnotations(_ object: JSONValue, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        let start = out.count
        if object.isSorted {
            var scanner = JSONScanner(bytes, object.range, maxDepth: 1)
            var first = true
            // The text was valid when it was scanned the first time.
            guard (try? scanner.enterObject()) != nil else { return }
            while let key = (try? scanner.key(first: &first)) ?? nil, let value = try? scanner.value() {
                guard !LineVocabulary.begins(bytes, key.range, ownAnnotations) else { continue }
                member(key, value, bytes, isFirst: out.count == start, &out)
            }
        } else {
            for entry in JSONEntry.sorted(object, bytes)
            where !LineVocabulary.begins(entry.decodedKey.span, 0..<entry.decodedKey.count, ownAnnotations) {
                member(entry.key, entry.value, bytes, isFirst: out.count == start, &out)
            }
        }
        if out.count > start { out.append(0x7D) }
    }

    static let ownAnnotations: StaticString = "export.sidereal.cloud/"

    private static func member(
        _ key: JSONValue, _ value: JSONValue, _ bytes: Span<UInt8>, isFirst: Bool, _ out: inout ByteWriter
    ) {
        out.append(isFirst ? 0x7B : 0x2C)
        writeString(key, of: bytes, into: &out)
        out.append(0x3A)
        write(value, of: bytes, into: &out)
    }

    private static func write(_ entries: [JSONEntry], _ bytes: Span<UInt8>, _ out: inout ByteWriter) {
        if entries.isEmpty { out.append(0x7B) }
        for (index, entry) in entries.enumerated() {
            member(entry.key, entry.value, bytes, isFirst: index == 0, &out)
        }
        out.append(0x7D)
    }

    /// Keys that ascend already are written as they come, without a list of them.
    private static func writeObject(_ object: JSONValue, _ bytes: Span<UInt8>, _ out: inout ByteWriter) {
        guard object.isSorted else {
            write(JSONEntry.sorted(object, bytes), bytes, &out)
            return
        }
        var scanner = JSONScanner(bytes, object.range, maxDepth: Int.max)
        out.append(0x7B)
        var first = true
        var isFirst = true
        // The text was valid when it was scanned the first time, and its nesting within bounds.
        guard (try? scanner.enterObject()) != nil else { return }
        while let key = (try? scanner.key(first: &first)) ?? nil, let value = try? scanner.value() {
            if !isFirst { out.append(0x2C) }
            isFirst = false
            writeString(key, of: bytes, into: &out)
            out.append(0x3A)
            write(value, of: bytes, into: &out)
        }
        out.append(0x7D)
    }

    private static func writeList(_ list: JSONValue, _ bytes: Span<UInt8>, _ out: inout ByteWriter) {
        var scanner = JSONScanner(bytes, list.range, maxDepth: Int.max)
        scanner.at += 1
        out.append(0x5B)
        var first = true
        var isFirst = true
        while (try? scanner.element(first: &first)) ?? false, let value = try? scanner.value() {
            if !isFirst { out.append(0x2C) }
            isFirst = false
            write(value, of: bytes, into: &out)
        }
        out.append(0x5D)
    }

    private static func walk(
        _ range: Range<Int>, _ bytes: Span<UInt8>, _ out: inout ByteWriter, escaping: Bool
    ) {
        var run = range.lowerBound
        var at = run
        while at < range.upperBound {
            guard bytes[at] == 0x5C else {
                at &+= 1
                continue
            }
            out.append(bytes, run..<at)
            let scalar = escaped(&at, range.upperBound, bytes)
            if escaping, scalar < 0x20 || scalar == 0x22 || scalar == 0x5C {
                writeEscaped(scalar, &out)
            } else {
                writeUTF8(scalar, &out)
            }
            run = at
        }
        out.append(bytes, run..<at)
    }

    /// Reads the escape at `at` and steps over it.
    private static func escaped(_ at: inout Int, _ end: Int, _ bytes: Span<UInt8>) -> UInt32 {
        let letter = bytes[at &+ 1]
        guard letter == 0x75 else {
            at &+= 2
            switch letter {
            case 0x62: return 0x08
            case 0x66: return 0x0C
            case 0x6E: return 0x0A
            case 0x72: return 0x0D
            case 0x74: return 0x09
            default: return UInt32(letter)
            }
        }
        let unit = hex(at &+ 2, bytes)
        at &+= 6
        guard 0xD800...0xDFFF ~= unit else { return unit }
        guard unit < 0xDC00, at &+ 6 <= end, bytes[at] == 0x5C, bytes[at &+ 1] == 0x75 else { return 0xFFFD }
        let low = hex(at &+ 2, bytes)
        guard 0xDC00...0xDFFF ~= low else { return 0xFFFD }
        at &+= 6
        return 0x10000 &+ ((unit &- 0xD800) << 10) &+ (low &- 0xDC00)
    }

    private static func hex(_ at: Int, _ bytes: Span<UInt8>) -> UInt32 {
        var value: UInt32 = 0
        for index in at..<at &+ 4 { value = value << 4 | (HexDigit.value(bytes[index]) ?? 0) }
        return value
    }

    private static func writeEscaped(_ scalar: UInt32, _ out: inout ByteWriter) {
        switch scalar {
        case 0x08: out.append("\\b")
        case 0x09: out.append("\\t")
        case 0x0A: out.append("\\n")
        case 0x0C: out.append("\\f")
        case 0x0D: out.append("\\r")
        case 0x22: out.append("\\\"")
        case 0x5C: out.append("\\\\")
        default:
            out.append("\\u00")
            out.append(scalar < 0x10 ? 0x30 : 0x31)
            let low = UInt8(truncatingIfNeeded: scalar & 0xF)
            out.append(low < 10 ? 0x30 &+ low : 0x57 &+ low)
        }
    }

    private static func writeUTF8(_ scalar: UInt32, _ out: inout ByteWriter) {
        func tail(_ shift: UInt32) -> UInt8 { UInt8(truncatingIfNeeded: 0x80 | (scalar >> shift & 0x3F)) }
        switch scalar {
        case 0..<0x80: out.append(UInt8(truncatingIfNeeded: scalar))
        case 0x80..<0x800:
            out.append(UInt8(truncatingIfNeeded: 0xC0 | scalar >> 6))
            out.append(tail(0))
        case 0x800..<0x10000:
            out.append(UInt8(truncatingIfNeeded: 0xE0 | scalar >> 12))
            out.append(tail(6))
            out.append(tail(0))
        default:
            out.append(UInt8(truncatingIfNeeded: 0xF0 | scalar >> 18))
            out.append(tail(12))
            out.append(tail(6))
            out.append(tail(0))
        }
    }
}
