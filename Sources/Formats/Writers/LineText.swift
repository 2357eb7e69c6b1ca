internal import Model

/// What one place in a line of text demands of the text that is put there.
protocol LineDialect {
    /// Marks the ASCII characters that ``spelling(_:)`` has something to say about, besides control characters.
    static func reserved(_ word: UInt64) -> UInt64
    /// Whether spaces at either end would be lost, and are therefore taken off.
    static var trims: Bool { get }
    /// Whether the text is JSON: then a control character is spelt as JSON spells it, which loses nothing.
    static var isJSON: Bool { get }
    /// What stands for the ASCII character `byte`; nil if a space takes its place.
    static func spelling(_ byte: UInt8) -> StaticString?
    /// A backslash as it is written here.
    static var backslash: StaticString { get }
}

/// Text put into one line, whatever characters it has.
///
/// One rule for all places: a character that would end the line for some reader and has no escape there (U+0000 to
/// U+001F, U+007F to U+009F, U+2028, U+2029) is replaced by one space. All other text passes through, bidirectional
/// controls included. Every function says whether what it wrote is the exact text; if not, the encoder writes the
/// exact text once more, as JSON, in a key of its own.
enum LineText {
    /// Appends a string value. A maximum is counted in bytes as written, escapes included, so that it holds whether a
    /// receiver counts bytes or characters, before or after it takes the escapes off.
    /// - Returns: whether the text was written whole and unaltered; false for empty text, which cannot be seen.
    static func write<D: LineDialect>(
        _ value: JSONValue, of bytes: Span<UInt8>, as dialect: D.Type, limit: Int, into out: inout ByteWriter
    ) -> Bool {
        guard value.hasEscapes else { return write(bytes, value.range, as: dialect, limit: limit, into: &out) }
        var text = out.takeScratch()
        JSONText.decode(value, of: bytes, into: &text)
        let isExact = write(text.span, 0..<text.count, as: dialect, limit: limit, into: &out)
        out.keep(text)
        return isExact
    }

    /// Appends `text[range]`, which is UTF-8.
    @inline(__always)
    static func write<D: LineDialect>(
        _ text: Span<UInt8>, _ range: Range<Int>, as dialect: D.Type, limit: Int, into out: inout ByteWriter
    ) -> Bool {
        let start = range.lowerBound
        let end = range.upperBound
        guard start < end, end &- start <= limit, plainEnd(text, start, end, dialect) == end,
            !D.trims || (text[start] != 0x20 && text[end &- 1] != 0x20)
        else { return writeCarefully(text, range, as: dialect, limit: limit, into: &out) }
        out.append(text, range)
        return true
    }

    @inline(__always) private static func plainEnd<D: LineDialect>(
        _ text: Span<UInt8>, _ start: Int, _ end: Int, _ dialect: D.Type
    ) -> Int {
        ByteScan.first(text, start, end) {
            ByteScan.beyondPrintable($0) | ByteScan.control($0) | D.reserved($0)
        }
    }

    @inline(never) private static func writeCarefully<D: LineDialect>(
        _ text: Span<UInt8>, _ range: Range<Int>, as dialect: D.Type, limit: Int, into out: inout ByteWriter
    ) -> Bool {
        let start = out.count
        let end = range.upperBound
        var exact = !range.isEmpty
        var at = range.lowerBound
        while at < end {
            let stop = passableEnd(text, at, end, dialect)
            if stop > at {
                if D.trims, out.count == start {
                    while at < stop, text[at] == 0x20 {
                        exact = false
                        at &+= 1
                    }
                }
                let cut = fitting(text, at..<stop, limit &- (out.count &- start))
                out.append(text, at..<cut)
                at = cut
                guard cut == stop else {
                    exact = false
                    break
                }
                continue
            }
            let before = out.count
            let isExact = writeSpecial(text, &at, dialect, isFirst: before == start, into: &out)
            exact = exact && isExact
            if out.count &- start > limit {
                out.truncate(to: before)
                exact = false
                break
            }
        }
        if D.trims {
            while out.count > start, out.span[out.count - 1] == 0x20 {
                out.truncate(to: out.count - 1)
                exact = false
            }
        }
        return exact
    }

    /// The end of what needs no other spelling, characters beyond ASCII included.
    private static func passableEnd<D: LineDialect>(
        _ text: Span<UInt8>, _ start: Int, _ end: Int, _ dialect: D.Type
    ) -> Int {
        var at = start
        while true {
            at = plainEnd(text, at, end, dialect)
            guard at < end, text[at] >= 0x80, lineBreaker(text, at) == 0 else { return at }
            at &+= length(text[at])
        }
    }

    /// Bytes of the character whose first byte is `lead`.
    private static func length(_ lead: UInt8) -> Int { lead < 0xE0 ? 2 : (lead < 0xF0 ? 3 : 4) }

    /// Length of the C1 control (U+0080 to U+009F) or line separator (U+2028, U+2029) at `at`; 0 if it is neither.
    private static func lineBreaker(_ text: Span<UInt8>, _ at: Int) -> Int {
        if text[at] == 0xC2 { return text[at &+ 1] < 0xA0 ? 2 : 0 }
        guard text[at] == 0xE2, text[at &+ 1] == 0x80 else { return 0 }
        return text[at &+ 2] | 1 == 0xA9 ? 3 : 0
    }

    /// The largest part of `range` from its start that has at most `room` bytes and ends between two characters.
    private static func fitting(_ text: Span<UInt8>, _ range: Range<Int>, _ room: Int) -> Int {
        guard range.count > room else { return range.upperBound }
        var cut = range.lowerBound &+ max(room, 0)
        while cut > range.lowerBound, text[cut] & 0xC0 == 0x80 { cut &-= 1 }
        return cut
    }

    /// Writes the one character at `at` in its other spelling and steps over it.
    private static func writeSpecial<D: LineDialect>(
        _ text: Span<UInt8>, _ at: inout Int, _ dialect: D.Type, isFirst: Bool, into out: inout ByteWriter
    ) -> Bool {
        let byte = text[at]
        let start = at
        at &+= byte < 0x80 ? 1 : lineBreaker(text, at)
        if byte < 0x7F, let spelling = D.spelling(byte) {
            out.append(spelling)
            return true
        }
        guard D.isJSON else {
            if !D.trims || !isFirst { out.append(0x20) }
            return false
        }
        writeJSONEscape(scalar(text, start), D.backslash, &out)
        return true
    }

    private static func scalar(_ text: Span<UInt8>, _ at: Int) -> UInt32 {
        switch text[at] {
        case 0xC2: UInt32(text[at &+ 1])
        case 0xE2: 0x2000 | UInt32(text[at &+ 2] & 0x3F)
        default: UInt32(text[at])
        }
    }

    private static func writeJSONEscape(_ scalar: UInt32, _ backslash: StaticString, _ out: inout ByteWriter) {
        out.append(backslash)
        out.append(0x75)
        for place: UInt32 in 0..<4 {
            let digit = UInt8(truncatingIfNeeded: scalar >> (12 &- 4 &* place) & 0xF)
            out.append(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
        }
    }
}
