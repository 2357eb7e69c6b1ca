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
        out.append("{\"apiVersion\":\"sidereal.cloud/v1alpha1\",\"kind\":\"SiderealProbeResult\"")
        out.append(",\"metadata\":{\"uid\":")
        JSONText.writeString(record[.uid], of: bytes, into: &out)
        member(",\"name\":", .name, record, bytes, &out)
        member(",\"namespace\":", .namespace, record, bytes, &out)
        member(",\"creationTimestamp\":", .creationTimestamp, record, bytes, &out)
        member(",\"labels\":", .labels, record, bytes, &out)
        annotations(record, bytes, &out)
        others(.metadata, record, bytes, &out)
        out.append("},\"spec\":{\"probe\":{\"id\":")
        JSONText.writeString(record[.probeID], of: bytes, into: &out)
        member(",\"profile\":", .profile, record, bytes, &out)
        member(",\"targetNamespace\":", .targetNamespace, record, bytes, &out)
        member(",\"aoAuthorizationRef\":", .aoAuthorizationRef, record, bytes, &out)
        others(.probe, record, bytes, &out)
        result(record, bytes, &out)
        out.append("},\"execution\":{\"timestamp\":")
        JSONText.writeString(record[.timestamp], of: bytes, into: &out)
        member(",\"durationMs\":", .durationMs, record, bytes, &out)
        member(",\"jobName\":", .jobName, record, bytes, &out)
        others(.execution, record, bytes, &out)
        out.append(0x7D)
        others(.spec, record, bytes, &out)
        out.append(0x7D)
        others(.root, record, bytes, &out)
        out.append(stampStart.span)
        let shard = record.uidHash.shard(of: shardCount)
        out.append(decimal: UInt64(shard.number))
        out.append("}}}")
    }

    private func result(_ record: borrowing ProbeResult, _ bytes: Span<UInt8>, _ out: inout ByteWriter) {
        out.append("},\"result\":{\"outcome\":\"")
        out.append(record.outcome.text)
        out.append("\",\"controlEffectiveness\":\"")
        out.append(record.effectiveness.text)
        out.append("\",\"integrityStatus\":\"")
        out.append(record.integrity.text)
        out.append(0x22)
        member(",\"nistControls\":", .nistControls, record, bytes, &out)
        member(",\"controlMappings\":", .controlMappings, record, bytes, &out)
        member(",\"crosswalkVersion\":", .crosswalkVersion, record, bytes, &out)
        member(",\"mitreAttackId\":", .mitreAttackID, record, bytes, &out)
        member(",\"detail\":", .detail, record, bytes, &out)
        member(",\"verificationMode\":", .verificationMode, record, bytes, &out)
        others(.result, record, bytes, &out)
    }

    @inline(__always)
    private func member(
        _ name: StaticString, _ field: Field, _ record: borrowing ProbeResult, _ bytes: Span<UInt8>,
        _ out: inout ByteWriter
    ) {
        let value = record[field]
        guard value.isPresent else { return }
        out.append(name)
        JSONText.write(value, of: bytes, into: &out)
    }

    /// The exporter's own annotations change with every attempt: they are no part of the record.
    private func annotations(
        _ record: borrowing ProbeResult, _ bytes: Span<UInt8>, _ out: inout ByteWriter
    ) {
        let value = record[.annotations]
        guard value.isPresent else { return }
        let start = out.count
        out.append(",\"annotations\":")
        let opened = out.count
        JSONText.writeAnnotations(value, of: bytes, into: &out)
        if out.count == opened { out.truncate(to: start) }
    }

    private func others(
        _ parent: JSONMember.Parent, _ record: borrowing ProbeResult, _ bytes: Span<UInt8>,
        _ out: inout ByteWriter
    ) {
        guard !record.others.isEmpty else { return }
        for member in record.others where member.parent == parent {
            if parent == .root, Self.collides(member.key, bytes) {
                out.append(",\"x-")
                JSONText.decode(member.key, of: bytes, into: &out)
                out.append(0x22)
            } else {
                out.append(0x2C)
                JSONText.writeString(member.key, of: bytes, into: &out)
            }
            out.append(0x3A)
            JSONText.write(member.value, of: bytes, into: &out)
        }
    }

    private static func collides(_ key: JSONValue, _ bytes: Span<UInt8>) -> Bool {
        var name = JSONEntry.decodedKey(key, bytes)[...]
        while name.starts(with: "x-".utf8) { name = name.dropFirst(2) }
        return name.elementsEqual("sidereal".utf8) || name.elementsEqual("@timestamp".utf8)
    }
}
