/// A credential that cannot print itself: every description, dump and reflection shows only `<secret>`.
@safe
public struct Secret: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    private let value: String

    /// Wraps `value`.
    public init(_ value: String) { self.value = value }

    /// Whether there is nothing in it.
    public var isEmpty: Bool { value.isEmpty }

    /// The credential itself. Only for the bytes that leave for the receiver it belongs to.
    public func reveal() -> String { value }

    /// Always `<secret>`.
    public var description: String { "<secret>" }
    /// Always `<secret>`.
    public var debugDescription: String { "<secret>" }
    /// Shows nothing of the value.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
