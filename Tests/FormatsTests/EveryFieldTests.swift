import Formats
import Model
import Testing

/// Every kind of troublesome text in every field that takes text, in every format: the line, read by readers that know
/// nothing of the encoder, gives the record back byte for byte.
@Suite struct EveryFieldTests {
    /// Stands in a tree for an escape that is half of a surrogate pair, which a String cannot hold.
    private static let lone: Unicode.Scalar = "\u{E0FF}"

    private static func characters(_ ranges: ClosedRange<UInt32>...) -> String {
        var text = String.UnicodeScalarView()
        for range in ranges { text.append(contentsOf: range.compactMap(Unicode.Scalar.init)) }
        return String(text)
    }

    private static let kinds: KeyValuePairs<String, String> = [
        "empty": "", "space": " ", "outer spaces": "  a b  ", "quotes": "a\"b'c`\"", "quote alone": "\"",
        "pipes": "|a||b|", "equals": "=a==b=", "backslashes": "\\a\\\\b\\", "trailing backslash": "a\\",
        "brackets": "]a[b]]", "CR": "\ra\r", "LF": "\na\n\nb", "CR LF": "\r\na\r\n", "TAB": "\ta\t\tb", "NUL": "\0a\0",
        "C0": characters(0...0x1F), "DEL": "\u{7F}a", "C1": characters(0x80...0x9F),
        "bidi": "a" + characters(0x200E...0x200F, 0x202A...0x202E, 0x2066...0x2069) + "b",
        "separators": "\u{2028}a\u{2029}b\u{A0}c\u{3000}", "emoji": "👩‍👩‍👧‍👦🇩🇪🏴\u{E0067}\u{E007F}👍🏽\u{FE0F}",
        "combining": "e\u{301}\u{323}=\u{301}", "byte order mark": "\u{FEFF}a\u{FEFF}",
        "noncharacters": "\u{FFFE}\u{FFFF}\u{10FFFF}\u{E000}", "lone escape": "\(lone)",
        "lone escapes": "a\(lone)x\(lone)b",
        "pictures": characters(0x2400...0x2426) + "\u{2426}\u{2426}\u{240A}", "quoting": "%3D%a=%",
        "lists": "a,b;c:d,;:",
        "CEF": "CEF:0|a|b|c|d|e|1|msg=x cs1=y \\= \\n", "LEEF": "LEEF:2.0|a|b|c|d|x09|sev=10\tcat=x",
        "syslog": "<13>1 - - - - - [a@1 b=\"c\\\"]\"]", "JSON": #"{"a":["\u0000",null]},//"#,
        "shell": "${jndi:x} %s%n $(x) <b>",
        "60 KB": String(repeating: "0123456789 abcdef=|\\\"]\n漢🚨", count: 2_000),
    ]

    private static func place(_ text: String) -> KeyValuePairs<String, (JSON) -> JSON> {
        let string = JSON.string(text)
        let own = JSON.Member(key: text, value: string)
        let keyed: JSON = .object([JSON.Member(key: "a", value: .string("1")), own])
        func set(_ path: String, _ value: JSON) -> (JSON) -> JSON { { $0.setting(path, value) } }
        func add(below path: String) -> (JSON) -> JSON {
            // The letter keeps the name from being one that is known.
            { $0.adding([JSON.Member(key: "x" + text, value: .members(["k": string]))], below: path) }
        }
        return [
            "name": set("metadata.name", string), "namespace": set("metadata.namespace", string),
            "creationTimestamp": set("metadata.creationTimestamp", string), "labels": set("metadata.labels", keyed),
            "annotations": set("metadata.annotations", keyed),
            "profile": set("spec.probe.profile", text.isEmpty ? .string("p") : string),
            "targetNamespace": set("spec.probe.targetNamespace", string),
            "aoAuthorizationRef": set("spec.probe.aoAuthorizationRef", string),
            "nistControl": set("spec.result.nistControls", .list([string])),
            "nistControls": set("spec.result.nistControls", .list([.string("AC-1"), string, string, .string("AC-2")])),
            "framework": set(
                "spec.result.controlMappings", .object([.init(key: text, value: .list([.string("A-1")]))])),
            "controls": set(
                "spec.result.controlMappings",
                .members(["cmmc": .list([string]), "nist-800-53": .list([.string("AC-1"), string])])),
            "crosswalkVersion": set("spec.result.crosswalkVersion", string),
            "mitreAttackId": set("spec.result.mitreAttackId", string), "detail": set("spec.result.detail", string),
            "verificationMode": set("spec.result.verificationMode", string),
            "jobName": set("spec.execution.jobName", string), "unknown of the root": add(below: ""),
            "unknown of metadata": add(below: "metadata"), "unknown of spec": add(below: "spec"),
            "unknown of probe": add(below: "spec.probe"), "unknown of result": add(below: "spec.result"),
            "unknown of execution": add(below: "spec.execution"),
        ]
    }

    private static let loneMark = String(Character(lone))

    private static func line(_ record: JSON, _ format: FormatKind) throws -> [UInt8] {
        let encoder = FormatEncoder(format, stamp: Records.stamp, options: FormatOptions())
        let bytes = Array(record.text.replacing(loneMark, with: #"\ud83d"#).utf8)
        var reader = ProbeResultReader()
        try reader.read(bytes.span, 0..<bytes.count)
        var out = ByteWriter()
        encoder.encode(reader.record, of: bytes.span, into: &out)
        return out.seal().array
    }

    /// What the line says and what the record says, when they differ.
    private static func difference(_ line: [UInt8], _ format: FormatKind, _ record: JSON) throws -> String? {
        let found = try ReadBack.record(line, format)
        let wanted = try JSONTreeReader.read(record.text.replacing(loneMark, with: "\u{FFFD}").utf8)
        let pair = [found, wanted].map { Array(Wanted.trimmed($0).byteOrdered.text.utf8) }
        guard pair[0] != pair[1] else { return nil }
        let shown = pair.map { String(String(decoding: $0, as: UTF8.self).prefix(3_000)) }
        return "read \(shown[0]), expected \(shown[1])"
    }

    private func check(_ record: JSON, _ format: FormatKind, _ what: String) throws {
        let difference = try Self.difference(Self.line(record, format), format, record)
        #expect(difference == nil, "\(format), \(what)")
    }

    /// Each value of a full record altered by one letter: what the other tests go by sees it.
    @Test(arguments: FormatKind.allCases)
    func anAlteredValueIsSeen(format: FormatKind) throws {
        let line = String(decoding: try Self.line(Records.full, format), as: UTF8.self)
        #expect(try Self.difference(Array(line.utf8), format, Records.full) == nil)
        for value in ["result-3f2b8c1e", "ao-2026", "kept", "T1611", "connections", "FlowLog", "SC.L2", "2026.1\""] {
            let value = format == .cef || format == .leef ? value.replacing("\"", with: "") : value
            let altered = line.replacing(value, with: "_" + value.dropFirst())
            #expect(altered != line, "\(value)")
            #expect(try Self.difference(Array(altered.utf8), format, Records.full) != nil, "\(value)")
        }
    }

    @Test(arguments: FormatKind.allCases)
    func everyKindInEveryField(format: FormatKind) throws {
        for (kind, text) in Self.kinds {
            for (field, put) in Self.place(text) { try check(put(Records.full), format, "\(kind) in \(field)") }
        }
    }

    /// Kinds next to each other, in all fields at once.
    @Test(arguments: FormatKind.allCases, 1...4 as ClosedRange<UInt64>)
    func mixedKindsInAllFields(format: FormatKind, seed: UInt64) throws {
        var rng = PRNG(seed: seed)
        for number in 0..<15 {
            var record = Records.full
            for field in 0..<Self.place("").count {
                let text = (0...rng.below(4)).map { _ in Self.kinds[Int(rng.below(UInt64(Self.kinds.count - 1)))].value
                }
                record = Self.place(text.joined())[field].value(record)
            }
            try check(record, format, "seed \(seed), record \(number)")
        }
    }
}

extension JSON {
    /// Members by ascending bytes of their keys at every level: String's own order takes some keys for equal.
    fileprivate var byteOrdered: JSON {
        switch self {
        case .list(let elements): .list(elements.map(\.byteOrdered))
        case .object(let members):
            .object(
                members.map { Member(key: $0.key, value: $0.value.byteOrdered) }
                    .sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) })
        default: self
        }
    }
}
