import Model

/// JSON as a tree, for tests to build records from; members keep their order. Knows nothing of the code under test.
indirect enum JSON: Sendable, Equatable {
    case string(String)
    case number(String)
    case bool(Bool)
    case null
    case list([JSON])
    case object([Member])

    struct Member: Sendable, Equatable {
        var key: String
        var value: JSON
    }

    static func members(_ members: KeyValuePairs<String, JSON>) -> JSON {
        .object(members.map { Member(key: $0.key, value: $0.value) })
    }

    /// Without white space, with the shortest escapes.
    var text: String {
        switch self {
        case .string(let text): Self.quoted(text)
        case .number(let text): text
        case .bool(let value): value ? "true" : "false"
        case .null: "null"
        case .list(let elements): "[" + elements.map(\.text).joined(separator: ",") + "]"
        case .object(let members):
            "{" + members.map { Self.quoted($0.key) + ":" + $0.value.text }.joined(separator: ",") + "}"
        }
    }

    static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{8}": out += "\\b"
            case "\u{C}": out += "\\f"
            case "\0"..<" ": out += "\\u" + hex(scalar.value)
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }

    static func hex(_ unit: UInt32) -> String {
        let digits = String(unit, radix: 16)
        return String(repeating: "0", count: 4 - digits.count) + digits
    }

    /// The value at a path such as `spec.probe.id`.
    subscript(path: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        let (head, rest) = Self.cut(path)
        guard let value = members.first(where: { $0.key == head })?.value else { return nil }
        return rest.isEmpty ? value : value[rest]
    }

    /// A copy with another value at `path`; nil removes the member, an unknown last name adds one at the end.
    func setting(_ path: String, _ value: JSON?) -> JSON {
        guard case .object(var members) = self else { return self }
        let (head, rest) = Self.cut(path)
        let index = members.firstIndex { $0.key == head }
        if !rest.isEmpty {
            guard let index else { return self }
            members[index].value = members[index].value.setting(rest, value)
        } else if let value {
            if let index { members[index].value = value } else { members.append(Member(key: head, value: value)) }
        } else if let index {
            members.remove(at: index)
        }
        return .object(members)
    }

    private static func cut(_ path: String) -> (head: String, rest: String) {
        let parts = path.split(separator: ".", maxSplits: 1)
        return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
    }
}

/// Writes the same tree in another spelling: members shuffled, white space between tokens, characters as escapes.
struct Speller {
    var rng: PRNG
    /// Paths whose strings must stay as they are.
    var plain: Set<String> = ["metadata.uid"]

    init(seed: UInt64) { rng = PRNG(seed: seed) }

    mutating func spell(_ tree: JSON) -> String {
        space() + value(tree, path: "") + space()
    }

    private mutating func value(_ tree: JSON, path: String) -> String {
        switch tree {
        case .string(let text): return plain.contains(path) ? JSON.quoted(text) : string(text)
        case .list(let elements):
            var parts: [String] = []
            for element in elements { parts.append(space() + value(element, path: path + "[]") + space()) }
            return "[" + (parts.isEmpty ? space() : parts.joined(separator: ",")) + "]"
        case .object(let members):
            var parts: [String] = []
            for member in members.shuffled(using: &rng) {
                let inner = path.isEmpty ? member.key : path + "." + member.key
                parts.append(
                    space() + string(member.key) + space() + ":" + space() + value(member.value, path: inner) + space())
            }
            return "{" + (parts.isEmpty ? space() : parts.joined(separator: ",")) + "}"
        default: return tree.text
        }
    }

    private mutating func space() -> String {
        guard rng.below(3) == 0 else { return "" }
        return (0...rng.below(3)).map { _ in [" ", "\t", "\r", "\n"][Int(rng.below(4))] }.joined()
    }

    private mutating func string(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            guard rng.below(6) == 0 else {
                out += JSON.quoted(String(scalar)).dropFirst().dropLast()
                continue
            }
            if scalar == "/", rng.below(2) == 0 {
                out += "\\/"
            } else {
                for unit in String(scalar).utf16 {
                    let digits = JSON.hex(UInt32(unit))
                    out += "\\u" + (rng.below(2) == 0 ? digits : digits.uppercased())
                }
            }
        }
        return out + "\""
    }
}
