public import ExportCore
import Model
import Synchronization
import Threading

/// Feeds the inputs to the workers, each target at its own pace.
///
/// Targets at the same place share one reading. One that has no room for a moment is waited for, as long as `FeedPatience`
/// allows: apart, each is read for, and the processor's time for that is taken from all.
public struct FeedLoop<Sink: RecordSink>: Sendable {
    /// How feeding ended.
    public enum Ending: Sendable, Equatable {
        /// Every target was given everything.
        case complete
        /// Somebody asked to stop.
        case stopped
    }

    private let reader: InputReader
    private let sink: Sink
    private let fileCount: Int
    private let stop: StopSignal

    /// A loop over the `fileCount` inputs of `reader`.
    public init(reader: InputReader, fileCount: Int, sink: Sink, stop: StopSignal) {
        self.reader = reader
        self.fileCount = fileCount
        self.sink = sink
        self.stop = stop
    }

    /// Returns when every target was given everything after its start, or after a stop.
    public func run(from starts: [ChunkRef]) async throws(InputError) -> Ending {
        var schedule = FeedSchedule(starts: starts)
        var patience = FeedPatience(saving: true)
        var turns = 0
        while !stop.isSet {
            turns += 1
            // Batches close by age also while chunks keep coming.
            if turns % 8 == 0 { await sink.closeBatches(force: false) }
            let hasRoom = sink.hasRoom()
            let began = SystemClock.now()
            let isShort = schedule.isParting(hasRoom: hasRoom) { reader.isAvailable($0) }
            let waits = patience.waits(isShort: isShort, now: began)
            let next = schedule.next(hasRoom: hasRoom, waits: waits) { reader.isAvailable($0) }
            if let (ref, targets) = next, let chunk = try await reader.read(ref) {
                await sink.take(chunk, for: targets)
                let took = SystemClock.now().nanoseconds - began.nanoseconds
                patience.saved(nanoseconds: took * UInt64(targets.count - 1))
                schedule.advance(
                    targets,
                    to: chunk.isLast
                        ? ChunkRef(file: ref.file + 1, offset: 0) : ChunkRef(file: ref.file, offset: chunk.end))
                continue
            }
            if starts.indices.allSatisfy({ schedule.cursor(of: $0).file >= fileCount }) { return .complete }
            await sink.waitForProgress(milliseconds: 50)
            await sink.closeBatches(force: false)
        }
        return .stopped
    }
}

/// Set once, seen by all: somebody asked the process, or a part of its work, to stop.
public final class StopSignal: Sendable {
    private let flag = Atomic<Bool>(false)
    private let whole: StopSignal?

    /// Not set.
    ///
    /// - Parameter whole: what stops this too.
    public init(partOf whole: StopSignal? = nil) { self.whole = whole }

    /// Whether to stop.
    public var isSet: Bool { flag.load(ordering: .acquiring) || whole?.isSet ?? false }

    /// Asks to stop.
    public func set() { flag.store(true, ordering: .releasing) }
}
