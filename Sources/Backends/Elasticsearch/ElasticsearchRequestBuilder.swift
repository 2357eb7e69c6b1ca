public import Formats
public import Model

/// Builds `_bulk` requests (Elasticsearch reference, "Bulk API").
///
/// Only `create` is used: `index` would overwrite an audit record. `_id` is the probe's id, so a record that is already
/// there answers 409 and nothing arrives twice. The index is named after the record's own date, so that a repeated
/// record meets the same index whenever it comes.
public struct ElasticsearchRequestBuilder: Sendable {
    let encoder: FormatEncoder
    private let actionStart: SealedBytes
    private let isDataStream: Bool
    let bulkURL: String
    let rootURL: String

    /// A builder for `target`.
    public init(target: Target, encoder: FormatEncoder) {
        self.encoder = encoder
        isDataStream = target.dataStream != nil
        bulkURL =
            target.endpoint.base
            + "/_bulk?filter_path=errors,items.*.status,items.*.failure_store,items.*.error.type,"
            + "items.*.error.reason"
        rootURL = target.endpoint.base + "/"
        var out = ByteWriter()
        out.append("{\"create\":{\"_index\":\"")
        let name = target.dataStream ?? (target.index ?? "sidereal-proberesults") + "-"
        JSONText.escape(Array(name.utf8).span, into: &out)
        actionStart = out.seal()
    }

    /// Appends the action and the document, a line each.
    ///
    /// - Parameter text: the record in the target's format, if somebody else has written it already.
    public func append(
        _ record: borrowing ProbeResult, of bytes: Span<UInt8>, as text: Span<UInt8>? = nil,
        into out: inout ByteWriter, scratch: inout ByteWriter
    ) {
        out.append(actionStart.span)
        if !isDataStream { record.writeExecutionDate(of: bytes, into: &out) }
        out.append("\",\"_id\":")
        JSONText.writeString(record[.probeID], of: bytes, into: &out)
        out.append("}}\n{\"@timestamp\":\"")
        record.writeExecutedAt(of: bytes, into: &out)
        out.append(0x22)
        if encoder.writesJSON {
            // The document's own opening brace becomes the comma after the time stamp.
            let brace = out.count
            encoder.encode(record, of: bytes, as: text, into: &out)
            out.replace(at: brace, with: 0x2C)
            out.append(0x0A)
        } else {
            wrapped(record, bytes, text, &out, &scratch)
        }
    }

    /// A line of text as a document (Elastic Common Schema: `message`, `event.*`).
    private func wrapped(
        _ record: borrowing ProbeResult, _ bytes: Span<UInt8>, _ text: Span<UInt8>?, _ out: inout ByteWriter,
        _ scratch: inout ByteWriter
    ) {
        scratch.removeAll()
        encoder.encode(record, of: bytes, as: text, into: &scratch)
        out.append(",\"message\":\"")
        JSONText.escape(scratch.span, into: &out)
        out.append("\",\"event\":{\"id\":")
        JSONText.writeString(record[.uid], of: bytes, into: &out)
        out.append(",\"kind\":\"event\",\"outcome\":\"")
        out.append(record.effectiveness == .effective ? "success" : "failure")
        out.append("\",\"original\":\"")
        JSONText.escape(scratch.span, into: &out)
        out.append("\"}}\n")
    }
}
