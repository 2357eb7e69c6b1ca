/// Why a frame cannot be read, or a message not written: what, which field, where, and what was expected.
public struct ProtocolError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Kinds of mistakes.
    public enum Kind: Sendable, CaseIterable {
        /// The frame ends before the field does.
        case truncated
        /// The frame, or a text or list in it, is longer than allowed.
        case tooLarge
        /// A version that is not spoken, or not the session's.
        case version
        /// A type that is not known and must not be skipped.
        case unknownType
        /// A flag that is not known and must not be ignored.
        case unknownFlag
        /// A message that needs a session before there is one.
        case noSession
        /// A value outside its range.
        case value
        /// Text that is not UTF-8.
        case text
        /// Counts that contradict each other.
        case count
        /// The checksum does not match.
        case checksum
    }

    /// The kind.
    public var kind: Kind
    /// The message, or `frame`.
    public var message: String
    /// The field, as in PROTOCOL.md; elements of lists carry their index: `health[3].reason`.
    public var field: String
    /// Where the field begins, bytes from the start of the frame.
    public var offset: Int
    /// What would have been right.
    public var expected: String
    /// What stands there instead.
    public var found: String

    @inline(never)
    init(
        _ kind: Kind, _ message: String, _ field: String, at offset: Int, expected: @autoclosure () -> String,
        found: @autoclosure () -> String
    ) {
        self.kind = kind
        self.message = message
        self.field = field
        self.offset = offset
        self.expected = expected()
        self.found = found()
    }

    /// One line for logs.
    public var description: String { "\(message).\(field) at byte \(offset): expected \(expected), found \(found)" }

    /// What to tell the peer before the connection is closed.
    public var fault: PeerFault {
        let code: PeerFault.Code =
            switch kind {
            case .version: .version
            case .tooLarge: .tooLarge
            case .checksum: .checksum
            case .noSession: .unexpected
            case .truncated, .unknownType, .unknownFlag, .value, .text, .count: .malformed
            }
        return PeerFault(code: code, message: description)
    }
}
