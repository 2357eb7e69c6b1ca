internal import Model

/// The resource's schema: which fields must be there, of which type, with which values.
struct RecordCheck: ~Escapable {
    private let fields: Span<JSONValue>
    private let bytes: Span<UInt8>

    @_lifetime(copy fields, copy bytes)
    @inline(__always) private init(_ fields: Span<JSONValue>, _ bytes: Span<UInt8>) {
        precondition(fields.count == Field.count)
        self.fields = fields
        self.bytes = bytes
    }

    private subscript(field: Field) -> JSONValue {
        @inline(__always) get { unsafe fields[unchecked: field.rawValue] }
    }

    static func check(_ record: inout ProbeResult, _ bytes: Span<UInt8>) throws(RecordError) {
        record.facts = try RecordCheck(record.fields.span, bytes).facts()
        if !record.others.isEmpty { try others(&record, bytes) }
    }

    private func facts() throws(RecordError) -> RecordFacts {
        try constant(.apiVersion, "sidereal.cloud/v1alpha1")
        try constant(.kind, "SiderealProbeResult")
        try section(.metadata)
        try section(.spec)
        try section(.probe)
        try section(.result)
        try section(.execution)
        try section(.audit)
        var facts = RecordFacts()
        facts.uidHash = try identity()
        try optionalString(.name)
        try optionalString(.namespace)
        try optionalString(.creationTimestamp)
        try map(.labels)
        try map(.annotations)
        try map(.controlMappings)
        try probe()
        try result(&facts)
        try execution(&facts)
        return facts
    }

    @inline(__always) private func section(_ field: Field) throws(RecordError) {
        guard self[field].kind == .object else { throw Self.missing(field, "an object") }
    }

    @inline(never) private static func missing(_ field: Field, _ expected: String) -> RecordError {
        RecordError(field: field.path, message: "required and missing; expected \(expected)")
    }

    @inline(__always) private func constant(_ field: Field, _ wanted: StaticString) throws(RecordError) {
        let value = self[field]
        guard value.isPresent else { return }
        guard value.kind == .string, isText(value, wanted) else { throw unlike(field, "\"\(wanted)\"") }
    }

    /// `field` is there, and not what was wanted.
    @inline(never) private func unlike(_ field: Field, _ wanted: String) -> RecordError {
        RecordError(field: field.path, message: "expected \(wanted)\(found(self[field]))")
    }

    /// `metadata.uid` decides the shard and travels in keys and headers of every protocol.
    @inline(__always) private func identity() throws(RecordError) -> UIDHash {
        let uid = self[.uid]
        guard uid.isPresent else { throw Self.missing(.uid, "the identity the API server gave the resource") }
        guard uid.kind == .string, 1...128 ~= uid.count else {
            throw unlike(.uid, "a string of 1 to 128 characters")
        }
        // What the scanner let through has no control characters, and no backslash without being told of.
        let plain = ByteScan.first(bytes, uid.range.lowerBound, uid.range.upperBound) { word in
            ByteScan.equal(word, 0x20) | ByteScan.beyondPrintable(word)
        }
        guard plain == uid.range.upperBound, !uid.hasEscapes else {
            throw unlike(.uid, "printable ASCII without spaces or escapes")
        }
        return UIDHash(bytes, uid.range)
    }

    @inline(__always) private func requiredString(_ field: Field) throws(RecordError) -> JSONValue {
        let value = self[field]
        guard value.kind == .string else { throw notString(field) }
        return value
    }

    @inline(__always) private func optionalString(_ field: Field) throws(RecordError) {
        let value = self[field]
        guard value.kind == .string || !value.isPresent else { throw notString(field) }
    }

    @inline(never) private func notString(_ field: Field) -> RecordError {
        let value = self[field]
        guard value.isPresent else { return Self.missing(field, "a string") }
        return RecordError(field: field.path, message: "expected a string, found \(Self.name(value.kind))")
    }

    @inline(__always) private func map(_ field: Field) throws(RecordError) {
        let value = self[field]
        guard value.kind == .object, !value.isSorted else { return }
        try unsorted(field)
    }

    @inline(never) private func unsorted(_ field: Field) throws(RecordError) {
        if let key = JSONEntry.repeated(JSONEntry.sorted(self[field], bytes)) {
            throw RecordError(field: field.path, message: "the key \"\(Self.shown(key, bytes))\" appears twice")
        }
    }

    @inline(__always) private func probe() throws(RecordError) {
        let id = try requiredString(.probeID)
        guard withPlain(id, Self.isUUID) else { throw unlike(.probeID, "a UUID") }
        guard try requiredString(.profile).count > 0 else {
            throw RecordError(field: Field.profile.path, message: "must not be empty")
        }
        _ = try requiredString(.targetNamespace)
        try optionalString(.aoAuthorizationRef)
    }

    @inline(__always) private func result(_ facts: inout RecordFacts) throws(RecordError) {
        facts.outcome = try choice(.outcome)
        facts.effectiveness = try choice(.controlEffectiveness)
        facts.integrity = try choice(.integrityStatus)
        try optionalString(.crosswalkVersion)
        try optionalString(.mitreAttackID)
        try optionalString(.detail)
        try optionalString(.verificationMode)
        // The schema's default is Pending, so an absent status is no mistake.
        facts.exportStatus = self[.exportStatus].isPresent ? try choice(.exportStatus) : .pending
    }

    @inline(__always) private func execution(_ facts: inout RecordFacts) throws(RecordError) {
        let stamp = try requiredString(.timestamp)
        guard let time = withPlain(stamp, { Timestamp($0, $1) }) else {
            throw unlike(.timestamp, "an RFC 3339 time such as 2026-03-15T08:30:00.123456789Z")
        }
        facts.executedAt = time
        let duration = self[.durationMs]
        guard duration.isPresent else { throw Self.missing(.durationMs, "milliseconds as an integer") }
        guard duration.kind == .number, let value = integer(duration) else {
            throw unlike(.durationMs, "an integer of 64 bits")
        }
        facts.durationMs = value
        _ = try requiredString(.jobName)
    }

    /// Puts unknown members in the order of their parents and keys, and refuses repeated ones.
    private static func others(_ record: inout ProbeResult, _ bytes: Span<UInt8>) throws(RecordError) {
        for member in record.others {
            guard let key = JSONEntry.repeatedWithin(member.value, bytes) else { continue }
            throw RecordError(
                field: member.parent.path,
                message:
                    "in the unknown field \"\(shown(member.key, bytes))\" the key \"\(shown(key, bytes))\" appears twice"
            )
        }
        guard record.others.count > 1 else { return }
        var keyed: [(entry: JSONEntry, parent: JSONMember.Parent)] = []
        for member in record.others {
            let decoded = JSONEntry.decodedKey(member.key, bytes)
            keyed.append((JSONEntry(decodedKey: decoded, key: member.key, value: member.value), member.parent))
        }
        keyed.sort {
            $0.parent == $1.parent
                ? JSONEntry.precedes($0.entry, $1.entry) : $0.parent.rawValue < $1.parent.rawValue
        }
        for (a, b) in zip(keyed, keyed.dropFirst())
        where a.parent == b.parent && a.entry.decodedKey == b.entry.decodedKey {
            throw RecordError(
                field: b.parent.path, message: "the key \"\(shown(b.entry.key, bytes))\" appears twice")
        }
        record.others.removeAll(keepingCapacity: true)
        for (entry, parent) in keyed {
            record.others.append(JSONMember(parent: parent, key: entry.key, value: entry.value))
        }
    }

    @inline(__always) private func choice<Choice: Word>(_ field: Field) throws(RecordError) -> Choice {
        let value = try requiredString(field)
        // By raw value, from zero: `allCases` would allocate a list for every record.
        var number: UInt8 = 0
        while let choice = Choice(rawValue: number) {
            if isText(value, choice.text) { return choice }
            number += 1
        }
        throw unlike(field, "one of " + Choice.allCases.map { "\($0.text)" }.joined(separator: ", "))
    }

    /// Calls `body` with the characters of a string, however they are spelt.
    @inline(__always) private func withPlain<Answer>(
        _ value: JSONValue, _ body: (Span<UInt8>, Range<Int>) -> Answer
    ) -> Answer {
        guard value.hasEscapes else { return body(bytes, value.range) }
        let decoded = JSONEntry.decodedKey(value, bytes)
        return body(decoded.span, 0..<decoded.count)
    }

    @inline(__always) private func isText(_ value: JSONValue, _ text: StaticString) -> Bool {
        guard !value.hasEscapes else { return isDecodedText(value, text) }
        return value.count == text.utf8CodeUnitCount && BytePattern(bytes, value.range).isSpelt(text)
    }

    @inline(never) private func isDecodedText(_ value: JSONValue, _ text: StaticString) -> Bool {
        let decoded = JSONEntry.decodedKey(value, bytes)
        return BytePattern(decoded.span, 0..<decoded.count).isSpelt(text)
    }
}

extension RecordCheck {
    /// 8-4-4-4-12 hexadecimal digits (RFC 9562, section 4).
    @inline(__always) private static func isUUID(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
        guard range.count == 36 else { return false }
        let words = BytePattern(bytes, range)
        // The hyphens, each at a place of its own.
        let hyphens =
            words.half(8) & 0xFF | (words.half(13) & 0xFF) << 8 | (words.half(18) & 0xFF) << 16
            | (words.half(23) & 0xFF) << 24
        let middle = words.half(9) | words.half(14) << 32
        // The last two overlap: twelve digits are no multiple of eight.
        return hyphens == 0x2D2D_2D2D && ByteScan.isHex(words.word(0)) && ByteScan.isHex(middle)
            && ByteScan.isHex(words.half(19) | words.half(19) << 32) && ByteScan.isHex(words.word(24))
            && ByteScan.isHex(words.word(28))
    }

    @inline(__always) private func integer(_ value: JSONValue) -> Int64? {
        // As the grammar of numbers was checked, digits only are an integer; eighteen are never too many.
        guard value.count <= 18 else { return longInteger(value) }
        var total: Int64 = 0
        var at = value.range.lowerBound
        let negative = bytes[at] == 0x2D
        if negative { at &+= 1 }
        while at < value.range.upperBound {
            let digit = bytes[at] &- 0x30
            guard digit < 10 else { return nil }
            total = total &* 10 &+ Int64(digit)
            at &+= 1
        }
        return negative ? -total : total
    }

    @inline(never) private func longInteger(_ value: JSONValue) -> Int64? {
        var at = value.range.lowerBound
        let negative = bytes[at] == 0x2D
        if negative { at += 1 }
        var total: Int64 = 0
        while at < value.range.upperBound {
            let digit = bytes[at] &- 0x30
            guard digit < 10 else { return nil }
            let (product, over) = total.multipliedReportingOverflow(by: 10)
            let (sum, past) = product.subtractingReportingOverflow(Int64(digit))
            guard !over, !past else { return nil }
            total = sum
            at += 1
        }
        guard !negative else { return total }
        return total == .min ? nil : -total
    }

    private static func name(_ kind: JSONValue.Kind) -> String {
        switch kind {
        case .absent: "nothing"
        case .string: "a string"
        case .number: "a number"
        case .object: "an object"
        case .array: "a list"
        case .bool: "true or false"
        case .null: "null"
        }
    }

    /// `, found "…"`, cut where a value is long.
    private func found(_ value: JSONValue) -> String {
        let text = Self.shown(value, bytes)
        return value.kind == .string ? ", found \"\(text)\"" : ", found \(text)"
    }

    /// The first 60 bytes of a value as it is spelt, with white space as spaces: nothing in it breaks a line of a log.
    private static func shown(_ value: JSONValue, _ bytes: Span<UInt8>) -> String {
        var text: [UInt8] = []
        for index in value.range.prefix(61) { text.append(max(bytes[index], 0x20)) }
        let cut = UTF8Check.cut(text, to: 60)
        return String(decoding: cut, as: UTF8.self) + (cut.count < value.count ? "…" : "")
    }
}
