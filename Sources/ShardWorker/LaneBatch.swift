import Backends
import Model

/// A closed batch of one target, with where each of its records came from.
struct LaneBatch: Sendable {
    /// A stretch of one input that the batch settles, blank lines and refused records within included.
    struct Segment: Sendable {
        var source: Int64
        var range: Range<UInt64>
        /// The first of the batch's records that lies in it.
        var firstItem: Int
    }

    var encoded: EncodedBatch
    var segments: [Segment]
    /// Where each record begins in its input.
    var starts: [UInt64]
    /// How many bytes of the input each record takes.
    var lengths: [UInt32]
    /// When the lane was given it.
    var arrivedAt = Tick(nanoseconds: 0)
    /// The same batch as an earlier process sent it, if that ended before the batch was settled.
    var earlier: BatchInFlight?

    var count: Int { starts.count }

    /// The input a record came from.
    func source(of item: Int) -> Int64 {
        var found = segments[0].source
        for segment in segments where segment.firstItem <= item { found = segment.source }
        return found
    }

    /// What the whole batch settles.
    var stretches: [BatchInFlight.Stretch] { segments.map { .init(source: $0.source, range: $0.range) } }

    /// Where some of its records lie: for all of them what the batch settles, else from the first to the last of each
    /// range.
    func stretches(of ranges: [Range<Int>]) -> [BatchInFlight.Stretch] {
        guard ranges != [0..<count] else { return stretches }
        var found: [BatchInFlight.Stretch] = []
        for range in ranges {
            for index in segments.indices {
                let part = range.clamped(to: items(of: index))
                guard let first = part.first, let last = part.last else { continue }
                let end = starts[last] + UInt64(lengths[last])
                found.append(.init(source: segments[index].source, range: starts[first]..<end))
            }
        }
        return found
    }

    /// The records of segment `index`.
    func items(of index: Int) -> Range<Int> {
        let end = index + 1 < segments.count ? segments[index + 1].firstItem : count
        return segments[index].firstItem..<end
    }
}
