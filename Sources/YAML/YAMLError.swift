/// Why a text is refused.
public struct YAMLError: Error, Sendable, Equatable {
    /// The kinds of refusal.
    public enum Kind: Sendable, Equatable {
        /// More bytes than ``Bounds/bytes``.
        case tooLarge
        /// UTF-16, by its byte order mark.
        case utf16
        /// Bytes that are no UTF-8.
        case notUTF8
        /// A character that YAML does not allow, NUL among them.
        case character(Unicode.Scalar)
        /// Values within values beyond ``Bounds/depth``.
        case tooDeep
        /// More values than ``Bounds/nodes``, an alias counted as all that it stands for.
        case tooManyNodes
        /// More aliases than ``Bounds/aliases``.
        case tooManyAliases
        /// More directives than ``Bounds/directives``.
        case tooManyDirectives
        /// A second document.
        case severalDocuments
        /// No YAML.
        case syntax
        /// The parser got no memory.
        case outOfMemory
    }

    /// What was being read when it happened, and where that begins.
    public struct Context: Sendable, Equatable {
        /// In the parser's words: "while parsing a flow mapping".
        public let text: String
        /// Where it begins.
        public let mark: Mark
    }

    /// Which of them.
    public let kind: Kind
    /// What is wrong, in words that quote nothing of the text: it may hold a credential.
    public let problem: String
    /// Where; nil if it is the text as a whole.
    public private(set) var mark: Mark?
    /// What was being read.
    public let context: Context?
    /// What stands at ``mark``; nil at the end of the text.
    public private(set) var found: Unicode.Scalar?
    /// Whether the text ends where something more was expected.
    public private(set) var isAtEnd = false

    init(_ kind: Kind, _ problem: String, at mark: Mark? = nil, context: Context? = nil) {
        self.kind = kind
        self.problem = problem
        self.mark = mark
        self.context = context
    }

    /// With what stands there in `text`. Where something is missing at the end, libyaml points to a line after the last;
    /// such a place becomes the end.
    func placed(in text: String.UnicodeScalarView) -> YAMLError {
        guard let mark else { return self }
        var placed = self
        var cursor = LineCursor()
        for scalar in text where cursor.mark(before: scalar) == mark {
            placed.found = scalar
            return placed
        }
        let end = cursor.mark(before: " ")
        if (mark.line, mark.column) >= (end.line, end.column) {
            placed.mark = end
            placed.isAtEnd = true
        }
        return placed
    }
}
