@testable import Formats

/// Why a line is not of its format.
struct LineFault: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}

/// Strict readers of the formats' grammars, each written from the format's own document and nothing of the encoders.
enum LineGrammar {
    static func check(_ line: [UInt8], as format: FormatEncoder) throws(LineFault) {
        guard String(validating: line, as: UTF8.self) != nil else { throw LineFault("not UTF-8") }
        guard !line.contains(0x0A), !line.contains(0x0D) else { throw LineFault("a line end within the line") }
        switch format {
        case .json, .ocsf: try json(line)
        case .cef: try cef(line)
        case .leef: try leef(line)
        case .syslog: try syslog(line)
        }
    }

    private static func require(_ condition: Bool, _ fault: @autoclosure () -> String) throws(LineFault) {
        if !condition { throw LineFault(fault()) }
    }

    private static func shown(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }

    /// RFC 8259, and no key twice in one object.
    static func json(_ line: [UInt8]) throws(LineFault) {
        var scanner = JSONScanner(line.span, 0..<line.count, maxDepth: 200)
        do throws(JSONFault) {
            let value = try scanner.value()
            guard value.kind == .object, scanner.at == line.count else { throw scanner.fault(.trailingBytes) }
        } catch {
            throw LineFault("not a JSON object: \(error)")
        }
        try distinctKeys(line, 0..<line.count)
    }

    private static func distinctKeys(_ line: [UInt8], _ range: Range<Int>) throws(LineFault) {
        var scanner = JSONScanner(line.span, range, maxDepth: 200)
        let isObject = line[range.lowerBound] == 0x7B
        guard isObject || line[range.lowerBound] == 0x5B else { return }
        var keys: Set<[UInt8]> = []
        var first = true
        do throws(JSONFault) {
            if isObject { try scanner.enterObject() } else { scanner.at += 1 }
            while true {
                if isObject {
                    guard let key = try scanner.key(first: &first) else { return }
                    guard keys.insert(JSONEntry.decodedKey(key, line.span)).inserted else {
                        throw scanner.fault(.duplicateKey)
                    }
                } else if try !scanner.element(first: &first) {
                    return
                }
                let value = try scanner.value()
                if value.kind == .object || value.kind == .array {
                    do throws(LineFault) { try distinctKeys(line, value.range) } catch {
                        throw scanner.fault(.duplicateKey)
                    }
                }
            }
        } catch {
            throw LineFault("a key appears twice: \(error)")
        }
    }

    /// CEF: header fields with `\|` and `\\`, then `key=value` pairs with `\=`, `\\`, `\n`, `\r`.
    static func cef(_ line: [UInt8]) throws(LineFault) {
        var at = 0
        var header: [[UInt8]] = [[]]
        while at < line.count, header.count < 8 {
            switch line[at] {
            case 0x5C:
                try require(at + 1 < line.count && [0x5C, 0x7C].contains(line[at + 1]), "bad escape in the header")
                header[header.count - 1].append(line[at + 1])
                at += 2
            case 0x7C:
                header.append([])
                at += 1
            default:
                header[header.count - 1].append(line[at])
                at += 1
            }
        }
        try require(header.count == 8, "\(header.count) header fields")
        try require(["CEF:0", "CEF:1"].contains(shown(header[0])), "version \(shown(header[0]))")
        for (field, limit) in [(1, 63), (2, 63), (3, 31), (4, 1023), (5, 512)] {
            try require(1...limit ~= shown(header[field]).unicodeScalars.count, "header field \(field) is too long")
        }
        try require(Int(shown(header[6])).map { 0...10 ~= $0 } ?? false, "severity \(shown(header[6]))")
        try cefExtension(line, at)
    }

    private static func cefExtension(_ line: [UInt8], _ start: Int) throws(LineFault) {
        var keys: Set<String> = []
        var at = start
        while at < line.count {
            let key = word(line, at)
            try require(
                !key.isEmpty && byte(line, key.upperBound) == 0x3D, "no key at \(shown(line[at...].prefix(40)))")
            try require(keys.insert(shown(line[key])).inserted, "the key \(shown(line[key])) appears twice")
            let first = key.upperBound + 1
            var end = first
            while end < line.count, line[end] != 0x3D {
                if line[end] == 0x5C {
                    end += 1
                    let isEscape = [0x5C, 0x3D, 0x6E, 0x72].contains(byte(line, end))
                    try require(isEscape, "bad escape in \(shown(line[key]))")
                }
                end += 1
            }
            at = end
            if end < line.count {
                // The word before this equals sign is the next key, and one space parts it from the value.
                while at > first, isAlphanumeric(line[at - 1]) { at -= 1 }
                try require(at < end && at > first && line[at - 1] == 0x20, "unescaped = in \(shown(line[key]))")
                end = at - 1
            }
            try require(
                end > first && line[first] != 0x20 && line[end - 1] != 0x20,
                "no value, or a space around it, in \(shown(line[key]))")
        }
    }

    private static func byte(_ line: [UInt8], _ at: Int) -> UInt8 { at < line.count ? line[at] : 0 }

    private static func word(_ line: [UInt8], _ start: Int) -> Range<Int> {
        var end = start
        while end < line.count, isAlphanumeric(line[end]) { end += 1 }
        return start..<end
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        0x30...0x39 ~= byte || 0x41...0x5A ~= byte || 0x61...0x7A ~= byte
    }

    /// LEEF 2.0 with the delimiter `x09`.
    static func leef(_ line: [UInt8]) throws(LineFault) {
        let header = line.split(separator: 0x7C, maxSplits: 6, omittingEmptySubsequences: false)
        try require(header.count == 7, "\(header.count) header fields")
        try require(shown(header[0]) == "LEEF:2.0", "version \(shown(header[0]))")
        try require(shown(header[5]) == "x09", "delimiter \(shown(header[5]))")
        for field in header[1...4] { try require(1...255 ~= field.count, "empty or long header field") }
        var keys: Set<String> = []
        for pair in header[6].split(separator: 0x09, omittingEmptySubsequences: false) {
            let key = pair.prefix { isAlphanumeric($0) }
            try require(!key.isEmpty && pair.dropFirst(key.count).first == 0x3D, "no key at \(shown(pair.prefix(40)))")
            try require(keys.insert(shown(key)).inserted, "the key \(shown(key)) appears twice")
        }
        try require(keys.isSuperset(of: ["devTime", "sev"]), "devTime or sev is missing")
    }
}
