internal import Model

/// The fields of a record whose text could not be written exactly.
struct FieldSet {
    private var bits: UInt32 = 0

    var isEmpty: Bool { bits == 0 }
    mutating func insert(_ field: Field) { bits |= 1 << UInt32(field.rawValue) }
    func contains(_ field: Field) -> Bool { bits & 1 << UInt32(field.rawValue) != 0 }
}

/// The parts of a record that travel as JSON in a line of text: maps, unknown members, and the exact values of fields
/// whose own keys could not hold them.
enum LineJSON {
    /// Appends `object` as JSON: keys ascending, no white space.
    static func map<D: LineDialect>(
        _ object: JSONValue, of bytes: Span<UInt8>, as dialect: D.Type, into out: inout ByteWriter
    ) {
        if object.isSorted, object.isCanonical {
            _ = LineText.write(bytes, object.range, as: dialect, limit: .max, into: &out)
        } else {
            var text = out.takeScratch()
            value(object, bytes, &text)
            _ = LineText.write(text.span, 0..<text.count, as: dialect, limit: .max, into: &out)
            out.keep(text)
        }
    }

    /// Appends the annotations without the exporter's own, which change with every attempt and are no part of the
    /// record. Writes nothing if none is left.
    static func annotations<D: LineDialect>(
        _ object: JSONValue, of bytes: Span<UInt8>, as dialect: D.Type, after key: StaticString,
        into out: inout ByteWriter
    ) {
        let start = out.count
        out.append(key)
        let opened = out.count
        if object.isSorted, object.isCanonical {
            sortedAnnotations(object, bytes, dialect, &out)
        } else {
            var text = out.takeScratch()
            for entry in JSONEntry.sorted(object, bytes) where !isOwn(entry.decodedKey.span, 0..<entry.decodedKey.count)
            {
                text.append(text.isEmpty ? 0x7B : 0x2C)
                JSONText.writeString(entry.key, of: bytes, into: &text)
                text.append(0x3A)
                JSONText.write(entry.value, of: bytes, into: &text)
            }
            _ = LineText.write(text.span, 0..<text.count, as: dialect, limit: .max, into: &out)
            out.keep(text)
        }
        if out.count > opened { out.append(0x7D) } else { out.truncate(to: start) }
    }

    private static func sortedAnnotations<D: LineDialect>(
        _ object: JSONValue, _ bytes: Span<UInt8>, _ dialect: D.Type, _ out: inout ByteWriter
    ) {
        let opened = out.count
        var scanner = JSONScanner(bytes, object.range, maxDepth: 1)
        var first = true
        // The text was valid when it was scanned the first time.
        guard (try? scanner.enterObject()) != nil else { return }
        while let key = (try? scanner.key(first: &first)) ?? nil, let value = try? scanner.value() {
            guard !isOwn(bytes, key.range) else { continue }
            out.append(out.count == opened ? 0x7B : 0x2C)
            let member = key.range.lowerBound - 1..<value.range.upperBound + 1
            _ = LineText.write(bytes, member, as: dialect, limit: .max, into: &out)
        }
    }

    /// Appends `{"metadata":{…},"spec":{…}}` of the unknown members, an object for each place that has some; `root` is
    /// the resource itself. They come ordered by place and key.
    static func others<D: LineDialect>(
        _ record: borrowing ProbeResult, of bytes: Span<UInt8>, as dialect: D.Type, into out: inout ByteWriter
    ) {
        var text = out.takeScratch()
        var place: JSONMember.Parent?
        for member in record.others {
            if member.parent == place {
                text.append(0x2C)
            } else {
                text.append(place == nil ? "{\"" : "},\"")
                text.append(name(member.parent))
                text.append("\":{")
                place = member.parent
            }
            JSONText.writeString(member.key, of: bytes, into: &text)
            text.append(0x3A)
            JSONText.write(member.value, of: bytes, into: &text)
        }
        text.append("}}")
        _ = LineText.write(text.span, 0..<text.count, as: dialect, limit: .max, into: &out)
        out.keep(text)
    }

    /// Appends `{"spec.result.detail":"…"}`: each field of `fields` by its path, then `constants`, members that are the
    /// same for every record.
    static func exact<D: LineDialect>(
        _ fields: FieldSet, _ constants: Span<UInt8>, _ record: borrowing ProbeResult, of bytes: Span<UInt8>,
        as dialect: D.Type, into out: inout ByteWriter
    ) {
        var text = out.takeScratch()
        // By raw value, from zero: `allCases` would allocate a list for every record.
        var number = 0
        while let field = Field(rawValue: number) {
            number += 1
            guard fields.contains(field) else { continue }
            text.append(text.isEmpty ? "{\"" : ",\"")
            text.append(string: field.path)
            text.append("\":")
            value(record[field], bytes, &text)
        }
        if !constants.isEmpty {
            text.append(text.isEmpty ? 0x7B : 0x2C)
            text.append(constants)
        }
        text.append(0x7D)
        _ = LineText.write(text.span, 0..<text.count, as: dialect, limit: .max, into: &out)
        out.keep(text)
    }

    private static func value(_ value: JSONValue, _ bytes: Span<UInt8>, _ out: inout ByteWriter) {
        guard value.kind == .object, !value.isSorted else {
            JSONText.write(value, of: bytes, into: &out)
            return
        }
        out.append(0x7B)
        for (index, entry) in JSONEntry.sorted(value, bytes).enumerated() {
            if index > 0 { out.append(0x2C) }
            JSONText.writeString(entry.key, of: bytes, into: &out)
            out.append(0x3A)
            JSONText.write(entry.value, of: bytes, into: &out)
        }
        out.append(0x7D)
    }

    private static func isOwn(_ key: Span<UInt8>, _ range: Range<Int>) -> Bool {
        LineVocabulary.begins(key, range, JSONText.ownAnnotations)
    }

    private static func name(_ parent: JSONMember.Parent) -> StaticString {
        switch parent {
        case .root: "root"
        case .metadata: "metadata"
        case .spec: "spec"
        case .probe: "probe"
        case .result: "result"
        case .execution: "execution"
        }
    }
}
