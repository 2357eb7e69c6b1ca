internal import CScan

/// Steps over text that is spelt as the API server spells it, for readers that go on with a ``JSONScanner`` where it is not.
///
/// Promises:
/// 1. A step is made whole or not at all: if something else comes than is asked for, nothing has happened.
/// 2. What is stepped over is valid JSON of plain ASCII in its canonical spelling.
/// 3. Nothing outside the text is read. What lies in it behind the end may be read, and decides nothing.
@safe struct PlainCursor: ~Copyable, ~Escapable {
    // The text outlives the cursor, which depends on the scanner that has the text.
    private let text: UnsafePointer<UInt8>
    private let end: UnsafePointer<UInt8>
    /// The last place at which sixteen bytes can be looked at together.
    private let last: UnsafePointer<UInt8>
    /// Where the next member begins: on the brace of its object, or on the comma behind the member before it.
    private var place: UnsafePointer<UInt8>
    private var separator: UInt8 = opening

    private static let opening: UInt8 = 0x7B

    /// Begins at the first member of the object whose brace `scanner` has just stepped over.
    @_lifetime(copy scanner)
    @inline(__always) init(inObjectOf scanner: borrowing JSONScanner) {
        precondition(scanner.at > 0)
        unsafe text = scanner.start
        unsafe end = text + scanner.end
        unsafe last = text + (scanner.raw.byteCount &- 16)
        unsafe place = text + (scanner.at &- 1)
    }

    /// No member of this object was taken yet.
    var isFirst: Bool { @inline(__always) get { separator == Self.opening } }
    /// The next byte behind what was taken.
    var at: Int { @inline(__always) get { unsafe place - text &+ (isFirst ? 1 : 0) } }

    /// Steps over a key, given with its quotes, its colon and what its value begins with, and over the comma before it unless it is
    /// the first of its object. Returns where it ends.
    @inline(__always) mutating func take(_ key: StaticString) -> Int? {
        let start = unsafe place + 1
        let stop = unsafe start + key.utf8CodeUnitCount
        guard unsafe stop <= end, unsafe place[0] == separator, unsafe BytePattern.isSpelt(start, key) else {
            return nil
        }
        return unsafe stop - text
    }

    /// Notes that the member just taken ends at `stop`.
    @inline(__always) mutating func go(to stop: Int) {
        unsafe place = text + stop
        separator = 0x2C
    }

    /// Steps over a key as ``take(_:)`` does and into the object that is its value. Returns where that begins.
    @inline(__always) mutating func enter(_ key: StaticString) -> Int? {
        guard let stop = take(key) else { return nil }
        unsafe place = text + (stop &- 1)
        separator = Self.opening
        return stop &- 1
    }

    /// Steps over the end of an object that has members, to what follows it in the object around it. Returns where that is.
    @inline(__always) mutating func takeEnd() -> Int? {
        guard !isFirst, unsafe place < end, unsafe place[0] == 0x7D else { return nil }
        unsafe place += 1
        return unsafe place - text
    }

    /// Steps over a member whose value is a string, given as ``take(_:)`` has it.
    @inline(__always) mutating func pass(_ key: StaticString) {
        if let start = take(key), let quote = closing(start) { go(to: quote &+ 1) }
    }

    /// Where the quote is that ends the string whose text begins at `start`; nil if there is anything in it but plain ASCII.
    @inline(__always) func closing(_ start: Int) -> Int? {
        guard let quote = unsafe sidereal_closing_quote(text + start, last, end) else { return nil }
        return unsafe quote - text
    }

    /// Behind the whole number that begins at `start`; nil if anything but the next member or the end of the object follows.
    @inline(__always) func wholeNumber(_ start: Int) -> Int? {
        let first = unsafe text + start
        var stop = unsafe first
        while unsafe stop < end, unsafe stop[0] &- 0x30 < 10 { unsafe stop += 1 }
        guard unsafe stop < end, unsafe stop[0] == 0x2C || stop[0] == 0x7D, unsafe stop > first,
            unsafe first[0] != 0x30 || stop == first + 1
        else { return nil }
        return unsafe stop - text
    }

    /// Behind the list of strings whose bracket is at `start`; nil if it is none, is empty or otherwise unusual.
    @inline(__always) func list(_ start: Int) -> Int? {
        guard let stop = unsafe Self.list(text + start, end, last) else { return nil }
        return unsafe stop - text
    }

    /// Behind the object whose brace is at `start`, if its keys ascend and its values are strings (`lists` false) or lists of
    /// strings (`lists` true); nil if it is none, is empty or otherwise unusual.
    @inline(__always) func map(_ start: Int, lists: Bool) -> Int? {
        guard let stop = unsafe lists ? Self.mapOfLists(text + start, end, last) : Self.map(text + start, end, last)
        else {
            return nil
        }
        return unsafe stop - text
    }
}

extension PlainCursor {
    private typealias Place = UnsafePointer<UInt8>

    @inline(__always) private static func list(_ start: Place, _ end: Place, _ last: Place) -> Place? {
        guard unsafe start < end, unsafe start[0] == 0x5B else { return nil }
        var at = unsafe start
        repeat {
            guard unsafe at + 1 < end, unsafe at[1] == 0x22,
                let quote = unsafe sidereal_closing_quote(at + 2, last, end)
            else { return nil }
            unsafe at = quote + 1
            guard unsafe at < end else { return nil }
        } while unsafe at[0] == 0x2C
        return unsafe at[0] == 0x5D ? at + 1 : nil
    }

    @inline(never) private static func map(_ start: Place, _ end: Place, _ last: Place) -> Place? {
        unsafe members(start, end, last) { value in
            guard unsafe value[0] == 0x22, let quote = unsafe sidereal_closing_quote(value + 1, last, end) else {
                return nil
            }
            return unsafe quote + 1
        }
    }

    @inline(never) private static func mapOfLists(_ start: Place, _ end: Place, _ last: Place) -> Place? {
        unsafe members(start, end, last) { value in unsafe list(value, end, last) }
    }

    /// Steps over an object whose keys ascend; `value` steps over a value.
    @inline(__always) private static func members(
        _ start: Place, _ end: Place, _ last: Place, _ value: (Place) -> Place?
    ) -> Place? {
        guard unsafe start < end, unsafe start[0] == opening else { return nil }
        var at = unsafe start
        var before = unsafe Place?.none
        repeat {
            guard unsafe at + 1 < end, unsafe at[1] == 0x22,
                let quote = unsafe sidereal_closing_quote(at + 2, last, end)
            else { return nil }
            if let before = unsafe before, unsafe !ascends(before, at + 2, quote, last) { return nil }
            unsafe before = at + 2
            guard unsafe quote + 2 < end, unsafe quote[1] == 0x3A, let stop = unsafe value(quote + 2), unsafe stop < end
            else {
                return nil
            }
            unsafe at = stop
        } while unsafe at[0] == 0x2C
        return unsafe at[0] == 0x7D ? at + 1 : nil
    }

    /// Whether the key at `a` comes before the one from `b` to `end`, which lies behind it. Both are plain and have their quotes behind
    /// them. False where that is too near the end of the text to tell.
    @inline(__always) private static func ascends(_ a: Place, _ b: Place, _ end: Place, _ last: Place) -> Bool {
        var (left, right) = unsafe (a, b)
        while unsafe right < end, unsafe right <= last {
            let bits = unsafe sidereal_difference(left, right)
            if bits != 0 {
                let offset = Int(sidereal_place(bits))
                // Where the first one has its quote, it is the beginning of the second one.
                return unsafe right + offset < end && (left[offset] == 0x22 || left[offset] < right[offset])
            }
            unsafe left += 16
            unsafe right += 16
        }
        return false
    }
}
