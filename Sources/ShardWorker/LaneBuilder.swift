import Backends
import ExportCore
import Formats
import Model

/// One target's open batch, and its lane. Confined to the intake that owns it.
///
/// All that changes is one value, so that a record asks once whether it may be changed, and not for each of its parts.
final class LaneBuilder {
    let lane: TargetLane
    /// What it shares with other targets of the same intake; nil: there is none of the same format.
    var text: SharedText?
    private var batch: OpenBatch

    init(
        lane: TargetLane, writer: RecordWriter, bounds: BatchBounds, settled: [Int64: PositionSet],
        planned: PlannedBatches = PlannedBatches(), lull: Batching.Lull? = nil
    ) {
        self.lane = lane
        batch = OpenBatch(writer: writer, bounds: bounds, settled: settled, planned: planned, lull: lull)
    }

    /// Starts on a chunk: what it holds will be settled by the batches it goes into.
    ///
    /// - Parameter given: what of it is not for the target; nil if that is what was settled before.
    func begin(_ chunk: Chunk, skipping given: PositionSet? = nil) { batch.begin(chunk, skipping: given) }

    /// Whether the target has the record at `position` already.
    func has(_ position: UInt64) -> Bool { batch.has(position) }

    /// Appends a record that lies at `place` of the input.
    func append(
        _ record: borrowing ProbeResult, of bytes: Span<UInt8>, at place: Range<UInt64>, now: Tick
    ) {
        batch.append(record, of: bytes, as: text, at: place, now: now)
    }

    /// What writes a record's own text.
    var encoder: FormatEncoder { batch.writer.encoder }

    /// Ends a chunk: blank lines and refused records at its end are settled with the rest.
    func end(_ chunk: Chunk) { batch.end(chunk) }

    /// Closes the open batch if it is too old, or in any case.
    func closeIfDue(now: Tick, force: Bool) { batch.closeIfDue(now: now, force: force) }

    /// When the open batch is too old; nil if there is none.
    var dueAt: Tick? { batch.dueAt }

    /// Hands over what is closed.
    func takeClosed() -> [LaneBatch] { batch.takeClosed() }
}

/// Collects one target's records into batches.
private struct OpenBatch: ~Copyable {
    let writer: RecordWriter
    private let bounds: BatchBounds
    private var batching: Batching
    private var out: ByteWriter
    private var scratch = ByteWriter()
    private var ends: [UInt32] = []
    /// When the first probe of the open batch ran.
    private var earliest = Timestamp.latest
    private var starts: [UInt64] = []
    private var lengths: [UInt32] = []
    private var segments: [LaneBatch.Segment] = []
    /// Batches that are full and have not been handed over.
    private var closed: [LaneBatch] = []
    /// What the ledger already had of each input when this run began.
    private var settled: [Int64: PositionSet]
    private var skips: PositionSet?
    private var planned: PlannedBatches
    /// Where the open batch must end, in the input that is being read.
    private var cut = UInt64.max

    init(
        writer: RecordWriter, bounds: BatchBounds, settled: [Int64: PositionSet], planned: PlannedBatches,
        lull: Batching.Lull?
    ) {
        self.planned = planned
        self.writer = writer
        self.bounds = bounds
        self.settled = settled
        batching = Batching(bounds, lull: lull)
        out = ByteWriter(capacity: bounds.maxBytes + (64 << 10))
    }

    /// Starts on a chunk: what it holds will be settled by the batches it goes into.
    ///
    /// - Parameter given: what of it is not for the target; nil if that is what was settled before.
    mutating func begin(_ chunk: Chunk, skipping given: PositionSet? = nil) {
        let known = given ?? settled[chunk.source]
        let reaches = known?.ranges.last.map { $0.upperBound > chunk.start } ?? false
        skips = reaches ? known : nil
        cut = planned.isEmpty ? .max : planned.cut(in: chunk.source, after: chunk.start)
        if let last = segments.last, last.source == chunk.source, last.range.upperBound == chunk.start { return }
        if planned.begins(at: chunk.start, of: chunk.source) { close(keepingFrom: out.count) }
        segments.append(
            LaneBatch.Segment(source: chunk.source, range: chunk.start..<chunk.start, firstItem: starts.count))
    }

    /// Whether the target has the record at `position` already.
    func has(_ position: UInt64) -> Bool { skips?.contains(position) ?? false }

    /// Appends a record that lies at `place` of the input.
    mutating func append(
        _ record: borrowing ProbeResult, of bytes: Span<UInt8>, as text: SharedText?, at place: Range<UInt64>,
        now: Tick
    ) {
        if cut <= place.lowerBound { closeAtCuts(upTo: place.lowerBound) }
        let mark = out.count
        if let text, text.isShared {
            text.write(record, of: bytes)
            writer.append(record, of: bytes, as: text.bytes.span, into: &out, scratch: &scratch)
        } else {
            writer.append(record, of: bytes, into: &out, scratch: &scratch)
        }
        let size = out.count - mark
        if batching.mustClose(before: size) { close(keepingFrom: mark) }
        if record.executedAt < earliest { earliest = record.executedAt }
        ends.append(UInt32(out.count))
        starts.append(place.lowerBound)
        lengths.append(UInt32(place.count))
        cover(upTo: place.upperBound)
        let isFull = batching.add(size: size, now: now)
        if isFull || cut <= place.upperBound { close(keepingFrom: out.count) }
        if cut <= place.upperBound {
            cut = planned.cut(in: segments[segments.count - 1].source, after: place.upperBound)
        }
    }

    /// Ends a chunk: blank lines and refused records at its end are settled with the rest.
    mutating func end(_ chunk: Chunk) {
        if cut <= chunk.end { closeAtCuts(upTo: chunk.end) }
        cover(upTo: chunk.end)
    }

    /// Closes the open batch if it is too old, or in any case.
    mutating func closeIfDue(now: Tick, force: Bool) {
        if let due = batching.dueAt, due <= now, !isPlanned { return close(keepingFrom: out.count) }
        if force, !segments.isEmpty { close(keepingFrom: out.count) }
    }

    /// When the open batch is too old; nil if there is none.
    var dueAt: Tick? { batching.dueAt }

    /// Hands over what is closed.
    mutating func takeClosed() -> [LaneBatch] {
        let batches = closed
        closed = []
        return batches
    }

    /// Whether the open batch is the beginning of a planned one: the rest of that is there to be read, however long it
    /// takes.
    private var isPlanned: Bool {
        guard !planned.isEmpty, let first = segments.first(where: { !$0.range.isEmpty }) else { return false }
        return planned.begins(at: first.range.lowerBound, of: first.source)
    }

    private mutating func closeAtCuts(upTo position: UInt64) {
        let source = segments[segments.count - 1].source
        while cut <= position {
            cover(upTo: cut)
            close(keepingFrom: out.count)
            cut = planned.cut(in: source, after: cut)
        }
    }

    private mutating func cover(upTo position: UInt64) {
        let last = segments.count - 1
        segments[last].range = segments[last].range.lowerBound..<max(position, segments[last].range.upperBound)
    }

    /// Closes the batch; bytes from `mark` on belong to the next one.
    private mutating func close(keepingFrom mark: Int) {
        let sealed = seal(upTo: mark)
        let last = segments.last
        let used = segments.filter { !$0.range.isEmpty }
        if !used.isEmpty {
            var batch = LaneBatch(
                encoded: EncodedBatch(bytes: sealed, ends: ends, earliest: earliest), segments: used, starts: starts,
                lengths: lengths)
            if !planned.isEmpty { batch.earlier = planned.take(batch.stretches) }
            closed.append(batch)
        }
        ends.removeAll(keepingCapacity: true)
        earliest = .latest
        starts.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        segments.removeAll(keepingCapacity: true)
        if let last {
            let end = last.range.upperBound
            segments.append(LaneBatch.Segment(source: last.source, range: end..<end, firstItem: 0))
        }
        batching.reset()
    }

    /// Takes the bytes up to `mark` out of the open batch. A batch that fills less than half of its memory, since it closed by
    /// count or by age, is copied to memory of its own size: queues are bounded by bytes that are used, and these are all it
    /// may hold. The next one begins with a little more memory than this one took, so that batches like it are not copied.
    private mutating func seal(upTo mark: Int) -> SealedBytes {
        let isLarge = mark * 2 >= bounds.maxBytes
        let usual = isLarge ? bounds.maxBytes : min(mark + mark / 4, bounds.maxBytes)
        var next = ByteWriter(capacity: max(usual, out.count - mark) + (64 << 10))
        next.append(out.span, mark..<out.count)
        if !isLarge, mark * 2 < out.reserved {
            var exact = ByteWriter(capacity: mark)
            exact.append(out.span, 0..<mark)
            swap(&out, &next)
            return exact.seal()
        }
        out.truncate(to: mark)
        swap(&out, &next)
        return next.seal()
    }
}
