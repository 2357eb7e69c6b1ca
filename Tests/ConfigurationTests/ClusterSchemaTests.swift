import ExportCore
import FoundationEssentials
import Model
import Testing

@testable import Configuration

/// What deploy/values.schema.json says of `cluster` and `audit` is what the reader does.
@Suite struct ClusterSchemaTests {
    private struct Schema: Decodable {
        struct Definitions: Decodable { var audit: Node, cluster: Node }

        enum CodingKeys: String, CodingKey { case definitions = "$defs" }
        var definitions: Definitions
    }

    /// A key, or a section with keys.
    private struct Node: Decodable {
        struct Choice: Decodable { var minimum: Int?, maximum: Int? }

        var properties: [String: Node]
        var isClosed: Bool
        var minimum: Int?, maximum: Int?, maxItems: Int?, maxLength: Int?
        var from: String?, to: String?
        var `enum`: [String]?
        var anyOf: [Choice]?
        /// Whole numbers as text; the members of lists.
        var defaults: [String]

        enum CodingKeys: String, CodingKey {
            case properties, additionalProperties, minimum, maximum, maxItems, maxLength, `enum`, anyOf, `default`
            case from = "x-from"
            case to = "x-to"
        }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            properties = try values.decodeIfPresent([String: Node].self, forKey: .properties) ?? [:]
            isClosed = try values.decodeIfPresent(Bool.self, forKey: .additionalProperties) == false
            minimum = try values.decodeIfPresent(Int.self, forKey: .minimum)
            maximum = try values.decodeIfPresent(Int.self, forKey: .maximum)
            maxItems = try values.decodeIfPresent(Int.self, forKey: .maxItems)
            maxLength = try values.decodeIfPresent(Int.self, forKey: .maxLength)
            from = try values.decodeIfPresent(String.self, forKey: .from)
            to = try values.decodeIfPresent(String.self, forKey: .to)
            `enum` = try values.decodeIfPresent([String].self, forKey: .enum)
            anyOf = try values.decodeIfPresent([Choice].self, forKey: .anyOf)
            let number = (try? values.decode(Int.self, forKey: .default)).map { ["\($0)"] }
            let text = (try? values.decode(String.self, forKey: .default)).map { [$0] }
            defaults = try number ?? text ?? values.decodeIfPresent([String].self, forKey: .default) ?? []
        }
    }

    private static func sections() throws -> [String: Node] {
        let root = (0..<3).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
        let data = try Data(contentsOf: root.appending(path: "deploy/values.schema.json"))
        let definitions = try JSONDecoder().decode(Schema.self, from: data).definitions
        return [
            "audit": definitions.audit, "cluster": definitions.cluster,
            "cluster.lease": try #require(definitions.cluster.properties["lease"]),
            "cluster.endpoint": try #require(definitions.cluster.properties["endpoint"]),
        ]
    }

    /// Whether the reader refuses a value of a key for being out of range.
    private func isRefused(_ section: String, _ key: String, _ value: String) -> Bool {
        let names = section.split(separator: ".")
        let opening = names.map { "\($0): {" }.joined()
        let text = file(head: opening + "\(key): \(value)" + String(repeating: "}", count: names.count) + "\n")
        return problems(text).contains { problem in
            let isOfRange = problem.message.contains("from ") || problem.message.contains("is out of range")
            return problem.keyPath == "\(section).\(key)" && isOfRange
        }
    }

    @Test func everyKeyIsThereAndNoOther() throws {
        let sections = try Self.sections()
        let keys = [
            "audit": ConfigurationReader.auditKeys, "cluster": ClusterReader.keys,
            "cluster.lease": ClusterReader.leaseKeys, "cluster.endpoint": ClusterReader.endpointKeys,
        ]
        for (name, section) in sections {
            #expect(Set(section.properties.keys) == Set(try #require(keys[name])), "\(name)")
            #expect(section.isClosed, "\(name)")
        }
        #expect(sections["audit"]?.properties["resumeOn"]?.enum == ResumeOn.allCases.map(\.rawValue))
    }

    @Test func boundsAreTheReaders() throws {
        var checked = 0
        for (name, section) in try Self.sections() {
            for (key, node) in section.properties {
                let whole = node.minimum.map { ($0, node.maximum ?? 0, "") }
                let sizes = node.anyOf?.first.map { ($0.minimum ?? 0, $0.maximum ?? 0, "") }
                let times = node.from.flatMap { Quantity.milliseconds($0) }.map {
                    (Int($0), Int(Quantity.milliseconds(node.to ?? "") ?? 0), "ms")
                }
                guard let (low, high, unit) = whole ?? sizes ?? times else { continue }
                checked += 1
                for inside in [low, high] { #expect(!isRefused(name, key, "\(inside)\(unit)"), "\(key): \(inside)") }
                for outside in [low - 1, high + 1] {
                    #expect(isRefused(name, key, "\(outside)\(unit)"), "\(key): \(outside)")
                }
            }
        }
        #expect(checked == 12)
    }

    @Test func defaultsAreThePrograms() throws {
        let (sections, settings) = (try Self.sections(), ClusterSettings())
        func text(_ section: String, _ key: String) -> [String] { sections[section]?.properties[key]?.defaults ?? [] }
        func time(_ section: String, _ key: String) -> UInt64? {
            text(section, key).first.flatMap(Quantity.milliseconds)
        }
        #expect(text("cluster", "shards") == ["\(settings.shards)"])
        #expect(text("cluster", "coordinators") == settings.coordinators.map(\.description))
        #expect(text("cluster", "listen") == [settings.listen.description])
        #expect(time("cluster.lease", "duration") == settings.leaseDuration)
        #expect(time("cluster.lease", "renewDeadline") == settings.renewDeadline)
        #expect(time("cluster.lease", "retryPeriod") == settings.retryPeriod)
        #expect(time("cluster", "workerLease") == settings.workerLease)
        #expect(time("cluster", "releaseDeadline") == settings.releaseDeadline)
        #expect(text("cluster", "windowBytes").first.flatMap(Quantity.bytes) == UInt64(settings.windowBytes))
        #expect(text("cluster.endpoint", "host") == [settings.endpointHost])
        #expect(text("cluster.endpoint", "metrics") == ["\(settings.metricsPort)"])
        #expect(text("cluster.endpoint", "health") == ["\(settings.healthPort)"])
        #expect(text("cluster", "peerCertificates") == [settings.peerCertificates])
        let gate = ExportGateSettings()
        #expect(text("audit", "failureThreshold") == ["\(gate.failureThreshold)"])
        #expect(time("audit", "ageLimit") == gate.ageLimit)
    }
}
