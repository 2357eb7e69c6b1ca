/// A set of positions as sorted, disjoint, non-adjacent ranges: what was settled of an input.
///
/// Work that settles in order keeps it at one range; every gap costs one more.
public struct PositionSet: Sendable, Equatable {
    /// Sorted, disjoint, no two touch.
    public private(set) var ranges: [Range<UInt64>] = []

    /// The empty set.
    public init() {}

    /// The set of all positions in `ranges`, in any order.
    public init(_ ranges: [Range<UInt64>]) {
        for range in ranges { insert(range) }
    }

    /// Index of the first range that ends at or after `position`.
    private func firstEnding(atOrAfter position: UInt64) -> Int {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < position { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Adds a range and merges what touches it. Returns the merged range and those it swallowed.
    @discardableResult
    public mutating func insert(_ range: Range<UInt64>) -> (merged: Range<UInt64>, swallowed: [Range<UInt64>]) {
        guard !range.isEmpty else { return (range, []) }
        let first = firstEnding(atOrAfter: range.lowerBound)
        var last = first
        var merged = range
        while last < ranges.count, ranges[last].lowerBound <= range.upperBound {
            merged = min(merged.lowerBound, ranges[last].lowerBound)..<max(merged.upperBound, ranges[last].upperBound)
            last += 1
        }
        let swallowed = Array(ranges[first..<last])
        ranges.replaceSubrange(first..<last, with: CollectionOfOne(merged))
        return (merged, swallowed)
    }

    /// Whether `position` is in the set.
    public func contains(_ position: UInt64) -> Bool {
        // No half-open range can hold the last position there is.
        guard position < .max else { return false }
        let index = firstEnding(atOrAfter: position + 1)
        return index < ranges.count && ranges[index].lowerBound <= position
    }

    /// Whether any position of `range` is in the set.
    public func overlaps(_ range: Range<UInt64>) -> Bool {
        guard !range.isEmpty else { return false }
        let index = firstEnding(atOrAfter: range.lowerBound + 1)
        return index < ranges.count && ranges[index].lowerBound < range.upperBound
    }

    /// Whether all of `range` is in the set.
    public func covers(_ range: Range<UInt64>) -> Bool {
        guard !range.isEmpty else { return true }
        let index = firstEnding(atOrAfter: range.upperBound)
        return index < ranges.count && ranges[index].lowerBound <= range.lowerBound
    }

    /// The positions that are not in `other`.
    public func subtracting(_ other: PositionSet) -> PositionSet {
        var rest = PositionSet()
        var next = 0
        for range in ranges {
            var start = range.lowerBound
            while next < other.ranges.count, other.ranges[next].upperBound <= start { next += 1 }
            var at = next
            while at < other.ranges.count, other.ranges[at].lowerBound < range.upperBound {
                if other.ranges[at].lowerBound > start { rest.ranges.append(start..<other.ranges[at].lowerBound) }
                start = max(start, other.ranges[at].upperBound)
                at += 1
            }
            if start < range.upperBound { rest.ranges.append(start..<range.upperBound) }
        }
        return rest
    }

    /// How many positions are in the set.
    public var total: UInt64 { ranges.reduce(0) { $0 + UInt64($1.count) } }

    /// Every position below this is in the set.
    public var highWaterMark: UInt64 {
        guard let first = ranges.first, first.lowerBound == 0 else { return 0 }
        return first.upperBound
    }
}
