public import Model

/// The batches that an earlier process had under way when it ended: where the next one must cut, so that the same
/// batches come about again.
///
/// A receiver that recognises a batch by its content then meets the same content and stores nothing twice, and a
/// receipt that is still worth something finds the batch that it was given for.
///
/// Promises:
/// 1. A batch begins and ends wherever a planned one did, as far as the input still has the place.
/// 2. ``take(_:)`` gives a planned batch only for exactly its stretches, and each at most once.
///
/// Not promised: that every planned batch comes about. Smaller bounds, a record that is refused now or another order of
/// the inputs leave some of them unmatched; their records are sent as any others, at the risk of a repetition.
public struct PlannedBatches: Sendable {
    private var batches: [BatchInFlight]
    /// Per input, ascending: where a planned batch begins or ends.
    private var cuts: [Int64: [UInt64]] = [:]

    /// - Parameter batches: what the ledger kept for one target.
    public init(_ batches: [BatchInFlight] = []) {
        self.batches = batches
        for batch in batches {
            guard let first = batch.stretches.first, let last = batch.stretches.last else { continue }
            // Where one input ends and the next begins within a batch is no place to cut.
            cuts[first.source, default: []].append(first.range.lowerBound)
            cuts[last.source, default: []].append(last.range.upperBound)
        }
        for source in cuts.keys { cuts[source] = Set(cuts[source] ?? []).sorted() }
    }

    /// Whether nothing is planned, or everything has come about.
    public var isEmpty: Bool { batches.isEmpty }

    /// The first place after `position` of `source` where a batch must end; `.max` if there is none.
    public func cut(in source: Int64, after position: UInt64) -> UInt64 {
        cuts[source]?.first { $0 > position } ?? .max
    }

    /// Whether a batch must begin at `position` of `source`.
    public func begins(at position: UInt64, of source: Int64) -> Bool {
        batches.contains { $0.stretches.first?.source == source && $0.stretches.first?.range.lowerBound == position }
    }

    /// The planned batch that consists of exactly these stretches. It is planned no more.
    public mutating func take(_ stretches: [BatchInFlight.Stretch]) -> BatchInFlight? {
        guard let index = batches.firstIndex(where: { $0.stretches == stretches }) else { return nil }
        return batches.remove(at: index)
    }
}
