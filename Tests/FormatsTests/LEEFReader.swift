/// Reads LEEF 2.0 after IBM's guide and nothing more lenient.
struct LEEFReader {
    /// `LEEF:2.0`, vendor, product, version, event id, delimiter.
    var header: [String] = []
    var values: [String: String] = [:]

    private static let accountKeys: Set = ["resource", "policy", "realm", "domain", "identHostName", "usrName"]

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: false
        }
    }

    init(_ line: [UInt8]) throws {
        try CEFReader.checkCharacters(line, but: 0x09)
        let parts = line.split(separator: UInt8(ascii: "|"), maxSplits: 6, omittingEmptySubsequences: false)
        guard parts.count == 7 else { throw GrammarFault("\(parts.count) parts, expected 7") }
        header = parts.prefix(6).map { String(decoding: $0, as: UTF8.self) }
        guard header[0] == "LEEF:2.0" else { throw GrammarFault("begins with \(header[0])") }
        guard !header[1].isEmpty, !header[2].isEmpty, !header[3].isEmpty, !header[4].isEmpty else {
            throw GrammarFault("an empty header field")
        }
        guard header[4].utf8.count <= 255 else { throw GrammarFault("EventID of \(header[4].utf8.count) bytes") }
        let delimiter = try Self.delimiter(header[5])
        for attribute in parts[6].split(separator: delimiter, omittingEmptySubsequences: false) {
            try add(attribute)
        }
        try checkPredefined()
    }

    private static func delimiter(_ field: String) throws -> UInt8 {
        if field.utf8.count == 1, let byte = field.utf8.first { return byte }
        let digits = field.hasPrefix("0x") ? field.dropFirst(2) : field.dropFirst()
        guard field.hasPrefix("x") || field.hasPrefix("0x"), 1...4 ~= digits.count,
            let value = UInt8(digits, radix: 16)
        else { throw GrammarFault("delimiter \(field)") }
        return value
    }

    private mutating func add(_ attribute: ArraySlice<UInt8>) throws {
        guard let equals = attribute.firstIndex(of: UInt8(ascii: "=")) else { throw GrammarFault("no '='") }
        let key = String(decoding: attribute[..<equals], as: UTF8.self)
        guard !key.isEmpty, key.utf8.allSatisfy(Self.isAlphanumeric) else { throw GrammarFault("key \(key)") }
        guard !Self.accountKeys.contains(key) else { throw GrammarFault("key \(key) means an account") }
        let value = attribute[(equals + 1)...]
        guard !value.isEmpty else { throw GrammarFault("\(key) is empty") }
        guard value.first != 0x20, value.last != 0x20 else { throw GrammarFault("\(key) begins or ends with a space") }
        guard values.updateValue(String(decoding: value, as: UTF8.self), forKey: key) == nil else {
            throw GrammarFault("\(key) appears twice")
        }
    }

    private func checkPredefined() throws {
        guard let severity = values["sev"].flatMap({ Int($0) }), 1...10 ~= severity else { throw GrammarFault("sev") }
        guard let time = values["devTime"] else { throw GrammarFault("no devTime") }
        let isNumber = time.utf8.count == 13 && time.utf8.allSatisfy { 0x30...0x39 ~= $0 }
        guard isNumber == (values["devTimeFormat"] == nil) else { throw GrammarFault("devTime \(time)") }
    }
}
