/// The members of an object in the order in which the API server writes them: by ascending key, without white space. What comes so
/// is told by one comparison for each key. It is a short cut and no more: the first member that is not among these, stands
/// elsewhere, is spelt otherwise or is of another type is left, with all behind it, to whoever reads key by key.
///
/// Each member is expected once and before all others are read, so that a key that comes twice is still found.
private struct ExpectedMembers: ~Copyable, ~Escapable {
    private var cursor: PlainCursor
    private var fields: MutableSpan<JSONValue>
    private let start: Int

    /// Expects the first member of the object whose brace `scanner` has just stepped over.
    @_lifetime(copy scanner, copy fields)
    @inline(__always) init(_ scanner: borrowing JSONScanner, _ fields: consuming MutableSpan<JSONValue>) {
        precondition(fields.count == Field.count)
        cursor = PlainCursor(inObjectOf: scanner)
        start = scanner.at &- 1
        self.fields = fields
    }

    @inline(__always) private mutating func set(_ field: Field, _ value: JSONValue) {
        unsafe fields[unchecked: field.rawValue] = value
    }

    @inline(__always) private mutating func set(
        _ field: Field, _ start: Int, _ stop: Int, _ kind: JSONValue.Kind, isCanonical: Bool = true
    ) {
        set(
            field,
            JSONValue(
                start: UInt32(truncatingIfNeeded: start), stop: UInt32(truncatingIfNeeded: stop), kind: kind,
                isCanonical: isCanonical, hasEscapes: false, isSorted: isCanonical))
    }

    /// Reads `field` if its key comes next, with a string.
    @inline(__always) mutating func string(
        _ key: StaticString, _ field: Field, _ scanner: inout JSONScanner, _ place: inout Field?
    ) throws(JSONFault) {
        guard let start = cursor.take(key) else { return }
        if let quote = cursor.closing(start) {
            set(field, start, quote, .string)
            cursor.go(to: quote &+ 1)
        } else {
            place = field
            scanner.at = start &- 1
            set(field, try scanner.value())
            cursor.go(to: scanner.at)
        }
    }

    /// Reads `field` if its key comes next, with a whole number.
    @inline(__always) mutating func number(_ key: StaticString, _ field: Field) {
        guard let start = cursor.take(key), let stop = cursor.wholeNumber(start) else { return }
        set(field, start, stop, .number)
        cursor.go(to: stop)
    }

    /// Reads `field` if its key comes next.
    @inline(__always) mutating func map(
        _ key: StaticString, _ field: Field, lists: Bool, _ scanner: inout JSONScanner, _ place: inout Field?
    ) throws(JSONFault) {
        guard let start = cursor.take(key) else { return }
        if let stop = cursor.map(start, lists: lists) {
            set(field, start, stop, .object)
            cursor.go(to: stop)
        } else {
            place = field
            scanner.at = start
            set(field, try scanner.map(lists: lists))
            cursor.go(to: scanner.at)
        }
    }

    /// Reads `field` if its key comes next.
    @inline(__always) mutating func list(
        _ key: StaticString, _ field: Field, _ scanner: inout JSONScanner, _ place: inout Field?
    ) throws(JSONFault) {
        guard let start = cursor.take(key) else { return }
        if let stop = cursor.list(start) {
            set(field, start, stop, .array)
            cursor.go(to: stop)
        } else {
            place = field
            scanner.at = start
            set(field, try scanner.stringList())
            cursor.go(to: scanner.at)
        }
    }

    /// Steps over a member of no interest, as is whether it comes twice (KnownKeys.isVolatile).
    @inline(__always) mutating func pass(
        _ key: StaticString, _ scanner: inout JSONScanner, _ place: inout Field?
    ) throws(JSONFault) {
        guard let start = cursor.take(key) else { return }
        place = .metadata
        scanner.at = start
        _ = try scanner.value(depth: 2)
        cursor.go(to: scanner.at)
    }

    /// The same with a string, which is looked at no further.
    @inline(__always) mutating func pass(_ key: StaticString) { cursor.pass(key) }

    /// Leaves what follows to `scanner`. If that is the end of the object, `section` is read, and the answer true.
    @inline(__always) mutating func end(_ section: Field?, _ scanner: inout JSONScanner, _ first: inout Bool) -> Bool {
        first = cursor.isFirst
        guard let section, let stop = cursor.takeEnd() else {
            scanner.at = cursor.at
            return false
        }
        scanner.at = stop
        set(section, start, stop, .object, isCanonical: false)
        return true
    }
}

extension ProbeResultReader {
    mutating func expectHead(
        _ scanner: inout JSONScanner, _ first: inout Bool, _ place: inout Field?
    ) throws(JSONFault) {
        var members = ExpectedMembers(scanner, record.fields.mutableSpan)
        try members.string("\"apiVersion\":\"", .apiVersion, &scanner, &place)
        try members.string("\"kind\":\"", .kind, &scanner, &place)
        place = nil
        _ = members.end(nil, &scanner, &first)
    }

    mutating func expectMetadata(
        _ scanner: inout JSONScanner, _ first: inout Bool, _ place: inout Field?
    ) throws(JSONFault) -> Bool {
        var members = ExpectedMembers(scanner, record.fields.mutableSpan)
        try members.map("\"annotations\":", .annotations, lists: false, &scanner, &place)
        try members.string("\"creationTimestamp\":\"", .creationTimestamp, &scanner, &place)
        try members.pass("\"generation\":", &scanner, &place)
        try members.map("\"labels\":", .labels, lists: false, &scanner, &place)
        try members.pass("\"managedFields\":", &scanner, &place)
        try members.string("\"name\":\"", .name, &scanner, &place)
        try members.string("\"namespace\":\"", .namespace, &scanner, &place)
        members.pass("\"resourceVersion\":\"")
        try members.string("\"uid\":\"", .uid, &scanner, &place)
        place = .metadata
        return members.end(.metadata, &scanner, &first)
    }

    mutating func expectSpec(
        _ scanner: inout JSONScanner, _ first: inout Bool, _ place: inout Field?
    ) throws(JSONFault) {
        try expectSection("\"audit\":", .audit, nil, &scanner, &first, &place)
        try expectSection("\"execution\":", .execution, .execution, &scanner, &first, &place)
        try expectSection("\"probe\":", .probe, .probe, &scanner, &first, &place)
        try expectSection("\"result\":", .result, .result, &scanner, &first, &place)
    }

    private mutating func expectSection(
        _ key: StaticString, _ section: Field, _ parent: JSONMember.Parent?, _ scanner: inout JSONScanner,
        _ first: inout Bool, _ place: inout Field?
    ) throws(JSONFault) {
        guard scanner.take(key, first: &first) else { return }
        place = section
        try readSection(section, parent, &scanner, &place)
        place = .spec
    }

    /// The members of one of the objects below `spec`. Returns whether they are all, and the section is read.
    mutating func expect(
        _ section: Field, _ scanner: inout JSONScanner, _ first: inout Bool, _ place: inout Field?
    ) throws(JSONFault) -> Bool {
        var members = ExpectedMembers(scanner, record.fields.mutableSpan)
        switch section {
        case .audit: try members.string("\"exportStatus\":\"", .exportStatus, &scanner, &place)
        case .execution:
            members.number("\"durationMs\":", .durationMs)
            try members.string("\"jobName\":\"", .jobName, &scanner, &place)
            try members.string("\"timestamp\":\"", .timestamp, &scanner, &place)
        case .probe:
            try members.string("\"aoAuthorizationRef\":\"", .aoAuthorizationRef, &scanner, &place)
            try members.string("\"id\":\"", .probeID, &scanner, &place)
            try members.string("\"profile\":\"", .profile, &scanner, &place)
            try members.string("\"targetNamespace\":\"", .targetNamespace, &scanner, &place)
        default:
            try members.string("\"controlEffectiveness\":\"", .controlEffectiveness, &scanner, &place)
            try members.map("\"controlMappings\":", .controlMappings, lists: true, &scanner, &place)
            try members.string("\"crosswalkVersion\":\"", .crosswalkVersion, &scanner, &place)
            try members.string("\"detail\":\"", .detail, &scanner, &place)
            try members.string("\"integrityStatus\":\"", .integrityStatus, &scanner, &place)
            try members.string("\"mitreAttackId\":\"", .mitreAttackID, &scanner, &place)
            try members.list("\"nistControls\":", .nistControls, &scanner, &place)
            try members.string("\"outcome\":\"", .outcome, &scanner, &place)
            try members.string("\"verificationMode\":\"", .verificationMode, &scanner, &place)
        }
        place = section
        return members.end(section, &scanner, &first)
    }
}
