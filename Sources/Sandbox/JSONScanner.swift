/// Where text stopped being JSON.
struct JSONFault: Error, Equatable {
    var position: Int
}

/// A strict scanner of RFC 8259 that builds nothing: values are ranges of the text.
struct JSONScanner {
    enum Kind: Equatable {
        case object
        case array
        case string
        case number
        case bool(Bool)
        case null
    }

    /// A value's kind and its bytes, quotes and braces included.
    struct Value: Equatable {
        var kind: Kind
        var range: Range<Int>
    }

    static let maxDepth = 128

    let bytes: [UInt8]
    let end: Int
    private(set) var position: Int
    private var depth = 0

    /// A scanner of `bytes`, or of a part of them.
    init(_ bytes: [UInt8], _ range: Range<Int>? = nil) {
        self.bytes = bytes
        position = range?.lowerBound ?? 0
        end = range?.upperBound ?? bytes.count
    }

    var isAtEnd: Bool { position >= end }

    private var fault: JSONFault { JSONFault(position: position) }

    private func peek() throws(JSONFault) -> UInt8 {
        guard position < end else { throw fault }
        return bytes[position]
    }

    mutating func skipWhitespace() {
        while position < end {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    /// Scans one value, after white space.
    mutating func value() throws(JSONFault) -> Value {
        skipWhitespace()
        let start = position
        let kind: Kind
        switch try peek() {
        case UInt8(ascii: "{"):
            try members { (scanner, _) throws(JSONFault) in _ = try scanner.value() }
            kind = .object
        case UInt8(ascii: "["):
            try elements { (scanner) throws(JSONFault) in _ = try scanner.value() }
            kind = .array
        case UInt8(ascii: "\""):
            try string()
            kind = .string
        case UInt8(ascii: "t"):
            try word("true")
            kind = .bool(true)
        case UInt8(ascii: "f"):
            try word("false")
            kind = .bool(false)
        case UInt8(ascii: "n"):
            try word("null")
            kind = .null
        default:
            try number()
            kind = .number
        }
        return Value(kind: kind, range: start..<position)
    }

    /// Scans an object; `member` gets each key and must scan its value.
    mutating func members(
        _ member: (inout JSONScanner, String) throws(JSONFault) -> Void
    ) throws(JSONFault) {
        try enclosed(by: UInt8(ascii: "{"), UInt8(ascii: "}")) { (scanner) throws(JSONFault) in
            guard try scanner.peek() == UInt8(ascii: "\"") else { throw scanner.fault }
            let start = scanner.position
            try scanner.string()
            let key = scanner.text(start..<scanner.position)
            scanner.skipWhitespace()
            guard try scanner.peek() == UInt8(ascii: ":") else { throw scanner.fault }
            scanner.position += 1
            try member(&scanner, key)
        }
    }

    /// Scans an array; `element` must scan each value.
    mutating func elements(_ element: (inout JSONScanner) throws(JSONFault) -> Void) throws(JSONFault) {
        try enclosed(by: UInt8(ascii: "["), UInt8(ascii: "]"), element)
    }

    private mutating func enclosed(
        by open: UInt8, _ close: UInt8, _ item: (inout JSONScanner) throws(JSONFault) -> Void
    ) throws(JSONFault) {
        skipWhitespace()
        guard try peek() == open, depth < Self.maxDepth else { throw fault }
        depth += 1
        position += 1
        skipWhitespace()
        if try peek() != close {
            while true {
                skipWhitespace()
                try item(&self)
                skipWhitespace()
                if try peek() == close { break }
                guard try peek() == UInt8(ascii: ",") else { throw fault }
                position += 1
            }
        }
        position += 1
        depth -= 1
    }

    private mutating func word(_ word: StaticString) throws(JSONFault) {
        let expected = word.description.utf8
        guard end - position >= expected.count, bytes[position..<position + expected.count].elementsEqual(expected)
        else { throw fault }
        position += expected.count
    }

    private mutating func string() throws(JSONFault) {
        position += 1
        let start = position
        var hasOther = false
        while true {
            let byte = try peek()
            switch byte {
            case UInt8(ascii: "\""):
                if hasOther, !Self.isUTF8(bytes, start..<position) { throw fault }
                position += 1
                return
            case UInt8(ascii: "\\"):
                position += 1
                try escape()
            case 0x00..<0x20:
                throw fault
            default:
                hasOther = hasOther || byte >= 0x80
                position += 1
            }
        }
    }

    private mutating func escape() throws(JSONFault) {
        switch try peek() {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 1
        case UInt8(ascii: "u"):
            position += 1
            for _ in 0..<4 {
                guard Self.hexadecimal(try peek()) != nil else { throw fault }
                position += 1
            }
        default:
            throw fault
        }
    }

    private mutating func number() throws(JSONFault) {
        if try peek() == UInt8(ascii: "-") { position += 1 }
        if try peek() == UInt8(ascii: "0") { position += 1 } else { try digits() }
        if position < end, bytes[position] == UInt8(ascii: ".") {
            position += 1
            try digits()
        }
        if position < end, bytes[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            let sign = try peek()
            if sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
    }

    private mutating func digits() throws(JSONFault) {
        guard (48...57).contains(try peek()) else { throw fault }
        while position < end, (48...57).contains(bytes[position]) { position += 1 }
    }

    /// The text of a string value, escapes resolved; a surrogate without its partner becomes U+FFFD.
    func text(_ range: Range<Int>) -> String {
        let inner = range.lowerBound + 1..<range.upperBound - 1
        guard bytes[inner].contains(UInt8(ascii: "\\")) else {
            return String(decoding: bytes[inner], as: UTF8.self)
        }
        var units: [UInt8] = []
        var at = inner.lowerBound
        while at < inner.upperBound {
            guard bytes[at] == UInt8(ascii: "\\") else {
                units.append(bytes[at])
                at += 1
                continue
            }
            let (scalar, length) = resolve(at)
            units.append(contentsOf: Array(String(Character(scalar)).utf8))
            at += length
        }
        return String(decoding: units, as: UTF8.self)
    }

    private func resolve(_ at: Int) -> (Unicode.Scalar, length: Int) {
        switch bytes[at + 1] {
        case UInt8(ascii: "b"): return ("\u{8}", 2)
        case UInt8(ascii: "f"): return ("\u{c}", 2)
        case UInt8(ascii: "n"): return ("\n", 2)
        case UInt8(ascii: "r"): return ("\r", 2)
        case UInt8(ascii: "t"): return ("\t", 2)
        case UInt8(ascii: "u"): break
        case let plain: return (Unicode.Scalar(plain), 2)
        }
        let high = codeUnit(at)
        if (0xD800..<0xDC00).contains(high), at + 12 <= end, bytes[at + 6] == UInt8(ascii: "\\"),
            bytes[at + 7] == UInt8(ascii: "u"), case let low = codeUnit(at + 6), (0xDC00..<0xE000).contains(low)
        {
            return (Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)) ?? "\u{FFFD}", 12)
        }
        return (Unicode.Scalar(high) ?? "\u{FFFD}", 6)
    }

    /// The number behind `\u` at `at`.
    private func codeUnit(_ at: Int) -> UInt32 {
        bytes[at + 2..<at + 6].reduce(0) { $0 << 4 | UInt32(Self.hexadecimal($1) ?? 0) }
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }

    private static func isUTF8(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
        (try? UTF8Span(validating: bytes.span.extracting(range))) != nil
    }
}
