public import Model

/// What a coordinator remembers of its own status: rates from counters, and the samples that the page draws.
///
/// Promises:
/// 1. At most ``capacity`` samples, ``intervalMilliseconds`` apart at the least, none older than
///    ``windowMilliseconds`` by the clock of the decisions.
/// 2. A rate compares two looks of the same term and role, at least ``minSpanMilliseconds`` apart. When a counter goes
///    back, a new count began, and nothing is compared across that.
///
/// Not promised: that samples are evenly spaced. A process that stood still leaves a gap.
public struct StatusHistory: Sendable {
    /// Milliseconds from one sample to the next.
    public static let intervalMilliseconds: UInt64 = 5_000
    /// How far back samples go.
    public static let windowMilliseconds: UInt64 = 15 * 60 * 1_000
    /// Samples at the most.
    public static let capacity = Int(windowMilliseconds / intervalMilliseconds)
    /// Two looks nearer than this are not compared: a batch more or less would double the rate.
    public static let minSpanMilliseconds: UInt64 = 900

    /// Samples as ``ClusterStatus`` carries them.
    public struct Record: Sendable, Equatable, Codable {
        /// Milliseconds from one sample to the next, at the least.
        public var intervalMilliseconds = StatusHistory.intervalMilliseconds
        /// Names of the targets, in the order that the samples' lists count.
        public var targets: [String] = []
        /// Oldest first.
        public var samples: [Sample] = []

        /// Without samples.
        public init() {}
    }

    /// The state of things at one moment. Element `t` of each list belongs to target `t`.
    public struct Sample: Sendable, Equatable, Codable {
        /// Counts the samples of this process from 1.
        public var number: UInt64
        /// When it was taken, milliseconds since 1970 by the wall clock.
        public var unixMilliseconds: Int64
        /// The gate.
        public var gate: GateStatus.State
        /// Workers in session.
        public var workers: Int
        /// Shards without an owner.
        public var unownedShards: Int
        /// Bytes in the leader's hand.
        public var bytesInHand: Int
        /// Accepted records per second since the last sample; null if that cannot be told.
        public var recordsPerSecond: [Double?]
        /// Accepted bytes per second, likewise.
        public var bytesPerSecond: [Double?]
        /// Median time of a request, µs; null before the first.
        public var latencyMicroseconds: [Int?]
        /// Records known and not delivered.
        public var backlog: [Int]
        /// Age of the oldest of them, ms; null if there is none.
        public var oldestMilliseconds: [UInt64?]
        /// Failed attempts since the last sample; null if that cannot be told.
        public var failures: [Int?]
    }

    /// Counters at one look.
    private struct Mark: Sendable {
        struct Counters: Sendable {
            var delivered: Int
            var bytes: Int
            var failures: Int
        }

        var at: Tick
        var term: UInt64
        var role: ClusterStatus.Role
        var names: [String]
        var counters: [Counters]

        init(_ status: ClusterStatus, at: Tick) {
            self.at = at
            term = status.leader?.term ?? 0
            role = status.coordinator.role
            names = status.targets.map(\.name)
            counters = status.targets.map {
                Counters(delivered: $0.delivered, bytes: $0.deliveredBytes, failures: $0.failures)
            }
        }

        /// Whether counters of the later mark go on from this one.
        func leads(to later: Mark) -> Bool {
            guard term == later.term, role == later.role, names == later.names else { return false }
            return zip(counters, later.counters).allSatisfy {
                $0.delivered <= $1.delivered && $0.bytes <= $1.bytes && $0.failures <= $1.failures
            }
        }
    }

    private struct Kept: Sendable {
        var at: Tick
        var sample: Sample
    }

    private var kept: [Kept] = []
    private var names: [String] = []
    private var taken: UInt64 = 0
    /// Looks of the last seconds, for live rates.
    private var recent: [Mark] = []
    /// The look at the last sample.
    private var sampled: Mark?

    /// Nothing was looked at.
    public init() {}

    /// Looks at `status`, fills in its rates, and takes a sample if one is due. True if it took one.
    @discardableResult
    public mutating func observe(_ status: inout ClusterStatus, now: Tick, unixMilliseconds: Int64) -> Bool {
        let mark = Mark(status, at: now)
        if let last = recent.last, !last.leads(to: mark) || now < last.at { recent = [] }
        // The first look that is still kept is an interval old or a little more.
        while recent.count > 1, now.milliseconds(since: recent[1].at) >= Self.intervalMilliseconds {
            recent.removeFirst()
        }
        if let first = recent.first, now.milliseconds(since: first.at) >= Self.minSpanMilliseconds {
            for index in status.targets.indices {
                status.targets[index].recordsPerSecond = Self.rate(first, mark, index, \.delivered)
                status.targets[index].bytesPerSecond = Self.rate(first, mark, index, \.bytes)
            }
        }
        if recent.last.map({ now.milliseconds(since: $0.at) >= Self.minSpanMilliseconds }) ?? true {
            recent.append(mark)
        }
        guard sampled.map({ now.milliseconds(since: $0.at) >= Self.intervalMilliseconds }) ?? true else { return false }
        take(status, mark, unixMilliseconds)
        return true
    }

    /// The samples whose number is greater than `number`, oldest first.
    public func record(after number: UInt64 = 0) -> Record {
        var record = Record()
        record.targets = names
        let first = kept.firstIndex { $0.sample.number > number } ?? kept.endIndex
        record.samples = kept[first...].map(\.sample)
        return record
    }

    private mutating func take(_ status: ClusterStatus, _ mark: Mark, _ unixMilliseconds: Int64) {
        if names != mark.names {
            // Lists of other targets would be read as lists of these.
            names = mark.names
            kept = []
        }
        let base = sampled.flatMap { $0.leads(to: mark) ? $0 : nil }
        taken += 1
        let all = status.targets.indices
        let sample = Sample(
            number: taken, unixMilliseconds: unixMilliseconds, gate: status.gate.state,
            workers: status.workers.count { $0.state != .lost },
            unownedShards: status.shards.count { $0.state == .unowned }, bytesInHand: status.feed.bytes,
            recordsPerSecond: all.map { index in base.flatMap { Self.rate($0, mark, index, \.delivered) } },
            bytesPerSecond: all.map { index in base.flatMap { Self.rate($0, mark, index, \.bytes) } },
            latencyMicroseconds: status.targets.map(\.latencyMicroseconds), backlog: status.targets.map(\.backlog),
            oldestMilliseconds: status.targets.map(\.oldestMilliseconds),
            failures: all.map { index in base.map { mark.counters[index].failures - $0.counters[index].failures } })
        kept.removeAll { mark.at.milliseconds(since: $0.at) >= Self.windowMilliseconds }
        if kept.count == Self.capacity { kept.removeFirst() }
        kept.append(Kept(at: mark.at, sample: sample))
        sampled = mark
    }

    /// Per second, to one decimal.
    private static func rate(
        _ from: Mark, _ to: Mark, _ index: Int, _ counter: KeyPath<Mark.Counters, Int>
    ) -> Double? {
        let milliseconds = to.at.milliseconds(since: from.at)
        guard milliseconds > 0 else { return nil }
        let count = to.counters[index][keyPath: counter] - from.counters[index][keyPath: counter]
        return (Double(count) * 10_000 / Double(milliseconds)).rounded() / 10
    }
}
