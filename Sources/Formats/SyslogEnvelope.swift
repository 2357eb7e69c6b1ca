public import Model

/// The RFC 5424 header in front of a line that is no syslog message itself, as receivers of CEF and LEEF over syslog
/// expect it: `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID - `, and then the line.
///
/// The fields are those of ``SyslogRecordEncoder``, but for two:
/// 1. TIMESTAMP has exactly three fraction digits, the only form QRadar documents for such a header; the whole time is in
///    the line.
/// 2. There is no structured data: the line holds everything, and its readers look for `CEF:` or `LEEF:` close behind the
///    header. For the same reason no byte order mark stands before the line (MSG-ANY of section 6.4).
public struct SyslogEnvelope: Sendable {
    /// `<PRI>1 ` by effectiveness.
    private let priorities: [SealedBytes]
    private let names: SealedBytes

    /// An envelope that signs with `stamp`; it reads `facility` and `appName`.
    public init(stamp: ExportStamp, options: FormatOptions) {
        priorities = (0..<4).map { effectiveness in
            var out = ByteWriter(capacity: 64)
            let word = SyslogRecordEncoder.priority(facility: options.facility, effectiveness: effectiveness)
            for index in 0..<(word >> 56) { out.append(UInt8(truncatingIfNeeded: word >> (8 * index))) }
            return out.seal()
        }
        var out = ByteWriter()
        out.append(0x20)
        SyslogRecordEncoder.header(stamp.cluster, limit: 255, &out)
        out.append(0x20)
        SyslogRecordEncoder.header(options.appName, limit: 48, &out)
        out.append(0x20)
        names = out.seal()
    }

    /// Appends the header of `record`, with the space that ends it.
    public func append(_ record: borrowing ProbeResult, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        let priority = priorities[Int(record.effectiveness.rawValue)]
        out.append(priority.span)
        record.executedAt.write(digits: 3, into: &out)
        out.append(names.span)
        JSONText.decode(record[.probeID], of: bytes, into: &out)
        out.append(0x20)
        out.append(record.outcome.text)
        out.append(" - ")
    }
}
