import Glibc
import Model

/// Where files are cut into pieces of whole lines.
///
/// A piece ends at the first line that begins at or after a multiple of `limits.chunkBytes`. So the places are the same
/// for whoever reads, from wherever and whenever.
enum PageCut {
    /// Reads the piece that begins at `start` of a file of `size` bytes; returns where it ends. That is past what was read
    /// if its last line is longer than a record may be: of that line only the beginning is kept.
    static func read(
        _ handle: InputHandle, _ out: inout ByteWriter, from start: UInt64, size: UInt64, limits: Limits
    ) throws(InputError) -> UInt64 {
        let boundary = (start / UInt64(limits.chunkBytes) + 1) * UInt64(limits.chunkBytes)
        var position = start
        try read(handle, &out, &position, upTo: min(size, boundary))
        if position < size, out.isEmpty || out.span[out.count - 1] != 0x0A {
            position = try finishLine(handle, &out, position, size, limits)
        }
        return position
    }

    /// Where the piece begins that the line at `offset` is in.
    static func start(
        _ handle: InputHandle, containing offset: UInt64, limits: Limits
    ) throws(InputError) -> UInt64 {
        var position = offset / UInt64(limits.chunkBytes) * UInt64(limits.chunkBytes)
        guard position > 0 else { return 0 }
        // A line begins at a multiple if the byte before it ends one.
        position -= 1
        var out = ByteWriter(capacity: 4 << 10)
        while position < offset {
            out.removeAll()
            let from = position
            try read(handle, &out, &position, upTo: min(offset, position + (4 << 10)))
            if let found = firstLineEnd(out.span, from: 0) { return from + UInt64(found) }
        }
        return offset
    }

    /// Where the last line that has an end ends.
    static func lastLineEnd(_ span: Span<UInt8>) -> Int {
        // Fast if there is none at all.
        var index = firstLineEnd(span, from: 0) == nil ? 0 : span.count
        while index > 0, span[index - 1] != 0x0A { index -= 1 }
        return index
    }

    /// Just past the first line end at or after `start`.
    static func firstLineEnd(_ span: Span<UInt8>, from start: Int) -> Int? {
        guard start < span.count else { return nil }
        return unsafe span.withUnsafeBufferPointer { buffer -> Int? in
            guard let base = buffer.baseAddress,
                let hit = unsafe memchr(base + start, 0x0A, buffer.count - start)
            else { return nil }
            return unsafe UnsafeRawPointer(base).distance(to: UnsafeRawPointer(hit)) + 1
        }
    }

    private static func read(
        _ handle: InputHandle, _ out: inout ByteWriter, _ position: inout UInt64, upTo end: UInt64
    ) throws(InputError) {
        guard position < end else { return }
        let wanted = Int(end - position)
        let before = out.count
        try unsafe out.append(room: wanted) { buffer throws(InputError) in
            try unsafe handle.read(at: position, into: buffer)
        }
        guard out.count - before == wanted else {
            throw InputError("\(handle.path) became shorter while it was read; what was read before is safe")
        }
        position = end
    }

    private static func finishLine(
        _ handle: InputHandle, _ out: inout ByteWriter, _ start: UInt64, _ size: UInt64, _ limits: Limits
    ) throws(InputError) -> UInt64 {
        let lineStart = lastLineEnd(out.span)
        var position = start
        while position < size {
            let mark = out.count
            let from = position
            try read(handle, &out, &position, upTo: min(size, position + (16 << 10)))
            let found = firstLineEnd(out.span, from: mark)
            if let found {
                out.truncate(to: found)
                position = from + UInt64(found - mark)
            }
            // One byte more than allowed tells whoever reads the line that it is too long.
            let most = lineStart + limits.maxRecordBytes + 1
            if out.count > most + 2 { out.truncate(to: most) }
            if found != nil { return position }
        }
        return position
    }
}
