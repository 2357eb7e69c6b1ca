import Formats
import Model

/// Records with whatever text may do harm to a line, in every field that takes text.
struct HostileRecords {
    private var maker: RecordMaker

    init(seed: UInt64) { maker = RecordMaker(seed: seed) }

    // U+FEFF does not stand alone: Foundation, which the tests compare with, drops it at the start of a string.
    private static let pieces: [String] = [
        "\"", "\\", "]", "[", "=", ":", "%", "%3D", ".", "|", "\r\n", "\n", "\t", "\0", "\u{1B}[31m", "\u{7F}",
        "\u{85}",
        "\u{9F}", "\u{2028}", "\u{202E}", "\u{2400}", "\u{240A}", "\u{241F}", "\u{2420}", "\u{2421}", "\u{2426}",
        "\u{2426}\u{240A}", "👩‍👩‍👧", "x\u{FEFF}", "e\u{301}", "\\n", "\"]", "[a@1 b=\"c\"]", "<13>1 ", " ",
    ]

    /// The next record, as a tree.
    mutating func next() -> JSON {
        var record = maker.record()
        record = record.setting("spec.execution.jobName", .string(maker.text(20)))
        if maker.rng.below(3) == 0 {
            let own = JSON.Member(key: "export.sidereal.cloud/targets", value: .string("{}"))
            if case .object(let members)? = record["metadata.annotations"] {
                record = record.setting("metadata.annotations", .object(members + [own]))
            }
        }
        return sprinkled(record, path: "")
    }

    private static let closed: Set<String> = [
        "apiVersion", "kind", "metadata.uid", "spec.probe.id", "spec.result.outcome",
        "spec.result.controlEffectiveness",
        "spec.result.integrityStatus", "spec.execution.timestamp", "spec.audit.exportStatus",
    ]
    private static let maps: Set<String> = ["metadata.labels", "spec.result.controlMappings"]

    private mutating func sprinkled(_ tree: JSON, path: String) -> JSON {
        switch tree {
        case .string(let text): return Self.closed.contains(path) ? tree : .string(sprinkled(text))
        case .list(let elements):
            var out: [JSON] = []
            for element in elements { out.append(sprinkled(element, path: path + "[]")) }
            return .list(out)
        case .object(let members):
            var out: [JSON.Member] = []
            for member in members {
                let isOpen = Self.maps.contains(path) || member.key.hasPrefix("unknown")
                let key = isOpen ? member.key + sprinkled("") : member.key
                out.append(.init(key: key, value: sprinkled(member.value, path: path.isEmpty ? key : path + "." + key)))
            }
            return .object(out)
        default: return tree
        }
    }

    private mutating func sprinkled(_ text: String) -> String {
        var out = text
        for _ in 0..<maker.rng.below(4) {
            let piece = Self.pieces[Int(maker.rng.below(UInt64(Self.pieces.count)))]
            out = maker.rng.below(2) == 0 ? out + piece : piece + out
        }
        return out
    }
}

/// The same tree in another spelling: members in another order, white space, every character an escape.
struct EscapedSpelling {
    var rng: PRNG

    init(seed: UInt64) { rng = PRNG(seed: seed) }

    mutating func spell(_ tree: JSON) -> String {
        switch tree {
        case .string(let text): return quoted(text)
        case .list(let elements):
            var parts: [String] = []
            for element in elements { parts.append(spell(element)) }
            return "[" + parts.joined(separator: " ,\t") + "]"
        case .object(let members):
            var parts: [String] = []
            for member in members.shuffled(using: &rng) {
                let value = member.key == "uid" ? member.value.text : spell(member.value)
                parts.append(quoted(member.key) + " : " + value)
            }
            return "{ " + parts.joined(separator: ",") + "}"
        default: return tree.text
        }
    }

    private func quoted(_ text: String) -> String {
        "\"" + text.utf16.map { "\\u" + JSON.hex(UInt32($0)) }.joined() + "\""
    }
}

/// What must come back out of every format.
enum Wanted {
    /// The record without what never leaves: constants of the schema, the export's own state, what the API server changes,
    /// and maps and lists without elements.
    static func of(_ record: JSON) throws -> JSON { trimmed(try Records.parsed(record.text)).ordered }

    static func trimmed(_ record: JSON) -> JSON {
        var wanted = record
        for path in ["apiVersion", "kind", "spec.audit"] { wanted = wanted.setting(path, nil) }
        for name in ["resourceVersion", "managedFields", "generation", "selfLink"] {
            wanted = wanted.setting("metadata." + name, nil)
        }
        for path in SchemaTests.optionalStrings where wanted[path] == .null { wanted = wanted.setting(path, nil) }
        if case .object(let members)? = wanted["metadata.annotations"] {
            let kept = members.filter { !$0.key.hasPrefix("export.sidereal.cloud/") }
            wanted = wanted.setting("metadata.annotations", .object(kept))
        }
        let emptyAble = [
            "metadata.labels", "metadata.annotations", "spec.result.controlMappings", "spec.result.nistControls",
        ]
        for path in emptyAble where [.object([]), .list([]), .null].contains(wanted[path]) {
            wanted = wanted.setting(path, nil)
        }
        return wanted
    }

    /// What `encoder` writes for a record.
    static func line(_ text: String, _ encoder: some RecordEncoder) throws -> [UInt8] {
        let bytes = Array(text.utf8)
        var reader = ProbeResultReader()
        try reader.read(bytes.span, 0..<bytes.count)
        // Encoders append: what stands there already must stay.
        var out = ByteWriter()
        out.append("before")
        encoder.encode(reader.record, of: bytes.span, into: &out)
        let all = out.seal().array
        return all.starts(with: "before".utf8) ? Array(all.dropFirst(6)) : []
    }
}
