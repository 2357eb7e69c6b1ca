import YAML

extension Section {
    /// Longest accepted text, bytes.
    private static let maxTextBytes = 2048

    /// A single line of text that is not empty.
    func text(_ key: String, maxBytes: Int = maxTextBytes) -> Located<String>? {
        guard let field = field(key) else { return nil }
        return text(field, path(key), maxBytes)
    }

    /// A list of such texts; those that are none are reported and left out. Nil if the key is not given.
    func texts(_ key: String, limit: Int, maxBytes: Int = maxTextBytes) -> [Located<String>]? {
        guard let field = field(key) else { return nil }
        guard let nodes = field.node.sequence else {
            problems.add(
                place(field), path(key), "expected a list, found \(Self.kind(of: field.node))",
                hint: "start each entry with `- `, or write the list as `[a, b]`")
            return nil
        }
        guard nodes.count <= limit else {
            problems.add(place(field), path(key), "\(nodes.count) entries; at most \(limit) are possible")
            return nil
        }
        return nodes.enumerated().compactMap { index, node in
            text(Field(position: place(field), node: node), "\(path(key))[\(index)]", maxBytes)
        }
    }

    private func text(_ field: Field, _ path: String, _ maxBytes: Int) -> Located<String>? {
        guard let (scalar, position) = scalar(field, path, "text") else { return nil }
        let kind = Self.kind(of: scalar)
        guard kind == "text" else {
            let hint = "put it in quotes: " + shown("\"\(scalar.text)\"")
            problems.add(position, path, "expected text, found \(kind)", hint: hint)
            return nil
        }
        guard !scalar.text.isEmpty else {
            problems.add(position, path, "is empty", hint: "give a value or remove the key")
            return nil
        }
        guard scalar.text.utf8.count <= maxBytes else {
            problems.add(position, path, "is longer than \(maxBytes) bytes")
            return nil
        }
        guard !scalar.text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            problems.add(position, path, "holds a line break or another control character")
            return nil
        }
        return Located(value: scalar.text, position: position, keyPath: path)
    }

    /// `true` or `false`.
    func flag(_ key: String) -> Bool? {
        guard let (scalar, position) = scalar(key, "`true` or `false`") else { return nil }
        let word = scalar.text.lowercased()
        if scalar.isPlain, word == "true" || word == "false" { return word == "true" }
        let meant: String? =
            switch word {
            case "true", "yes", "on", "y", "1": "true"
            case "false", "no", "off", "n", "0": "false"
            default: nil
            }
        let hint = meant.map { "write `\($0)`\(scalar.isPlain ? "" : " without quotes")" }
        problems.add(position, path(key), "expected `true` or `false`, found \(shown(scalar.text))", hint: hint)
        return nil
    }

    /// A whole number in `range`.
    func whole(_ key: String, in range: ClosedRange<Int>, unit: String = "") -> Located<Int>? {
        guard let (scalar, position) = scalar(key, "a whole number") else { return nil }
        guard scalar.isPlain, Self.looksLikeNumber(scalar.text) else {
            let quoted = Int(scalar.text) != nil
            problems.add(
                position, path(key), "expected a whole number, found \(shown(scalar.text))",
                hint: quoted ? "remove the quotes" : nil)
            return nil
        }
        guard let number = Int(scalar.text), range.contains(number) else {
            let bounds = "from \(range.lowerBound) to \(range.upperBound)\(unit)"
            problems.add(
                position, path(key), "expected a whole number \(bounds), found \(shown(scalar.text))")
            return nil
        }
        return Located(value: number, position: position, keyPath: path(key))
    }

    /// A duration in `range`, in milliseconds.
    func duration(_ key: String, in range: ClosedRange<UInt64>) -> Located<UInt64>? {
        guard let (scalar, position) = scalar(key, Quantity.durationForm) else { return nil }
        let bounds =
            "\(Quantity.shownMilliseconds(range.lowerBound)) to \(Quantity.shownMilliseconds(range.upperBound))"
        return quantity(
            key, scalar.text, position, Quantity.milliseconds, range, Quantity.durationForm, bounds, sizes: false)
    }

    /// A size in `range`, in bytes.
    func size(_ key: String, in range: ClosedRange<Int>) -> Located<Int>? {
        guard let (scalar, position) = scalar(key, Quantity.sizeForm) else { return nil }
        let bounds = "\(Quantity.shownBytes(range.lowerBound)) to \(Quantity.shownBytes(range.upperBound))"
        let found = quantity(
            key, scalar.text, position, Quantity.bytes,
            UInt64(range.lowerBound)...UInt64(range.upperBound), Quantity.sizeForm, bounds, sizes: true)
        return found.map { Located(value: Int($0.value), position: $0.position, keyPath: $0.keyPath) }
    }

    /// One of the words of `Kind`; those that `isAvailable` refuses are reported as not available in this version.
    func choice<Kind: RawRepresentable<String> & CaseIterable>(
        _ key: String, as type: Kind.Type, isAvailable: (Kind) -> Bool = { _ in true }
    ) -> Located<Kind>? {
        let allowed = Kind.allCases.filter(isAvailable).map(\.rawValue)
        let list = allowed.map { "`\($0)`" }.joined(separator: ", ")
        let form = allowed.count == 1 ? list : "one of \(list)"
        guard let (scalar, position) = scalar(key, form) else { return nil }
        guard let kind = Kind(rawValue: scalar.text) else {
            let hint = Suggestion.nearest(to: scalar.text, among: allowed).map { "did you mean `\($0)`?" }
            problems.add(
                position, path(key), "unknown value \(shown(scalar.text)); expected \(form)", hint: hint)
            return nil
        }
        if !isAvailable(kind) {
            problems.add(
                position, path(key), "`\(kind.rawValue)` is \(Capabilities.notAvailable)", hint: "use \(form)")
        }
        return Located(value: kind, position: position, keyPath: path(key))
    }

    /// The scalar below `key`, without a tag of its own.
    private func scalar(_ key: String, _ expected: String) -> (Scalar, Position)? {
        guard let field = field(key) else { return nil }
        return scalar(field, path(key), expected)
    }

    private func scalar(_ field: Field, _ path: String, _ expected: String) -> (Scalar, Position)? {
        guard let scalar = field.node.scalar else {
            problems.add(
                place(field), path, "expected \(expected), found \(Self.kind(of: field.node))")
            return nil
        }
        if let tag = field.node.tag, !["!", "tag:yaml.org,2002:str"].contains(tag) {
            problems.add(
                place(field), path, "has the tag \(shown(tag)), and tags are not used here",
                hint: "write the value without it")
            return nil
        }
        return (scalar, place(field))
    }

    private func quantity(
        _ key: String, _ text: String, _ position: Position, _ read: (String) -> UInt64?,
        _ range: ClosedRange<UInt64>, _ form: String, _ bounds: String, sizes: Bool
    ) -> Located<UInt64>? {
        guard let value = read(text) else {
            let hint = Quantity.suggestion(text, sizes: sizes).map { "did you mean `\($0)`?" }
            problems.add(position, path(key), "expected \(form), found \(shown(text))", hint: hint)
            return nil
        }
        guard range.contains(value) else {
            problems.add(position, path(key), "\(shown(text)) is out of range; expected \(bounds)")
            return nil
        }
        return Located(value: value, position: position, keyPath: path(key))
    }
}
