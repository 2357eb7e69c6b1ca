/// A place in the text, from 1:1; columns are counted in Unicode scalars.
public struct Mark: Sendable, Hashable {
    /// The line, from 1. CR, LF, CR LF, NEL, LS and PS end one (YAML 1.1, section 5.4).
    public let line: Int
    /// The column, from 1.
    public let column: Int

    /// The place of that line and column.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }
}

/// A value of a document, and where it stands.
public struct Node: Sendable, Equatable {
    /// What a node can be.
    public enum Content: Sendable, Equatable {
        case scalar(Scalar)
        case sequence([Node])
        /// In the text's order; keys that are given again are in it again.
        case mapping([Entry])
    }

    /// What it is.
    public let content: Content
    /// The tag that is written before it, in full (`tag:yaml.org,2002:str` for `!!str`, `!` for itself); nil if none is.
    public let tag: String?
    /// Where it begins; where the alias stands, if it stands for one.
    public let mark: Mark
    /// How many nodes it is, with all within; an alias counts as all that it stands for.
    let size: Int

    /// The scalar that this is; nil if it is none.
    public var scalar: Scalar? {
        guard case .scalar(let scalar) = content else { return nil }
        return scalar
    }

    /// The entries of the sequence that this is; nil if it is none.
    public var sequence: [Node]? {
        guard case .sequence(let nodes) = content else { return nil }
        return nodes
    }

    /// The entries of the mapping that this is; nil if it is none.
    public var mapping: [Entry]? {
        guard case .mapping(let entries) = content else { return nil }
        return entries
    }

    /// What the first key with this text has in the mapping that this is; nil if there is none.
    public subscript(key: String) -> Node? {
        mapping?.first { $0.key.scalar?.text == key }?.value
    }

    /// The same, where an alias stands for it.
    func standing(at mark: Mark) -> Node { Node(content: content, tag: tag, mark: mark, size: size) }
}

/// A key with its value.
public struct Entry: Sendable, Equatable {
    /// Mostly a scalar; YAML allows any node.
    public let key: Node
    /// A scalar without text, where none is written.
    public let value: Node
}

/// Text, as it is written: no word of it has been made a number, a truth value, a time or nothing.
public struct Scalar: Sendable, Equatable {
    /// Without quotes, escapes resolved, lines folded.
    public let text: String
    /// Whether it has neither quotes nor `|` or `>`. Only such a scalar can mean anything else than text.
    public let isPlain: Bool

    /// Whether it stands for nothing in the core schema (YAML 1.2, section 10.3.2): plain, and empty, `~` or `null`.
    public var isNull: Bool { isPlain && ["", "~", "null", "Null", "NULL"].contains(text) }
}
