/// A metric with its series, at one moment.
struct MetricFamily: Sendable {
    struct Series: Sendable {
        /// Values of the definition's labels, in their order.
        var labels: [String]
        var value: SeriesValue
    }

    var definition: MetricDefinition
    var series: [Series]
}

/// The Prometheus text format, version 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).
enum PrometheusText {
    /// Families with at least one series, each with its HELP and TYPE.
    static func render(_ families: [MetricFamily]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(16 << 10)
        for family in families where !family.series.isEmpty {
            let name = family.definition.name
            out.append(contentsOf: "# HELP \(name) \(escaped(family.definition.help, quotes: false))\n".utf8)
            out.append(contentsOf: "# TYPE \(name) \(family.definition.kind.rawValue)\n".utf8)
            for series in family.series { append(series, of: family.definition, to: &out) }
        }
        return out
    }

    private static func append(_ series: MetricFamily.Series, of metric: MetricDefinition, to out: inout [UInt8]) {
        let labels = zip(metric.labels, series.labels).map { "\($0)=\"\(escaped($1, quotes: true))\"" }
        func line(_ suffix: String, _ extra: [String], _ value: String) {
            let all = labels + extra
            let braces = all.isEmpty ? "" : "{\(all.joined(separator: ","))}"
            out.append(contentsOf: "\(metric.name)\(suffix)\(braces) \(value)\n".utf8)
        }
        switch series.value {
        case .whole(let value): line("", [], String(value))
        case .number(let value): line("", [], number(value))
        case .buckets(let counts, let sum):
            var total: Int64 = 0
            for (index, count) in counts.enumerated() {
                total += count
                let bound = index < metric.buckets.count ? number(metric.buckets[index]) : "+Inf"
                line("_bucket", ["le=\"\(bound)\""], String(total))
            }
            line("_sum", [], number(sum))
            line("_count", [], String(total))
        }
    }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value) { return String(whole) }
        return "\(value)"
    }

    /// Backslash and line feed, and in label values the quote.
    static func escaped(_ text: String, quotes: Bool) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\"" where quotes: out += "\\\""
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
