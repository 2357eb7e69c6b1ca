import ExportCore
import Formats
import Model
import Protocol

/// Finds the records of a page.
enum ResultLines {
    /// Adds what is in ``FeedPage/bytes`` to the page, line by line; blank ones are none.
    static func cut(_ page: inout FeedPage, shardCount: UInt16) {
        let bytes = page.bytes
        let span = bytes.span
        // Somewhat more than there mostly are.
        page.reserve(span.count / 800 + 8)
        var start = 0
        while start < span.count {
            let end = PageCut.firstLineEnd(span, from: start) ?? span.count
            var text = start..<end - 1
            if !text.isEmpty, span[text.upperBound - 1] == 0x0D { text = start..<text.upperBound - 1 }
            if !isBlank(span, text) {
                let position = page.range.lowerBound + UInt64(start)
                let hash =
                    IdentityScan.uidHash(span, text) ?? keyHash(RecordKey(high: page.source, low: position))
                page.append(
                    position: position, shard: hash.shard(of: shardCount).number, start: UInt32(start),
                    length: UInt32(end - start))
            }
            start = end
        }
    }

    private static func isBlank(_ span: Span<UInt8>, _ range: Range<Int>) -> Bool {
        for index in range where span[index] != 0x20 && span[index] != 0x09 { return false }
        return true
    }

    /// In place of a uid that cannot be read: the sixteen bytes of the record's key.
    static func keyHash(_ key: RecordKey) -> UIDHash {
        var hash = UIDHash()
        for half in [key.high, key.low] {
            for shift in stride(from: 56, through: 0, by: -8) { hash.add(UInt8(truncatingIfNeeded: half >> shift)) }
        }
        return hash
    }
}
