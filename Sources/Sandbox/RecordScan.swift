/// What an object says of itself.
struct RecordMarks: Equatable {
    /// There is a `uid`, or in the action of a `_bulk` request an `_id`, that is a string with something in it, right
    /// below `metadata`, `fields`, `create` or `index`.
    var hasIdentity = false
    /// Where the text of `execution.timestamp` lies.
    var time: Range<Int>?
    /// The key of the first member, without its quotes.
    var firstKey: Range<Int>?
    /// Members of the object itself.
    var members = 0
}

/// A scanner of whole JSON objects (RFC 8259) that checks their structure in one pass and keeps nothing: for counting
/// records at little cost, where ``JSONScanner`` would cost more than what is measured.
///
/// Checked are nesting, commas, colons, strings with their escapes, words, and the alphabet of numbers; not whether
/// text is UTF-8, nor the grammar of numbers. Nesting is bounded by ``maxDepth``.
struct RecordScan: ~Copyable, ~Escapable {
    static let maxDepth = 64

    private let bytes: RawSpan
    private(set) var at: Int
    let end: Int

    @_lifetime(copy bytes)
    init(_ bytes: RawSpan, from start: Int = 0) {
        self.bytes = bytes
        at = start
        end = bytes.byteCount
    }

    private var fault: JSONFault { JSONFault(position: at) }

    @inline(__always) private func byte(_ index: Int) -> UInt8 {
        unsafe bytes.unsafeLoad(fromUncheckedByteOffset: index, as: UInt8.self)
    }

    @inline(__always) private func word(_ index: Int) -> UInt64 {
        unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt64.self).littleEndian
    }

    /// The byte at hand, or nil at the end.
    @inline(__always) var next: UInt8? { at < end ? byte(at) : nil }

    /// Passes `byte` if it is at hand.
    @inline(__always) mutating func take(_ wanted: UInt8) -> Bool {
        guard at < end, byte(at) == wanted else { return false }
        at &+= 1
        return true
    }

    @inline(__always) mutating func skipSpace() {
        while at < end, byte(at) <= 0x20 {
            switch byte(at) {
            case 0x20, 0x09, 0x0A, 0x0D: at &+= 1
            default: return
            }
        }
    }

    /// Passes one object, which begins at hand.
    mutating func object() throws(JSONFault) -> RecordMarks {
        var marks = RecordMarks()
        var open = Nesting()
        guard take(UInt8(ascii: "{")) else { throw fault }
        open.enter(isObject: true, .other)
        skipSpace()
        if take(UInt8(ascii: "}")) { return marks }
        while true {
            var key = 0..<0
            if open.isObject {
                key = try string()
                skipSpace()
                guard take(UInt8(ascii: ":")) else { throw fault }
                if open.depth == 1 {
                    marks.members &+= 1
                    if marks.firstKey == nil { marks.firstKey = key }
                }
            }
            skipSpace()
            let isEntered = try value(of: key, &open, &marks)
            if isEntered { continue }
            guard try leave(&open) else { return marks }
        }
    }

    /// Passes a value; true if it was the beginning of an object or a list that is not empty.
    @inline(__always) private mutating func value(
        of key: Range<Int>, _ open: inout Nesting, _ marks: inout RecordMarks
    ) throws(JSONFault) -> Bool {
        guard at < end else { throw fault }
        switch byte(at) {
        case UInt8(ascii: "\""):
            let text = try string()
            switch open.role {
            case .named where !text.isEmpty && (self.is(key, "uid") || self.is(key, "_id")): marks.hasIdentity = true
            case .execution where self.is(key, "timestamp"): marks.time = text
            default: break
            }
        case UInt8(ascii: "{"):
            guard open.depth < Self.maxDepth else { throw fault }
            at &+= 1
            skipSpace()
            if take(UInt8(ascii: "}")) { return false }
            open.enter(isObject: true, role(key))
            return true
        case UInt8(ascii: "["):
            guard open.depth < Self.maxDepth else { throw fault }
            at &+= 1
            skipSpace()
            if take(UInt8(ascii: "]")) { return false }
            open.enter(isObject: false, .other)
            return true
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        default: try number()
        }
        return false
    }

    /// Passes what follows a value, up to the next one; false after the brace that closes the whole.
    @inline(__always) private mutating func leave(_ open: inout Nesting) throws(JSONFault) -> Bool {
        while true {
            skipSpace()
            if take(UInt8(ascii: ",")) {
                skipSpace()
                return true
            }
            guard take(open.isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else { throw fault }
            open.leave()
            if open.depth == 0 { return false }
        }
    }

    /// Passes a string; its text, escapes as they are.
    @inline(__always) private mutating func string() throws(JSONFault) -> Range<Int> {
        guard take(UInt8(ascii: "\"")) else { throw fault }
        let start = at
        while true {
            skipPlain()
            guard at < end else { throw fault }
            if byte(at) == UInt8(ascii: "\"") { break }
            guard byte(at) == UInt8(ascii: "\\"), at &+ 1 < end else { throw fault }
            switch byte(at &+ 1) {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
                UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"), UInt8(ascii: "u"):
                at &+= 2
            default: throw fault
            }
        }
        at &+= 1
        return start..<at &- 1
    }

    /// Moves to the next quote, backslash or control character, eight bytes at a time.
    @inline(__always) private mutating func skipPlain() {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        while at &+ 8 <= end {
            let word = word(at)
            let quote = word ^ (ones &* 0x22)
            let slash = word ^ (ones &* 0x5C)
            // The lowest mark is true; a borrow can only set marks above a true one.
            let marked =
                (((quote &- ones) & ~quote) | ((slash &- ones) & ~slash) | ((word &- ones &* 0x20) & ~word)) & tops
            if marked != 0 {
                at &+= marked.trailingZeroBitCount >> 3
                return
            }
            at &+= 8
        }
        while at < end, byte(at) != UInt8(ascii: "\""), byte(at) != UInt8(ascii: "\\"), byte(at) >= 0x20 { at &+= 1 }
    }

    private mutating func number() throws(JSONFault) {
        let start = at
        while at < end {
            switch byte(at) {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
                UInt8(ascii: "e"), UInt8(ascii: "E"):
                at &+= 1
                continue
            default: break
            }
            break
        }
        guard at > start else { throw fault }
    }

    private mutating func literal(_ text: StaticString) throws(JSONFault) {
        guard self.is(at..<at &+ text.utf8CodeUnitCount, text) else { throw fault }
        at &+= text.utf8CodeUnitCount
    }

    private func `is`(_ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount, range.upperBound <= end else { return false }
        for index in 0..<range.count where unsafe byte(range.lowerBound &+ index) != text.utf8Start[index] {
            return false
        }
        return true
    }

    /// What an object under `key` is for.
    private func role(_ key: Range<Int>) -> Nesting.Role {
        switch key.count {
        case 5 where self.is(key, "index"), 6 where self.is(key, "fields") || self.is(key, "create"),
            8 where self.is(key, "metadata"):
            .named
        case 9 where self.is(key, "execution"): .execution
        default: .other
        }
    }
}

/// The objects and lists around a place: three bits for each.
private struct Nesting {
    enum Role { case other, named, execution }

    private(set) var depth = 0
    private var objects: UInt64 = 0
    private var named: UInt64 = 0
    private var executions: UInt64 = 0

    @inline(__always) var isObject: Bool { objects & 1 == 1 }
    @inline(__always) var role: Role { named & 1 == 1 ? .named : executions & 1 == 1 ? .execution : .other }

    @inline(__always) mutating func enter(isObject: Bool, _ role: Role) {
        depth &+= 1
        objects = objects &<< 1 | (isObject ? 1 : 0)
        named = named &<< 1 | (role == .named ? 1 : 0)
        executions = executions &<< 1 | (role == .execution ? 1 : 0)
    }

    @inline(__always) mutating func leave() {
        depth &-= 1
        objects &>>= 1
        named &>>= 1
        executions &>>= 1
    }
}
