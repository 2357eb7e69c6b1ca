public import Model

/// How long those who have room wait for one that has none: a twentieth of the time at most, and what reading for several at
/// once has saved. Who has none for longer is left behind, and must be shown everything once more.
///
/// So whoever waits never loses more than what reading for each apart would have taken. A target that is down, or much slower
/// than the rest, is left behind within moments; where reading is what takes the time, all stay together.
public struct FeedPatience: Sendable {
    private static let most: UInt64 = 500_000_000
    private static let share: UInt64 = 20
    /// A shorter wait is not begun, in twentieths of nanoseconds.
    private let least: UInt64

    /// Nanoseconds that may still be waited, in twentieths.
    private var left: UInt64
    private var at: Tick?
    private var wasShort = false

    /// Nobody has waited yet.
    ///
    /// - Parameter saving: nothing may be waited at first, but what will be saved; else half a second.
    public init(saving: Bool = false) {
        left = saving ? 0 : Self.most * Self.share
        least = Self.most * Self.share / (saving ? 100 : 10)
    }

    /// What was read for several at once would have taken so much longer for each apart.
    public mutating func saved(nanoseconds: UInt64) {
        left = min(Self.most * Self.share, left + min(nanoseconds, Self.most) * Self.share)
    }

    /// Whether to wait now. To be asked often.
    ///
    /// - Parameter isShort: somebody who should come along has no room.
    public mutating func waits(isShort: Bool, now: Tick) -> Bool {
        let passed = at.map { now.nanoseconds - min(now.nanoseconds, $0.nanoseconds) } ?? 0
        let all = Self.most * Self.share
        left =
            wasShort
            ? left - min(left, passed.multipliedReportingOverflow(by: Self.share).partialValue)
            : min(all, left + min(all, passed))
        at = now
        // A wait that is worth it, or none: not a moment every other time.
        wasShort = isShort && left >= (wasShort ? 1 : least)
        return wasShort
    }
}
