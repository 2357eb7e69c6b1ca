public import Model

/// OCSF 1.7.0, class 2003 Compliance Finding, as one JSON object.
///
/// | OCSF | holds |
/// |---|---|
/// | `metadata.uid` | `metadata.uid`, which never changes: a receiver can leave out what it has already |
/// | `metadata.original_time`, `time` | `spec.execution.timestamp` as written, and cut to milliseconds |
/// | `metadata.tenant_uid`, `metadata.product.version` | the cluster and the version of the stamp |
/// | `duration` | `spec.execution.durationMs` |
/// | `severity_id` | 1 Effective, 3 Degraded, 4 Ineffective, 5 Compromised |
/// | `status_id` | 1 New: the life cycle of the finding, not its result |
/// | `finding_info.uid` | `spec.probe.id` |
/// | `finding_info.analytic`, `compliance.control` | `spec.probe.profile`: the control under test |
/// | `finding_info.desc` | `spec.result.detail` |
/// | `finding_info.attacks` | `spec.result.mitreAttackId`; `T1552.007` is sub-technique T1552.007 of T1552 |
/// | `compliance.status_id` | 1 Pass when Effective, 2 Warning when Degraded, 3 Fail otherwise |
/// | `compliance.status_code` | `spec.result.outcome` |
/// | `compliance.standards`, `requirements`, `checks` | `spec.result.controlMappings`, a check for each control |
/// | `resources` | `spec.probe.targetNamespace` |
/// | `unmapped.resource` | everything else, in the shape of the resource |
/// | `unmapped.export` | version, cluster and shard of the stamp |
///
/// A check's `uid` is the control's name within its standard, as the schema wants it. A framework whose name has more
/// than 255 bytes has no checks: then `unmapped.resource.spec.result.controlMappings` holds the whole map.
/// Text is written in JSON's shortest spelling; an escaped surrogate without its partner becomes U+FFFD.
public struct OCSFRecordEncoder: RecordEncoder {
    /// True.
    public var writesJSON: Bool { true }
    private let head: SealedBytes
    private let export: SealedBytes
    private let verdicts: OCSFVerdicts
    private let shardCount: UInt16

    /// An encoder that signs with `stamp`; it reads `vendor` and `product`.
    public init(stamp: ExportStamp, options: FormatOptions) {
        var out = ByteWriter()
        out.append("{\"activity_id\":1,\"activity_name\":\"Create\",\"category_uid\":2,\"category_name\":\"Findings\"")
        out.append(",\"class_uid\":2003,\"class_name\":\"Compliance Finding\",\"type_uid\":200301")
        out.append(",\"type_name\":\"Compliance Finding: Create\",\"status_id\":1,\"status\":\"New\"")
        out.append(",\"metadata\":{\"version\":\"1.7.0\",\"product\":{\"name\":\"")
        JSONText.escape(Array(options.product.utf8).span, into: &out)
        out.append("\",\"vendor_name\":\"")
        JSONText.escape(Array(options.vendor.utf8).span, into: &out)
        out.append("\",\"version\":\"")
        JSONText.escape(Array(stamp.version.utf8).span, into: &out)
        out.append("\"},\"log_name\":\"siderealproberesults\",\"log_provider\":\"sidereal-export\"")
        out.append(",\"log_version\":\"sidereal.cloud/v1alpha1\",\"tenant_uid\":\"")
        JSONText.escape(Array(stamp.cluster.utf8).span, into: &out)
        out.append("\",\"uid\":\"")
        head = out.seal()
        var end = ByteWriter()
        end.append("},\"export\":{\"version\":\"")
        JSONText.escape(Array(stamp.version.utf8).span, into: &end)
        end.append("\",\"cluster\":\"")
        JSONText.escape(Array(stamp.cluster.utf8).span, into: &end)
        end.append("\",\"shard\":")
        export = end.seal()
        verdicts = OCSFVerdicts()
        shardCount = stamp.shardCount
    }

    /// Appends the record as one JSON object without a line end.
    public func encode(_ record: borrowing ProbeResult, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        let estimate = 4096 + head.count + export.count + 3 * (record[.metadata].count + record[.spec].count)
        out.record(of: bytes, estimate: estimate) { cursor in
            let shard = record.uidHash.shard(of: shardCount)
            event(record, &cursor)
            finding(record, &cursor)
            let isPartial = compliance(record, &cursor)
            subjects(record, &cursor)
            unmapped(record, withControls: isPartial, &cursor)
            cursor.prepared(export)
            cursor.decimal(UInt64(shard.number))
            cursor.literal("}}}")
        }
    }
}

// Each part is a function of its own: in one that grows too large the compiler leaves even single loads as calls.
extension OCSFRecordEncoder {
    @inline(never) private func event(_ record: borrowing ProbeResult, _ cursor: inout RecordCursor) {
        cursor.prepared(head)
        cursor.content(record[.uid])
        cursor.literal("\",\"original_time\":\"")
        cursor.content(record[.timestamp])
        cursor.literal("\"},\"time\":")
        cursor.milliseconds(record.executedAt)
        cursor.literal(",\"duration\":")
        cursor.plain(record[.durationMs].range)
        cursor.prepared(verdicts.severity(record.effectiveness))
        cursor.literal(",\"message\":\"")
        cursor.literal(record.outcome.text)
        cursor.literal(": ")
        cursor.content(record[.profile])
        cursor.literal(" probe of ")
        cursor.content(record[.targetNamespace])
    }

    @inline(never) private func finding(_ record: borrowing ProbeResult, _ cursor: inout RecordCursor) {
        cursor.literal("\",\"finding_info\":{\"uid\":\"")
        cursor.content(record[.probeID])
        cursor.literal("\",\"title\":\"")
        cursor.content(record[.profile])
        cursor.literal(" probe of ")
        cursor.content(record[.targetNamespace])
        cursor.literal("\",\"types\":[\"Security control probe\"],\"analytic\":{\"name\":\"")
        cursor.content(record[.profile])
        cursor.literal("\",\"uid\":\"")
        cursor.content(record[.profile])
        cursor.literal("\",\"type_id\":99,\"type\":\"Probe\"}")
        cursor.member(",\"desc\":\"", record[.detail])
        if record[.mitreAttackID].isPresent { cursor.attack(record[.mitreAttackID]) }
    }

    @inline(never) private func compliance(
        _ record: borrowing ProbeResult, _ cursor: inout RecordCursor
    ) -> Bool {
        cursor.literal("},\"compliance\":{\"control\":\"")
        cursor.content(record[.profile])
        cursor.literal("\",\"desc\":\"The control that ")
        cursor.content(record[.profile])
        cursor.literal(" probes exercise, in namespace ")
        cursor.content(record[.targetNamespace])
        cursor.prepared(verdicts.status(record.effectiveness))
        cursor.literal(record.outcome.text)
        cursor.literal("\",\"status_details\":[\"outcome ")
        cursor.literal(record.outcome.text)
        cursor.literal("\",\"controlEffectiveness ")
        cursor.literal(record.effectiveness.text)
        cursor.literal("\",\"integrityStatus ")
        cursor.literal(record.integrity.text)
        cursor.literal("\"]")
        return cursor.checks(record[.controlMappings], ending: verdicts.check(record.effectiveness))
    }

    @inline(never) private func subjects(_ record: borrowing ProbeResult, _ cursor: inout RecordCursor) {
        cursor.literal("},\"resources\":[{\"name\":\"")
        cursor.content(record[.targetNamespace])
        cursor.literal("\",\"type\":\"Kubernetes namespace\",\"role_id\":1,\"role\":\"Target\"}],\"observables\":[")
        cursor.literal("{\"name\":\"resources.name\",\"type_id\":99,\"type\":\"Kubernetes namespace\",\"value\":\"")
        cursor.content(record[.targetNamespace])
        cursor.literal("\"},{\"name\":\"metadata.uid\",\"type_id\":10,\"type\":\"Resource UID\",\"value\":\"")
        cursor.content(record[.uid])
        cursor.literal("\"},{\"name\":\"finding_info.uid\",\"type_id\":99,\"type\":\"Probe id\",\"value\":\"")
        cursor.content(record[.probeID])
        cursor.literal("\"}]")
    }

    @inline(never) private func unmapped(
        _ record: borrowing ProbeResult, withControls: Bool, _ cursor: inout RecordCursor
    ) {
        cursor.literal(",\"unmapped\":{\"resource\":{\"metadata\":{\"uid\":\"")
        cursor.content(record[.uid])
        cursor.byte(0x22)
        cursor.member(",\"name\":\"", record[.name])
        cursor.member(",\"namespace\":\"", record[.namespace])
        cursor.member(",\"creationTimestamp\":\"", record[.creationTimestamp])
        cursor.value(",\"labels\":", record[.labels])
        if record[.annotations].isPresent { cursor.annotations(record[.annotations]) }
        cursor.unknown(.metadata, record)
        cursor.literal("},\"spec\":{\"probe\":{\"id\":\"")
        cursor.content(record[.probeID])
        cursor.byte(0x22)
        cursor.member(",\"aoAuthorizationRef\":\"", record[.aoAuthorizationRef])
        cursor.unknown(.probe, record)
        cursor.literal("},\"result\":{\"controlEffectiveness\":\"")
        cursor.literal(record.effectiveness.text)
        cursor.literal("\",\"integrityStatus\":\"")
        cursor.literal(record.integrity.text)
        cursor.byte(0x22)
        cursor.value(",\"nistControls\":", record[.nistControls])
        if withControls { cursor.value(",\"controlMappings\":", record[.controlMappings]) }
        cursor.member(",\"crosswalkVersion\":\"", record[.crosswalkVersion])
        cursor.member(",\"verificationMode\":\"", record[.verificationMode])
        cursor.unknown(.result, record)
        cursor.literal("},\"execution\":{\"jobName\":\"")
        cursor.content(record[.jobName])
        cursor.byte(0x22)
        cursor.unknown(.execution, record)
        cursor.byte(0x7D)
        cursor.unknown(.spec, record)
        cursor.byte(0x7D)
        cursor.unknown(.root, record)
    }
}
