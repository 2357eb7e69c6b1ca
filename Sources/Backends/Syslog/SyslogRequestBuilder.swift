public import Formats
public import Model

/// Writes one record per frame: its length in octets, a space, the message (RFC 5425, section 4.3; RFC 6587, section
/// 3.4.1). The format `syslog` is the message itself; a line of another format is the MSG of a ``SyslogEnvelope``.
public struct SyslogRequestBuilder: Sendable {
    let encoder: FormatEncoder
    private let envelope: SyslogEnvelope?

    /// A builder for `target`.
    public init(target: Target, encoder: FormatEncoder, stamp: ExportStamp) {
        self.encoder = encoder
        envelope = target.format == .syslog ? nil : SyslogEnvelope(stamp: stamp, options: target.formatOptions)
    }

    /// Appends one frame.
    ///
    /// - Parameter text: the record in the target's format, if somebody else has written it already.
    public func append(
        _ record: borrowing ProbeResult, of bytes: Span<UInt8>, as text: Span<UInt8>? = nil,
        into out: inout ByteWriter, scratch: inout ByteWriter
    ) {
        scratch.removeAll()
        envelope?.append(record, of: bytes, into: &scratch)
        encoder.encode(record, of: bytes, as: text, into: &scratch)
        out.append(decimal: UInt64(scratch.count))
        out.append(0x20)
        out.append(scratch.span)
    }
}
