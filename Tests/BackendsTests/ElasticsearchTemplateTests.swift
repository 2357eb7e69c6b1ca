import Foundation
import Model
import Testing

@testable import Backends

@Suite struct ElasticsearchTemplateTests {
    private func template(_ change: (inout Target) -> Void = { _ in }) -> ElasticsearchTemplate {
        var target = target(.elasticsearch)
        change(&target)
        return ElasticsearchTemplate(target)
    }

    private func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    /// The file is what people read and install by hand; the program holds the same, less the white space.
    @Test func programAndFileAgree() throws {
        let path = #filePath.components(separatedBy: "/Tests/")[0] + "/deploy/siem/elasticsearch-index-template.json"
        let file = try object(String(contentsOfFile: path, encoding: .utf8))
        #expect(NSDictionary(dictionary: file) == NSDictionary(dictionary: try object(ElasticsearchTemplate.text)))
    }

    @Test func followsTheTarget() throws {
        let plain = template()
        #expect(plain.path == "/_index_template/sidereal-export-sidereal-proberesults")
        let standard = try object(plain.body(for: .elasticsearch))
        #expect(standard["index_patterns"] as? [String] == ["sidereal-proberesults-*"])
        #expect(standard["version"] as? Int == ElasticsearchTemplate.version)
        #expect((standard["_meta"] as? [String: String])?["managed_by"] == "sidereal-export")
        #expect(standard["data_stream"] == nil)
        let file = try object(ElasticsearchTemplate.text)
        #expect(
            NSDictionary(dictionary: try #require(standard["template"] as? [String: Any]))
                == NSDictionary(dictionary: try #require(file["template"] as? [String: Any])))
        let stream = template { $0.dataStream = "logs-sidereal-prod" }
        #expect(stream.path == "/_index_template/sidereal-export-logs-sidereal-prod")
        let made = try object(stream.body(for: .elasticsearch))
        #expect(made["index_patterns"] as? [String] == ["logs-sidereal-prod"])
        #expect((made["data_stream"] as? [String: Any])?.isEmpty == true)
    }

    /// Elasticsearch refuses a template whose pattern overlaps with another's of the same priority.
    @Test func closerPatternsComeFirst() throws {
        let outer = try object(template { $0.index = "audit" }.body(for: .elasticsearch))
        let inner = try object(template { $0.index = "audit-prod" }.body(for: .elasticsearch))
        #expect(try #require(outer["priority"] as? Int) < #require(inner["priority"] as? Int))
    }

    @Test func openSearchHasAnotherWord() throws {
        let text = template().body(for: .opensearch)
        #expect(!text.contains("flattened") && !text.contains("depth_limit"))
        #expect(text.components(separatedBy: #""type":"flat_object""#).count - 1 == 4)
        _ = try object(text)
        for (answer, product) in [
            (#"{"version":{"distribution":"opensearch","number":"2.17.0"}}"#, ElasticsearchTemplate.Product.opensearch),
            (#"{"version":{"number":"8.15.0","build_flavor":"serverless"}}"#, .elasticsearch),
            (#"{"version":{"distribution":17}}"#, .elasticsearch), ("", .elasticsearch), ("[]", .elasticsearch),
        ] { #expect(ElasticsearchTemplate.product(Array(answer.utf8)) == product) }
    }

    /// Only an older one of ours.
    @Test func whatIsReplaced() throws {
        func found(_ inner: String) -> [UInt8] {
            Array(#"{"index_templates":[{"name":"n","index_template":{\#(inner)}}]}"#.utf8)
        }
        let ours = #""_meta":{"managed_by":"sidereal-export"}"#
        #expect(ElasticsearchTemplate.isOutdated(found(#""version":0,\#(ours)"#)))
        for other in [
            #""version":\#(ElasticsearchTemplate.version),\#(ours)"#,
            #""version":\#(ElasticsearchTemplate.version + 1),\#(ours)"#, ours, #""version":0"#,
            #""version":0,"_meta":{"managed_by":"platform-team"}"#, #""version":"0",\#(ours)"#, "",
        ] { #expect(!ElasticsearchTemplate.isOutdated(found(other)), "\(other)") }
        for unreadable in ["", "[]", #"{"index_templates":[]}"#, #"{"index_templates":{}}"#] {
            #expect(!ElasticsearchTemplate.isOutdated(Array(unreadable.utf8)))
        }
    }
}
