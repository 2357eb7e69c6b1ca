internal import Model

extension RecordCursor {
    /// Writes the content of a JSON string, without its quotes.
    @inline(__always) mutating func content(_ value: JSONValue) {
        if value.isCanonical { plain(value.range) } else { respelt(value) }
    }

    @inline(never) private mutating func respelt(_ value: JSONValue) {
        var scratch = takeScratch()
        JSONText.write(value, of: bytes, into: &scratch)
        let quotes = value.kind == .string ? 1 : 0
        plain(scratch.span, quotes..<scratch.count - quotes)
        keep(scratch)
    }

    /// Writes `name`, the string and its closing quote, if the value is there.
    @inline(__always) mutating func member(_ name: StaticString, _ value: JSONValue) {
        guard value.isPresent else { return }
        literal(name)
        content(value)
        byte(0x22)
    }

    /// Writes `name` and a list or a map, if it is there.
    @inline(__always) mutating func value(_ name: StaticString, _ value: JSONValue) {
        guard value.isPresent else { return }
        literal(name)
        if value.isCanonical, value.isSorted { plain(value.range) } else { respelt(value) }
    }

    /// Writes milliseconds since 1970, rounded down; they are negative before it.
    @inline(__always) mutating func milliseconds(_ time: Timestamp) {
        let value = time.seconds * 1000 + Int64(time.nanoseconds / 1_000_000)
        if value < 0 { byte(0x2D) }
        decimal(value.magnitude)
    }

    /// Writes the annotations but for the exporter's own, which change with every attempt.
    @inline(never) mutating func annotations(_ map: JSONValue) {
        var scratch = takeScratch()
        JSONText.writeAnnotations(map, of: bytes, into: &scratch)
        if !scratch.isEmpty {
            literal(",\"annotations\":")
            plain(scratch.span, 0..<scratch.count)
        }
        keep(scratch)
    }

    /// Writes the members of `parent` that are not in the schema.
    @inline(__always) mutating func unknown(_ parent: JSONMember.Parent, _ record: borrowing ProbeResult) {
        guard !record.others.isEmpty else { return }
        for member in record.others where member.parent == parent {
            literal(",\"")
            content(member.key)
            literal("\":")
            respeltWhole(member.value)
        }
    }

    private mutating func respeltWhole(_ value: JSONValue) {
        var scratch = takeScratch()
        JSONText.write(value, of: bytes, into: &scratch)
        plain(scratch.span, 0..<scratch.count)
        keep(scratch)
    }

    /// Writes `finding_info.attacks`: `T1552.007` is a sub-technique of T1552, anything else a technique.
    @inline(__always) mutating func attack(_ value: JSONValue) {
        if value.isCanonical { attack(bytes, value.range) } else { attackRespelt(value) }
    }

    @inline(never) private mutating func attackRespelt(_ value: JSONValue) {
        var scratch = takeScratch()
        JSONText.writeString(value, of: bytes, into: &scratch)
        attack(scratch.span, 1..<scratch.count - 1)
        keep(scratch)
    }

    private mutating func attack(_ text: Span<UInt8>, _ range: Range<Int>) {
        let technique = range.lowerBound..<(Self.dot(text, range) ?? range.upperBound)
        literal(",\"attacks\":[{\"technique\":{\"uid\":\"")
        plain(text, technique)
        literal("\",\"name\":\"")
        plain(text, technique)
        if technique != range {
            literal("\"},\"sub_technique\":{\"uid\":\"")
            plain(text, range)
        }
        literal("\"}}]")
    }

    /// The dot of `T` digits `.` digits.
    private static func dot(_ text: Span<UInt8>, _ range: Range<Int>) -> Int? {
        guard range.count > 3, text[range.lowerBound] == 0x54 else { return nil }
        var dot: Int?
        for index in range.dropFirst() where text[index] &- 0x30 > 9 {
            guard text[index] == 0x2E, dot == nil, index > range.lowerBound + 1, index < range.upperBound - 1 else {
                return nil
            }
            dot = index
        }
        return dot
    }
}
