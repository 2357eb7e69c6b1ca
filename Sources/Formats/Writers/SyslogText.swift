internal import Model

/// How text is written in one place of an RFC 5424 line.
///
/// No control character below 32 may appear there (section 6.4), receivers change DEL too (rsyslog does), and values must
/// come back as they were. So such a character becomes its picture of the Unicode block "Control Pictures": U+2400 plus
/// its number, and U+2421 for DEL. The pictures U+2400 to U+241F and U+2421 themselves, and U+2426 `␦`, get a `␦` before
/// them. A reader undoes it from left to right: what follows a `␦` stands for itself, another of these pictures for its
/// control character.
protocol SyslogPlace: StopSet {
    /// Whether `"`, `\` and `]` get a backslash (section 6.3.3).
    static var isParam: Bool { get }
    /// Whether this byte would end the key, or is `%`: such bytes become `%` and two hexadecimal digits.
    static func isReserved(_ byte: UInt8) -> Bool
}

/// A PARAM-VALUE.
enum SyslogParam: SyslogPlace {
    static let isParam = true
    static func isReserved(_ byte: UInt8) -> Bool { false }
    @inline(__always) static func marks(_ chunk: SIMD16<Int8>) -> SIMDMask<SIMD16<Int8>> {
        SyslogMessage.marks(chunk) .| (chunk .== .init(repeating: 0x22))
            .| ((chunk | .init(repeating: 1)) .== .init(repeating: 0x5D))
    }
}

/// The key in front of `=` in a PARAM-VALUE.
enum SyslogKey: SyslogPlace {
    static let isParam = true
    static func isReserved(_ byte: UInt8) -> Bool { byte == 0x3D || byte == 0x25 }
    @inline(__always) static func marks(_ chunk: SIMD16<Int8>) -> SIMDMask<SIMD16<Int8>> {
        SyslogParam.marks(chunk) .| (chunk .== .init(repeating: 0x3D)) .| (chunk .== .init(repeating: 0x25))
    }
}

/// The name of an unknown member, in front of `=` and behind dots.
enum SyslogFieldName: SyslogPlace {
    static let isParam = true
    static func isReserved(_ byte: UInt8) -> Bool { byte == 0x3D || byte == 0x25 || byte == 0x2E }
    @inline(__always) static func marks(_ chunk: SIMD16<Int8>) -> SIMDMask<SIMD16<Int8>> {
        SyslogKey.marks(chunk) .| (chunk .== .init(repeating: 0x2E))
    }
}

/// The framework in front of `:` in a PARAM-VALUE.
enum SyslogFramework: SyslogPlace {
    static let isParam = true
    static func isReserved(_ byte: UInt8) -> Bool { byte == 0x3A || byte == 0x25 }
    @inline(__always) static func marks(_ chunk: SIMD16<Int8>) -> SIMDMask<SIMD16<Int8>> {
        SyslogParam.marks(chunk) .| (chunk .== .init(repeating: 0x3A)) .| (chunk .== .init(repeating: 0x25))
    }
}

/// The message.
enum SyslogMessage: SyslogPlace {
    static let isParam = false
    static func isReserved(_ byte: UInt8) -> Bool { false }
    // One more turns DEL into the lowest number, so that one comparison finds it with the others.
    @inline(__always) static func marks(_ chunk: SIMD16<Int8>) -> SIMDMask<SIMD16<Int8>> {
        (chunk &+ .init(repeating: 1)) .< .init(repeating: 0x21)
    }
}

extension RecordCursor {
    /// Writes `before`, a string or a number of the record, and `after`.
    @inline(__always) mutating func text<P: SyslogPlace>(
        _ before: StaticString, _ value: JSONValue, as place: P.Type, then after: UInt8
    ) {
        guard !value.hasEscapes else { return decoded(before, value, as: place, then: after) }
        let range = value.range
        guard !copy(after: before, range.lowerBound, range.upperBound, without: place, then: after) else { return }
        textSlowly(before, range.lowerBound, range.upperBound, as: place, then: after)
    }

    /// Writes text that is not JSON.
    mutating func text<P: SyslogPlace>(_ text: Span<UInt8>, as place: P.Type) {
        rest(text, 0, text.count, as: place)
    }

    /// Writes `before`, the JSON string without escapes that begins at `start`, and `after`. Returns where the string's
    /// closing quote is.
    @inline(__always) mutating func string<P: SyslogPlace>(
        _ before: StaticString, _ start: Int, _ end: Int, as place: P.Type, then after: UInt8
    ) -> Int {
        if let close = copy(after: before, upToQuoteFrom: start, end, without: place, then: after) { return close }
        let close = quote(start, end)
        textSlowly(before, start, close, as: place, then: after)
        return close
    }

    @inline(never) private mutating func decoded<P: SyslogPlace>(
        _ before: StaticString, _ value: JSONValue, as place: P.Type, then after: UInt8
    ) {
        literal(before)
        var scratch = takeScratch()
        JSONText.decode(value, of: bytes, into: &scratch)
        rest(scratch.span, 0, scratch.count, as: place)
        keep(scratch)
        byte(after)
    }

    @inline(never) private mutating func textSlowly<P: SyslogPlace>(
        _ before: StaticString, _ start: Int, _ end: Int, as place: P.Type, then after: UInt8
    ) {
        literal(before)
        rest(bytes, start, end, as: place)
        byte(after)
    }

    private mutating func rest<P: SyslogPlace>(_ text: Span<UInt8>, _ start: Int, _ end: Int, as place: P.Type) {
        let raw = unsafe text.bytes
        var from = start
        while from < end {
            from = copy(raw, from, end, until: place)
            if from < end { from = special(text, from, end, as: place) }
        }
    }

    /// Writes the byte at `from`, and all that follow beyond ASCII; returns where it stopped.
    private mutating func special<P: SyslogPlace>(
        _ text: Span<UInt8>, _ from: Int, _ end: Int, as place: P.Type
    ) -> Int {
        let found = text[from]
        if found < 0x20 || found == 0x7F {
            byte(0xE2)
            byte(0x90)
            byte(found == 0x7F ? 0xA1 : 0x80 | found)
        } else if found < 0x80 {
            if P.isReserved(found) {
                byte(0x25)
                byte(Self.hex(found >> 4))
                byte(Self.hex(found & 0xF))
            } else {
                if P.isParam { byte(0x5C) }
                byte(found)
            }
        } else {
            if isPicture(text, from, end) { literal("\u{2426}") }
            return beyondASCII(text, from, end)
        }
        return from + 1
    }

    /// Copies a character beyond ASCII, and those after it that need no thought.
    private mutating func beyondASCII(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        byte(text[start])
        var from = start + 1
        while from < end, text[from] >= 0x80, !isPicture(text, from, end) {
            byte(text[from])
            from += 1
        }
        return from
    }

    private func isPicture(_ text: Span<UInt8>, _ from: Int, _ end: Int) -> Bool {
        guard text[from] == 0xE2, from + 2 < end, text[from + 1] == 0x90 else { return false }
        return text[from + 2] < 0xA0 || text[from + 2] == 0xA1 || text[from + 2] == 0xA6
    }

    private static func hex(_ digit: UInt8) -> UInt8 { digit < 10 ? 0x30 + digit : 0x37 + digit }
}
