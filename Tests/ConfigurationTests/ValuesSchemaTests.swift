import Configuration
import FoundationEssentials
import Model
import Testing

/// deploy/values.schema.json says what the reader of the configuration does.
@Suite struct ValuesSchemaTests {
    private struct Schema: Decodable {
        struct Definitions: Decodable {
            var target: Target
            var cefLeefOrOCSF: Owner
            var cef: Owner
            var syslog: Owner
        }

        enum CodingKeys: String, CodingKey { case definitions = "$defs" }
        var definitions: Definitions
    }

    private struct Target: Decodable {
        var properties: [String: Property]
        var dependentSchemas: [String: Reference]
    }

    private struct Property: Decodable {
        struct Choice: Decodable { var minimum: Int?, maximum: Int? }

        var minimum: Int?, maximum: Int?, maxLength: Int?
        var `enum`: [String]?
        var anyOf: [Choice]?
        var number: Int?
        var text: String?

        enum CodingKeys: String, CodingKey { case minimum, maximum, maxLength, `enum`, anyOf, `default` }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            minimum = try values.decodeIfPresent(Int.self, forKey: .minimum)
            maximum = try values.decodeIfPresent(Int.self, forKey: .maximum)
            maxLength = try values.decodeIfPresent(Int.self, forKey: .maxLength)
            `enum` = try values.decodeIfPresent([String].self, forKey: .enum)
            anyOf = try values.decodeIfPresent([Choice].self, forKey: .anyOf)
            number = try? values.decode(Int.self, forKey: .default)
            text = try? values.decode(String.self, forKey: .default)
        }
    }

    private struct Reference: Decodable {
        enum CodingKeys: String, CodingKey { case name = "$ref" }
        var name: String
    }

    private struct Owner: Decodable {
        struct Properties: Decodable { var format: Formats }
        struct Formats: Decodable { var `enum`: [String] }

        var properties: Properties
        var required: [String]
    }

    private static func schema() throws -> Schema {
        let root = (0..<3).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
        let data = try Data(contentsOf: root.appending(path: "deploy/values.schema.json"))
        return try JSONDecoder().decode(Schema.self, from: data)
    }

    @Test func everyKeyOfAFormatIsThereAndNoOther() throws {
        let target = try Self.schema().definitions.target
        #expect(Set(target.properties.keys) == Set(Capabilities.formatKeys.map(\.key) + ["format"]))
        #expect(target.properties["format"]?.enum == FormatKind.allCases.map(\.rawValue))
        #expect(target.properties["format"]?.text == FormatKind.json.rawValue)
    }

    @Test func everyKeyBelongsToItsFormats() throws {
        let definitions = try Self.schema().definitions
        let owners = [
            "#/$defs/cefLeefOrOCSF": definitions.cefLeefOrOCSF, "#/$defs/cef": definitions.cef,
            "#/$defs/syslog": definitions.syslog, "#/$defs/syslogMessage": definitions.syslog,
        ]
        #expect(definitions.target.dependentSchemas.count == Capabilities.formatKeys.count)
        for (key, formats) in Capabilities.formatKeys {
            let owner = try #require(definitions.target.dependentSchemas[key].flatMap { owners[$0.name] }, "\(key)")
            #expect(Set(owner.properties.format.enum) == Set(formats.map(\.rawValue)), "\(key)")
            // Without a format a target has `json`, to which none of them belongs.
            #expect(owner.required == ["format"])
            // Some mean the same for every format where its lines travel as syslog messages.
            let reference = definitions.target.dependentSchemas[key]?.name
            let text = syslog("format: leef", "\(key): \(key == "appName" ? "probes" : "1")")
            let isKnown = !problems(text).contains { $0.message.hasPrefix("belongs to the format") }
            #expect(isKnown == (reference == "#/$defs/syslogMessage" || formats.contains(.leef)), "\(key)")
        }
    }

    @Test func boundsAreTheReaders() throws {
        let properties = try Self.schema().definitions.target.properties
        for (key, range) in FormatBounds.whole {
            #expect(
                properties[key]?.minimum == range.lowerBound && properties[key]?.maximum == range.upperBound, "\(key)")
        }
        #expect(properties["vendor"]?.maxLength == FormatBounds.headerBytes)
        #expect(properties["product"]?.maxLength == FormatBounds.headerBytes)
        let size = properties["maxMessageBytes"]?.anyOf?.first
        #expect(size?.minimum == FormatBounds.messageBytes.lowerBound)
        #expect(size?.maximum == FormatBounds.messageBytes.upperBound)
    }

    @Test func defaultsAreThePrograms() throws {
        let properties = try Self.schema().definitions.target.properties
        let options = FormatOptions()
        #expect(properties["vendor"]?.text == options.vendor)
        #expect(properties["product"]?.text == options.product)
        #expect(properties["cefVersion"]?.number == options.cefVersion)
        #expect(properties["facility"]?.number == options.facility)
        #expect(properties["appName"]?.text == options.appName)
        #expect(properties["enterpriseId"]?.number == options.enterpriseID)
        #expect(properties["maxMessageBytes"]?.number == nil && options.maxMessageBytes == 0)
    }
}
