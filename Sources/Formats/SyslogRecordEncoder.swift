public import Model

/// RFC 5424 with structured data: `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID [SD] BOM MSG`.
///
/// | part | holds |
/// |---|---|
/// | PRI | the facility, and the severity of the effectiveness: 6 Effective, 4 Degraded, 3 Ineffective, 2 Compromised |
/// | TIMESTAMP | `spec.execution.timestamp` in UTC, cut to microseconds (section 6.2.3) |
/// | HOSTNAME | the cluster's name; what is not printable ASCII becomes `-`; at most 255 bytes |
/// | APP-NAME | the configured name, treated alike, at most 48 bytes |
/// | PROCID | `spec.probe.id`, which groups what belongs to one execution (section 6.2.6) |
/// | MSGID | `spec.result.outcome`, the type of the message (section 6.2.7) |
/// | SD | one element `sidereal@<enterprise number>` |
/// | MSG | a sentence, and after `: ` the whole of `spec.result.detail` |
///
/// The PARAM-NAMEs are the resource's own names; `probeId` is `spec.probe.id`. Lists and maps repeat a name, once for
/// each element: `control="nist-800-53:AC-6"`, `nistControl="AC-6"`, `label="key=value"`, `annotation="key=value"`,
/// and `field="spec.probe.name=JSON"` for members that are not in the schema. In the part before the separator the
/// separator itself and `%` become `%` with two hexadecimal digits, and so does `.` within a name of `field`; a
/// framework without controls is written without the colon. A framework whose name has more than 255 bytes is not
/// repeated for each control: then `controlMappings` holds the whole map as JSON. Maps and lists without elements are
/// left out: they say nothing. Control characters become pictures: see ``SyslogPlace``.
///
/// With a bound on the message's length, `detail` is cut between two characters and ends in `…`, and the line says
/// `truncated="detail"`. If even a line without `detail` is longer than the bound, it is written whole: nothing else may
/// be cut, and a long line is not a lost one.
public struct SyslogRecordEncoder: RecordEncoder {
    /// False.
    public var writesJSON: Bool { false }
    /// `<PRI>1 ` by effectiveness, at most seven bytes, with their number in the highest byte.
    private let priorities: InlineArray<4, UInt64>
    private let names: SealedBytes
    /// MSGID and the start of the structured data, by outcome.
    private let elements: TextTable
    /// The three words as parameters, and the start of the message, by the number of the words.
    private let verdicts: TextTable
    private let openings: TextTable
    private let plain = SyslogParameters()
    private let shardCount: UInt16
    private let maxBytes: Int

    /// An encoder that signs with `stamp`; it reads `facility`, `appName`, `enterpriseID` and `maxMessageBytes`.
    public init(stamp: ExportStamp, options: FormatOptions) {
        priorities = InlineArray { Self.priority(facility: options.facility, effectiveness: $0) }
        var out = ByteWriter()
        out.append(0x20)
        Self.header(stamp.cluster, limit: 255, &out)
        out.append(0x20)
        Self.header(options.appName, limit: 48, &out)
        out.append(0x20)
        names = out.seal()
        var start = ByteWriter()
        start.append(" [sidereal@")
        start.append(string: "\(options.enterpriseID)")
        Self.param(" version=\"", stamp.version, &start)
        Self.param(" cluster=\"", stamp.cluster, &start)
        let element = start.seal()
        elements = TextTable(count: Outcome.allCases.count) { number, out in
            out.append(Outcome.allCases[number].text)
            out.append(element.span)
        }
        verdicts = TextTable(count: VerdictNumber.count) { Self.parameters(VerdictNumber($0), &$1) }
        openings = TextTable(count: VerdictNumber.count) { Self.opening(VerdictNumber($0), &$1) }
        shardCount = stamp.shardCount
        maxBytes = options.maxMessageBytes
    }

    /// Appends the record as one line without its end.
    public func encode(_ record: borrowing ProbeResult, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        let estimate =
            1024 + names.count + elements.range(0).count + 2 * (record[.metadata].count + record[.spec].count)
        out.record(of: bytes, estimate: estimate) { cursor in
            header(record, &cursor)
            metadata(record, &cursor)
            spec(record, &cursor)
            cursor.literal(" shard=\"")
            cursor.decimal(UInt64(record.uidHash.shard(of: shardCount).number))
            cursor.byte(0x22)
            if !record.others.isEmpty { others(record, &cursor) }
            message(record, &cursor)
        }
    }
}

extension SyslogRecordEncoder {
    /// Section 6.2.1: eight times the facility, plus the severity.
    static func priority(facility: Int, effectiveness: Int) -> UInt64 {
        let severity =
            switch Effectiveness(rawValue: UInt8(truncatingIfNeeded: effectiveness)) {
            case .effective: 6
            case .degraded: 4
            case .ineffective: 3
            case .compromised, nil: 2
            }
        let text = Array("<\(min(max(facility, 0), 23) * 8 + severity)>1 ".utf8)
        return text.reversed().reduce(UInt64(text.count)) { $0 << 8 | UInt64($1) } & ~(0xFF << 56)
            | UInt64(text.count) << 56
    }

    /// A field of the header: printable ASCII, one `-` for any other character; `-` if it is empty.
    static func header(_ text: String, limit: Int, _ out: inout ByteWriter) {
        for scalar in text.unicodeScalars.prefix(limit) {
            out.append(0x21...0x7E ~= scalar.value ? UInt8(truncatingIfNeeded: scalar.value) : 0x2D)
        }
        if text.isEmpty { out.append(0x2D) }
    }

    private static func param(_ name: StaticString, _ text: String, _ out: inout ByteWriter) {
        out.append(name)
        let utf8 = Array(text.utf8)
        out.record(of: utf8.span, estimate: 64 + 2 * utf8.count) { cursor in
            cursor.text(utf8.span, as: SyslogParam.self)
            cursor.byte(0x22)
        }
    }

    private static func parameters(_ words: VerdictNumber, _ out: inout ByteWriter) {
        out.append(" outcome=\"")
        out.append(words.outcome.text)
        out.append("\" controlEffectiveness=\"")
        out.append(words.effectiveness.text)
        out.append("\" integrityStatus=\"")
        out.append(words.integrity.text)
        out.append(0x22)
    }

    private static func opening(_ words: VerdictNumber, _ out: inout ByteWriter) {
        out.append("] \u{FEFF}")
        out.append(words.outcome.text)
        out.append(" (control ")
        out.append(words.effectiveness.text)
        out.append(", integrity ")
        out.append(words.integrity.text)
        out.append("): ")
    }

    // Each part is a function of its own: in one that grows too large the compiler leaves even single loads as calls.

    @inline(never) private func header(_ record: borrowing ProbeResult, _ cursor: inout RecordCursor) {
        let priority = priorities[Int(record.effectiveness.rawValue)]
        cursor.packed(priority, count: Int(priority >> 56))
        cursor.timestamp(record)
        cursor.prepared(names)
        cursor.text("", record[.probeID], as: SyslogMessage.self, then: 0x20)
        cursor.prepared(elements, Int(record.outcome.rawValue))
    }

    @inline(never) private func metadata(_ record: borrowing ProbeResult, _ cursor: inout RecordCursor) {
        cursor.parameters(plain.metadata, record)
        if record[.labels].isPresent { cursor.map(" label=\"", record[.labels], withoutOwn: false) }
        if record[.annotations].isPresent { cursor.map(" annotation=\"", record[.annotations], withoutOwn: true) }
    }

    @inline(never) private func spec(_ record: borrowing ProbeResult, _ cursor: inout RecordCursor) {
        cursor.parameters(plain.probe, record)
        cursor.prepared(verdicts, VerdictNumber.of(record))
        if record[.nistControls].isPresent { cursor.list(" nistControl=\"", record[.nistControls]) }
        if record[.controlMappings].isPresent { cursor.controls(record[.controlMappings]) }
        cursor.parameters(plain.rest, record)
    }

    @inline(never) private func others(_ record: borrowing ProbeResult, _ cursor: inout RecordCursor) {
        for member in record.others { cursor.unknown(member) }
    }

    @inline(never) private func message(_ record: borrowing ProbeResult, _ cursor: inout RecordCursor) {
        let mark = cursor.at
        let detail = sentence(record, &cursor)
        if maxBytes > 0, cursor.at > maxBytes { cut(record, mark, detail, &cursor) }
    }

    /// Returns where `detail` begins.
    @inline(__always) private func sentence(
        _ record: borrowing ProbeResult, _ cursor: inout RecordCursor
    ) -> Int {
        cursor.prepared(openings, VerdictNumber.of(record))
        cursor.text("", record[.profile], as: SyslogMessage.self, then: 0x20)
        cursor.text("probe of ", record[.targetNamespace], as: SyslogMessage.self, then: 0x3A)
        guard record[.detail].isPresent else {
            if !cursor.overflowed { cursor.rewind(to: cursor.at - 1) }
            return cursor.at
        }
        cursor.byte(0x20)
        let start = cursor.at
        cursor.text("", record[.detail], as: SyslogMessage.self, then: 0x20)
        if !cursor.overflowed { cursor.rewind(to: cursor.at - 1) }
        return start
    }

    /// Writes the end of a line that turned out too long once more, from `mark` on.
    @inline(never) private func cut(
        _ record: borrowing ProbeResult, _ mark: Int, _ detail: Int, _ cursor: inout RecordCursor
    ) {
        let note: StaticString = " truncated=\"detail\""
        let ellipsis: StaticString = "…"
        let shortest = detail + note.utf8CodeUnitCount + ellipsis.utf8CodeUnitCount
        guard !cursor.overflowed, record[.detail].isPresent, shortest <= maxBytes else { return }
        cursor.rewind(to: mark)
        cursor.literal(note)
        let start = sentence(record, &cursor)
        guard !cursor.overflowed else { return }
        cursor.cut(from: start, to: maxBytes - ellipsis.utf8CodeUnitCount)
        cursor.literal(ellipsis)
    }
}
