public import Model

/// Writes one record down in one format.
///
/// Encoders are values that hold only what is the same for every record. They write into a buffer that is reused, so
/// a record costs no allocation; backends are generic over them.
public protocol RecordEncoder: Sendable {
    /// Whether what is written is one JSON object; other formats write one line of text without its end.
    var writesJSON: Bool { get }

    /// Appends `record`, whose ranges point into `bytes`. The same record gives the same bytes.
    func encode(_ record: borrowing ProbeResult, of bytes: Span<UInt8>, into out: inout ByteWriter)
}

/// What the exporter says of itself in every record: `sidereal.export{version,cluster,shard}`.
public struct ExportStamp: Sendable {
    /// The exporter's version.
    public var version: String
    /// `global.clusterName`.
    public var cluster: String
    /// Number of virtual shards.
    public var shardCount: UInt16

    /// The stamp of one exporter in one cluster.
    public init(version: String, cluster: String, shardCount: UInt16 = 256) {
        self.version = version
        self.cluster = cluster
        self.shardCount = shardCount
    }
}
