extension [Range<Int>] {
    /// How many records the ranges name.
    public var itemCount: Int { reduce(0) { $0 + $1.count } }

    /// The records at these places of the sequence the ranges form.
    func items(_ places: Range<Int>) -> [Range<Int>] {
        var result: [Range<Int>] = []
        var seen = 0
        for range in self {
            let low = Swift.max(places.lowerBound - seen, 0)
            let high = Swift.min(places.upperBound - seen, range.count)
            if low < high { result.append(range.lowerBound + low..<range.lowerBound + high) }
            seen += range.count
        }
        return result
    }

    /// The records that `other` names too, and those that it does not. Both ascend.
    public func parted(by other: [Range<Int>]) -> (inside: [Range<Int>], outside: [Range<Int>]) {
        var (inside, outside): ([Range<Int>], [Range<Int>]) = ([], [])
        var next = 0
        for range in self {
            var low = range.lowerBound
            while next < other.count, other[next].upperBound <= low { next += 1 }
            var index = next
            while index < other.count, other[index].lowerBound < range.upperBound {
                let cut = other[index].clamped(to: low..<range.upperBound)
                index += 1
                guard !cut.isEmpty else { continue }
                if low < cut.lowerBound { outside.append(low..<cut.lowerBound) }
                inside.append(cut)
                low = cut.upperBound
            }
            if low < range.upperBound { outside.append(low..<range.upperBound) }
        }
        return (inside, outside)
    }

    /// Adds ranges at the end, joined with the last one where they touch.
    public mutating func appendMerging(_ other: [Range<Int>]) {
        for range in other {
            if let tail = last, tail.upperBound == range.lowerBound {
                self[count - 1] = tail.lowerBound..<range.upperBound
            } else {
                append(range)
            }
        }
    }
}
