public import Model
public import Protocol

/// Results whose status an API server does not take while it takes that of others, as when a webhook fails for one object, a policy
/// refuses it, or somebody changes it all the time. They are put aside, so that they hold up nobody, and tried again beside the
/// others, less and less often. Pure.
///
/// Promises:
/// 1. One is put aside when it was refused, or when it failed ``mostFailures`` times since others were written in a round in
///    which it was not. While nobody can be written, it is not for its own sake that it fails.
/// 2. At most ``most`` are kept aside; what comes beyond is told to the caller.
/// 3. Each is tried again after ``pauses``, doubling; when one of them could be written, the others are tried soon.
public struct StatusDetour: Sendable {
    private struct Case: Sendable {
        var failures = 0
        /// Others were written where it was not.
        var isAlone = false
        var isAside = false
        var isUnderWay = false
        var pause: UInt64 = 0
        var due = Tick(nanoseconds: 0)
    }

    /// Failures after which a result is put aside.
    public static let mostFailures = 8
    /// Results that are kept aside.
    public static let most = 4_096
    /// Between two tries, milliseconds.
    public static let pauses: ClosedRange<UInt64> = 5_000...300_000
    /// Those that are tried together.
    private static let mostAtOnce = 8
    private static let soonMilliseconds: UInt64 = 1_000

    private var cases: [RecordKey: Case] = [:]
    /// Results that are aside.
    public private(set) var count = 0

    /// Nothing has failed.
    public init() {}

    /// Whether something has failed and is not put aside yet.
    public var hasSuspects: Bool { cases.count > count }

    /// Whether a result has failed and was not written since.
    public func isSuspect(_ key: RecordKey) -> Bool { cases[key] != nil }

    /// Whether a result is aside.
    public func isAside(_ key: RecordKey) -> Bool { cases[key]?.isAside ?? false }

    /// A result was left by a round; whether it is aside from now on.
    ///
    /// - Parameters:
    ///   - amongSuccess: others were written in that round.
    ///   - isAnswered: the server has said something.
    public mutating func left(_ key: RecordKey, amongSuccess: Bool, isAnswered: Bool, now: Tick) -> Bool {
        var known = cases[key] ?? Case()
        if amongSuccess { known.isAlone = true }
        // Silence, with nothing else to compare, is the network's.
        if amongSuccess || known.isAlone && isAnswered { known.failures += 1 }
        cases[key] = known
        guard known.failures >= Self.mostFailures else { return false }
        return putAside(key, now: now)
    }

    /// Puts a result aside; whether there is room for it.
    public mutating func putAside(_ key: RecordKey, now: Tick) -> Bool {
        guard count < Self.most else { return false }
        var known = cases[key] ?? Case()
        if known.isAside { return true }
        known.isAside = true
        known.pause = Self.pauses.lowerBound
        known.due = now.adding(milliseconds: known.pause)
        cases[key] = known
        count += 1
        return true
    }

    /// A result was written, or is gone.
    public mutating func settled(_ key: RecordKey, now: Tick) {
        guard let known = cases.removeValue(forKey: key), known.isAside else { return }
        count -= 1
        // What hindered this one may have hindered them too, and be mended.
        let soon = now.adding(milliseconds: Self.soonMilliseconds)
        for (key, other) in cases where other.isAside && !other.isUnderWay && other.due > soon {
            cases[key]?.due = soon
        }
    }

    /// Those that are to be tried now, the longest due first; each is followed by ``settled(_:now:)`` or ``failed(_:now:)``.
    public mutating func takeDue(now: Tick) -> [RecordKey] {
        guard count > 0 else { return [] }
        let due = cases.filter { $0.value.isAside && !$0.value.isUnderWay && now >= $0.value.due }
        let chosen = due.sorted { ($0.value.due, $0.key.high) < ($1.value.due, $1.key.high) }.prefix(Self.mostAtOnce)
        for (key, _) in chosen { cases[key]?.isUnderWay = true }
        return chosen.map(\.key)
    }

    /// A try was in vain.
    public mutating func failed(_ key: RecordKey, now: Tick) {
        guard var known = cases[key] else { return }
        known.isUnderWay = false
        known.pause = min(max(known.pause, Self.pauses.lowerBound) * 2, Self.pauses.upperBound)
        known.due = now.adding(milliseconds: known.pause)
        cases[key] = known
    }
}
