/// Why an input cannot be read.
public struct InputError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What happened, where, why, and what to do.
    public var description: String

    init(_ description: String) { self.description = description }
}
