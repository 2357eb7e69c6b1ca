import YAML

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
    /// In the file's order.
    let keys: [String]
    private let fields: [String: Field]

    /// Nil if `node` is not a mapping, which is reported. `keyPath` is empty for the whole file.
    init?(_ node: Node, keyPath: String, problems: Problems) {
        let place = Position(node.mark)
        guard case .mapping(let mapping) = node.content else {
            problems.add(
                place, keyPath, "expected a mapping (`key: value` lines), found \(Self.kind(of: node))")
            return nil
        }
        var keys: [String] = []
        var fields: [String: Field] = [:]
        for entry in mapping {
            let position = Position(entry.key.mark)
            guard let key = entry.key.scalar?.text else {
                problems.add(
                    position, keyPath,
                    "a key must be text, and this one is"
                        + " \(Self.kind(of: entry.key))", hint: "put text with braces or brackets in quotes")
                continue
            }
            if let first = fields[key] {
                problems.add(
                    position, Self.join(keyPath, key), "given twice; the first is in line \(first.position.line)",
                    hint: "keep one of them")
            } else {
                keys.append(key)
                fields[key] = Field(position: position, node: entry.value)
            }
        }
        self.keyPath = keyPath
        self.position = place
        self.problems = problems
        self.keys = keys
        self.fields = fields
    }

    /// The key path of `key` in here.
    func path(_ key: String) -> String { Self.join(keyPath, key) }

    /// Where `key` stands; the section's own place if it is not given.
    func position(of key: String) -> Position { fields[key]?.position ?? position }

    /// The key with a value; nil if there is none.
    func field(_ key: String) -> Field? {
        guard let field = fields[key], field.node.scalar?.isNull != true else { return nil }
        return field
    }

    /// The section below `key`.
    func section(_ key: String) -> Section? {
        guard let field = field(key) else { return nil }
        return Section(field.node, keyPath: path(key), problems: problems)
    }

    /// The mappings of the list below `key`; those that are none are reported and left out.
    func sections(_ key: String, limit: Int) -> [(index: Int, section: Section)]? {
        guard let field = field(key) else { return nil }
        guard let nodes = field.node.sequence else {
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
            (index, Section(node, keyPath: "\(path(key))[\(index)]", problems: problems))
        }.compactMap { index, section in section.map { (index, $0) } }
    }

    /// Whether `key` has a list without entries.
    func isEmptyList(_ key: String) -> Bool {
        fields[key]?.node.sequence?.isEmpty == true
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
    func place(_ field: Field) -> Position { Position(field.node.mark) }

    private static func join(_ path: String, _ key: String) -> String {
        // Keys of our own are words; others are made harmless for the terminal.
        let plain = key.unicodeScalars.allSatisfy { $0.isWordASCII } && key.utf8.count <= 80 && !key.isEmpty
        let name = plain ? key : shown(key)
        return path.isEmpty ? name : "\(path).\(name)"
    }
}

extension Section {
    /// What `node` is, in words.
    static func kind(of node: Node) -> String {
        switch node.content {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .scalar(let scalar): kind(of: scalar)
        }
    }

    /// What `scalar` is, in words.
    static func kind(of scalar: Scalar) -> String {
        guard scalar.isPlain else { return "text" }
        if scalar.isNull { return "nothing" }
        if ["true", "True", "TRUE", "false", "False", "FALSE"].contains(scalar.text) { return "true or false" }
        return looksLikeNumber(scalar.text) ? "a number" : "text"
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
