import YAML

/// The text of a configuration file as a tree, or why it is none.
enum ConfigurationText {
    /// What a configuration may be made of.
    static let bounds = Bounds(aliases: 10)
    /// Largest accepted file, bytes.
    static let maxBytes = bounds.bytes
    static let emptyHint = "start with `export:` and at least one entry below `targets:`"

    /// The root of `bytes`; nil if they are refused and `problems` says why.
    static func root(of bytes: [UInt8], _ problems: Problems) -> Node? {
        let document: Document
        do throws(YAMLError) {
            document = try Document(bytes, within: bounds)
        } catch {
            report(error, problems)
            return nil
        }
        guard let root = document.root, root.scalar?.isNull != true else {
            problems.add(nil, "", "the file is empty", hint: emptyHint)
            return nil
        }
        let repeated = document.repeatedKeys
        // Each of a few is told of with its key path, as far as anything below its mapping counts.
        guard repeated.count <= bounds.repeatedKeys else {
            let names = repeated.map { shown($0.text) }.joined(separator: ", ")
            problems.add(
                repeated.first.map { Position($0.mark) }, "", "more than one value for \(names) and maybe others",
                hint: "keep one of them")
            return nil
        }
        return root
    }

    private static func report(_ error: YAMLError, _ problems: Problems) {
        let position = error.mark.map { Position($0) }
        switch error.kind {
        case .tooLarge:
            problems.add(
                nil, "", "the file is larger than \(Quantity.shownBytes(maxBytes))",
                hint: "this is not a file of Helm values; is the path right?")
        case .utf16: problems.add(nil, "", "the file is UTF-16", hint: "save it as UTF-8")
        case .notUTF8: problems.add(position, "", "the file is not UTF-8 text", hint: "save it as UTF-8")
        case .character(let scalar):
            let code = String(scalar.value, radix: 16, uppercase: true)
            problems.add(
                position, "",
                "the character U+\(String(repeating: "0", count: max(0, 4 - code.count)))\(code)"
                    + " is not allowed in YAML", hint: "remove it")
        case .tooManyAliases:
            problems.add(position, "", error.problem, hint: "write the values themselves")
        case .tooManyNodes, .tooManyDirectives, .outOfMemory:
            problems.add(position, "", error.problem, hint: "this is not a file of Helm values; is the path right?")
        case .tooDeep, .severalDocuments, .syntax:
            let around = error.context.map { " (\(trimmed($0.text)) that starts in line \($0.mark.line))" } ?? ""
            let end = error.isAtEnd ? "; the file ends here" : ""
            problems.add(position, "", "not valid YAML: \(error.problem)\(around)\(end)", hint: hint(error))
        }
    }

    private static func hint(_ error: YAMLError) -> String? {
        switch error.found {
        case "\t": return "indent with spaces; YAML does not allow tabs"
        case "@", "`": return "put the value in quotes"
        default: break
        }
        if error.kind == .severalDocuments { return "keep a single document; remove the `---`" }
        let hints = [
            ("could not find expected ':'", "put a colon and a space between key and value"),
            ("mapping values are not allowed", "put a value that holds `: ` in quotes, or check the indentation"),
            ("did not find expected key", "check the indentation of this line"),
            ("found undefined alias", "put text that starts with `*` in quotes"),
        ]
        return hints.first { error.problem.hasPrefix($0.0) }?.1
    }

    /// Without spaces and line breaks at either end.
    private static func trimmed(_ text: String) -> String {
        var rest = text[...]
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        return String(rest.drop { $0.isWhitespace })
    }
}

extension Position {
    init(_ mark: Mark) {
        self.init(line: mark.line, column: mark.column)
    }
}

extension Unicode.Scalar {
    /// A letter, a digit, `_` or `-` of ASCII.
    var isWordASCII: Bool {
        switch self {
        case "a"..."z", "A"..."Z", "0"..."9", "_", "-": true
        default: false
        }
    }
}
