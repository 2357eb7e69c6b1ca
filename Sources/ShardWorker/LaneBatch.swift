import Backends
import ExportCore
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

    /// A stretch of one input with its records.
    struct Part: Equatable {
        var source: Int64
        var range: Range<UInt64>
        var items: Range<Int>
    }

    /// What the batch settles if the records `gone`, ascending, are settled by nobody.
    func parts(without gone: [Range<Int>]) -> [Part] {
        var parts: [Part] = []
        for index in segments.indices {
            let source = segments[index].source
            var items = items(of: index)
            var low = segments[index].range.lowerBound
            for range in gone {
                let cut = range.clamped(to: items)
                guard let first = cut.first, let last = cut.last else { continue }
                parts.append(Part(source: source, range: low..<starts[first], items: items.lowerBound..<first))
                low = starts[last] + UInt64(lengths[last])
                items = cut.upperBound..<items.upperBound
            }
            parts.append(Part(source: source, range: low..<segments[index].range.upperBound, items: items))
        }
        return gone.isEmpty ? parts : parts.filter { !$0.range.isEmpty }
    }

    /// The records that begin at `places` of an input, ascending.
    func items(at places: PositionSet, of source: Int64) -> [Range<Int>] {
        var found: [Range<Int>] = []
        for index in segments.indices where segments[index].source == source {
            for item in items(of: index) where places.contains(starts[item]) {
                found.appendMerging([item..<item + 1])
            }
        }
        return found
    }

    /// The batch without some of its records; nil if none is left. For one of which nothing was sent.
    func without(_ gone: [Range<Int>]) -> LaneBatch? {
        let kept = [0..<count].parted(by: gone).outside
        guard !kept.isEmpty else { return nil }
        var (ends, starts, lengths): ([UInt32], [UInt64], [UInt32]) = ([], [], [])
        var end = 0
        for item in kept.joined() {
            end += encoded.range(of: item).count
            ends.append(UInt32(end))
            starts.append(self.starts[item])
            lengths.append(self.lengths[item])
        }
        var segments: [Segment] = []
        var first = 0
        for part in parts(without: gone) {
            segments.append(Segment(source: part.source, range: part.range, firstItem: first))
            first += part.items.count
        }
        let bytes = Parcel(batch: encoded, items: kept).body()
        return LaneBatch(
            encoded: EncodedBatch(bytes: bytes, ends: ends, earliest: encoded.earliest), segments: segments,
            starts: starts, lengths: lengths, arrivedAt: arrivedAt)
    }

    /// The records of segment `index`.
    func items(of index: Int) -> Range<Int> {
        let end = index + 1 < segments.count ? segments[index + 1].firstItem : count
        return segments[index].firstItem..<end
    }
}
