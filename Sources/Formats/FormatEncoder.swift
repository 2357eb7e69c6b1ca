public import Model

/// The encoders this version has, as one value: which one is decided once per batch, by a switch and not by a
/// table of function pointers.
public enum FormatEncoder: RecordEncoder {
    /// The native form.
    case json(JSONRecordEncoder)

    /// The encoder of `format`; nil if this version has none.
    public init?(_ format: FormatKind, stamp: ExportStamp) {
        switch format {
        case .json: self = .json(JSONRecordEncoder(stamp: stamp))
        case .cef, .leef, .syslog, .ocsf: return nil
        }
    }

    /// Whether what is written is one JSON object.
    public var writesJSON: Bool {
        switch self {
        case .json: true
        }
    }

    /// Appends `record`.
    public func encode(_ record: borrowing ProbeResult, of bytes: Span<UInt8>, into out: inout ByteWriter) {
        switch self {
        case .json(let encoder): encoder.encode(record, of: bytes, into: &out)
        }
    }
}
