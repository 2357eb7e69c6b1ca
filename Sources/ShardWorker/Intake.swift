import ExportCore
public import Formats
import Model
import Threading

/// A record that was refused before any target saw it.
public struct BadRecord: Sendable {
    /// The input.
    public var source: Int64
    /// Where it lies in the input, with its line end.
    public var range: Range<UInt64>
    /// What is wrong.
    public var error: RecordError
    /// Its bytes, perhaps cut.
    public var bytes: [UInt8]
}

/// Reads each record once and writes it down for every target that still needs it.
///
/// Promises:
/// 1. Every line of a chunk is settled with some batch: written for each target, or handed to `refuse` first.
/// 2. Batches of a target are handed over in the order of the input.
/// 3. A record costs no task, no actor hop and, once buffers have grown, no allocation.
actor Intake {
    /// Writes refused records down, for good, before anything that lies behind them can be settled.
    /// False if they could not be: then nothing more may be settled.
    typealias Refuse = @Sendable ([BadRecord]) async -> Bool

    private let limits: Limits
    private let refuse: Refuse
    private let metrics: IntakeMetrics
    private var reader: ProbeResultReader
    private var builders: [LaneBuilder]
    /// For each format that several targets want.
    private let texts: [SharedText]
    /// What of an input was looked at: its records are counted and the refused ones reported, though targets that lag
    /// read them again. Not a mark up to where: targets begin at different places, so a stretch behind one that was
    /// read may never have been.
    private var judged: [Int64: PositionSet] = [:]
    /// A refused record could not be written down, and what lies around it must not be settled.
    private var isBroken = false

    init(
        limits: Limits, builders: sending [LaneBuilder], metrics: IntakeMetrics, refuse: @escaping Refuse
    ) {
        self.limits = limits
        self.metrics = metrics
        texts = SharedText.join(builders)
        self.builders = builders
        self.refuse = refuse
        reader = ProbeResultReader(limits: limits)
    }

    /// Takes the lines of a chunk for the targets named.
    ///
    /// - Parameter skips: for a stream, of which every stretch comes once: for each of `targets`, what of the chunk is not
    ///   for it. Nil for an input that is read again.
    func take(_ chunk: Chunk, for targets: [Int], skipping skips: [PositionSet]? = nil) async {
        guard !isBroken else { return }
        let bad = encode(chunk, targets, skips, now: SystemClock.now())
        if !bad.isEmpty, await !refuse(bad) { isBroken = true }
        await handOver(targets)
    }

    /// Closes open batches: those that are due, or all.
    func close(force: Bool) async {
        let now = SystemClock.now()
        for builder in builders { builder.closeIfDue(now: now, force: force) }
        await handOver(Array(builders.indices))
    }

    /// When the next open batch is too old; nil if none is open.
    var nextDue: Tick? { builders.compactMap(\.dueAt).min() }

    /// Closes the open batch of one target.
    func close(_ target: Int) async {
        builders[target].closeIfDue(now: SystemClock.now(), force: true)
        await handOver([target])
    }

    private func handOver(_ targets: [Int]) async {
        guard !isBroken else { return }
        for target in targets {
            let lane = builders[target].lane
            for batch in builders[target].takeClosed() { await lane.enqueue(batch) }
        }
    }

    private func encode(_ chunk: Chunk, _ targets: [Int], _ skips: [PositionSet]?, now: Tick) -> [BadRecord] {
        let span = chunk.bytes.span
        var bad: [BadRecord] = []
        // Taken out, so that adding to it copies nothing.
        var known = judged.removeValue(forKey: chunk.source) ?? PositionSet()
        var fresh: [Range<UInt64>] = []
        var read = 0
        // As is the reader.
        var reader = ProbeResultReader(limits: limits)
        swap(&reader, &self.reader)
        defer { swap(&reader, &self.reader) }
        let builders = targets.map { self.builders[$0] }
        for (place, builder) in builders.enumerated() { builder.begin(chunk, skipping: skips?[place]) }
        for text in texts { text.begin(for: builders.count { $0.text === text }) }
        var lines = LineCutter(0..<chunk.bytes.count)
        while let (whole, text) = lines.next(span) {
            let isCut = chunk.isCut && whole.upperBound == chunk.bytes.count
            let stop = isCut ? chunk.end : chunk.start + UInt64(whole.upperBound)
            let place = chunk.start + UInt64(whole.lowerBound)..<stop
            guard builders.contains(where: { !$0.has(place.lowerBound) }) else { continue }
            let isFresh = !known.contains(place.lowerBound)
            if isFresh { fresh.appendJoining(place) }
            if LineCutter.isBlank(span, text) { continue }
            if isFresh { read += 1 }
            do throws(RecordError) {
                guard !isCut, text.count <= limits.maxRecordBytes else {
                    throw RecordError(
                        field: "record",
                        message: "\(place.count) bytes long; at most \(limits.maxRecordBytes) are accepted"
                            + " (limits.maxRecordBytes)")
                }
                try reader.read(span, text)
                for text in texts { text.forget() }
                for builder in builders where !builder.has(place.lowerBound) {
                    builder.append(reader.record, of: span, at: place, now: now)
                }
            } catch {
                if isFresh { bad.append(refused(chunk, place, text, error)) }
            }
        }
        for builder in builders { builder.end(chunk) }
        if skips == nil {
            for range in fresh { known.insert(range) }
            judged[chunk.source] = known
        }
        metrics.takes(read: read, refused: bad.count)
        return bad
    }

    private func refused(
        _ chunk: Chunk, _ place: Range<UInt64>, _ text: Range<Int>, _ error: RecordError
    ) -> BadRecord {
        let kept = text.prefix(limits.maxDeadLetterBytes)
        let bytes = chunk.bytes.span
        return BadRecord(source: chunk.source, range: place, error: error, bytes: kept.map { bytes[$0] })
    }
}

extension [Range<UInt64>] {
    /// Appends `range`, or lengthens the last one if it ends where `range` begins.
    fileprivate mutating func appendJoining(_ range: Range<UInt64>) {
        if let last, last.upperBound == range.lowerBound {
            self[count - 1] = last.lowerBound..<range.upperBound
        } else {
            append(range)
        }
    }
}
