import Formats
import Model
import Testing

/// What CEF and LEEF have in common: which key holds which field, and how to read a record back.
struct LineRoundTrip {
    /// Key of each field by its path.
    var keys: [String: String]
    var exactKey: String
    var extraKey: String
    /// Whether the format can spell LF and CR.
    var spellsLineEnds: Bool

    static func encode(_ encoder: some RecordEncoder, _ json: String) throws -> [UInt8] {
        let bytes = Array(json.utf8)
        var reader = ProbeResultReader()
        try reader.read(bytes.span, 0..<bytes.count)
        var out = ByteWriter()
        encoder.encode(reader.record, of: bytes.span, into: &out)
        return out.seal().array
    }

    /// Checks that `values`, which a strict reader found, hold every value of `record`.
    func check(_ values: [String: String], _ record: HostileRecord) throws {
        let exact = try values[exactKey].map(Self.members) ?? [:]
        for (path, text) in record.strings {
            let key = try #require(keys[path])
            if let json = exact[path] {
                #expect(Array(Self.text(json).utf8) == Array(text.utf8), "\(path)")
                let shown = values[key] ?? ""
                #expect(shown != text || text.isEmpty, "\(path) is repeated without need")
                #expect(replaced(text).utf8.starts(with: shown.utf8), "\(path)")
            } else {
                // String's own comparison takes canonically equivalent texts for the same.
                #expect(values[key].map { Array($0.utf8) } == Array(text.utf8), "\(path)")
            }
        }
        for path in HostileRecord.optional where record.strings[path] == nil {
            #expect(values[keys[path] ?? ""] == nil && exact[path] == nil, "\(path)")
        }
        try checkControls(values, exact, record)
        for path in ["metadata.labels", "metadata.annotations"] {
            guard let map = record.maps[path], path.hasSuffix("labels") || !map.isEmpty else { continue }
            let members = try Self.members(values[keys[path] ?? ""] ?? "")
            #expect(members.mapValues(Self.text) == map, "\(path)")
        }
        for (key, value) in record.extra {
            let places = try Self.members(values[extraKey] ?? "")
            let result = try Self.members(places["result"] ?? "")
            #expect(result[key].map(Self.text) == value)
        }
    }

    private func checkControls(
        _ values: [String: String], _ exact: [String: String], _ record: HostileRecord
    ) throws {
        if let controls = record.controls {
            let path = "spec.result.nistControls"
            let shown = values[keys[path] ?? ""].map { Self.split($0, ",") }
            let found = try exact[path].map(Self.list) ?? shown
            #expect(found == controls)
        }
        if let mappings = record.mappings {
            let path = "spec.result.controlMappings"
            if let json = exact[path] {
                let found = try Self.members(json).mapValues(Self.list)
                #expect(found == mappings)
            } else {
                #expect(Self.unflatten(values[keys[path] ?? ""] ?? "") == mappings)
            }
        }
    }

    private func replaced(_ text: String) -> String {
        var shown = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isKept = spellsLineEnds && (scalar == "\n" || scalar == "\r")
            shown.append(HostileText.isBreaker(scalar) && !isKept ? " " : scalar)
        }
        let trimmed = shown.drop { $0 == " " }
        return String(String.UnicodeScalarView(trimmed))
    }

    /// Splits between scalars: a character of String may join a separator with what follows it.
    static func split(_ text: String, _ separator: Unicode.Scalar) -> [String] {
        text.unicodeScalars.split(separator: separator, omittingEmptySubsequences: false).map { String(Substring($0)) }
    }

    private static func unflatten(_ text: String) -> [String: [String]] {
        var mappings: [String: [String]] = [:]
        for framework in split(text, ";") {
            let parts = split(framework, ":")
            mappings[parts[0]] = parts.count == 2 ? (parts[1].isEmpty ? [] : split(parts[1], ",")) : nil
        }
        return mappings
    }

    /// The values of an object's members as JSON.
    private static func members(_ json: String) throws -> [String: String] {
        guard case .object(let members) = try JSONTreeReader.read(json.utf8) else {
            throw GrammarFault("not an object: \(json)")
        }
        // The reader refuses keys that appear twice, but a dictionary also joins those that compose to the same text.
        return Dictionary(members.map { ($0.key, $0.value.text) }, uniquingKeysWith: { $1 })
    }

    private static func list(_ json: String) throws -> [String] {
        guard case .list(let elements) = try JSONTreeReader.read(json.utf8) else {
            throw GrammarFault("not a list: \(json)")
        }
        return elements.map { text($0.text) }
    }

    private static func text(_ json: String) -> String {
        guard case .string(let text)? = try? JSONTreeReader.read(json.utf8) else { return "no text: " + json }
        return text
    }
}
