internal import Model

/// The parameters that hold one string or number each, in the order of the line.
struct SyslogParameters: Sendable {
    /// One of them.
    struct Entry: Sendable {
        /// ` name="`, and spaces up to a length that is stored by two instructions.
        let opening: SIMD32<UInt8>
        /// Length of the opening without the spaces.
        let count: Int
        let field: Field

        init(_ name: StaticString, _ field: Field) {
            var opening = SIMD32<UInt8>(repeating: 0x20)
            let text = Array(" \(name)=\"".utf8)
            for (index, byte) in text.enumerated() { opening[index] = byte }
            self.opening = opening
            count = text.count
            self.field = field
        }
    }

    let metadata = [
        Entry("uid", .uid), Entry("name", .name), Entry("namespace", .namespace),
        Entry("creationTimestamp", .creationTimestamp),
    ]
    let probe = [
        Entry("probeId", .probeID), Entry("profile", .profile), Entry("targetNamespace", .targetNamespace),
        Entry("aoAuthorizationRef", .aoAuthorizationRef),
    ]
    let rest = [
        Entry("crosswalkVersion", .crosswalkVersion), Entry("mitreAttackId", .mitreAttackID),
        Entry("verificationMode", .verificationMode), Entry("timestamp", .timestamp),
        Entry("durationMs", .durationMs), Entry("jobName", .jobName),
    ]
}

extension RecordCursor {
    /// Writes ` name="value"` for each of `list` that the record has.
    @inline(never) mutating func parameters(_ list: [SyslogParameters.Entry], _ record: borrowing ProbeResult) {
        for index in list.indices {
            let value = record[list[index].field]
            guard value.isPresent else { continue }
            chunk(list[index].opening, count: list[index].count)
            text("", value, as: SyslogParam.self, then: 0x22)
        }
    }

    /// Writes the time of execution with at most six fraction digits.
    @inline(__always) mutating func timestamp(_ record: borrowing ProbeResult) {
        let value = record[.timestamp]
        if !value.hasEscapes, Self.isUTC(bytes, value.range) {
            let start = value.range.lowerBound
            plain(start..<start + min(value.count - 1, Self.microseconds))
            byte(0x5A)
        } else {
            rewrittenTimestamp(value, record.executedAt)
        }
    }

    /// Length of `2026-03-15T08:30:00.123456`.
    private static let microseconds = 26

    /// Whether a time is spelt `2026-03-15T08:30:00.123456789Z`, so that it need only be cut.
    @inline(__always) private static func isUTC(_ text: Span<UInt8>, _ range: Range<Int>) -> Bool {
        range.count >= 20 && text[range.lowerBound + 10] == 0x54 && text[range.upperBound - 1] == 0x5A
    }

    @inline(never) private mutating func rewrittenTimestamp(_ value: JSONValue, _ time: Timestamp) {
        var scratch = takeScratch()
        JSONText.decode(value, of: bytes, into: &scratch)
        if Self.isUTC(scratch.span, 0..<scratch.count) {
            plain(scratch.span, 0..<min(scratch.count - 1, Self.microseconds))
            byte(0x5A)
        } else if 0...9999 ~= time.date.year {
            scratch.removeAll()
            time.write(digits: 6, into: &scratch)
            plain(scratch.span, 0..<scratch.count)
        } else {
            // RFC 5424 has four digits for the year; an offset may move a time past them.
            byte(0x2D)
        }
        keep(scratch)
    }

    /// Writes a map of strings, a parameter for each member; `withoutOwn` leaves out the exporter's own annotations,
    /// which change with every attempt.
    @inline(__always) mutating func map(_ name: StaticString, _ map: JSONValue, withoutOwn: Bool) {
        guard map.isCanonical, map.isSorted, !map.hasEscapes else { return mapSlowly(name, map, withoutOwn) }
        let end = map.range.upperBound - 1
        var from = map.range.lowerBound + 1
        while from < end {
            let mark = at
            let key = from + 1
            from = string(name, key, end, as: SyslogKey.self, then: 0x3D)
            let isOwn = withoutOwn && isOwnAnnotation(key)
            from = string("", from + 3, end, as: SyslogParam.self, then: 0x22) + 2
            if isOwn, !overflowed { rewind(to: mark) }
        }
    }

    private static let ownPrefix: StaticString = "export.sidereal.cloud/"

    private func isOwnAnnotation(_ start: Int) -> Bool {
        let prefix = Self.ownPrefix
        for index in 0..<prefix.utf8CodeUnitCount where unsafe peek(start + index) != prefix.utf8Start[index] {
            return false
        }
        return true
    }

    @inline(never) private mutating func mapSlowly(_ name: StaticString, _ map: JSONValue, _ withoutOwn: Bool) {
        let own = unsafe UnsafeBufferPointer(start: Self.ownPrefix.utf8Start, count: Self.ownPrefix.utf8CodeUnitCount)
        for entry in JSONEntry.sorted(map, bytes) {
            if withoutOwn, unsafe entry.decodedKey.starts(with: own) { continue }
            literal(name)
            text(entry.decodedKey.span, as: SyslogKey.self)
            byte(0x3D)
            text("", entry.value, as: SyslogParam.self, then: 0x22)
        }
    }

    /// Writes a list of strings, a parameter for each element.
    @inline(__always) mutating func list(_ name: StaticString, _ list: JSONValue) {
        guard list.isCanonical, !list.hasEscapes else { return listSlowly(name, list) }
        let end = list.range.upperBound - 1
        var from = list.range.lowerBound + 1
        while from < end {
            from = string(name, from + 1, end, as: SyslogParam.self, then: 0x22) + 2
        }
    }

    @inline(never) private mutating func listSlowly(_ name: StaticString, _ list: JSONValue) {
        for value in JSONAnswer.elements(bytes, list) ?? [] {
            text(name, value, as: SyslogParam.self, then: 0x22)
        }
    }

    /// Writes ` control="framework:control"` for each control of each framework.
    @inline(__always) mutating func controls(_ map: JSONValue) {
        let fits =
            map.isCanonical && map.isSorted && !map.hasEscapes
            ? sortedControls(map) : controlsSlowly(map)
        if !fits { json(" controlMappings=\"", map) }
    }

    /// Returns false if a framework was left out for the length of its name.
    private mutating func sortedControls(_ map: JSONValue) -> Bool {
        var isComplete = true
        let end = map.range.upperBound - 1
        var from = map.range.lowerBound + 1
        while from < end {
            let head = at
            let key = from + 1
            from = string(" control=\"", key, end, as: SyslogFramework.self, then: 0x3A)
            if from - key > Self.longestFramework {
                isComplete = false
                if !overflowed { rewind(to: head) }
                from = passList(from + 2, end)
            } else {
                from = elements(of: head, from + 2, end)
            }
        }
        return isComplete
    }

    /// Returns where the next framework begins after the list at `start`.
    private func passList(_ start: Int, _ end: Int) -> Int {
        guard peek(start) == 0x5B else { return start + 5 }
        var from = start + 1
        var isInside = false
        while from < end, isInside || peek(from) != 0x5D {
            if peek(from) == 0x22 { isInside.toggle() }
            from += 1
        }
        return from + 2
    }

    /// Writes the controls of the framework whose parameter was begun at `head`; `start` is where its list is.
    /// Returns where the next framework begins.
    @inline(__always) private mutating func elements(of head: Int, _ start: Int, _ end: Int) -> Int {
        guard peek(start + 1) == 0x22 else {
            if !overflowed { rewind(to: at - 1) }
            byte(0x22)
            return start + (peek(start) == 0x5B ? 3 : 5)
        }
        let prefix = head..<at
        var from = start + 1
        while from < end {
            from = string("", from + 1, end, as: SyslogParam.self, then: 0x22) + 2
            guard peek(from - 1) == 0x2C else { break }
            again(prefix)
        }
        return from + 1
    }

    @inline(never) private mutating func controlsSlowly(_ map: JSONValue) -> Bool {
        var isComplete = true
        for entry in JSONEntry.sorted(map, bytes) {
            if entry.decodedKey.count > Self.longestFramework {
                isComplete = false
                continue
            }
            let controls = JSONAnswer.elements(bytes, entry.value) ?? []
            if controls.isEmpty {
                literal(" control=\"")
                text(entry.decodedKey.span, as: SyslogFramework.self)
                byte(0x22)
            }
            for control in controls {
                literal(" control=\"")
                text(entry.decodedKey.span, as: SyslogFramework.self)
                text(":", control, as: SyslogParam.self, then: 0x22)
            }
        }
        return isComplete
    }
}

extension RecordCursor {
    /// Writes a value as JSON text in a parameter.
    @inline(never) private mutating func json(_ name: StaticString, _ value: JSONValue) {
        literal(name)
        json(value)
        byte(0x22)
    }

    private mutating func json(_ value: JSONValue) {
        var scratch = takeScratch()
        JSONText.write(value, of: bytes, into: &scratch)
        text(scratch.span, as: SyslogParam.self)
        keep(scratch)
    }

    /// Writes ` field="path=JSON"` for a member that is not in the schema.
    mutating func unknown(_ member: JSONMember) {
        literal(" field=\"")
        switch member.parent {
        case .root: break
        case .metadata: literal("metadata.")
        case .spec: literal("spec.")
        case .probe: literal("spec.probe.")
        case .result: literal("spec.result.")
        case .execution: literal("spec.execution.")
        }
        text("", member.key, as: SyslogFieldName.self, then: 0x3D)
        json(member.value)
        byte(0x22)
    }

    /// Shortens what was written from `start` on so that it ends at `end` or before, between two characters.
    mutating func cut(from start: Int, to end: Int) {
        var end = min(end, at)
        while end > start, end < at, written(end) & 0xC0 == 0x80 { end -= 1 }
        // A `␦` at the end belongs to the picture that was cut off, unless another before it makes it a plain one.
        var marks = 0
        while end - 3 * marks - 3 >= start, isMark(end - 3 * marks - 3) { marks += 1 }
        rewind(to: marks % 2 == 1 ? end - 3 : end)
    }

    private func isMark(_ index: Int) -> Bool {
        written(index) == 0xE2 && written(index + 1) == 0x90 && written(index + 2) == 0xA6
    }
}
