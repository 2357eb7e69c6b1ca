public import Model

/// How long those who have room wait for one that has none: a twentieth of the time at most. Who has none for longer is left
/// behind, and must be shown everything once more.
public struct FeedPatience: Sendable {
    private static let most: UInt64 = 500
    private static let share: UInt64 = 20

    /// Milliseconds that may still be waited, in twentieths.
    private var left = most * share
    private var at: Tick?
    private var wasShort = false

    /// Nobody has waited yet.
    public init() {}

    /// Whether to wait now. To be asked often.
    ///
    /// - Parameter isShort: somebody who should come along has no room.
    public mutating func waits(isShort: Bool, now: Tick) -> Bool {
        let passed = at.map { now.milliseconds(since: $0) } ?? 0
        let all = Self.most * Self.share
        left =
            wasShort
            ? left - min(left, passed.multipliedReportingOverflow(by: Self.share).partialValue)
            : min(all, left + min(all, passed))
        at = now
        // A wait that is worth it, or none: not a moment every other time.
        wasShort = isShort && left >= (wasShort ? 1 : all / 10)
        return wasShort
    }
}
