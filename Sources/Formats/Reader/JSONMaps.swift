extension JSONScanner {
    /// Scans `[string, …]`. `null` is let through as an absent list.
    mutating func stringList() throws(JSONFault) -> JSONValue {
        skipSpace()
        if at < end, byte(at) == 0x6E { return try value() }
        return try list(.expectedStringList)
    }

    private mutating func list(_ reason: JSONFault.Reason) throws(JSONFault) -> JSONValue {
        skipSpace()
        guard at < end else { throw fault(.unexpectedEnd) }
        guard byte(at) == 0x5B else { throw fault(reason) }
        let outer = (untidy, escaped)
        untidy = false
        escaped = false
        let start = at
        at &+= 1
        var first = true
        repeat {
            // One string close behind the other, as everybody writes them.
            while at < end, byte(at) == 0x22 {
                _ = try string()
                first = false
                guard at &+ 1 < end, byte(at) == 0x2C, byte(at &+ 1) == 0x22 else { break }
                at &+= 1
            }
            guard try element(first: &first) else { break }
            skipSpace()
            guard at < end else { throw fault(.unexpectedEnd) }
            guard byte(at) == 0x22 else { throw fault(reason) }
        } while true
        return close(start, .array, outer, sorted: true)
    }

    /// Scans an object whose values are strings (`lists` false) or lists of strings (`lists` true), and notes
    /// whether its keys ascend. `null` is let through as an absent map. A repeated key is refused here when the
    /// keys ascend; otherwise the caller compares them all.
    mutating func map(lists: Bool) throws(JSONFault) -> JSONValue {
        skipSpace()
        guard at < end else { throw fault(.unexpectedEnd) }
        if byte(at) == 0x6E { return try value() }
        let reason: JSONFault.Reason = lists ? .expectedListMap : .expectedStringMap
        guard byte(at) == 0x7B else { throw fault(reason) }
        let outer = (untidy, escaped)
        untidy = false
        escaped = false
        let start = at
        at &+= 1
        var sorted = true
        var previous = JSONValue.absent
        var first = true
        while let key = try key(first: &first) {
            if key.hasEscapes { sorted = false }
            if previous.kind != .absent, sorted {
                switch compare(previous, key) {
                case 0: throw fault(.duplicateKey)
                case 1: sorted = false
                default: break
                }
            }
            previous = key
            if lists {
                _ = try list(reason)
            } else {
                skipSpace()
                guard at < end else { throw fault(.unexpectedEnd) }
                guard byte(at) == 0x22 else { throw fault(reason) }
                _ = try string()
            }
        }
        return close(start, .object, outer, sorted: sorted)
    }

    /// Compares the bytes of two values, which lie in this text: -1, 0 or 1. Eight at a time, as labels begin alike.
    func compare(_ a: JSONValue, _ b: JSONValue) -> Int {
        let (left, right) = (Int(a.start), Int(b.start))
        let common = min(a.count, b.count)
        var offset = 0
        while offset &+ 8 <= common {
            let x = unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: left &+ offset, as: UInt64.self)
            let y = unsafe raw.unsafeLoadUnaligned(fromUncheckedByteOffset: right &+ offset, as: UInt64.self)
            if x != y { return x.bigEndian < y.bigEndian ? -1 : 1 }
            offset &+= 8
        }
        while offset < common {
            let (x, y) = (byte(left &+ offset), byte(right &+ offset))
            if x != y { return x < y ? -1 : 1 }
            offset &+= 1
        }
        return a.count == b.count ? 0 : (a.count < b.count ? -1 : 1)
    }
}

enum HexDigit {
    @inline(__always) static func value(_ byte: UInt8) -> UInt32? {
        switch byte {
        case 0x30...0x39: UInt32(byte &- 0x30)
        case 0x41...0x46: UInt32(byte &- 0x37)
        case 0x61...0x66: UInt32(byte &- 0x57)
        default: nil
        }
    }
}

enum UTF8Check {
    /// Length of the multi-byte sequence at `at`, or 0 if it is not well formed (Unicode 15, table 3-7).
    static func length(_ raw: RawSpan, _ at: Int, _ end: Int) -> Int {
        @inline(__always) func byte(_ offset: Int) -> UInt8 {
            unsafe raw.unsafeLoad(fromUncheckedByteOffset: at &+ offset, as: UInt8.self)
        }
        @inline(__always) func isTail(_ offset: Int) -> Bool { byte(offset) & 0xC0 == 0x80 }
        let left = end &- at
        switch byte(0) {
        case 0xC2...0xDF: return left >= 2 && isTail(1) ? 2 : 0
        case 0xE0: return left >= 3 && 0xA0...0xBF ~= byte(1) && isTail(2) ? 3 : 0
        case 0xED: return left >= 3 && 0x80...0x9F ~= byte(1) && isTail(2) ? 3 : 0
        case 0xE1...0xEC, 0xEE, 0xEF: return left >= 3 && isTail(1) && isTail(2) ? 3 : 0
        case 0xF0: return left >= 4 && 0x90...0xBF ~= byte(1) && isTail(2) && isTail(3) ? 4 : 0
        case 0xF1...0xF3: return left >= 4 && isTail(1) && isTail(2) && isTail(3) ? 4 : 0
        case 0xF4: return left >= 4 && 0x80...0x8F ~= byte(1) && isTail(2) && isTail(3) ? 4 : 0
        default: return 0
        }
    }

    /// At most `limit` bytes of valid UTF-8, never a part of a character.
    static func cut(_ text: [UInt8], to limit: Int) -> ArraySlice<UInt8> {
        guard text.count > limit else { return text[...] }
        var end = limit
        while end > 0, text[end] & 0xC0 == 0x80 { end -= 1 }
        return text[..<end]
    }
}
