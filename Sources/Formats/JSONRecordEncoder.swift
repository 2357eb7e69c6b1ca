public import Model

/// The native form: the resource's own field names in a fixed order, without `spec.audit` and without the metadata that
/// changes with every write, plus the exporter's stamp.
///
/// Order: known fields as below, then unknown fields of the same object by ascending key; maps by ascending key.
/// A root field named `sidereal` or `@timestamp` would collide with what the exporter adds: it is written with `x-`
/// before its name. So is one that looks as if that had been done before (`x-sidereal`), so that no two fields meet.
public struct JSONRecordEncoder: RecordEncoder {
    /// True.
    public var writesJSON: Bool { true }
    private let stampStart: SealedBytes
    private let shardCount: UInt16

    /// An encoder that signs with `stamp`.
    public init(stamp: ExportStamp) {
        var out = ByteWriter()
        out.append(",\"sidereal\":{\"export\":{\"version\":\"")
        JSONText.escape(Array(stamp.version.utf8).span, into: &out)
        out.append("\",\"cluster\":\"")
        JSONText.escape(Array(stamp.cluster.utf8).span, into: &out)
        out.append("\",\"shard\":")
        stampStart = out.seal()
        shardCount = stamp.shardCount
    }

    /// Appends the record as one JSON object without a line end.
    public func encode(_ record: borrowing ProbeResult, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        // What stands outside of the two is the same for all records, but for members of the root that nobody knows.
        let usual = record[.metadata].count + record[.spec].count + stampStart.count + 256
        out.record(of: bytes, estimate: usual) { write(record, &$0) }
    }

    private func write(_ record: borrowing ProbeResult, _ out: inout RecordCursor) {
        out.literal("{\"apiVersion\":\"sidereal.cloud/v1alpha1\",\"kind\":\"SiderealProbeResult\"")
        out.literal(",\"metadata\":{\"uid\":")
        out.value(record[.uid])
        member(",\"name\":", .name, record, &out)
        member(",\"namespace\":", .namespace, record, &out)
        member(",\"creationTimestamp\":", .creationTimestamp, record, &out)
        member(",\"labels\":", .labels, record, &out)
        annotations(record, &out)
        others(.metadata, record, &out)
        out.literal("},\"spec\":{\"probe\":{\"id\":")
        out.value(record[.probeID])
        member(",\"profile\":", .profile, record, &out)
        member(",\"targetNamespace\":", .targetNamespace, record, &out)
        member(",\"aoAuthorizationRef\":", .aoAuthorizationRef, record, &out)
        others(.probe, record, &out)
        result(record, &out)
        out.literal("},\"execution\":{\"timestamp\":")
        out.value(record[.timestamp])
        member(",\"durationMs\":", .durationMs, record, &out)
        member(",\"jobName\":", .jobName, record, &out)
        others(.execution, record, &out)
        out.byte(0x7D)
        others(.spec, record, &out)
        out.byte(0x7D)
        others(.root, record, &out)
        out.prepared(stampStart)
        out.decimal(UInt64(record.uidHash.shard(of: shardCount).number))
        out.literal("}}}")
    }

    private func result(_ record: borrowing ProbeResult, _ out: inout RecordCursor) {
        // Checked to be words of their vocabularies.
        out.literal("},\"result\":{\"outcome\":")
        out.value(record[.outcome])
        out.literal(",\"controlEffectiveness\":")
        out.value(record[.controlEffectiveness])
        out.literal(",\"integrityStatus\":")
        out.value(record[.integrityStatus])
        member(",\"nistControls\":", .nistControls, record, &out)
        member(",\"controlMappings\":", .controlMappings, record, &out)
        member(",\"crosswalkVersion\":", .crosswalkVersion, record, &out)
        member(",\"mitreAttackId\":", .mitreAttackID, record, &out)
        member(",\"detail\":", .detail, record, &out)
        member(",\"verificationMode\":", .verificationMode, record, &out)
        others(.result, record, &out)
    }

    @inline(__always)
    private func member(
        _ name: StaticString, _ field: Field, _ record: borrowing ProbeResult, _ out: inout RecordCursor
    ) {
        let value = record[field]
        guard value.isPresent else { return }
        out.literal(name)
        out.value(value)
    }

    /// The exporter's own annotations change with every attempt: they are no part of the record.
    private func annotations(_ record: borrowing ProbeResult, _ out: inout RecordCursor) {
        let value = record[.annotations]
        guard value.isPresent else { return }
        var text = out.takeScratch()
        JSONText.writeAnnotations(value, of: out.bytes, into: &text)
        if !text.isEmpty {
            out.literal(",\"annotations\":")
            out.plain(text.span, 0..<text.count)
        }
        out.keep(text)
    }

    @inline(__always)
    private func others(
        _ parent: JSONMember.Parent, _ record: borrowing ProbeResult, _ out: inout RecordCursor
    ) {
        if !record.others.isEmpty { unknown(parent, record, &out) }
    }

    @inline(never)
    private func unknown(
        _ parent: JSONMember.Parent, _ record: borrowing ProbeResult, _ out: inout RecordCursor
    ) {
        var text = out.takeScratch()
        for member in record.others where member.parent == parent {
            if parent == .root, Self.collides(member.key, out.bytes) {
                text.append(",\"x-")
                JSONText.decode(member.key, of: out.bytes, into: &text)
                text.append(0x22)
            } else {
                text.append(0x2C)
                JSONText.writeString(member.key, of: out.bytes, into: &text)
            }
            text.append(0x3A)
            JSONText.write(member.value, of: out.bytes, into: &text)
        }
        out.plain(text.span, 0..<text.count)
        out.keep(text)
    }

    private static func collides(_ key: JSONValue, _ bytes: Span<UInt8>) -> Bool {
        var name = JSONEntry.decodedKey(key, bytes)[...]
        while name.starts(with: "x-".utf8) { name = name.dropFirst(2) }
        return name.elementsEqual("sidereal".utf8) || name.elementsEqual("@timestamp".utf8)
    }
}

extension RecordCursor {
    /// Writes a value of the input as ``JSONText/write(_:of:into:)`` does.
    fileprivate mutating func value(_ value: JSONValue) {
        guard value.isCanonical else { return spelt(value) }
        let range = value.range
        // A string with the quotes that stand around it.
        let quote = value.kind == .string ? 1 : 0
        plain(unsafe Range(uncheckedBounds: (range.lowerBound &- quote, range.upperBound &+ quote)))
    }

    @inline(never) private mutating func spelt(_ value: JSONValue) {
        var text = takeScratch()
        JSONText.write(value, of: bytes, into: &text)
        plain(text.span, 0..<text.count)
        keep(text)
    }
}
