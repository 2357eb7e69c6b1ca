internal import Model

/// The resource's schema: which fields must be there, of which type, with which values.
enum RecordCheck {
    static func check(_ record: inout ProbeResult, _ bytes: Span<UInt8>) throws(RecordError) {
        try constant(record, .apiVersion, "sidereal.cloud/v1alpha1", bytes)
        try constant(record, .kind, "SiderealProbeResult", bytes)
        try section(record, .metadata)
        try section(record, .spec)
        try section(record, .probe)
        try section(record, .result)
        try section(record, .execution)
        try section(record, .audit)
        try identity(&record, bytes)
        try optionalString(record, .name)
        try optionalString(record, .namespace)
        try optionalString(record, .creationTimestamp)
        try maps(record, bytes)
        try probe(record, bytes)
        try result(&record, bytes)
        try execution(&record, bytes)
        try others(&record, bytes)
    }

    private static func section(_ record: borrowing ProbeResult, _ field: Field) throws(RecordError) {
        guard record[field].kind == .object else { throw missing(field, "an object") }
    }

    private static func missing(_ field: Field, _ expected: String) -> RecordError {
        RecordError(field: field.path, message: "required and missing; expected \(expected)")
    }

    private static func constant(
        _ record: borrowing ProbeResult, _ field: Field, _ wanted: StaticString, _ bytes: Span<UInt8>
    ) throws(RecordError) {
        let value = record[field]
        guard value.isPresent else { return }
        guard value.kind == .string, isText(value, wanted, bytes) else {
            throw RecordError(field: field.path, message: "expected \"\(wanted)\"\(found(value, bytes))")
        }
    }

    /// `metadata.uid` decides the shard and travels in keys and headers of every protocol.
    private static func identity(_ record: inout ProbeResult, _ bytes: Span<UInt8>) throws(RecordError) {
        let uid = record[.uid]
        guard uid.isPresent else { throw missing(.uid, "the identity the API server gave the resource") }
        guard uid.kind == .string, 1...128 ~= uid.count else {
            throw RecordError(
                field: Field.uid.path, message: "expected a string of 1 to 128 characters\(found(uid, bytes))")
        }
        let plain = ByteScan.first(bytes, uid.range.lowerBound, uid.range.upperBound) { word in
            ByteScan.control(word) | ByteScan.equal(word, 0x20) | ByteScan.equal(word, 0x5C)
                | ByteScan.beyondPrintable(word)
        }
        guard plain == uid.range.upperBound else {
            throw RecordError(
                field: Field.uid.path,
                message: "expected printable ASCII without spaces or escapes\(found(uid, bytes))")
        }
        var hash = UIDHash()
        for index in uid.range { hash.add(bytes[index]) }
        record.uidHash = hash
    }

    private static func requiredString(_ record: borrowing ProbeResult, _ field: Field) throws(RecordError) -> JSONValue
    {
        let value = record[field]
        guard value.isPresent else { throw missing(field, "a string") }
        guard value.kind == .string else {
            throw RecordError(field: field.path, message: "expected a string, found \(name(value.kind))")
        }
        return value
    }

    private static func optionalString(_ record: borrowing ProbeResult, _ field: Field) throws(RecordError) {
        let value = record[field]
        guard !value.isPresent || value.kind == .string else {
            throw RecordError(field: field.path, message: "expected a string, found \(name(value.kind))")
        }
    }

    private static func maps(_ record: borrowing ProbeResult, _ bytes: Span<UInt8>) throws(RecordError) {
        try map(record, .labels, bytes)
        try map(record, .annotations, bytes)
        try map(record, .controlMappings, bytes)
    }

    private static func map(
        _ record: borrowing ProbeResult, _ field: Field, _ bytes: Span<UInt8>
    ) throws(RecordError) {
        let value = record[field]
        guard value.kind == .object, !value.isSorted else { return }
        if let key = JSONEntry.repeated(JSONEntry.sorted(value, bytes)) {
            throw RecordError(field: field.path, message: "the key \"\(shown(key, bytes))\" appears twice")
        }
    }

    private static func probe(_ record: borrowing ProbeResult, _ bytes: Span<UInt8>) throws(RecordError) {
        let id = try requiredString(record, .probeID)
        guard withPlain(id, bytes, isUUID) else {
            throw RecordError(field: Field.probeID.path, message: "expected a UUID\(found(id, bytes))")
        }
        guard try requiredString(record, .profile).count > 0 else {
            throw RecordError(field: Field.profile.path, message: "must not be empty")
        }
        _ = try requiredString(record, .targetNamespace)
        try optionalString(record, .aoAuthorizationRef)
    }

    private static func result(_ record: inout ProbeResult, _ bytes: Span<UInt8>) throws(RecordError) {
        record.outcome = try choice(record, .outcome, bytes)
        record.effectiveness = try choice(record, .controlEffectiveness, bytes)
        record.integrity = try choice(record, .integrityStatus, bytes)
        try optionalString(record, .crosswalkVersion)
        try optionalString(record, .mitreAttackID)
        try optionalString(record, .detail)
        try optionalString(record, .verificationMode)
        // The schema's default is Pending, so an absent status is no mistake.
        if record[.exportStatus].isPresent {
            record.exportStatus = try choice(record, .exportStatus, bytes)
        } else {
            record.exportStatus = .pending
        }
    }

    private static func execution(
        _ record: inout ProbeResult, _ bytes: Span<UInt8>
    ) throws(RecordError) {
        let stamp = try requiredString(record, .timestamp)
        guard let time = withPlain(stamp, bytes, { Timestamp($0, $1) }) else {
            throw RecordError(
                field: Field.timestamp.path,
                message: "expected an RFC 3339 time such as 2026-03-15T08:30:00.123456789Z\(found(stamp, bytes))")
        }
        record.executedAt = time
        let duration = record[.durationMs]
        guard duration.isPresent else { throw missing(.durationMs, "milliseconds as an integer") }
        guard duration.kind == .number, let value = integer(duration, bytes) else {
            throw RecordError(
                field: Field.durationMs.path, message: "expected an integer of 64 bits\(found(duration, bytes))")
        }
        record.durationMs = value
        _ = try requiredString(record, .jobName)
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

    private static func choice<Choice: Word>(
        _ record: borrowing ProbeResult, _ field: Field, _ bytes: Span<UInt8>
    ) throws(RecordError) -> Choice {
        let value = try requiredString(record, field)
        // By raw value, from zero: `allCases` would allocate a list for every record.
        var number: UInt8 = 0
        while let choice = Choice(rawValue: number) {
            if isText(value, choice.text, bytes) { return choice }
            number += 1
        }
        let allowed = Choice.allCases.map { "\($0.text)" }.joined(separator: ", ")
        throw RecordError(field: field.path, message: "expected one of \(allowed)\(found(value, bytes))")
    }

    /// Calls `body` with the characters of a string, however they are spelt.
    private static func withPlain<Answer>(
        _ value: JSONValue, _ bytes: Span<UInt8>, _ body: (Span<UInt8>, Range<Int>) -> Answer
    ) -> Answer {
        guard value.hasEscapes else { return body(bytes, value.range) }
        let decoded = JSONEntry.decodedKey(value, bytes)
        return body(decoded.span, 0..<decoded.count)
    }

    private static func isText(_ value: JSONValue, _ text: StaticString, _ bytes: Span<UInt8>) -> Bool {
        let length = text.utf8CodeUnitCount
        guard value.count == length || value.hasEscapes else { return false }
        return withPlain(value, bytes) { plain, range in
            range.count == length && BytePattern(plain, range).isSpelt(text)
        }
    }

    /// 8-4-4-4-12 hexadecimal digits (RFC 9562, section 4).
    private static func isUUID(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
        guard range.count == 36 else { return false }
        let start = range.lowerBound
        guard bytes[start + 8] == 0x2D, bytes[start + 13] == 0x2D, bytes[start + 18] == 0x2D,
            bytes[start + 23] == 0x2D
        else { return false }
        let words = BytePattern(bytes, range)
        let middle = words.half(9) | words.half(14) << 32
        // The last two overlap: twelve digits are no multiple of eight.
        return ByteScan.isHex(words.word(0)) && ByteScan.isHex(middle)
            && ByteScan.isHex(words.half(19) | words.half(19) << 32) && ByteScan.isHex(words.word(24))
            && ByteScan.isHex(words.word(28))
    }

    private static func integer(_ value: JSONValue, _ bytes: Span<UInt8>) -> Int64? {
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
    private static func found(_ value: JSONValue, _ bytes: Span<UInt8>) -> String {
        let text = shown(value, bytes)
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
