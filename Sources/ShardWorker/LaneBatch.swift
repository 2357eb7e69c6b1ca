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

    var count: Int { starts.count }

    /// The input a record came from.
    func source(of item: Int) -> Int64 {
        var found = segments[0].source
        for segment in segments where segment.firstItem <= item { found = segment.source }
        return found
    }

    /// The records of segment `index`.
    func items(of index: Int) -> Range<Int> {
        let end = index + 1 < segments.count ? segments[index + 1].firstItem : count
        return segments[index].firstItem..<end
    }
}
