internal import Model

/// Controls as one line of text: a list as `AC-3,AC-6`, a map as `cmmc:AC.L2-3.1.1;nist-800-53:AC-3,AC-6` with its
/// frameworks in ascending order.
///
/// A name that is empty or holds one of `, ; :` makes the text ambiguous: it is written all the same, and the answer
/// says that it is not exact.
enum FlatControls {
    /// Appends `value`, a list of strings or a map of such lists, at most `limit` bytes of it.
    /// - Returns: whether the value can be read back from what was written.
    static func write<D: LineDialect>(
        _ value: JSONValue, of bytes: Span<UInt8>, as dialect: D.Type, limit: Int, into out: inout ByteWriter
    ) -> Bool {
        let start = out.count
        if value.isSorted, !value.hasEscapes {
            let isDone = value.kind == .array ? list(value, bytes, &out) : map(value, bytes, &out)
            if isDone, out.count &- start <= limit { return out.count > start }
            out.truncate(to: start)
        }
        return writeCarefully(value, bytes, dialect, limit, &out)
    }

    private static func list(_ value: JSONValue, _ bytes: Span<UInt8>, _ out: inout ByteWriter) -> Bool {
        var at = value.range.lowerBound
        return items(bytes, &at, value.range.upperBound, &out)
    }

    /// Walks a map in place; false as soon as a name needs care. The value is valid JSON of the right shape.
    private static func map(_ value: JSONValue, _ bytes: Span<UInt8>, _ out: inout ByteWriter) -> Bool {
        let end = value.range.upperBound
        var at = value.range.lowerBound &+ 1
        var isFirst = true
        while true {
            skipSpace(bytes, &at, end)
            guard at < end, bytes[at] != 0x7D else { return true }
            if bytes[at] == 0x2C {
                at &+= 1
                skipSpace(bytes, &at, end)
            }
            if !isFirst { out.append(0x3B) }
            isFirst = false
            guard item(bytes, &at, end, &out) else { return false }
            skipSpace(bytes, &at, end)
            at &+= 1
            out.append(0x3A)
            skipSpace(bytes, &at, end)
            guard items(bytes, &at, end, &out) else { return false }
        }
    }

    /// A list; `at` stands on its bracket, or on `null`, which has no spelling here.
    private static func items(_ bytes: Span<UInt8>, _ at: inout Int, _ end: Int, _ out: inout ByteWriter) -> Bool {
        guard bytes[at] == 0x5B else { return false }
        at &+= 1
        while true {
            skipSpace(bytes, &at, end)
            if bytes[at] == 0x5D {
                at &+= 1
                return true
            }
            if bytes[at] == 0x2C {
                at &+= 1
                out.append(0x2C)
                skipSpace(bytes, &at, end)
            }
            guard item(bytes, &at, end, &out) else { return false }
        }
    }

    @inline(__always)
    private static func item(_ bytes: Span<UInt8>, _ at: inout Int, _ end: Int, _ out: inout ByteWriter) -> Bool {
        let start = at &+ 1
        let stop = ByteScan.first(bytes, start, end) {
            ByteScan.beyondPrintable($0) | ByteScan.equal($0, 0x22) | ByteScan.equal($0, 0x3D)
                | ByteScan.equal($0, 0x2C) | ByteScan.equal($0 | ByteScan.ones, 0x3B)
        }
        // A space at either end may be lost with the value's own.
        guard stop > start, stop < end, bytes[stop] == 0x22, bytes[start] != 0x20, bytes[stop &- 1] != 0x20 else {
            return false
        }
        out.append(bytes, start..<stop)
        at = stop &+ 1
        return true
    }

    @inline(__always) private static func skipSpace(_ bytes: Span<UInt8>, _ at: inout Int, _ end: Int) {
        while at < end, bytes[at] <= 0x20 { at &+= 1 }
    }

    @inline(never) private static func writeCarefully<D: LineDialect>(
        _ value: JSONValue, _ bytes: Span<UInt8>, _ dialect: D.Type, _ limit: Int, _ out: inout ByteWriter
    ) -> Bool {
        var text = ByteWriter(capacity: value.count)
        var isClear = true
        if value.kind == .array {
            isClear = carefulItems(value, bytes, &text)
        } else {
            for (index, entry) in JSONEntry.sorted(value, bytes).enumerated() {
                if index > 0 { text.append(0x3B) }
                text.append(entry.decodedKey.span)
                isClear = isClear && isUnambiguous(entry.decodedKey.span)
                text.append(0x3A)
                let hasClearItems = carefulItems(entry.value, bytes, &text)
                isClear = isClear && hasClearItems
            }
        }
        let isExact = LineText.write(text.span, 0..<text.count, as: dialect, limit: limit, into: &out)
        return isClear && isExact
    }

    private static func carefulItems(_ list: JSONValue, _ bytes: Span<UInt8>, _ text: inout ByteWriter) -> Bool {
        guard let elements = JSONAnswer.elements(bytes, list) else { return false }
        var isClear = true
        for (index, element) in elements.enumerated() {
            if index > 0 { text.append(0x2C) }
            let decoded = JSONEntry.decodedKey(element, bytes)
            text.append(decoded.span)
            isClear = isClear && isUnambiguous(decoded.span)
        }
        return isClear
    }

    private static func isUnambiguous(_ name: Span<UInt8>) -> Bool {
        for index in name.indices where name[index] == 0x2C || name[index] == 0x3A || name[index] == 0x3B {
            return false
        }
        return !name.isEmpty
    }
}
