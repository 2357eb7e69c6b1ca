import Yams

/// Text that the YAML parser may have: small, printable, with few aliases.
struct CheckedText {
    let scalars: [Unicode.Scalar]
    /// Whether scalars for private use are in it already.
    let hasPrivateUse: Bool

    /// Nil if the text was refused; `problems` says why.
    init?(_ text: String, _ problems: Problems) {
        guard text.utf8.count <= YAMLDocument.maxBytes else {
            problems.add(nil, "", YAMLDocument.tooLarge, hint: YAMLDocument.tooLargeHint)
            return nil
        }
        var scalars = Array(text.unicodeScalars)
        if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
        var cursor = LineCursor()
        var hasPrivateUse = false
        var aliases = 0
        var previous: Unicode.Scalar = "\n"
        for (index, scalar) in scalars.enumerated() {
            let position = cursor.position(before: scalar)
            guard Self.isPrintable(scalar) else {
                let code = String(scalar.value, radix: 16, uppercase: true)
                problems.add(
                    position, "",
                    "the character U+\(String(repeating: "0", count: max(0, 4 - code.count)))\(code)"
                        + " is not allowed in YAML", hint: "remove it")
                return nil
            }
            if case 0xE000...0xE0FF = scalar.value { hasPrivateUse = true }
            if scalar == "*", index + 1 < scalars.count, scalars[index + 1].isWordASCII, Self.maySeparate(previous) {
                aliases += 1
            }
            guard aliases <= YAMLDocument.maxAliases else {
                problems.add(
                    position, "", "more than \(YAMLDocument.maxAliases) aliases (`*name`)",
                    hint: "write the values themselves; in comments, put a space after the `*`")
                return nil
            }
            previous = scalar
        }
        self.scalars = scalars
        self.hasPrivateUse = hasPrivateUse
    }

    /// YAML 1.2, production [1] c-printable, without the byte order mark, which may stand only at the start.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A, 0x0D, 0x20...0x7E, 0x85, 0xA0...0xFFFD, 0x10000...0x10FFFF: scalar != "\u{FEFF}"
        default: false
        }
    }

    /// What an alias may follow.
    private static func maySeparate(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case " ", "\t", "\r", "\n", "\u{85}", "\u{2028}", "\u{2029}", "[", "{", ",", ":": true
        default: false
        }
    }
}

/// The parser's complaint, in words and with its place.
struct SyntaxMistake {
    private let message: String
    private let position: Position?

    private init(_ message: String, _ position: Position?) {
        self.message = message
        self.position = position
    }

    init(_ error: any Error) {
        switch error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            guard !problem.hasPrefix("Maximum nesting level") else {
                self.init("the values are nested too deeply", Position(mark))
                return
            }
            let around = context.map { " (\($0.text.trimmed) that starts in line \($0.mark.line))" } ?? ""
            self.init(problem + around, Position(mark))
        case .reader(let problem, _, _, _):
            self.init(problem, nil)
        case .memory:
            self.init("the parser ran out of memory", nil)
        default:
            self.init("the parser failed", nil)
        }
    }

    func report(_ problems: Problems, _ scalars: [Unicode.Scalar]) {
        // Where text is missing at the end, libyaml points to a line after the last.
        var cursor = LineCursor()
        for scalar in scalars { _ = cursor.position(before: scalar) }
        let end = cursor.position(before: " ")
        let isAtEnd = position.map { ($0.line, $0.column) >= (end.line, end.column) } ?? false
        problems.add(
            isAtEnd ? end : position, "", "not valid YAML: \(message)\(isAtEnd ? "; the file ends here" : "")",
            hint: hint(scalars))
    }

    private func hint(_ scalars: [Unicode.Scalar]) -> String? {
        if let position {
            let offset = YAMLDocument.offset(of: position, in: scalars)
            if offset < scalars.count, scalars[offset] == "\t" { return "indent with spaces; YAML does not allow tabs" }
            if offset < scalars.count, scalars[offset] == "@" || scalars[offset] == "`" {
                return "put the value in quotes"
            }
        }
        if message.hasPrefix("could not find expected ':'") { return "put a colon and a space between key and value" }
        if message.hasPrefix("mapping values are not allowed") {
            return "put a value that holds `: ` in quotes, or check the indentation"
        }
        if message.hasPrefix("did not find expected key") { return "check the indentation of this line" }
        if message.hasPrefix("found undefined alias") { return "put text that starts with `*` in quotes" }
        if message.hasPrefix("but found another document") { return "keep a single document; remove the `---`" }
        return nil
    }
}

extension String {
    /// Without spaces and line breaks at either end.
    fileprivate var trimmed: String {
        var rest = self[...]
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        return String(rest.drop { $0.isWhitespace })
    }
}
