public import Model
import Protocol

/// A stretch of a source with the records in it, as the feed hands it over.
///
/// Stretches of a source are cut at the same places whoever reads it and whenever, so a stretch that one target has
/// read and another reads later is the same one.
public struct FeedPage: Sendable {
    /// The targets that read it now.
    public var targets: TargetMask
    /// Targets at which all of it is settled already, as the source itself shows.
    public var settled = TargetMask(bits: 0)
    /// The source: the upper half of the keys of its records.
    public var source: UInt64
    /// Where it lies in the source. The lower half of a key is where its record begins.
    public var range: Range<UInt64>
    /// Where the source ends. Every stretch says it: the last may have been settled long ago, and is not read again.
    public var sourceSize: UInt64
    /// Milliseconds that its oldest record had waited when it was read.
    public var ageMilliseconds: UInt64
    /// The lines.
    public var bytes: SealedBytes
    /// The records, in the order in which they lie.
    public private(set) var records: [FeedRecord]

    /// A stretch without records.
    public init(
        targets: TargetMask, source: UInt64, range: Range<UInt64>, sourceSize: UInt64, ageMilliseconds: UInt64,
        bytes: SealedBytes
    ) {
        self.targets = targets
        self.source = source
        self.range = range
        self.sourceSize = sourceSize
        self.ageMilliseconds = ageMilliseconds
        self.bytes = bytes
        records = []
    }

    /// Nothing of the source comes after it.
    public var isLast: Bool { range.upperBound == sourceSize }

    /// Makes room for `count` records.
    public mutating func reserve(_ count: Int) { records.reserveCapacity(count) }

    /// Adds a record: where in the source it begins, its shard, where it begins in ``bytes`` and how many of them it takes.
    public mutating func append(position: UInt64, shard: UInt16, start: UInt32, length: UInt32) {
        records.append(
            FeedRecord(
                position: position, start: start, length: length, shard: shard,
                isWhole: bytes.span[Int(start) + Int(length) - 1] == 0x0A))
    }
}

/// A record of a page, and how far it has come. Masks are of targets.
public struct FeedRecord: Sendable {
    /// Where in the source it begins. Ascends from one to the next.
    public let position: UInt64
    /// Where it begins in the page's bytes.
    public let start: UInt32
    /// How many of them it takes, its line end included.
    public let length: UInt32
    /// Its shard.
    public let shard: UInt16
    /// Its last byte is a line end. The last line of a source may lack it, and one that was too long to keep always does.
    let isWhole: Bool
    /// Targets that want it.
    var owed: UInt32 = 0
    /// Targets for which it is in the hands of its shard's owner.
    var sent: UInt32 = 0
    /// Targets at which an attempt failed, said once.
    var failed: UInt32 = 0
}

/// A set of targets, as bits: target `t` of the session's order is bit `t`.
public struct TargetMask: Hashable, Sendable {
    /// The bits.
    public var bits: UInt32

    /// The targets in `bits`.
    @inlinable public init(bits: UInt32) { self.bits = bits }

    /// One target.
    @inlinable public init(_ target: Int) { bits = 1 << UInt32(target) }

    /// The first `count` targets; at most 32.
    @inlinable public init(first count: Int) { bits = count >= 32 ? .max : (1 << UInt32(count)) - 1 }

    /// Whether `target` is in it.
    @inlinable public func contains(_ target: Int) -> Bool { bits & (1 << UInt32(target)) != 0 }

    /// Whether nothing is in it.
    @inlinable public var isEmpty: Bool { bits == 0 }
}

/// A page in the window, and how far each of its records has come.
struct WindowPage: Sendable {
    var source: UInt64
    var range: Range<UInt64>
    var bytes: SealedBytes
    /// When it was read.
    var taken: Tick
    /// How long its oldest record had waited by then. Not a time of its own: it may have begun before this machine did.
    var ageMilliseconds: UInt64
    var entries: [FeedRecord]
    /// Targets that read it and have records of it to settle.
    var open: UInt32 = 0
    /// For each target, how many records it still wants.
    var remaining: [Int32]
    /// Records in the hands of workers; the page stays as long as there are any.
    var sentCount = 0

    var isDone: Bool { open == 0 && sentCount == 0 }

    /// Milliseconds that its oldest record has waited.
    func age(now: Tick) -> UInt64 {
        let (sum, isOver) = ageMilliseconds.addingReportingOverflow(now.milliseconds(since: taken))
        return isOver ? .max : sum
    }

    func isOpen(for target: Int) -> Bool { open & (1 << UInt32(target)) != 0 }

    /// Which of its records begins at `position`; nil if none does. Soon found if it is one of those from `guess` on:
    /// the neighbours of what several workers share lie as many records apart.
    func offset(of position: UInt64, guess: Int) -> Int? {
        for near in guess..<max(guess, min(guess + 16, entries.count)) where entries[near].position >= position {
            if entries[near].position == position { return near }
            break
        }
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].position < position { low = middle + 1 } else { high = middle }
        }
        return low < entries.count && entries[low].position == position ? low : nil
    }

    /// How far record `offset` reaches in the source, blank lines behind it included.
    func reach(of offset: Int) -> UInt32 {
        let end = offset + 1 < entries.count ? entries[offset + 1].position : range.upperBound
        return UInt32(clamping: end - entries[offset].position)
    }
}

/// What is settled of each source for each target, outside the window.
public struct SettledIndex: Sendable, Equatable {
    private var sources: [UInt64: [PositionSet]] = [:]
    private var finished: Set<UInt64> = []
    private let targetCount: Int

    /// Nothing is settled.
    public init(targetCount: Int) { self.targetCount = targetCount }

    /// Adds what the store remembers, or what was settled since.
    public mutating func insert(_ range: Range<UInt64>, of source: UInt64, target: Int) {
        guard !finished.contains(source) else { return }
        sources[source, default: Array(repeating: PositionSet(), count: targetCount)][target].insert(range)
    }

    /// Everything of `source` is settled for all targets.
    public mutating func finish(_ source: UInt64) {
        finished.insert(source)
        sources[source] = nil
    }

    /// Nothing of `source` is in hand any more, and what is settled of it is not to be remembered here.
    mutating func forget(_ source: UInt64) {
        sources[source] = nil
        finished.remove(source)
    }

    /// Whether everything of `source` is settled.
    public func isFinished(_ source: UInt64) -> Bool { finished.contains(source) }

    /// Whether the record that begins at `position` is settled for `target`.
    public func contains(_ position: UInt64, of source: UInt64, target: Int) -> Bool {
        finished.contains(source) || sources[source]?[target].contains(position) ?? false
    }

    /// Whether anything in `range` is settled for `target`.
    public func touches(_ range: Range<UInt64>, of source: UInt64, target: Int) -> Bool {
        finished.contains(source) || sources[source]?[target].overlaps(range) ?? false
    }

    /// Whether `range`, from the beginning of `source`, is settled for all targets.
    public func covers(upTo end: UInt64, of source: UInt64) -> Bool {
        guard let sets = sources[source] else { return finished.contains(source) }
        return sets.allSatisfy { $0.highWaterMark >= end }
    }
}
