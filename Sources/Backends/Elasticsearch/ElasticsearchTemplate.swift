import Formats
import HTTPClient
public import Model

/// The index template that a target's records need (Elasticsearch reference, "Create or update index template"; the same
/// in OpenSearch), made of `deploy/siem/elasticsearch-index-template.json`.
///
/// Without it the first document decides what its fields are: a probe's free text may become a date, and the map of control
/// frameworks grows a field for each of its keys until the index has too many.
public struct ElasticsearchTemplate: Sendable {
    /// Grows with every change of the file. A template of ours with a lower version is replaced, no other.
    public static let version = 1
    /// What `_meta.managed_by` says in a template that is ours to replace. Whoever keeps a template of their own under
    /// its name takes that word out.
    static let owner = "sidereal-export"
    /// The pattern and priority as the file has them.
    private static let filePattern = #""index_patterns":["sidereal-proberesults-*"],"priority":300,"#
    private static let fileMeta = #""_meta":{"description":"Probe results as sidereal-export sends them"}"#
    private static let flattened = #""type":"flattened","depth_limit":70,"ignore_above":4096"#

    /// Who reads it.
    public enum Product: String, Sendable, CaseIterable {
        /// Elasticsearch, Elastic Cloud, serverless.
        case elasticsearch
        /// OpenSearch, whose `flat_object` is Elasticsearch's `flattened` without its parameters.
        case opensearch
    }

    /// Name in the cluster.
    public let name: String
    private let pattern: String
    private let isDataStream: Bool

    /// The template of `target`.
    public init(_ target: Target) {
        let stem = target.dataStream ?? target.index ?? "sidereal-proberesults"
        isDataStream = target.dataStream != nil
        name = "sidereal-export-" + stem
        pattern = isDataStream ? stem : stem + "-*"
    }

    /// The path below the endpoint.
    public var path: String { "/_index_template/" + name }

    /// The request's body, JSON.
    ///
    /// Two templates of the same priority must not match the same index. Patterns here overlap only if one target's index
    /// begins with another's, so the length of the pattern makes the difference, and the closer match wins.
    public func body(for product: Product) -> String {
        let kind = isDataStream ? #""data_stream":{},"# : ""
        let head =
            #""index_patterns":["\#(pattern)"],\#(kind)"priority":\#(300 + pattern.utf8.count),"version":\#(Self.version),"#
        let meta =
            #""_meta":{"description":"Probe results as sidereal-export sends them","managed_by":"\#(Self.owner)"}"#
        var text = Self.text.replacing(Self.filePattern, with: head).replacing(Self.fileMeta, with: meta)
        if product == .opensearch { text = text.replacing(Self.flattened, with: #""type":"flat_object""#) }
        return text
    }

    /// Whether an answer to `GET /` comes from OpenSearch (`version.distribution`).
    static func product(_ body: [UInt8]) -> Product {
        let span = body.span
        guard let version = JSONAnswer.members(span, 0..<body.count)?.first(where: { $0.key == "version" })?.value,
            let inner = JSONAnswer.members(span, version.range),
            let name = inner.first(where: { $0.key == "distribution" })?.value
        else { return .elasticsearch }
        return JSONAnswer.text(name, span) == "opensearch" ? .opensearch : .elasticsearch
    }

    /// Whether the template that `body`, a cluster's answer to `GET`, shows is to be replaced: only one of ours that is
    /// older. What cannot be read is somebody else's.
    static func isOutdated(_ body: [UInt8]) -> Bool {
        let span = body.span
        guard let list = JSONAnswer.members(span, 0..<body.count)?.first(where: { $0.key == "index_templates" })?.value,
            let entry = JSONAnswer.elements(span, list)?.first,
            let inner = JSONAnswer.members(span, entry.range)?.first(where: { $0.key == "index_template" })?.value,
            let template = JSONAnswer.members(span, inner.range),
            let meta = template.first(where: { $0.key == "_meta" })?.value,
            let owner = JSONAnswer.members(span, meta.range)?.first(where: { $0.key == "managed_by" })?.value,
            JSONAnswer.text(owner, span) == Self.owner,
            let found = template.first(where: { $0.key == "version" })?.value,
            let number = JSONAnswer.integer(found, span)
        else { return false }
        return number < version
    }
}
