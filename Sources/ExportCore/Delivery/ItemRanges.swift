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

    /// Adds ranges at the end, joined with the last one where they touch.
    mutating func appendMerging(_ other: [Range<Int>]) {
        for range in other {
            if let tail = last, tail.upperBound == range.lowerBound {
                self[count - 1] = tail.lowerBound..<range.upperBound
            } else {
                append(range)
            }
        }
    }
}
