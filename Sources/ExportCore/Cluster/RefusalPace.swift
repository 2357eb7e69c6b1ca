public import Model

/// Which of many refusals of one kind are worth a line in the log.
///
/// The first ``perPeriod`` of a kind within ``periodMilliseconds`` are told one by one; the others are counted, and their
/// number is told when the period is over. So a flood cannot fill the disk with its log, nor one kind hide another.
public struct RefusalPace: Sendable {
    /// Refusals of one kind that are not told one by one.
    public struct Withheld: Sendable, Equatable {
        /// The kind.
        public var kind: String
        /// How many.
        public var count: UInt64
    }

    private struct Period {
        var end: Tick
        var told = 0
        var withheld: UInt64 = 0
    }

    /// Told one by one in a period.
    public static let perPeriod = 10
    /// Length of a period.
    public static let periodMilliseconds: UInt64 = 10_000
    /// Kinds are few and ours; should they be many, the others share a period.
    private static let maxKinds = 64
    private var periods: [String: Period] = [:]

    /// Nothing was refused yet.
    public init() {}

    /// Something was refused; whether to tell it by itself. Ask ``due(now:)`` first.
    public mutating func refused(_ kind: String, now: Tick) -> Bool {
        let kind = periods[kind] != nil || periods.count < Self.maxKinds ? kind : "other"
        var period = periods[kind] ?? Period(end: now.adding(milliseconds: Self.periodMilliseconds))
        let isTold = period.told < Self.perPeriod
        if isTold { period.told += 1 } else { period.withheld += 1 }
        periods[kind] = period
        return isTold
    }

    /// What was withheld in periods that are over, by kind.
    public mutating func due(now: Tick) -> [Withheld] {
        let over = periods.filter { now >= $0.value.end }
        for kind in over.keys { periods[kind] = nil }
        return over.filter { $0.value.withheld > 0 }.map { Withheld(kind: $0.key, count: $0.value.withheld) }
            .sorted { $0.kind < $1.kind }
    }
}
