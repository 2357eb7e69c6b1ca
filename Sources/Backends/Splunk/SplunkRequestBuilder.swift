public import Formats
public import Model

/// Builds requests for `/services/collector/event` (Splunk, "Format events for HTTP Event Collector").
///
/// Only the keys `time host source sourcetype index event fields` may stand in an envelope: Splunk answers 200 to an
/// unknown one and drops the event and all that follow.
public struct SplunkRequestBuilder: Sendable {
    let encoder: FormatEncoder
    /// From after the time up to the event.
    private let middle: SealedBytes
    let eventURL: String
    let healthURL: String
    let ackURL: String

    /// A builder for `target`; the cluster's name is the default `host`.
    public init(target: Target, encoder: FormatEncoder, cluster: String) {
        self.encoder = encoder
        let base = target.endpoint.base
        let path = "/services/collector"
        eventURL = base.hasSuffix(path) ? base + "/event" : base + path + "/event"
        healthURL = base.hasSuffix(path) ? base + "/health" : base + path + "/health"
        ackURL = base.hasSuffix(path) ? base + "/ack" : base + path + "/ack"
        var out = ByteWriter()
        Self.member("host", target.host ?? cluster, &out)
        Self.member("source", target.source ?? "sidereal", &out)
        Self.member("sourcetype", target.sourcetype ?? "sidereal:proberesult:\(target.format.rawValue)", &out)
        if let index = target.index { Self.member("index", index, &out) }
        middle = out.seal()
    }

    private static func member(_ name: StaticString, _ value: String, _ out: inout ByteWriter) {
        out.append(",\"")
        out.append(name)
        out.append("\":\"")
        JSONText.escape(Array(value.utf8).span, into: &out)
        out.append(0x22)
    }

    /// Appends one envelope. `time` has microseconds, the most HEC keeps; the nanoseconds are in the event.
    ///
    /// - Parameter text: the record in the target's format, if somebody else has written it already.
    public func append(
        _ record: borrowing ProbeResult, of bytes: Span<UInt8>, as text: Span<UInt8>? = nil,
        into out: inout ByteWriter, scratch: inout ByteWriter
    ) {
        out.append("{\"time\":")
        record.executedAt.writeDecimalSeconds(digits: 6, into: &out)
        out.append(middle.span)
        if encoder.writesJSON {
            out.append(",\"event\":")
            encoder.encode(record, of: bytes, as: text, into: &out)
        } else {
            scratch.removeAll()
            encoder.encode(record, of: bytes, as: text, into: &scratch)
            out.append(",\"event\":\"")
            JSONText.escape(scratch.span, into: &out)
            out.append("\",\"fields\":{\"uid\":")
            JSONText.writeString(record[.uid], of: bytes, into: &out)
            out.append(",\"probe_id\":")
            JSONText.writeString(record[.probeID], of: bytes, into: &out)
            out.append(0x7D)
        }
        out.append("}\n")
    }
}
