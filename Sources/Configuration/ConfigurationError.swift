/// One mistake in a configuration file.
public struct ConfigurationProblem: Sendable, Equatable, CustomStringConvertible {
    /// The file's name as it was given.
    public let file: String
    /// Line, from 1; nil if the mistake is not at one place.
    public let line: Int?
    /// Column, from 1, in Unicode scalars; nil if the mistake is not at one place.
    public let column: Int?
    /// The setting, such as `export.targets[0].endpoint`; empty if it is the file as a whole.
    public let keyPath: String
    /// What is wrong, and what was expected. Holds no control characters and no credentials.
    public let message: String
    /// How to mend it.
    public let hint: String?

    /// `file:line:column: key.path: message`, and the hint on a line of its own.
    public var description: String { lines.joined(separator: "\n") }

    /// The same, line by line: none holds a line break.
    public var lines: [String] {
        var text = file
        if let line { text += ":\(line)" }
        if let column { text += ":\(column)" }
        text += ": "
        if !keyPath.isEmpty { text += keyPath + ": " }
        text += message
        return hint.map { [text, "    hint: \($0)"] } ?? [text]
    }
}

/// Every mistake of a configuration file, in the order of its lines.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// At least one.
    public let problems: [ConfigurationProblem]

    init(_ problems: [ConfigurationProblem]) {
        self.problems = problems
    }

    /// All problems, one after another.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// A place in a file, from 1:1, columns in Unicode scalars.
struct Position: Hashable {
    var line: Int
    var column: Int
}

/// Collects the mistakes of one file, so that all are reported at once.
final class Problems {
    let file: String
    private var found: [ConfigurationProblem] = []

    init(file: String) { self.file = file }

    func add(_ position: Position?, _ keyPath: String, _ message: String, hint: String? = nil) {
        found.append(
            ConfigurationProblem(
                file: file, line: position?.line, column: position?.column, keyPath: keyPath, message: message,
                hint: hint))
    }

    /// By line and column; those of one place in the order they were found.
    var sorted: [ConfigurationProblem] {
        found.enumerated().sorted { a, b in
            (a.element.line ?? 0, a.element.column ?? 0, a.offset) < (
                b.element.line ?? 0, b.element.column ?? 0, b.offset
            )
        }.map(\.element)
    }

    /// Throws what was collected, if anything.
    func check() throws(ConfigurationError) {
        if !found.isEmpty { throw ConfigurationError(sorted) }
    }
}

/// What somebody wrote, for a message: in backquotes, cut to 80 characters, control characters made visible so that a
/// file cannot steer the reader's terminal.
func shown(_ text: some StringProtocol) -> String {
    var out = ""
    for scalar in text.unicodeScalars.prefix(80) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned:
            out += "\\u{\(String(scalar.value, radix: 16))}"
        default: out.unicodeScalars.append(scalar)
        }
    }
    return text.unicodeScalars.count > 80 ? "`\(out)…`" : "`\(out)`"
}
