/// The members of an object in the order in which the API server writes them: by ascending key, without white space. What comes so
/// is told by one comparison for each key. It is a short cut and no more: the first member that is not among these, stands
/// elsewhere or is spelt otherwise is left, with all behind it, to whoever reads key by key.
///
/// Each member is expected once and before all others are read, so that a key that comes twice is still found.
extension ProbeResultReader {
    /// Reads the value of `field` if its key comes next.
    @inline(__always) mutating func expect(
        _ key: StaticString, _ field: Field, in section: Field? = nil, _ scanner: inout JSONScanner,
        _ first: inout Bool, _ place: inout Field?, depth: Int
    ) throws(JSONFault) {
        guard scanner.take(key, first: &first) else { return }
        place = field
        record[field] = try scanner.value(depth: depth)
        place = section
    }

    @inline(__always) private mutating func expectMap(
        _ key: StaticString, _ field: Field, in section: Field, lists: Bool, _ scanner: inout JSONScanner,
        _ first: inout Bool, _ place: inout Field?
    ) throws(JSONFault) {
        guard scanner.take(key, first: &first) else { return }
        place = field
        record[field] = try scanner.map(lists: lists)
        place = section
    }

    mutating func expectMetadata(
        _ scanner: inout JSONScanner, _ first: inout Bool, _ place: inout Field?
    ) throws(JSONFault) {
        let section = Field.metadata
        try expectMap("\"annotations\":", .annotations, in: section, lists: false, &scanner, &first, &place)
        try expect(
            "\"creationTimestamp\":", .creationTimestamp, in: section, &scanner, &first, &place, depth: 2)
        // Of no interest, as is whether they come twice (KnownKeys.isVolatile).
        if scanner.take("\"generation\":", first: &first) { _ = try scanner.value(depth: 2) }
        try expectMap("\"labels\":", .labels, in: section, lists: false, &scanner, &first, &place)
        if scanner.take("\"managedFields\":", first: &first) { _ = try scanner.value(depth: 2) }
        try expect("\"name\":", .name, in: section, &scanner, &first, &place, depth: 2)
        try expect("\"namespace\":", .namespace, in: section, &scanner, &first, &place, depth: 2)
        if scanner.take("\"resourceVersion\":", first: &first) { _ = try scanner.value(depth: 2) }
        try expect("\"uid\":", .uid, in: section, &scanner, &first, &place, depth: 2)
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

    /// The members of one of the objects below `spec`.
    @inline(__always) mutating func expect(
        _ section: Field, _ scanner: inout JSONScanner, _ first: inout Bool, _ place: inout Field?
    ) throws(JSONFault) {
        switch section {
        case .audit:
            try expect("\"exportStatus\":", .exportStatus, in: section, &scanner, &first, &place, depth: 3)
        case .execution:
            try expect("\"durationMs\":", .durationMs, in: section, &scanner, &first, &place, depth: 3)
            try expect("\"jobName\":", .jobName, in: section, &scanner, &first, &place, depth: 3)
            try expect("\"timestamp\":", .timestamp, in: section, &scanner, &first, &place, depth: 3)
        case .probe:
            try expect(
                "\"aoAuthorizationRef\":", .aoAuthorizationRef, in: section, &scanner, &first, &place, depth: 3)
            try expect("\"id\":", .probeID, in: section, &scanner, &first, &place, depth: 3)
            try expect("\"profile\":", .profile, in: section, &scanner, &first, &place, depth: 3)
            try expect("\"targetNamespace\":", .targetNamespace, in: section, &scanner, &first, &place, depth: 3)
        default: try expectResult(&scanner, &first, &place)
        }
    }

    private mutating func expectResult(
        _ scanner: inout JSONScanner, _ first: inout Bool, _ place: inout Field?
    ) throws(JSONFault) {
        let section = Field.result
        try expect(
            "\"controlEffectiveness\":", .controlEffectiveness, in: section, &scanner, &first, &place, depth: 3)
        try expectMap("\"controlMappings\":", .controlMappings, in: section, lists: true, &scanner, &first, &place)
        try expect("\"crosswalkVersion\":", .crosswalkVersion, in: section, &scanner, &first, &place, depth: 3)
        try expect("\"detail\":", .detail, in: section, &scanner, &first, &place, depth: 3)
        try expect("\"integrityStatus\":", .integrityStatus, in: section, &scanner, &first, &place, depth: 3)
        try expect("\"mitreAttackId\":", .mitreAttackID, in: section, &scanner, &first, &place, depth: 3)
        if scanner.take("\"nistControls\":", first: &first) {
            place = .nistControls
            record[.nistControls] = try scanner.stringList()
            place = section
        }
        try expect("\"outcome\":", .outcome, in: section, &scanner, &first, &place, depth: 3)
        try expect("\"verificationMode\":", .verificationMode, in: section, &scanner, &first, &place, depth: 3)
    }
}
