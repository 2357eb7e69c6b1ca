/// A strict reader of RFC 8259, written for the tests: it shares nothing with the code under test, and unlike
/// Foundation's keeps the byte order mark, the order of members and keys that only compose to the same text.
struct JSONTreeReader {
    private var rest: ArraySlice<UInt8>

    static func read(_ text: some Sequence<UInt8>) throws(GrammarFault) -> JSON {
        var reader = JSONTreeReader(rest: Array(text)[...])
        let value = try reader.value()
        reader.skipSpace()
        guard reader.rest.isEmpty else { throw GrammarFault("text after the JSON value") }
        return value
    }

    private mutating func skipSpace() {
        rest = rest.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
    }

    private mutating func take(_ text: String) -> Bool {
        guard rest.starts(with: text.utf8) else { return false }
        rest = rest.dropFirst(text.utf8.count)
        return true
    }

    private mutating func expect(_ text: String) throws(GrammarFault) {
        skipSpace()
        guard take(text) else { throw GrammarFault("expected \(text) before \(rest.count) bytes") }
    }

    private mutating func value() throws(GrammarFault) -> JSON {
        skipSpace()
        switch rest.first {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try list()
        case UInt8(ascii: "\""): return .string(try string())
        default: break
        }
        for (word, value) in [("null", JSON.null), ("true", .bool(true)), ("false", .bool(false))] where take(word) {
            return value
        }
        let digits = rest.prefix { 0x30...0x39 ~= $0 || [0x2B, 0x2D, 0x2E, 0x45, 0x65].contains($0) }
        guard !digits.isEmpty else { throw GrammarFault("no JSON value before \(rest.count) bytes") }
        rest = rest.dropFirst(digits.count)
        return .number(String(decoding: digits, as: UTF8.self))
    }

    private mutating func list() throws(GrammarFault) -> JSON {
        try expect("[")
        var elements: [JSON] = []
        skipSpace()
        if take("]") { return .list([]) }
        repeat {
            elements.append(try value())
            skipSpace()
        } while take(",")
        try expect("]")
        return .list(elements)
    }

    private mutating func object() throws(GrammarFault) -> JSON {
        try expect("{")
        var members: [JSON.Member] = []
        skipSpace()
        if take("}") { return .object([]) }
        repeat {
            skipSpace()
            let key = try string()
            guard !members.contains(where: { $0.key.utf8.elementsEqual(key.utf8) }) else {
                throw GrammarFault("the key \(key) appears twice")
            }
            try expect(":")
            members.append(JSON.Member(key: key, value: try value()))
            skipSpace()
        } while take(",")
        try expect("}")
        return .object(members)
    }

    private mutating func string() throws(GrammarFault) -> String {
        guard take("\"") else { throw GrammarFault("expected a string before \(rest.count) bytes") }
        var text: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""):
                guard let valid = String(validating: text, as: UTF8.self) else { throw GrammarFault("not UTF-8") }
                return valid
            case UInt8(ascii: "\\"): text += try escaped()
            case 0..<0x20: throw GrammarFault("control character \(byte) in a string")
            default: text.append(byte)
            }
        }
        throw GrammarFault("a string without an end")
    }

    private mutating func escaped() throws(GrammarFault) -> [UInt8] {
        let plain: [UInt8: UInt8] = [
            0x22: 0x22, 0x5C: 0x5C, 0x2F: 0x2F, 0x62: 8, 0x66: 12, 0x6E: 10, 0x72: 13, 0x74: 9,
        ]
        guard let letter = rest.popFirst() else { throw GrammarFault("a string ends in a backslash") }
        if let byte = plain[letter] { return [byte] }
        guard letter == UInt8(ascii: "u") else { throw GrammarFault("escape of \(letter)") }
        var units = [try unit()]
        if 0xD800...0xDBFF ~= units[0], rest.starts(with: [0x5C, 0x75]) {
            rest = rest.dropFirst(2)
            units.append(try unit())
        }
        // No format may spell half a character, whatever its record did.
        guard String(validating: units, as: UTF16.self) != nil else { throw GrammarFault("half a surrogate pair") }
        return Array(String(decoding: units, as: UTF16.self).utf8)
    }

    private mutating func unit() throws(GrammarFault) -> UInt16 {
        let digits = String(decoding: rest.prefix(4), as: UTF8.self)
        guard digits.utf8.count == 4, digits.utf8.allSatisfy(LEEFReader.isAlphanumeric),
            let value = UInt16(digits, radix: 16)
        else { throw GrammarFault("escape of \(digits)") }
        rest = rest.dropFirst(4)
        return value
    }
}
