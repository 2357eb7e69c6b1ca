/// A line that a strict reader refuses, and why.
struct GrammarFault: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// Reads CEF after the standard's grammar and nothing more lenient.
struct CEFReader {
    /// Version, vendor, product, version, class id, name, severity; escapes taken off.
    var header: [String] = []
    /// Values with their escapes taken off.
    var values: [String: String] = [:]
    /// The keys in their order.
    var keys: [String] = []

    static let headerMaxima = [5, 63, 63, 31, 1023, 512, 2]
    static let maxima: [String: Int] = [
        "externalId": 40, "outcome": 63, "reason": 1023, "cat": 1023, "msg": 1023, "deviceExternalId": 255,
        "dvchost": 100, "deviceProcessName": 1023, "cs1": 4000, "cs2": 4000, "cs3": 4000, "cs4": 4000, "cs5": 4000,
        "cs6": 4000, "cs1Label": 1023, "cs2Label": 1023, "cs3Label": 1023, "cs4Label": 1023, "cs5Label": 1023,
        "cs6Label": 1023, "cn1Label": 1023, "flexString1": 1023, "flexString2": 1023, "flexString1Label": 1023,
        "flexString2Label": 1023, "frameworkName": 256, "threatAttackID": 32, "reportedResourceName": 64,
        "reportedResourceType": 64, "reportedResourceID": 256,
    ]
    static let unbounded: Set = ["rt", "start", "end", "cn1", "reportedDuration"]

    init(_ line: [UInt8]) throws {
        try Self.checkCharacters(line)
        var rest = line[...]
        for maximum in Self.headerMaxima {
            let (field, raw) = try Self.headerField(&rest)
            guard raw <= maximum else { throw GrammarFault("header field of \(raw) bytes, at most \(maximum)") }
            header.append(field)
        }
        guard header[0] == "CEF:0" || header[0] == "CEF:1" else { throw GrammarFault("begins with \(header[0])") }
        guard let severity = Int(header[6]), 0...10 ~= severity, "\(severity)" == header[6] else {
            throw GrammarFault("severity \(header[6])")
        }
        try readExtension(rest)
    }

    /// No reader may see a line end here, whichever characters it takes for one; and the text is UTF-8.
    static func checkCharacters(_ line: [UInt8], but allowed: UInt32? = nil) throws {
        guard let text = String(validating: line, as: UTF8.self) else { throw GrammarFault("not UTF-8") }
        for scalar in text.unicodeScalars where HostileText.isBreaker(scalar) && scalar.value != allowed {
            throw GrammarFault("U+\(String(scalar.value, radix: 16)) in the line")
        }
    }

    private static func headerField(_ rest: inout ArraySlice<UInt8>) throws -> (String, Int) {
        var field: [UInt8] = []
        let start = rest.startIndex
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "|"):
                return (String(decoding: field, as: UTF8.self), rest.startIndex - start - 1)
            case UInt8(ascii: "\\"):
                guard let next = rest.popFirst(), next == 0x5C || next == 0x7C else {
                    throw GrammarFault("bad escape in the header")
                }
                field.append(next)
            default: field.append(byte)
            }
        }
        throw GrammarFault("the header ends too early")
    }

    private mutating func readExtension(_ text: ArraySlice<UInt8>) throws {
        // An unescaped '=' ends a key; the key begins after the last space before it.
        var marks: [Int] = []
        var at = text.startIndex
        while at < text.endIndex {
            if text[at] == 0x5C { at += 1 } else if text[at] == 0x3D { marks.append(at) }
            at += 1
        }
        var begins: [Int] = []
        for mark in marks {
            let space = text[..<mark].lastIndex(of: 0x20)
            begins.append(space.map { $0 + 1 } ?? text.startIndex)
        }
        guard begins.first == text.startIndex else { throw GrammarFault("text before the first key") }
        for (index, mark) in marks.enumerated() {
            let isLast = index + 1 == marks.count
            let end = isLast ? text.endIndex : begins[index + 1] - 1
            guard mark < end else { throw GrammarFault("empty value before byte \(end)") }
            try add(key: text[begins[index]..<mark], raw: text[(mark + 1)..<end])
        }
    }

    private mutating func add(key rawKey: ArraySlice<UInt8>, raw: ArraySlice<UInt8>) throws {
        let key = String(decoding: rawKey, as: UTF8.self)
        guard !key.isEmpty, key.utf8.allSatisfy(LEEFReader.isAlphanumeric) else { throw GrammarFault("key \(key)") }
        guard raw.first != 0x20, raw.last != 0x20 else { throw GrammarFault("\(key) begins or ends with a space") }
        if let maximum = Self.maxima[key] {
            guard raw.count <= maximum else { throw GrammarFault("\(key): \(raw.count) bytes, at most \(maximum)") }
        } else {
            guard key.hasPrefix("sidereal") || Self.unbounded.contains(key) else { throw GrammarFault("key \(key)") }
        }
        guard values.updateValue(try Self.unescape(raw), forKey: key) == nil else {
            throw GrammarFault("\(key) appears twice")
        }
        keys.append(key)
    }

    private static func unescape(_ raw: ArraySlice<UInt8>) throws -> String {
        var value: [UInt8] = []
        var rest = raw
        while let byte = rest.popFirst() {
            guard byte == 0x5C else {
                value.append(byte)
                continue
            }
            switch rest.popFirst() {
            case 0x5C: value.append(0x5C)
            case 0x3D: value.append(0x3D)
            case UInt8(ascii: "n"): value.append(0x0A)
            case UInt8(ascii: "r"): value.append(0x0D)
            default: throw GrammarFault("bad escape in a value")
            }
        }
        return String(decoding: value, as: UTF8.self)
    }
}
