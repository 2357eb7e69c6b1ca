internal import CScan
public import Model

/// Finds `metadata.uid` of a record and nothing else, for whoever has to place records and not to read them.
///
/// Promises:
/// 1. For every record that ``ProbeResultReader`` accepts it gives the hash of the same uid, whatever the order of keys,
///    white space and escapes. Pinned by tests over generated records.
/// 2. Of other bytes it gives a hash or nil, the same each time; nothing outside the range decides which. Whoever places such
///    a record by something else loses nothing: the worker's reader refuses it in any case.
/// 3. It stops at the uid. What lies before it is passed over.
public enum IdentityScan {
    /// The hash of the uid; nil if none is found.
    public static func uidHash(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UIDHash? {
        var start = range.lowerBound
        if range.count >= 3, bytes[start] == 0xEF, bytes[start + 1] == 0xBB, bytes[start + 2] == 0xBF { start += 3 }
        if let uid = expected(bytes, start..<range.upperBound), let hash = hash(bytes, uid) { return hash }
        var cursor = Cursor(bytes, start..<range.upperBound)
        switch uid(&cursor) {
        case .found(let uid): return hash(bytes, uid)
        case .nothing: return nil
        case .escapedKey: return slowly(bytes, start..<range.upperBound)
        }
    }

    private enum Answer {
        case found(Range<Int>)
        case nothing
        /// A key is spelt with escapes, so it may be one of those that are looked for.
        case escapedKey
    }

    /// Where the uid is in a record that is spelt up to there as the API server spells it; nil if it is not.
    private static func expected(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Range<Int>? {
        guard !range.isEmpty, bytes[range.lowerBound] == 0x7B else { return nil }
        let scanner = JSONScanner(bytes, range.lowerBound + 1..<range.upperBound, maxDepth: 0)
        var cursor = PlainCursor(inObjectOf: scanner)
        cursor.pass("\"apiVersion\":\"")
        cursor.pass("\"kind\":\"")
        guard cursor.enter("\"metadata\":{") != nil else { return nil }
        if let start = cursor.take("\"annotations\":"), let stop = cursor.map(start, lists: false) {
            cursor.go(to: stop)
        }
        cursor.pass("\"creationTimestamp\":\"")
        if let start = cursor.take("\"generation\":"), let stop = cursor.wholeNumber(start) { cursor.go(to: stop) }
        if let start = cursor.take("\"labels\":"), let stop = cursor.map(start, lists: false) { cursor.go(to: stop) }
        cursor.pass("\"name\":\"")
        cursor.pass("\"namespace\":\"")
        cursor.pass("\"resourceVersion\":\"")
        guard let start = cursor.take("\"uid\":\""), let quote = cursor.closing(start) else { return nil }
        return start..<quote
    }

    private static func uid(_ cursor: inout Cursor) -> Answer {
        switch enter(&cursor, key: "metadata") {
        case .found: break
        case let other: return other
        }
        return enter(&cursor, key: "uid", wanted: 0x22)
    }

    /// Steps into an object and to the value of `key` in it; for a string (`wanted` is a quote) gives what is in it.
    @inline(__always) private static func enter(
        _ cursor: inout Cursor, key wanted: StaticString, wanted opening: UInt8 = 0x7B
    ) -> Answer {
        guard cursor.take(0x7B) else { return .nothing }
        while let (key, hasEscapes) = cursor.key() {
            if hasEscapes { return .escapedKey }
            if BytePattern(cursor.bytes, key).isSpelt(wanted) {
                cursor.skipSpace()
                guard cursor.at < cursor.end, cursor.byte(cursor.at) == opening else { return .nothing }
                guard opening == 0x22 else { return .found(key) }
                guard let (value, isEscaped) = cursor.string(), !isEscaped else { return .nothing }
                return .found(value)
            }
            guard cursor.skipValue(), cursor.take(0x2C) else { return .nothing }
        }
        return .nothing
    }

    /// The hash, if the uid is one that the reader accepts: 1 to 128 printable ASCII characters, no space, no escape.
    private static func hash(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UIDHash? {
        guard 1...128 ~= range.count else { return nil }
        let plain = ByteScan.first(bytes, range.lowerBound, range.upperBound) { word in
            ByteScan.control(word) | ByteScan.equal(word, 0x20) | ByteScan.equal(word, 0x5C)
                | ByteScan.beyondPrintable(word)
        }
        return plain == range.upperBound ? UIDHash(bytes, range) : nil
    }

    /// The same by the reader's own scanner, which knows how keys with escapes are meant.
    private static func slowly(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UIDHash? {
        var scanner = JSONScanner(bytes, range, maxDepth: Limits().maxDepth)
        guard (try? step(&scanner, nil, to: .metadata)) ?? false, (try? step(&scanner, .metadata, to: .uid)) ?? false,
            let value = try? scanner.value(), value.kind == .string
        else { return nil }
        return hash(bytes, value.range)
    }

    private static func step(
        _ scanner: inout JSONScanner, _ parent: Field?, to wanted: Field
    ) throws(JSONFault) -> Bool {
        try scanner.enterObject()
        var first = true
        while let key = try scanner.key(first: &first) {
            if KnownKeys.find(parent, scanner, key) == wanted { return true }
            _ = try scanner.value(depth: parent == nil ? 1 : 2)
        }
        return false
    }
}

extension UIDHash {
    /// The hash of `bytes[range]`.
    @inline(__always) init(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        self.init()
        var at = range.lowerBound
        while at &+ 4 <= range.upperBound {
            for index in at..<at &+ 4 { add(unsafe bytes[unchecked: index]) }
            at &+= 4
        }
        while at < range.upperBound {
            add(unsafe bytes[unchecked: at])
            at &+= 1
        }
    }
}

/// Steps over JSON text that is taken to be well-formed; of text that is not it makes something, within its bounds.
private struct Cursor: ~Copyable, ~Escapable {
    let bytes: Span<UInt8>
    private let raw: RawSpan
    var at: Int
    let end: Int

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        self.bytes = bytes
        raw = unsafe bytes.bytes
        at = range.lowerBound
        end = range.upperBound
    }

    /// `index < end` was checked by the caller.
    @inline(__always) func byte(_ index: Int) -> UInt8 { unsafe bytes[unchecked: index] }

    @inline(__always) mutating func skipSpace() {
        while at < end {
            switch byte(at) {
            case 0x20, 0x09, 0x0A, 0x0D: at &+= 1
            default: return
            }
        }
    }

    /// Steps over `wanted` if it is next.
    @inline(__always) mutating func take(_ wanted: UInt8) -> Bool {
        skipSpace()
        guard at < end, byte(at) == wanted else { return false }
        at &+= 1
        return true
    }

    /// The next key, with the colon stepped over; nil if there is none.
    @inline(__always) mutating func key() -> (range: Range<Int>, hasEscapes: Bool)? {
        skipSpace()
        guard at < end, byte(at) == 0x22, let (key, hasEscapes) = string(), take(0x3A) else { return nil }
        return (key, hasEscapes)
    }

    /// Steps over a string; `at` stands on its opening quote. Gives what is between the quotes.
    @inline(__always) mutating func string() -> (range: Range<Int>, hasEscapes: Bool)? {
        at &+= 1
        let start = at
        var hasEscapes = false
        while toQuoteOrSlash() {
            if byte(at) == 0x22 {
                at &+= 1
                return unsafe (Range(uncheckedBounds: (start, at &- 1)), hasEscapes)
            }
            hasEscapes = true
            at &+= 2
        }
        return nil
    }

    /// Moves to the next quote or backslash, sixteen bytes at a time; false if there is none.
    @inline(__always) private mutating func toQuoteOrSlash() -> Bool {
        while at &+ 16 <= end {
            let found = unsafe raw.withUnsafeBytes { text in
                unsafe sidereal_quote_or_slash(text.baseAddress.unsafelyUnwrapped + at)
            }
            if found != 0 {
                at &+= Int(sidereal_place(found))
                return true
            }
            at &+= 16
        }
        while at < end {
            if byte(at) == 0x22 || byte(at) == 0x5C { return true }
            at &+= 1
        }
        return false
    }

    /// Steps over a value of any kind. Depth is counted and not kept, so nesting costs nothing.
    @inline(__always) mutating func skipValue() -> Bool {
        skipSpace()
        guard at < end else { return false }
        switch byte(at) {
        case 0x22: return string() != nil
        case 0x7B, 0x5B: return skipComposite()
        default:
            while at < end {
                switch byte(at) {
                case 0x2C, 0x7D, 0x5D, 0x20, 0x09, 0x0A, 0x0D: return true
                default: at &+= 1
                }
            }
            return false
        }
    }

    /// Steps over an object or a list; `at` stands on its bracket.
    private mutating func skipComposite() -> Bool {
        var depth = 0
        while at < end {
            switch byte(at) {
            case 0x22:
                guard string() != nil else { return false }
            case 0x7B, 0x5B:
                depth &+= 1
                at &+= 1
            case 0x7D, 0x5D:
                depth &-= 1
                at &+= 1
                if depth == 0 { return true }
            default: at &+= 1
            }
        }
        return false
    }
}
