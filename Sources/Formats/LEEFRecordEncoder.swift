public import Model

/// QRadar Log Event Extended Format 2.0 (IBM, "QRadar LEEF guide"), one line per record, attributes divided by TAB.
///
/// | key | holds |
/// |---|---|
/// | EventID | `probe:<profile>:<outcome>`; `custom` stands for an organisation's own profile, so the vocabulary is fixed |
/// | `cat` | controlEffectiveness, which with EventID finds QRadar's map entry |
/// | `sev` | 1 Effective, 5 Degraded, 8 Ineffective, 10 Compromised |
/// | `devTime` | `execution.timestamp` in milliseconds since 1970, 13 digits; a time that has more or fewer is a date, and `devTimeFormat` says so |
/// | `timestamp` | `execution.timestamp` as it is, with its nanoseconds |
/// | `probeId`, `uid`, `recordName`, `recordNamespace` | `probe.id`, `metadata.uid`, `.name`, `.namespace` |
/// | `labels`, `annotations`, `extra` | JSON: maps, and members no field of ours has the name of |
/// | `exporterCluster`, `shard` | the exporter's stamp; its version stands in the header |
/// | `exact` | JSON: by its path, every field whose own key does not hold exactly its value |
///
/// All other keys are the field's own name in the resource.
///
/// Promises:
/// 1. LEEF has no escape. A control character or Unicode line separator in a value is replaced by a space, as is `|` in
///    the header; spaces at either end of a value are taken off, an empty value is left out with its key.
/// 2. Whatever 1 altered or left out stands unaltered in `exact`.
/// 3. No key of the guide that means a user's account is borrowed.
public struct LEEFRecordEncoder: RecordEncoder {
    /// False.
    public var writesJSON: Bool { false }
    private let head: SealedBytes
    private let shardStart: SealedBytes
    private let exactStamp: SealedBytes
    private let shardCount: UInt16

    /// An encoder that signs with `stamp`.
    public init(stamp: ExportStamp, options: FormatOptions) {
        var out = ByteWriter(capacity: 256)
        out.append("LEEF:2.0|")
        _ = Self.write(options.vendor, LEEFHeader.self, &out)
        out.append(0x7C)
        _ = Self.write(options.product, LEEFHeader.self, &out)
        out.append(0x7C)
        let hasVersion = Self.write(stamp.version, LEEFHeader.self, &out)
        out.append("|probe:")
        head = out.seal()

        var tail = ByteWriter(capacity: 256)
        tail.append("\texporterCluster=")
        let start = tail.count
        let hasCluster = Self.write(stamp.cluster, LEEFValue.self, &tail)
        if tail.count == start { tail.removeAll() }
        tail.append("\tshard=")
        shardStart = tail.seal()
        exactStamp = stamp.exactMembers(version: !hasVersion, cluster: !hasCluster)
        shardCount = stamp.shardCount
    }

    private static func write<D: LineDialect>(_ text: String, _ dialect: D.Type, _ out: inout ByteWriter) -> Bool {
        let bytes = Array(text.utf8)
        return LineText.write(bytes.span, 0..<bytes.count, as: dialect, limit: .max, into: &out)
    }

    /// Appends the record as one line of LEEF without a line end.
    public func encode(_ record: borrowing ProbeResult, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        let shard = record.uidHash.shard(of: shardCount)
        var inexact = FieldSet()
        out.append(head.span)
        header(record, bytes, &out)
        out.append("\ttimestamp=")
        JSONText.decode(record[.timestamp], of: bytes, into: &out)
        out.append("\tprobeId=")
        JSONText.decode(record[.probeID], of: bytes, into: &out)
        put("\tuid=", .uid, record, bytes, &inexact, &out)
        put("\tprofile=", .profile, record, bytes, &inexact, &out)
        put("\ttargetNamespace=", .targetNamespace, record, bytes, &inexact, &out)
        put("\taoAuthorizationRef=", .aoAuthorizationRef, record, bytes, &inexact, &out)
        out.append("\toutcome=")
        out.append(record.outcome.text)
        put("\tdetail=", .detail, record, bytes, &inexact, &out)
        controls("\tcontrolMappings=", .controlMappings, record, bytes, &inexact, &out)
        controls("\tnistControls=", .nistControls, record, bytes, &inexact, &out)
        put("\tcrosswalkVersion=", .crosswalkVersion, record, bytes, &inexact, &out)
        put("\tmitreAttackId=", .mitreAttackID, record, bytes, &inexact, &out)
        put("\tverificationMode=", .verificationMode, record, bytes, &inexact, &out)
        out.append("\tdurationMs=")
        out.append(bytes, record[.durationMs].range)
        put("\tjobName=", .jobName, record, bytes, &inexact, &out)
        metadata(record, bytes, &inexact, &out)
        out.append(shardStart.span)
        out.append(decimal: UInt64(shard.number))
        if !inexact.isEmpty || exactStamp.count > 0 {
            out.append("\texact=")
            LineJSON.exact(inexact, exactStamp.span, record, of: bytes, as: LEEFJSON.self, into: &out)
        }
    }

    private func header(_ record: borrowing ProbeResult, _ bytes: Span<UInt8>, _ out: inout ByteWriter) {
        switch KnownProfile.find(record[.profile], bytes) {
        case .rbac: out.append("rbac:")
        case .netpol: out.append("netpol:")
        case .admission: out.append("admission:")
        case .secret: out.append("secret:")
        case .detection: out.append("detection:")
        case nil: out.append("custom:")
        }
        out.append(record.outcome.text)
        switch record.effectiveness {
        case .effective: out.append("|x09|sev=1\tcat=Effective\tcontrolEffectiveness=Effective")
        case .degraded: out.append("|x09|sev=5\tcat=Degraded\tcontrolEffectiveness=Degraded")
        case .ineffective: out.append("|x09|sev=8\tcat=Ineffective\tcontrolEffectiveness=Ineffective")
        case .compromised: out.append("|x09|sev=10\tcat=Compromised\tcontrolEffectiveness=Compromised")
        }
        switch record.integrity {
        case .verified: out.append("\tintegrityStatus=Verified\tdevTime=")
        case .tamperedResult: out.append("\tintegrityStatus=TamperedResult\tdevTime=")
        }
        let time = EpochMilliseconds(record.executedAt)
        if time.hasThirteenDigits {
            let digits = time.digits
            out.append(digits.span)
        } else {
            time.writeDate(into: &out)
            out.append("\tdevTimeFormat=")
            out.append(EpochMilliseconds.datePattern)
        }
    }

    private func metadata(
        _ record: borrowing ProbeResult, _ bytes: Span<UInt8>, _ inexact: inout FieldSet, _ out: inout ByteWriter
    ) {
        put("\trecordName=", .name, record, bytes, &inexact, &out)
        put("\trecordNamespace=", .namespace, record, bytes, &inexact, &out)
        put("\tcreationTimestamp=", .creationTimestamp, record, bytes, &inexact, &out)
        let labels = record[.labels]
        if labels.isPresent {
            out.append("\tlabels=")
            LineJSON.map(labels, of: bytes, as: LEEFJSON.self, into: &out)
        }
        let annotations = record[.annotations]
        if annotations.isPresent {
            LineJSON.annotations(annotations, of: bytes, as: LEEFJSON.self, after: "\tannotations=", into: &out)
        }
        if !record.others.isEmpty {
            out.append("\textra=")
            LineJSON.others(record, of: bytes, as: LEEFJSON.self, into: &out)
        }
    }

    /// Appends `key` and the text of `field`; nothing if the field is absent or nothing of its text can be shown.
    @inline(__always)
    private func put(
        _ key: StaticString, _ field: Field, _ record: borrowing ProbeResult, _ bytes: Span<UInt8>,
        _ inexact: inout FieldSet, _ out: inout ByteWriter
    ) {
        let value = record[field]
        guard value.isPresent else { return }
        let mark = out.count
        out.append(key)
        let start = out.count
        guard !LineText.write(value, of: bytes, as: LEEFValue.self, limit: .max, into: &out) else { return }
        inexact.insert(field)
        if out.count == start { out.truncate(to: mark) }
    }

    /// As ``put``, for controls.
    @inline(__always)
    private func controls(
        _ key: StaticString, _ field: Field, _ record: borrowing ProbeResult, _ bytes: Span<UInt8>,
        _ inexact: inout FieldSet, _ out: inout ByteWriter
    ) {
        let value = record[field]
        guard value.isPresent else { return }
        let mark = out.count
        out.append(key)
        let start = out.count
        guard !FlatControls.write(value, of: bytes, as: LEEFValue.self, limit: .max, into: &out) else { return }
        inexact.insert(field)
        if out.count == start { out.truncate(to: mark) }
    }
}
