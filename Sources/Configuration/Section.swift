import Yams

/// What one file is read with.
struct Reading {
    let document: YAMLDocument
    let problems: Problems
}

/// A value with its place, for relations that are checked later.
struct Located<Value> {
    var value: Value
    var position: Position
    var keyPath: String
}

extension Located: Sendable where Value: Sendable {}

/// A mapping of the file. Its getters return nil for a key that is not given, or given without a value (as Helm does),
/// and for a wrong value after reporting it.
struct Section {
    /// A key with its value.
    struct Field {
        let position: Position
        let node: Node
    }

    let keyPath: String
    let position: Position
    let problems: Problems
    private let reading: Reading
    /// In the file's order.
    let keys: [String]
    private let fields: [String: Field]

    /// Nil if `node` is not a mapping, which is reported. `keyPath` is empty for the whole file.
    init?(_ node: Node, keyPath: String, position: Position, reading: Reading) {
        let place = node.mark.map(Position.init) ?? position
        guard case .mapping(let mapping) = node else {
            reading.problems.add(
                place, keyPath, "expected a mapping (`key: value` lines), found \(Self.kind(of: node))")
            return nil
        }
        var keys: [String] = []
        var fields: [String: Field] = [:]
        for (keyNode, value) in mapping {
            guard case .scalar(let scalar) = keyNode, let mark = scalar.mark else {
                reading.problems.add(
                    keyNode.mark.map(Position.init) ?? place, keyPath,
                    "a key must be text, and this one is"
                        + " \(Self.kind(of: keyNode))", hint: "put text with braces or brackets in quotes")
                continue
            }
            let position = Position(mark)
            let key = reading.document.key(scalar.string, at: position)
            if let first = fields[key] {
                reading.problems.add(
                    position, Self.join(keyPath, key), "given twice; the first is in line \(first.position.line)",
                    hint: "keep one of them")
            } else {
                keys.append(key)
                fields[key] = Field(position: position, node: value)
            }
        }
        self.keyPath = keyPath
        self.position = place
        self.reading = reading
        self.problems = reading.problems
        self.keys = keys
        self.fields = fields
    }

    /// The key path of `key` in here.
    func path(_ key: String) -> String { Self.join(keyPath, key) }

    /// Where `key` stands; the section's own place if it is not given.
    func position(of key: String) -> Position { fields[key]?.position ?? position }

    /// The key with a value; nil if there is none.
    func field(_ key: String) -> Field? {
        guard let field = fields[key], !Self.isNull(field.node) else { return nil }
        return field
    }

    /// The section below `key`.
    func section(_ key: String) -> Section? {
        guard let field = field(key) else { return nil }
        return Section(field.node, keyPath: path(key), position: field.position, reading: reading)
    }

    /// The mappings of the list below `key`; those that are none are reported and left out.
    func sections(_ key: String, limit: Int) -> [(index: Int, section: Section)]? {
        guard let field = field(key) else { return nil }
        guard case .sequence(let nodes) = field.node else {
            problems.add(
                place(field), path(key), "expected a list, found \(Self.kind(of: field.node))",
                hint: "start each entry with `- `")
            return nil
        }
        guard nodes.count <= limit else {
            problems.add(place(field), path(key), "\(nodes.count) entries; at most \(limit) are possible")
            return nil
        }
        return nodes.enumerated().map { index, node in
            (index, Section(node, keyPath: "\(path(key))[\(index)]", position: field.position, reading: reading))
        }.compactMap { index, section in section.map { (index, $0) } }
    }

    /// Whether `key` has a list without entries.
    func isEmptyList(_ key: String) -> Bool {
        guard case .sequence(let nodes) = fields[key]?.node else { return false }
        return nodes.isEmpty
    }

    /// Reports every key that `isKnown` does not accept. `explain` may say more than that it is unknown.
    func refuseUnknownKeys(
        _ known: [String], explain: (String) -> (message: String, hint: String?)? = { _ in nil }
    ) {
        for key in keys where !known.contains(key) {
            if let (message, hint) = explain(key) {
                problems.add(position(of: key), path(key), message, hint: hint)
            } else {
                let list = known.map { "`\($0)`" }.joined(separator: ", ")
                let hint = Suggestion.nearest(to: key, among: known).map { "did you mean `\($0)`?" }
                problems.add(position(of: key), path(key), "unknown key", hint: hint ?? "known keys here: \(list)")
            }
        }
    }

    /// Reports that `key` is missing.
    func missing(_ key: String, _ message: String, hint: String? = nil) {
        problems.add(position(of: key), path(key), message, hint: hint)
    }

    /// Where the value of `field` stands.
    func place(_ field: Field) -> Position { field.node.mark.map(Position.init) ?? field.position }

    private static func join(_ path: String, _ key: String) -> String {
        // Keys of our own are words; others are made harmless for the terminal.
        let plain = key.unicodeScalars.allSatisfy { $0.isWordASCII } && key.utf8.count <= 80 && !key.isEmpty
        let name = plain ? key : shown(key)
        return path.isEmpty ? name : "\(path).\(name)"
    }
}

extension Section {
    /// Whether nothing is there: `key:`, `key: ~` or `key: null`.
    static func isNull(_ node: Node) -> Bool {
        guard case .scalar(let scalar) = node, scalar.style == .plain else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }

    /// What `node` is, in words.
    static func kind(of node: Node) -> String {
        switch node {
        case .mapping: return "a mapping"
        case .sequence: return "a list"
        case .alias: return "an alias"
        case .scalar(let scalar):
            guard scalar.style == .plain else { return "text" }
            if isNull(node) { return "nothing" }
            if ["true", "True", "TRUE", "false", "False", "FALSE"].contains(scalar.string) { return "true or false" }
            return looksLikeNumber(scalar.string) ? "a number" : "text"
        }
    }

    /// YAML 1.2 section 10.3.2: integers and floats of the core schema.
    static func looksLikeNumber(_ text: String) -> Bool {
        guard let first = text.first, first.isASCII, first.isNumber || "+-.".contains(first) else { return false }
        let rest = text.drop { $0 == "+" || $0 == "-" }
        if [".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"].contains(rest) { return true }
        if rest.hasPrefix("0x") { return UInt64(rest.dropFirst(2), radix: 16) != nil }
        if rest.hasPrefix("0o") { return UInt64(rest.dropFirst(2), radix: 8) != nil }
        return rest.utf8.contains { $0 >= 0x30 && $0 <= 0x39 } && Double(rest) != nil
    }
}
