/// A metric: what it is called, counts and is labelled with. The set of them is closed (``ExportMetrics``).
public struct MetricDefinition: Sendable, Equatable {
    /// How its values behave.
    public enum Kind: String, Sendable {
        /// Only grows while the process lives.
        case counter
        /// Goes up and down.
        case gauge
        /// How often a value fell into which bucket.
        case histogram
    }

    /// Prometheus name: base units, `_total` for counters.
    public let name: String
    /// How its values behave.
    public let kind: Kind
    /// Names of its labels, in the order they are written.
    public let labels: [String]
    /// One sentence for people.
    public let help: String
    /// Upper bounds of a histogram's buckets, ascending, without the last one, which is infinite.
    public let buckets: [Double]

    init(_ kind: Kind, _ name: String, labels: [String] = [], buckets: [Double] = [], _ help: String) {
        self.name = name
        self.kind = kind
        self.labels = labels
        self.help = help
        self.buckets = buckets
    }
}
