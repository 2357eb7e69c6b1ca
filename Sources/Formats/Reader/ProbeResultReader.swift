public import Model

/// Reads one `SiderealProbeResult` at a time out of bytes, in one pass, without copying or allocating.
///
/// Promises:
/// 1. What is accepted is valid JSON in valid UTF-8, has every required field of the schema with an allowed value,
///    and no key twice in one object, but for those that never leave: receivers refuse such an object or keep either
///    value (RFC 8259, section 4). Anything else is refused with the field's path.
/// 2. Unknown fields are kept. An optional field that is `null` counts as absent, as on the API server.
/// 3. Key order, white space and escapes in the input make no difference to what encoders produce. One field may not be
///    spelt with escapes: `metadata.uid`, whose bytes decide the shard.
public struct ProbeResultReader: Sendable {
    private let maxDepth: Int
    /// The record last read; its ranges point into the bytes given then.
    public internal(set) var record = ProbeResult()

    /// A reader that keeps inside `limits`.
    public init(limits: Limits = Limits()) {
        maxDepth = limits.maxDepth
    }

    /// Reads `bytes[range]` into ``record``.
    public mutating func read(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(RecordError) {
        record.reset()
        var start = range.lowerBound
        // A byte order mark is allowed at the start of a text by RFC 8259, section 8.1 ("may ignore").
        if range.count >= 3, bytes[start] == 0xEF, bytes[start + 1] == 0xBB, bytes[start + 2] == 0xBF { start += 3 }
        var scanner = JSONScanner(bytes, start..<range.upperBound, maxDepth: maxDepth)
        var place = Field?.none
        do throws(JSONFault) {
            try readRoot(&scanner, &place)
            scanner.skipSpace()
            guard scanner.at == scanner.end else { throw scanner.fault(.trailingBytes) }
        } catch {
            throw RecordError(
                field: place?.path ?? "record", message: error.message(recordStart: range.lowerBound))
        }
        try RecordCheck.check(&record, bytes)
    }

    private mutating func readRoot(_ scanner: inout JSONScanner, _ place: inout Field?) throws(JSONFault) {
        try scanner.enterObject()
        var first = true
        try expectHead(&scanner, &first, &place)
        if scanner.take("\"metadata\":", first: &first) {
            place = .metadata
            try readMetadata(&scanner, &place)
        }
        if scanner.take("\"spec\":", first: &first) {
            place = .spec
            try readSpec(&scanner, &place)
        }
        place = nil
        while !scanner.takeEnd(), let key = try scanner.key(first: &first) {
            let field = KnownKeys.find(nil, scanner, key)
            try refuseDuplicate(field, scanner, &place)
            switch field {
            case .metadata: try readMetadata(&scanner, &place)
            case .spec: try readSpec(&scanner, &place)
            default: try keep(field, .root, key, &scanner, depth: 1)
            }
            place = nil
        }
    }

    private mutating func readMetadata(_ scanner: inout JSONScanner, _ place: inout Field?) throws(JSONFault) {
        try scanner.enterObject()
        let start = scanner.at &- 1
        var first = true
        if try expectMetadata(&scanner, &first, &place) { return }
        while !scanner.takeEnd(), let key = try scanner.key(first: &first) {
            let field = KnownKeys.find(.metadata, scanner, key)
            try refuseDuplicate(field, scanner, &place)
            switch field {
            case .labels, .annotations:
                let value = try scanner.map(lists: false)
                if let field { record[field] = value }
            default:
                if field == nil, KnownKeys.isVolatile(scanner, key) {
                    _ = try scanner.value(depth: 2)
                } else {
                    try keep(field, .metadata, key, &scanner, depth: 2)
                }
            }
            place = .metadata
        }
        markPresent(.metadata, start, scanner)
    }

    private mutating func readSpec(_ scanner: inout JSONScanner, _ place: inout Field?) throws(JSONFault) {
        try scanner.enterObject()
        let start = scanner.at &- 1
        var first = true
        try expectSpec(&scanner, &first, &place)
        while !scanner.takeEnd(), let key = try scanner.key(first: &first) {
            let field = KnownKeys.find(.spec, scanner, key)
            try refuseDuplicate(field, scanner, &place)
            switch field {
            case .probe: try readSection(.probe, .probe, &scanner, &place)
            case .result: try readSection(.result, .result, &scanner, &place)
            case .execution: try readSection(.execution, .execution, &scanner, &place)
            case .audit: try readSection(.audit, nil, &scanner, &place)
            default: try keep(nil, .spec, key, &scanner, depth: 2)
            }
            place = .spec
        }
        markPresent(.spec, start, scanner)
    }

    /// Reads one of the four objects below `spec`. Without a parent to keep them for, unknown members are passed over:
    /// `spec.audit` is the exporter's own and never leaves.
    mutating func readSection(
        _ section: Field, _ parent: JSONMember.Parent?, _ scanner: inout JSONScanner, _ place: inout Field?
    ) throws(JSONFault) {
        try scanner.enterObject()
        let start = scanner.at &- 1
        var first = true
        if try expect(section, &scanner, &first, &place) { return }
        while !scanner.takeEnd(), let key = try scanner.key(first: &first) {
            let field = KnownKeys.find(section, scanner, key)
            try refuseDuplicate(field, scanner, &place)
            switch field {
            case .nistControls: record[.nistControls] = try scanner.stringList()
            case .controlMappings: record[.controlMappings] = try scanner.map(lists: true)
            default:
                if let parent {
                    try keep(field, parent, key, &scanner, depth: 3)
                } else {
                    let value = try scanner.value(depth: 3)
                    if let field { record[field] = value }
                }
            }
            place = section
        }
        markPresent(section, start, scanner)
    }

    private mutating func keep(
        _ field: Field?, _ parent: JSONMember.Parent, _ key: JSONValue, _ scanner: inout JSONScanner, depth: Int
    ) throws(JSONFault) {
        let value = try scanner.value(depth: depth)
        if let field {
            record[field] = value
        } else {
            record.others.append(JSONMember(parent: parent, key: key, value: value))
        }
    }

    private func refuseDuplicate(
        _ field: Field?, _ scanner: borrowing JSONScanner, _ place: inout Field?
    ) throws(JSONFault) {
        guard let field else { return }
        place = field
        guard record[field].kind == .absent else { throw scanner.fault(.duplicateKey) }
    }

    private mutating func markPresent(_ field: Field, _ start: Int, _ scanner: borrowing JSONScanner) {
        record[field] = JSONValue(
            start: UInt32(truncatingIfNeeded: start), stop: UInt32(truncatingIfNeeded: scanner.at), kind: .object,
            isCanonical: false, hasEscapes: false, isSorted: false)
    }
}
