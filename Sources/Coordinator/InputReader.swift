public import ExportCore
import Ledger
public import Model
import Threading

/// Cuts inputs into chunks of whole lines, and finds single records again.
///
/// Promises:
/// 1. A chunk ends at the first line that begins at or after a multiple of `limits.chunkBytes`, wherever it began, so
///    that readers that were apart come together again.
/// 2. Memory is bounded by a chunk and the longest accepted record: what is longer is passed over, not kept.
public actor InputReader {
    private let catalog: InputCatalog
    private let limits: Limits
    private let spool: StdinSpool?
    private let executor = ThreadExecutor()
    /// Where counting lines of an input has come to, and how many ended before.
    private var counted: [Int: (offset: UInt64, lines: UInt64)] = [:]

    /// Reading blocks, so it has a thread of its own.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe executor.asUnownedSerialExecutor()
    }

    /// - Parameter spool: what still writes the last entry of the catalog, if something does.
    public init(catalog: InputCatalog, limits: Limits, spool: StdinSpool? = nil) {
        self.catalog = catalog
        self.limits = limits
        self.spool = spool
    }

    /// The chunk that begins at `ref`; nil if a spool has no whole line there yet.
    public func read(_ ref: ChunkRef) throws(InputError) -> Chunk? {
        let entry = catalog.entries[ref.file]
        let growing = ref.file == catalog.entries.count - 1 ? spool?.progress : nil
        let size = growing?.written ?? entry.size
        let isFinal = growing?.isFinal ?? true
        var out = ByteWriter(capacity: limits.chunkBytes + (16 << 10))
        var position = try PageCut.read(entry.handle, &out, from: ref.offset, size: size, limits: limits)
        if position == size, !isFinal {
            let kept = PageCut.lastLineEnd(out.span)
            guard kept > 0 else { return nil }
            out.truncate(to: kept)
            position = ref.offset + UInt64(kept)
        }
        return Chunk(
            source: entry.source.rawValue, start: ref.offset, end: position, bytes: out.seal(),
            isLast: isFinal && position == size)
    }

    /// Whether there may be a chunk at `ref`: always in a file, in a spool once more has come.
    public nonisolated func isAvailable(_ ref: ChunkRef) -> Bool {
        guard ref.file < catalog.entries.count else { return false }
        guard ref.file == catalog.entries.count - 1, let progress = spool?.progress else { return true }
        return progress.isFinal || progress.written > ref.offset
    }

    /// The bytes of one record; nil if they cannot be read any more.
    public func record(source: Int64, range: Range<UInt64>) -> [UInt8]? {
        guard let entry = catalog.entries.first(where: { $0.source.rawValue == source }) else { return nil }
        return try? entry.handle.read(at: range.lowerBound, count: min(range.count, limits.maxDeadLetterBytes))
    }

    /// `path:line` of a place in an input. Cheap for places that ascend.
    public func place(source: Int64, offset: UInt64) -> String {
        guard let file = catalog.entries.firstIndex(where: { $0.source.rawValue == source }) else { return "input" }
        let entry = catalog.entries[file]
        var (at, lines) = counted[file] ?? (0, 0)
        if at > offset { (at, lines) = (0, 0) }
        while at < offset {
            let wanted = Int(min(offset - at, 1 << 20))
            guard let bytes = try? entry.handle.read(at: at, count: wanted), !bytes.isEmpty else { break }
            for byte in bytes where byte == 0x0A { lines += 1 }
            at += UInt64(bytes.count)
        }
        counted[file] = (at, lines)
        return "\(entry.path):\(lines + 1)"
    }

    /// Ends the thread; nothing may be asked after.
    public func close() { executor.stop() }
}
