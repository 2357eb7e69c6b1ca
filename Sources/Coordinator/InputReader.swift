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
        let boundary = (ref.offset / UInt64(limits.chunkBytes) + 1) * UInt64(limits.chunkBytes)
        var out = ByteWriter(capacity: limits.chunkBytes + (16 << 10))
        var position = ref.offset
        try read(entry, &out, &position, upTo: min(size, boundary))
        if position < size, out.isEmpty || out.span[out.count - 1] != 0x0A {
            position = try finishLine(entry, &out, position, size)
        }
        if position == size, !isFinal {
            let kept = Self.lastLineEnd(out.span)
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

    private func read(
        _ entry: InputCatalog.Entry, _ out: inout ByteWriter, _ position: inout UInt64, upTo end: UInt64
    ) throws(InputError) {
        guard position < end else { return }
        let wanted = Int(end - position)
        let before = out.count
        try unsafe out.append(room: wanted) { buffer throws(InputError) in
            try unsafe entry.handle.read(at: position, into: buffer)
        }
        guard out.count - before == wanted else {
            throw InputError("\(entry.path) became shorter while it was read; what was read before is safe")
        }
        position = end
    }

    /// Reads on to the end of the line that crosses the chunk's boundary. Of a line longer than a record may be, only
    /// the beginning is kept.
    private func finishLine(
        _ entry: InputCatalog.Entry, _ out: inout ByteWriter, _ start: UInt64, _ size: UInt64
    ) throws(InputError) -> UInt64 {
        let lineStart = Self.lastLineEnd(out.span)
        var position = start
        while position < size {
            let mark = out.count
            let from = position
            try read(entry, &out, &position, upTo: min(size, position + (16 << 10)))
            let found = Self.firstLineEnd(out.span, from: mark)
            if let found {
                out.truncate(to: found)
                position = from + UInt64(found - mark)
            }
            // One byte more than allowed tells the intake that the line is too long.
            let most = lineStart + limits.maxRecordBytes + 1
            if out.count > most + 2 { out.truncate(to: most) }
            if found != nil { return position }
        }
        return position
    }

    private static func firstLineEnd(_ span: Span<UInt8>, from start: Int) -> Int? {
        for index in start..<span.count where span[index] == 0x0A { return index + 1 }
        return nil
    }

    private static func lastLineEnd(_ span: Span<UInt8>) -> Int {
        var index = span.count
        while index > 0, span[index - 1] != 0x0A { index -= 1 }
        return index
    }
}
