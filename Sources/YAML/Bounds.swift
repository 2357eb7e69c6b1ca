/// What one text may be made of, whatever it holds.
public struct Bounds: Sendable {
    /// Most bytes.
    public var bytes = 1 << 20
    /// Most values within each other.
    public var depth = 1_000
    /// Most values; an alias counts as all that it stands for, so that a few lines of aliases of aliases (the "billion
    /// laughs") are no more work for whoever goes through them than any other text.
    public var nodes = 1 << 20
    /// Most aliases (`*name`).
    public var aliases: Int
    /// Most repeated keys that are told of; there may be more.
    public var repeatedKeys = 16

    /// Most lines that begin as a directive does: the parser compares each `%TAG` with all before it.
    static let directives = 16

    /// The bounds with so many aliases.
    public init(aliases: Int) { self.aliases = aliases }
}
