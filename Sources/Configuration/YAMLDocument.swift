import Yams

/// A parsed file, with its marks.
///
/// 1. At most ``maxBytes`` are looked at, and at most ``maxAliases`` aliases: the parser compares keys by value, and
///    aliases of aliases would make a few lines as large as it likes (the "billion laughs").
/// 2. Keys that are given twice are all found, though the parser stops at the first.
struct YAMLDocument {
    /// Largest accepted file, bytes.
    static let maxBytes = 1 << 20
    /// Most accepted words that look like an alias; ten nested threefold are 39 copies.
    static let maxAliases = 10
    /// After so many repeated keys no further ones are looked for.
    private static let maxRepeatedKeys = 16

    let root: Node
    /// First scalars of keys that were given again, by their position; see ``compose(_:_:)``.
    private let originals: [Position: Unicode.Scalar]

    /// Parses `text`; nil if that failed and `problems` says why.
    ///
    /// The parser gives up at a repeated key. So that the rest of the file is checked as well, the first scalar of the
    /// earlier key is replaced by one for private use, which leaves every position as it was, and the text is parsed
    /// again. ``key(_:at:)`` gives the name back.
    static func compose(_ text: String, _ problems: Problems) -> YAMLDocument? {
        guard let checked = CheckedText(text, problems) else { return nil }
        var scalars = checked.scalars
        var originals: [Position: Unicode.Scalar] = [:]
        while true {
            let source = String(String.UnicodeScalarView(scalars))
            do {
                let parser = try Parser(yaml: source, resolver: .basic, encoding: .utf8)
                guard let root = try parser.singleRoot() else {
                    problems.add(nil, "", "the file is empty", hint: emptyHint)
                    return nil
                }
                return YAMLDocument(root: root, originals: originals)
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                let position = Position(context.mark)
                let standIn = Unicode.Scalar(0xE000 + UInt32(originals.count))
                guard originals.count < maxRepeatedKeys, !checked.hasPrivateUse, let standIn,
                    let index = firstScalar(ofKeyAt: position, in: scalars)
                else {
                    let names = keys.map { shown($0) }.joined(separator: ", ")
                    problems.add(position, "", "more than one value for \(names)", hint: "keep one of them")
                    return nil
                }
                originals[position] = scalars[index]
                scalars[index] = standIn
            } catch {
                SyntaxMistake(error).report(problems, scalars)
                return nil
            }
        }
    }

    static let tooLarge = "the file is larger than \(Quantity.shownBytes(maxBytes))"
    static let tooLargeHint = "this is not a file of Helm values; is the path right?"
    static let emptyHint = "start with `export:` and at least one entry below `targets:`"

    /// The name of a key as it stands in the file.
    func key(_ text: String, at position: Position) -> String {
        guard let original = originals[position] else { return text }
        var scalars = String.UnicodeScalarView([original])
        scalars.append(contentsOf: text.unicodeScalars.dropFirst())
        return String(scalars)
    }

    /// Index of the first scalar of the plain or quoted key that starts at `position`; nil if the key does not begin
    /// with a letter, digit or underscore.
    private static func firstScalar(ofKeyAt position: Position, in scalars: [Unicode.Scalar]) -> Int? {
        var index = offset(of: position, in: scalars)
        guard index < scalars.count else { return nil }
        if scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        guard index < scalars.count, scalars[index].properties.isAlphabetic || scalars[index].isWordASCII else {
            return nil
        }
        return index
    }

    static func offset(of position: Position, in scalars: [Unicode.Scalar]) -> Int {
        var cursor = LineCursor()
        for (index, scalar) in scalars.enumerated() {
            if cursor.position(before: scalar) == position { return index }
        }
        return scalars.count
    }
}

extension Position {
    init(_ mark: Mark) {
        self.init(line: mark.line, column: mark.column)
    }
}

extension Unicode.Scalar {
    /// What the name of an anchor is made of (libyaml).
    var isWordASCII: Bool {
        switch self {
        case "a"..."z", "A"..."Z", "0"..."9", "_", "-": true
        default: false
        }
    }
}

/// Counts lines and columns the way libyaml does: CR, LF, CR LF, NEL, LS and PS end a line.
struct LineCursor {
    private var next = Position(line: 1, column: 1)
    private var afterCarriageReturn = false

    /// The position of `scalar`, which follows those that were given before.
    mutating func position(before scalar: Unicode.Scalar) -> Position {
        if afterCarriageReturn, scalar != "\n" { next = Position(line: next.line + 1, column: 1) }
        afterCarriageReturn = scalar == "\r"
        let here = next
        switch scalar {
        case "\n", "\u{85}", "\u{2028}", "\u{2029}": next = Position(line: next.line + 1, column: 1)
        default: next.column += 1
        }
        return here
    }
}
