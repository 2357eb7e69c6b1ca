public import ExportCore
public import Formats
public import Model

/// What a delivery brought.
public struct DeliveryAnswer: Sendable {
    /// What it means for the records.
    public var verdict: Verdict
    /// For files: which one, and how long it is with these records. Belongs into the same commit as their delivery.
    public var outputFile: OutputFile?
    /// Records that the receiver took but did not confirm: what is sent again of them may be there twice.
    public var unconfirmed = 0
    /// How long the request itself took, if the answer then had to be waited for: how fast a receiver acknowledges says
    /// nothing about how many requests it can take.
    public var requestNanoseconds: UInt64?

    /// An answer of a receiver that has no files.
    public init(_ verdict: Verdict, outputFile: OutputFile? = nil) {
        self.verdict = verdict
        self.outputFile = outputFile
    }
}

/// An output file and how much of it the ledger vouches for.
public struct OutputFile: Sendable, Equatable {
    /// Absolute path.
    public var path: String
    /// Bytes.
    public var length: UInt64

    /// A file and its committed length.
    public init(path: String, length: UInt64) {
        self.path = path
        self.length = length
    }
}

/// One target's receiver.
///
/// Every backend is a folder of the same files: the request builder (pure), the verdict (pure), the access (credentials
/// or permissions) and the backend itself, which only joins them to the wire.
public protocol Backend: Sendable {
    /// Sends the records and says what became of them. Never throws: not knowing is a verdict too.
    func deliver(_ parcel: Parcel) async -> DeliveryAnswer

    /// Whether the target answers and takes our credentials; nil if it does. Sends no records.
    func probe() async -> Reason?

    /// Gives back what it holds. Nothing is delivered after.
    func close() async
}

/// Writes records with the envelope a backend wants around them.
///
/// A closed set, chosen once per target; the switch per record costs about a nanosecond.
public enum RecordWriter: Sendable {
    /// HEC envelopes.
    case splunk(SplunkRequestBuilder)
    /// `_bulk` lines.
    case elasticsearch(ElasticsearchRequestBuilder)
    /// Lines of an object.
    case s3(S3RequestBuilder)
    /// Frames.
    case syslog(SyslogRequestBuilder)
    /// Lines.
    case file(FileRequestBuilder)

    /// Appends one record. `scratch` is the caller's, reused from record to record.
    ///
    /// - Parameter text: the record in the target's format, if it was written for another target already.
    @inline(__always)
    public func append(
        _ record: borrowing ProbeResult, of bytes: Span<UInt8>, as text: Span<UInt8>? = nil,
        into out: inout ByteWriter, scratch: inout ByteWriter
    ) {
        switch self {
        case .splunk(let builder): builder.append(record, of: bytes, as: text, into: &out, scratch: &scratch)
        case .elasticsearch(let builder): builder.append(record, of: bytes, as: text, into: &out, scratch: &scratch)
        case .s3(let builder): builder.append(record, of: bytes, as: text, into: &out)
        case .syslog(let builder): builder.append(record, of: bytes, as: text, into: &out, scratch: &scratch)
        case .file(let builder): builder.append(record, of: bytes, as: text, into: &out)
        }
    }

    /// What writes a record's own text.
    public var encoder: FormatEncoder {
        switch self {
        case .splunk(let builder): builder.encoder
        case .elasticsearch(let builder): builder.encoder
        case .s3(let builder): builder.encoder
        case .syslog(let builder): builder.encoder
        case .file(let builder): builder.encoder
        }
    }
}
