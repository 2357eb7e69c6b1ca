public import Model

/// The encoders as one value: which one is decided once per batch, by a switch and not by a table of function pointers.
public enum FormatEncoder: RecordEncoder {
    /// The native form.
    case json(JSONRecordEncoder)
    /// ArcSight Common Event Format.
    case cef(CEFRecordEncoder)
    /// QRadar Log Event Extended Format 2.0.
    case leef(LEEFRecordEncoder)
    /// RFC 5424.
    case syslog(SyslogRecordEncoder)
    /// Open Cybersecurity Schema Framework 1.7.0.
    case ocsf(OCSFRecordEncoder)

    /// The encoder of `format`, which takes from `options` what concerns it.
    public init(_ format: FormatKind, stamp: ExportStamp, options: FormatOptions) {
        self =
            switch format {
            case .json: .json(JSONRecordEncoder(stamp: stamp))
            case .cef: .cef(CEFRecordEncoder(stamp: stamp, options: options))
            case .leef: .leef(LEEFRecordEncoder(stamp: stamp, options: options))
            case .syslog: .syslog(SyslogRecordEncoder(stamp: stamp, options: options))
            case .ocsf: .ocsf(OCSFRecordEncoder(stamp: stamp, options: options))
            }
    }

    /// Whether what is written is one JSON object.
    public var writesJSON: Bool {
        switch self {
        case .json(let encoder): encoder.writesJSON
        case .cef(let encoder): encoder.writesJSON
        case .leef(let encoder): encoder.writesJSON
        case .syslog(let encoder): encoder.writesJSON
        case .ocsf(let encoder): encoder.writesJSON
        }
    }

    /// Appends `record`.
    public func encode(_ record: borrowing ProbeResult, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        switch self {
        case .json(let encoder): encoder.encode(record, of: bytes, into: &out)
        case .cef(let encoder): encoder.encode(record, of: bytes, into: &out)
        case .leef(let encoder): encoder.encode(record, of: bytes, into: &out)
        case .syslog(let encoder): encoder.encode(record, of: bytes, into: &out)
        case .ocsf(let encoder): encoder.encode(record, of: bytes, into: &out)
        }
    }

    /// Appends `record`, or the text that was made of it before for somebody else.
    @inline(__always)
    public func encode(
        _ record: borrowing ProbeResult, of bytes: Span<UInt8>, as text: Span<UInt8>?, into out: inout ByteWriter
    ) {
        if let text { out.append(text) } else { encode(record, of: bytes, into: &out) }
    }
}
