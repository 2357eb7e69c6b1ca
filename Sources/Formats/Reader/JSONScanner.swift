internal import CScan

/// One pass over JSON text (RFC 8259) that checks everything and copies nothing.
///
/// Promises:
/// 1. Text that is not valid JSON in valid UTF-8 is refused, with the offset.
/// 2. Nesting deeper than `maxDepth` is refused, so the stack is bounded.
/// 3. Bytes outside `at..<end` are never read.
/// 4. Positions are kept in 32 bits; input that long is a mistake of the caller and stops the process.
struct JSONScanner: ~Copyable, ~Escapable {
    let bytes: Span<UInt8>
    let raw: RawSpan
    var at: Int
    let end: Int
    let maxDepth: Int
    /// Something since this was last cleared is not in the canonical spelling.
    var untidy = false
    /// Some string since this was last cleared has an escape.
    var escaped = false

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>, _ range: Range<Int>, maxDepth: Int) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count && range.upperBound < Int(UInt32.max))
        self.bytes = bytes
        raw = unsafe bytes.bytes
        at = range.lowerBound
        end = range.upperBound
        self.maxDepth = maxDepth
    }

    /// The byte at `at`; `at < end` was checked by the caller.
    @inline(__always) func byte(_ index: Int) -> UInt8 { unsafe bytes[unchecked: index] }

    /// Where the text begins. It holds as long as the scanner does.
    var start: UnsafePointer<UInt8> {
        @inline(__always) get {
            unsafe raw.withUnsafeBytes { unsafe $0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self) }
        }
    }

    func fault(_ reason: JSONFault.Reason) -> JSONFault { JSONFault(reason: reason, offset: at) }

    @inline(__always) mutating func skipSpace() {
        guard at < end, byte(at) <= 0x20 else { return }
        skipSpaceSlowly()
    }

    private mutating func skipSpaceSlowly() {
        while at < end {
            switch byte(at) {
            case 0x20, 0x09, 0x0A, 0x0D:
                untidy = true
                at &+= 1
            default: return
            }
        }
    }

    /// Scans a string; `at` stands on its opening quote.
    @inline(__always) mutating func string() throws(JSONFault) -> JSONValue {
        let start = at &+ 1
        at = plainEnd(start)
        guard at < end, byte(at) == 0x22 else { return try unusualString(start) }
        let value = JSONValue(
            start: UInt32(truncatingIfNeeded: start), stop: UInt32(truncatingIfNeeded: at), kind: .string,
            isCanonical: true, hasEscapes: false, isSorted: true)
        at &+= 1
        return value
    }

    /// Goes on where a string has something other than plain ASCII, or ends with the text.
    @inline(never) private mutating func unusualString(_ start: Int) throws(JSONFault) -> JSONValue {
        var canonical = true
        var escapes = false
        while true {
            at = plainEnd(at)
            guard at < end else { throw fault(.unexpectedEnd) }
            let found = byte(at)
            if found == 0x22 { break }
            if found == 0x5C {
                escapes = true
                if try !escape() { canonical = false }
            } else if found < 0x20 {
                throw fault(.controlCharacter)
            } else {
                let length = UTF8Check.length(raw, at, end)
                guard length > 0 else { throw fault(.badUTF8) }
                at &+= length
            }
        }
        let value = JSONValue(
            start: UInt32(truncatingIfNeeded: start), stop: UInt32(truncatingIfNeeded: at), kind: .string,
            isCanonical: canonical, hasEscapes: escapes, isSorted: true)
        at &+= 1
        if !canonical { untidy = true }
        if escapes { escaped = true }
        return value
    }

    /// The first place from `start` on of a quote, a backslash, a control character or a byte that is not ASCII; at most
    /// ``end``. Sixteen bytes at a time.
    @inline(__always) private func plainEnd(_ start: Int) -> Int {
        var place = start
        while place &+ 16 <= end {
            let found = unusual(place)
            guard found == 0 else { return place &+ Int(sidereal_place(found)) }
            place &+= 16
        }
        while place < end {
            let next = byte(place)
            if next == 0x22 || next == 0x5C || next < 0x20 || next >= 0x80 { return place }
            place &+= 1
        }
        return place
    }

    /// Which of the sixteen bytes that begin at `start` and end before ``end`` they are.
    @inline(__always) private func unusual(_ start: Int) -> UInt64 {
        unsafe raw.withUnsafeBytes { text in
            guard let base = text.baseAddress else { return 0 }
            return unsafe sidereal_not_plain(base + start)
        }
    }

    /// Passes an escape; returns whether it is the canonical spelling of its character.
    private mutating func escape() throws(JSONFault) -> Bool {
        guard at &+ 1 < end else { throw fault(.unexpectedEnd) }
        switch byte(at &+ 1) {
        case 0x22, 0x5C, 0x62, 0x66, 0x6E, 0x72, 0x74:
            at &+= 2
            return true
        case 0x2F:
            at &+= 2
            return false
        case 0x75:
            guard at &+ 6 <= end else { throw fault(.unexpectedEnd) }
            for index in at &+ 2..<at &+ 6 where HexDigit.value(byte(index)) == nil { throw fault(.badEscape) }
            at &+= 6
            return false
        default: throw fault(.badEscape)
        }
    }

    /// Scans any value inside `depth` objects and lists; `at` stands on its first byte or on white space before it.
    mutating func value(depth: Int = 0) throws(JSONFault) -> JSONValue {
        skipSpace()
        guard at < end else { throw fault(.unexpectedEnd) }
        switch byte(at) {
        case 0x22: return try string()
        case 0x7B, 0x5B: return try composite(depth: depth)
        case 0x2D, 0x30...0x39: return try number()
        case 0x74: return try literal("true", .bool)
        case 0x66: return try literal("false", .bool)
        case 0x6E: return try literal("null", .null)
        default: throw fault(.expectedValue)
        }
    }

    private mutating func composite(depth: Int) throws(JSONFault) -> JSONValue {
        guard depth < maxDepth else { throw fault(.tooDeep) }
        let outer = (untidy, escaped)
        untidy = false
        escaped = false
        let start = at
        let isObject = byte(at) == 0x7B
        var sorted = true
        if isObject {
            try enterObject()
            var first = true
            var previous = JSONValue.absent
            while let key = try key(first: &first) {
                // An escape may hide where a key belongs; what has one is put in order by its decoded keys.
                if key.hasEscapes || (previous.kind != .absent && compare(previous, key) >= 0) { sorted = false }
                previous = key
                _ = try value(depth: depth &+ 1)
            }
        } else {
            at &+= 1
            var first = true
            while try element(first: &first) { _ = try value(depth: depth &+ 1) }
        }
        return close(start, isObject ? .object : .array, outer, sorted: sorted)
    }

    /// Makes the value of a composite that began at `start`, and hands its flags up to the one around it: an object out
    /// of order is not canonical, and neither is what holds it.
    mutating func close(
        _ start: Int, _ kind: JSONValue.Kind, _ outer: (untidy: Bool, escaped: Bool), sorted: Bool
    ) -> JSONValue {
        let value = JSONValue(
            start: UInt32(truncatingIfNeeded: start), stop: UInt32(truncatingIfNeeded: at), kind: kind,
            isCanonical: sorted && !untidy, hasEscapes: escaped, isSorted: sorted)
        untidy = untidy || !sorted || outer.untidy
        escaped = escaped || outer.escaped
        return value
    }

    /// Steps over `{`.
    @inline(__always) mutating func enterObject() throws(JSONFault) {
        skipSpace()
        guard at < end else { throw fault(.unexpectedEnd) }
        guard byte(at) == 0x7B else { throw fault(.expectedObject) }
        at &+= 1
    }

    /// The next key of an object, with the colon stepped over; nil after `}`.
    mutating func key(first: inout Bool) throws(JSONFault) -> JSONValue? {
        skipSpace()
        guard at < end else { throw fault(.unexpectedEnd) }
        if byte(at) == 0x7D {
            at &+= 1
            return nil
        }
        if first {
            first = false
        } else {
            guard byte(at) == 0x2C else { throw fault(.expectedCommaOrEnd) }
            at &+= 1
            skipSpace()
        }
        guard at < end else { throw fault(.unexpectedEnd) }
        guard byte(at) == 0x22 else { throw fault(.expectedKey) }
        let key = try string()
        skipSpace()
        guard at < end else { throw fault(.unexpectedEnd) }
        guard byte(at) == 0x3A else { throw fault(.expectedColon) }
        at &+= 1
        return key
    }

    /// Steps over the end of an object if it comes next.
    @inline(__always) mutating func takeEnd() -> Bool {
        guard at < end, byte(at) == 0x7D else { return false }
        at &+= 1
        return true
    }

    /// Steps over a key, given with its quotes and its colon, and over the comma before it unless it is the first of its
    /// object, if exactly this comes next. If not, nothing has happened.
    @inline(__always) mutating func take(_ key: StaticString, first: inout Bool) -> Bool {
        var from = at
        if !first {
            guard from < end, byte(from) == 0x2C else { return false }
            from &+= 1
        }
        let stop = from &+ key.utf8CodeUnitCount
        guard stop <= end, BytePattern(bytes, from..<stop).isSpelt(key) else { return false }
        at = stop
        first = false
        return true
    }

    /// Steps to the next element of a list; false after `]`.
    mutating func element(first: inout Bool) throws(JSONFault) -> Bool {
        skipSpace()
        guard at < end else { throw fault(.unexpectedEnd) }
        if byte(at) == 0x5D {
            at &+= 1
            return false
        }
        if first {
            first = false
        } else {
            guard byte(at) == 0x2C else { throw fault(.expectedCommaOrEnd) }
            at &+= 1
        }
        return true
    }

    private mutating func literal(_ text: StaticString, _ kind: JSONValue.Kind) throws(JSONFault) -> JSONValue {
        let length = text.utf8CodeUnitCount
        guard at &+ length <= end, BytePattern(bytes, at..<at &+ length).isSpelt(text) else {
            throw fault(.badLiteral)
        }
        let start = at
        at &+= length
        return JSONValue(
            start: UInt32(truncatingIfNeeded: start), stop: UInt32(truncatingIfNeeded: at), kind: kind,
            isCanonical: true, hasEscapes: false, isSorted: true)
    }

    private mutating func number() throws(JSONFault) -> JSONValue {
        let start = at
        if byte(at) == 0x2D { at &+= 1 }
        let whole = digits()
        guard whole > 0, whole == 1 || byte(at &- whole) != 0x30 else { throw fault(.badNumber) }
        if at < end, byte(at) == 0x2E {
            at &+= 1
            guard digits() > 0 else { throw fault(.badNumber) }
        }
        if at < end, byte(at) | 0x20 == 0x65 {
            at &+= 1
            if at < end, byte(at) == 0x2B || byte(at) == 0x2D { at &+= 1 }
            guard digits() > 0 else { throw fault(.badNumber) }
        }
        return JSONValue(
            start: UInt32(truncatingIfNeeded: start), stop: UInt32(truncatingIfNeeded: at), kind: .number,
            isCanonical: true, hasEscapes: false, isSorted: true)
    }

    private mutating func digits() -> Int {
        let start = at
        while at < end, byte(at) &- 0x30 < 10 { at &+= 1 }
        return at &- start
    }

    /// Whether the bytes of `value` are exactly `text`.
    @inline(__always) func equals(_ value: JSONValue, _ text: StaticString) -> Bool {
        guard value.count == text.utf8CodeUnitCount else { return false }
        return BytePattern(bytes, value.range).isSpelt(text)
    }
}
