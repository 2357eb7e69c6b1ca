/// Every bound of the process in one place. Nothing grows past these, whatever the backlog.
public struct Limits: Sendable, Equatable {
    /// Longest accepted record, bytes.
    public var maxRecordBytes = 1 << 20
    /// Deepest accepted nesting of a record.
    public var maxDepth = 64
    /// Input is read in pieces of this many bytes.
    public var chunkBytes = 256 << 10
    /// Bytes of encoded, not yet settled records that one target may hold; past this it is fed no more.
    public var maxQueuedBytesPerTarget = 16 << 20
    /// Longest response body that is read, bytes.
    public var maxResponseBytes = 16 << 20
    /// Milliseconds from a stop signal until exit.
    public var stopMilliseconds: UInt64 = 25_000
    /// Records that are kept as dead letters are cut to this many bytes; not less than ``maxRecordBytes``, or they could
    /// not be tried again.
    public var maxDeadLetterBytes = 1 << 20
    /// Reasons of dead letters, which quote receivers, are cut to this many bytes.
    public var maxReasonBytes = 4 << 10

    /// Highest ``maxRecordBytes``: with what stands around it a record of a cluster has to fit a frame of 16 MiB.
    public static let mostRecordBytes = 15 << 20

    /// The defaults.
    public init() {}
}
