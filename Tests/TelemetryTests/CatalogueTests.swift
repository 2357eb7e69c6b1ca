import FoundationEssentials
import Telemetry
import Testing

@Suite struct CatalogueTests {
    /// Rows of the table in docs/metrics.md: name, type, labels.
    private static func documented() throws -> [[String]] {
        let root = #filePath.components(separatedBy: "/Tests/")[0]
        let bytes = try Data(contentsOf: URL(filePath: root + "/docs/metrics.md"))
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { $0.hasPrefix("| `") }.map { row in
            let cells = row.split(separator: "|").map { $0.trimmingPrefix { $0 == " " } }
            return cells.prefix(3).map { String($0).replacing("`", with: "").trimmingSuffix() }
        }
    }

    @Test func everyMetricIsDocumentedAndNothingElse() throws {
        let expected = ExportMetrics.all.map { [$0.name, $0.kind.rawValue, $0.labels.joined(separator: ", ")] }
        #expect(try Self.documented() == expected)
    }

    /// https://prometheus.io/docs/practices/naming/
    @Test(arguments: ExportMetrics.all.map(\.name))
    func namesFollowThePractice(name: String) throws {
        let metric = try #require(ExportMetrics.all.first { $0.name == name })
        #expect(name.wholeMatch(of: /sidereal(_[a-z]+)+/) != nil)
        #expect(name.hasSuffix("_total") == (metric.kind == .counter))
        for suffix in ["_count", "_sum", "_bucket"] { #expect(!name.hasSuffix(suffix)) }
        #expect(metric.labels.allSatisfy { $0.wholeMatch(of: /[a-z]+(_[a-z]+)*/) != nil && $0 != "le" })
        #expect((metric.kind == .histogram) == !metric.buckets.isEmpty)
        #expect(metric.buckets == metric.buckets.sorted())
        #expect(metric.help.hasSuffix(".") && !metric.help.contains("\n"))
    }

    @Test func noNameTwice() {
        #expect(Set(ExportMetrics.all.map(\.name)).count == ExportMetrics.all.count)
    }

    @Test func theNameThatDashboardsUse() {
        #expect(ExportMetrics.failures.name == "sidereal_siem_export_failures_total")
        #expect(ExportMetrics.failures.labels == ["backend", "export_format"])
    }
}

extension String {
    fileprivate func trimmingSuffix() -> String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
