import Formats

/// Names objects after what is in them: the same records of the same batch have the same key, however often they are sent.
///
/// `<prefix>/cluster=<id>/dt=YYYY-MM-DD/hour=HH/<shard>-<min ts>-<sha256>.<ext>[.gz]`. Date, hour and `<min ts>` are of
/// the earliest record of the batch, in UTC. The hash is of the records as they are before compression, so that another
/// version of the compressor, or another processor, names the same content alike; `gunzip -c | sha256sum` checks it.
struct S3Key: Sendable {
    /// Everything up to `dt=`.
    private let start: String
    private let end: String

    /// The one stream that a process without shards writes.
    static let wholeStream = "0000"

    init(prefix: String, cluster: String, format: FormatName, isCompressed: Bool) {
        start = (prefix.isEmpty ? "" : prefix + "/") + "cluster=\(PercentCode.encode(cluster, keeping: ""))/"
        end = "." + format.fileExtension + (isCompressed ? ".gz" : "")
    }

    /// - Parameter sha256: of the records, hexadecimal.
    func name(earliest: Timestamp, sha256: String, shard: String = wholeStream) -> String {
        let stamp = CompactTime.precise(earliest)
        let digits = Array(stamp)
        let date = "\(String(digits[0..<4]))-\(String(digits[4..<6]))-\(String(digits[6..<8]))"
        return "\(start)dt=\(date)/hour=\(String(digits[9..<11]))/\(shard)-\(stamp)-\(sha256)\(end)"
    }

    /// What a format's files are called and said to be.
    struct FormatName: Sendable, Equatable {
        var fileExtension: String
        var contentType: String
    }
}
