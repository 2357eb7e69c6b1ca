public import Model

/// ArcSight Common Event Format (CEF implementation standard), one line per record.
///
/// | key | holds |
/// |---|---|
/// | DeviceEventClassID | `probe:` and the profile |
/// | Name | the kind of probe and the raw outcome; `Custom probe` for an organisation's own profile |
/// | Severity | 1 Effective, 5 Degraded, 8 Ineffective, 10 Compromised |
/// | `outcome` | `success` if the control is Effective and the result's integrity Verified, else `failure` |
/// | `reason` | the raw outcome |
/// | `rt`, `start` | `execution.timestamp`, milliseconds since 1970; a date before that |
/// | `end` | `start` plus `durationMs`; left out if that is negative or leads past the year 9999 |
/// | `externalId`, `cat`, `msg`, `deviceProcessName` | `probe.id`, `probe.profile`, `result.detail`, `jobName` |
/// | `deviceExternalId`, `dvchost` | the cluster's name; `dvchost` only if it has the form of a host name |
/// | `cs1` to `cs6` | controlMappings, nistControls, targetNamespace, controlEffectiveness, mitreAttackId, integrityStatus |
/// | `cn1`, `flexString1`, `flexString2` | durationMs, verificationMode, aoAuthorizationRef |
/// | `siderealTimestamp` | `execution.timestamp` as it is, with its nanoseconds |
/// | `siderealLabels`, `siderealAnnotations`, `siderealExtra` | JSON: maps, and members no field of ours has the name of |
/// | `siderealExact` | JSON: by its path, every field whose own key does not hold exactly its value |
///
/// With `cefVersion` 1 the keys of version 1.2 take the place of `cs3`, `cs5` and `cn1`: `reportedResourceName` (with
/// `reportedResourceType` and, where it fits, `reportedResourceID`, cluster and namespace), `threatAttackID` (with
/// `frameworkName`) and `reportedDuration`.
///
/// Promises:
/// 1. No maximum of the standard is passed. What does not fit is cut between two characters.
/// 2. A value never begins or ends with a space and is never empty; control characters other than LF and CR, and the
///    Unicode line separators, are spaces.
/// 3. Whatever 1 and 2 altered or left out stands unaltered in `siderealExact`.
///
/// `act` is not used: a probe reports, it takes no action.
public struct CEFRecordEncoder: RecordEncoder {
    /// False.
    public var writesJSON: Bool { false }
    private let head: SealedBytes
    private let device: SealedBytes
    private let resourcePrefix: SealedBytes
    private let exactStamp: SealedBytes
    private let shardCount: UInt16
    private let isVersion1: Bool

    /// An encoder that signs with `stamp`.
    public init(stamp: ExportStamp, options: FormatOptions) {
        var out = ByteWriter(capacity: 256)
        isVersion1 = options.cefVersion == 1
        out.append(isVersion1 ? "CEF:1|" : "CEF:0|")
        _ = Self.write(options.vendor, CEFHeader.self, 63, &out)
        out.append(0x7C)
        _ = Self.write(options.product, CEFHeader.self, 63, &out)
        out.append(0x7C)
        let hasVersion = Self.write(stamp.version, CEFHeader.self, 31, &out)
        out.append("|probe:")
        head = out.seal()

        var device = ByteWriter(capacity: 256)
        device.append(" deviceExternalId=")
        let start = device.count
        let hasCluster = Self.write(stamp.cluster, CEFValue.self, 255, &device)
        if device.count == start { device.removeAll() }
        if Self.isHostName(stamp.cluster) {
            device.append(" dvchost=")
            device.append(string: stamp.cluster)
        }
        self.device = device.seal()

        var prefix = ByteWriter(capacity: 128)
        if Self.write(stamp.cluster, CEFValue.self, 200, &prefix) { prefix.append(0x2F) } else { prefix.removeAll() }
        resourcePrefix = prefix.seal()
        exactStamp = stamp.exactMembers(version: !hasVersion, cluster: !hasCluster)
        shardCount = stamp.shardCount
    }

    private static func write<D: LineDialect>(
        _ text: String, _ dialect: D.Type, _ limit: Int, _ out: inout ByteWriter
    ) -> Bool {
        let bytes = Array(text.utf8)
        return LineText.write(bytes.span, 0..<bytes.count, as: dialect, limit: limit, into: &out)
    }

    private static func isHostName(_ text: String) -> Bool {
        guard 1...100 ~= text.utf8.count else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E: true
            default: false
            }
        }
    }

    /// Appends the record as one line of CEF without a line end.
    public func encode(_ record: borrowing ProbeResult, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        let shard = record.uidHash.shard(of: shardCount)
        var inexact = FieldSet()
        out.append(head.span)
        header(record, bytes, &out)
        times(record, bytes, &out)
        out.append(" externalId=")
        JSONText.decode(record[.probeID], of: bytes, into: &out)
        out.append(" reason=")
        out.append(record.outcome.text)
        put(" cat=", .profile, 1023, record, bytes, &inexact, &out)
        put(" msg=", .detail, 1023, record, bytes, &inexact, &out)
        out.append(device.span)
        put(" deviceProcessName=", .jobName, 1023, record, bytes, &inexact, &out)
        controls(" cs1Label=controlMappings cs1=", .controlMappings, record, bytes, &inexact, &out)
        controls(" cs2Label=nistControls cs2=", .nistControls, record, bytes, &inexact, &out)
        if isVersion1 {
            version1(record, bytes, &inexact, &out)
        } else {
            put(" cs3Label=targetNamespace cs3=", .targetNamespace, 4000, record, bytes, &inexact, &out)
            put(" cs5Label=mitreAttackId cs5=", .mitreAttackID, 4000, record, bytes, &inexact, &out)
            out.append(" cn1Label=durationMs cn1=")
        }
        out.append(bytes, record[.durationMs].range)
        put(
            " flexString1Label=verificationMode flexString1=", .verificationMode, 1023, record, bytes, &inexact, &out)
        put(
            " flexString2Label=aoAuthorizationRef flexString2=", .aoAuthorizationRef, 1023, record, bytes, &inexact,
            &out)
        custom(record, bytes, &inexact, &out)
        out.append(" siderealShard=")
        out.append(decimal: UInt64(shard.number))
        if !inexact.isEmpty || exactStamp.count > 0 {
            out.append(" siderealExact=")
            LineJSON.exact(inexact, exactStamp.span, record, of: bytes, as: CEFJSON.self, into: &out)
        }
    }

    private func header(_ record: borrowing ProbeResult, _ bytes: Span<UInt8>, _ out: inout ByteWriter) {
        switch KnownProfile.find(record[.profile], bytes) {
        case .rbac: out.append("rbac|RBAC probe: ")
        case .netpol: out.append("netpol|Network policy probe: ")
        case .admission: out.append("admission|Admission probe: ")
        case .secret: out.append("secret|Secret probe: ")
        case .detection: out.append("detection|Detection probe: ")
        case nil:
            // 1023 less the six characters of "probe:". `cat` answers for exactness.
            _ = LineText.write(record[.profile], of: bytes, as: CEFHeader.self, limit: 1017, into: &out)
            out.append("|Custom probe: ")
        }
        out.append(record.outcome.text)
        switch record.effectiveness {
        case .effective:
            out.append(
                record.integrity == .verified
                    ? "|1|outcome=success cs4Label=controlEffectiveness cs4=Effective"
                    : "|1|outcome=failure cs4Label=controlEffectiveness cs4=Effective")
        case .degraded: out.append("|5|outcome=failure cs4Label=controlEffectiveness cs4=Degraded")
        case .ineffective: out.append("|8|outcome=failure cs4Label=controlEffectiveness cs4=Ineffective")
        case .compromised: out.append("|10|outcome=failure cs4Label=controlEffectiveness cs4=Compromised")
        }
        switch record.integrity {
        case .verified: out.append(" cs6Label=integrityStatus cs6=Verified rt=")
        case .tamperedResult: out.append(" cs6Label=integrityStatus cs6=TamperedResult rt=")
        }
    }

    private func times(_ record: borrowing ProbeResult, _ bytes: Span<UInt8>, _ out: inout ByteWriter) {
        let start = EpochMilliseconds(record.executedAt)
        if start.hasThirteenDigits {
            let digits = start.digits
            out.append(digits.span)
            out.append(" start=")
            out.append(digits.span)
        } else {
            start.write(into: &out)
            out.append(" start=")
            start.write(into: &out)
        }
        if let end = start.adding(record.durationMs) {
            out.append(" end=")
            end.write(into: &out)
        }
        out.append(" siderealTimestamp=")
        JSONText.decode(record[.timestamp], of: bytes, into: &out)
    }

    private func version1(
        _ record: borrowing ProbeResult, _ bytes: Span<UInt8>, _ inexact: inout FieldSet, _ out: inout ByteWriter
    ) {
        let start = out.count
        put(
            " reportedResourceType=Namespace reportedResourceName=", .targetNamespace, 64, record, bytes, &inexact,
            &out)
        if out.count > start, resourcePrefix.count > 0 {
            let mark = out.count
            out.append(" reportedResourceID=")
            out.append(resourcePrefix.span)
            let isWhole = LineText.write(
                record[.targetNamespace], of: bytes, as: CEFValue.self, limit: 256 - resourcePrefix.count, into: &out)
            // Cut, it would name another resource.
            if !isWhole { out.truncate(to: mark) }
        }
        put(" frameworkName=MITRE ATT&CK threatAttackID=", .mitreAttackID, 32, record, bytes, &inexact, &out)
        out.append(" reportedDuration=")
    }

    private func custom(
        _ record: borrowing ProbeResult, _ bytes: Span<UInt8>, _ inexact: inout FieldSet, _ out: inout ByteWriter
    ) {
        put(" siderealCrosswalkVersion=", .crosswalkVersion, .max, record, bytes, &inexact, &out)
        put(" siderealUid=", .uid, .max, record, bytes, &inexact, &out)
        put(" siderealName=", .name, .max, record, bytes, &inexact, &out)
        put(" siderealNamespace=", .namespace, .max, record, bytes, &inexact, &out)
        put(" siderealCreationTimestamp=", .creationTimestamp, .max, record, bytes, &inexact, &out)
        let labels = record[.labels]
        if labels.isPresent {
            out.append(" siderealLabels=")
            LineJSON.map(labels, of: bytes, as: CEFJSON.self, into: &out)
        }
        let annotations = record[.annotations]
        if annotations.isPresent {
            LineJSON.annotations(
                annotations, of: bytes, as: CEFJSON.self, after: " siderealAnnotations=", into: &out)
        }
        if !record.others.isEmpty {
            out.append(" siderealExtra=")
            LineJSON.others(record, of: bytes, as: CEFJSON.self, into: &out)
        }
    }

    /// Appends `key` and the text of `field`; nothing if the field is absent or nothing of its text can be shown.
    @inline(__always)
    private func put(
        _ key: StaticString, _ field: Field, _ limit: Int, _ record: borrowing ProbeResult, _ bytes: Span<UInt8>,
        _ inexact: inout FieldSet, _ out: inout ByteWriter
    ) {
        let value = record[field]
        guard value.isPresent else { return }
        let mark = out.count
        out.append(key)
        let start = out.count
        guard !LineText.write(value, of: bytes, as: CEFValue.self, limit: limit, into: &out) else { return }
        inexact.insert(field)
        if out.count == start { out.truncate(to: mark) }
    }

    /// As ``put``, for controls; custom strings hold 4000.
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
        guard !FlatControls.write(value, of: bytes, as: CEFValue.self, limit: 4000, into: &out) else { return }
        inexact.insert(field)
        if out.count == start { out.truncate(to: mark) }
    }
}
