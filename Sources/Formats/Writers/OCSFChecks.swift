internal import Model

/// Where the names of frameworks and of their controls lie in a map that came in order and without escapes.
struct ControlNames {
    private static let room = 48
    private var names: InlineArray<48, UInt64> = InlineArray(repeating: 0)
    private(set) var count = 0
    /// Whether a framework's name is too long to be repeated.
    private(set) var isPartial = false
    /// Whether there were more names than places.
    private(set) var isFull = false

    subscript(index: Int) -> (isFramework: Bool, range: Range<Int>) {
        let word = names[index]
        let start = Int(truncatingIfNeeded: word & 0xFFFF_FFFF)
        return (word >> 63 == 1, start..<start &+ Int(truncatingIfNeeded: word >> 32 & 0x7FFF_FFFF))
    }

    private mutating func append(_ start: Int, _ stop: Int, isFramework: Bool) {
        guard count < Self.room else {
            isFull = true
            return
        }
        let length = UInt64(truncatingIfNeeded: stop &- start) << 32
        names[count] = UInt64(truncatingIfNeeded: start) | length | (isFramework ? 1 << 63 : 0)
        count &+= 1
    }

    /// Finds the names in `map`.
    init(_ map: JSONValue, _ cursor: borrowing RecordCursor) {
        let end = map.range.upperBound - 1
        var from = map.range.lowerBound + 1
        while from < end, !isFull {
            let close = cursor.quote(from + 1, end)
            let isLong = close - from - 1 > RecordCursor.longestFramework
            if isLong { isPartial = true } else { append(from + 1, close, isFramework: true) }
            from = close + 2
            guard cursor.peek(from) == 0x5B else {
                from += 5
                continue
            }
            from += 1
            while cursor.peek(from) == 0x22, !isFull {
                let close = cursor.quote(from + 1, end)
                if !isLong { append(from + 1, close, isFramework: false) }
                from = close + 1
                if cursor.peek(from) == 0x2C { from += 1 }
            }
            from += 2
        }
    }
}

extension RecordCursor {
    /// Longest name of a framework, in bytes, that is repeated with each of its controls.
    static let longestFramework = 255

    /// Writes `standards`, `requirements` and `checks`; `ending` closes each check after the name of its standard.
    /// Returns whether a framework was left out for the length of its name.
    @inline(__always) mutating func checks(_ map: JSONValue, ending: SealedBytes) -> Bool {
        guard map.isPresent else { return false }
        guard map.isCanonical, map.isSorted, !map.hasEscapes else { return checksSlowly(map, ending) }
        let names = ControlNames(map, self)
        guard !names.isFull else { return checksSlowly(map, ending) }
        if names.count > 0 {
            standards(names)
            requirements(names)
            checks(names, ending)
        }
        return names.isPartial
    }

    @inline(__always) private mutating func standards(_ names: borrowing ControlNames) {
        literal(",\"standards\":[")
        for index in 0..<names.count {
            let (isFramework, range) = names[index]
            guard isFramework else { continue }
            if index > 0 { byte(0x2C) }
            byte(0x22)
            plain(range)
            byte(0x22)
        }
        byte(0x5D)
    }

    @inline(__always) private mutating func requirements(_ names: borrowing ControlNames) {
        literal(",\"requirements\":[")
        var framework = 0..<0
        var isFirst = true
        for index in 0..<names.count {
            let (isFramework, range) = names[index]
            guard !isFramework else {
                framework = range
                continue
            }
            if !isFirst { byte(0x2C) }
            isFirst = false
            byte(0x22)
            plain(framework)
            byte(0x20)
            plain(range)
            byte(0x22)
        }
        byte(0x5D)
    }

    @inline(__always) private mutating func checks(_ names: borrowing ControlNames, _ ending: SealedBytes) {
        literal(",\"checks\":[")
        var framework = 0..<0
        var isFirst = true
        for index in 0..<names.count {
            let (isFramework, range) = names[index]
            guard !isFramework else {
                framework = range
                continue
            }
            if !isFirst { byte(0x2C) }
            isFirst = false
            literal("{\"uid\":\"")
            plain(range)
            literal("\",\"name\":\"")
            plain(framework)
            byte(0x20)
            plain(range)
            literal("\",\"standards\":[\"")
            plain(framework)
            prepared(ending)
        }
        byte(0x5D)
    }
}

extension RecordCursor {
    /// A control and its framework, as JSON strings without quotes.
    private struct Control {
        let framework: SealedBytes
        let name: SealedBytes?
    }

    @inline(never) private mutating func checksSlowly(_ map: JSONValue, _ ending: SealedBytes) -> Bool {
        var controls: [Control] = []
        let entries = JSONEntry.sorted(map, bytes)
        for entry in entries where entry.decodedKey.count <= Self.longestFramework {
            let framework = spelling(entry.key)
            controls.append(Control(framework: framework, name: nil))
            for name in JSONAnswer.elements(bytes, entry.value) ?? [] {
                controls.append(Control(framework: framework, name: spelling(name)))
            }
        }
        if !controls.isEmpty { write(controls, ending) }
        return entries.contains { $0.decodedKey.count > Self.longestFramework }
    }

    private mutating func write(_ controls: [Control], _ ending: SealedBytes) {
        literal(",\"standards\":[")
        for (index, control) in controls.enumerated() where control.name == nil {
            literal(index > 0 ? ",\"" : "\"")
            prepared(control.framework)
            byte(0x22)
        }
        literal("],\"requirements\":[")
        var isFirst = true
        for control in controls {
            guard let name = control.name else { continue }
            literal(isFirst ? "\"" : ",\"")
            isFirst = false
            prepared(control.framework)
            byte(0x20)
            prepared(name)
            byte(0x22)
        }
        literal("],\"checks\":[")
        checksSlowly(controls, ending)
        byte(0x5D)
    }

    private mutating func checksSlowly(_ controls: [Control], _ ending: SealedBytes) {
        var isFirst = true
        for control in controls {
            guard let name = control.name else { continue }
            literal(isFirst ? "{\"uid\":\"" : ",{\"uid\":\"")
            isFirst = false
            prepared(name)
            literal("\",\"name\":\"")
            prepared(control.framework)
            byte(0x20)
            prepared(name)
            literal("\",\"standards\":[\"")
            prepared(control.framework)
            prepared(ending)
        }
    }

    private func spelling(_ value: JSONValue) -> SealedBytes {
        var scratch = ByteWriter(capacity: value.count + 2)
        JSONText.writeString(value, of: bytes, into: &scratch)
        let text = scratch.seal().array
        return SealedBytes(Array(text[1..<text.count - 1]))
    }
}
