import Formats
import FoundationEssentials
import Model
import Testing

@testable import Backends

/// What each backend puts around each format.
@Suite struct FormatsInBackendsTests {
    static let uid = "8c6a2f0e-5b0e-4c55-9d3c-5b8f6c2e1a11"
    static let probe = "3f0e8c6a-9d3c-4c55-8b0e-5b8f6c2e1a22"
    static let stamp = ExportStamp(version: "0.1.0", cluster: "prod-east")
    static let texts: [FormatKind] = [.cef, .leef, .syslog]

    /// A record whose detail holds whatever an envelope could trip over.
    static func line(outcome: String = "Pass", effectiveness: String = "Effective", seconds: String = "1.5") -> String {
        let detail = #"\"}\\n{\"_index\":1}\n\r\t\u0000\u001f\u007f\u0085\u2028\ud83d\ude00 a|b=c]d\\ \ud800 \u202e"#
        return #"{"metadata":{"uid":"\#(uid)","name":"r"},"spec":{"probe":{"id":"\#(probe)","profile":"rbac","#
            + #""targetNamespace":"payments"},"result":{"outcome":"\#(outcome)","#
            + #""controlEffectiveness":"\#(effectiveness)","integrityStatus":"Verified","detail":"\#(detail)"},"#
            + #""execution":{"timestamp":"2026-03-15T08:30:0\#(seconds)Z","durationMs":7,"jobName":"j"},"#
            + #""audit":{"exportStatus":"Failed"}}}"#
    }

    /// Bytes of one record in the backend's envelope, and what the encoder alone writes.
    func carried(
        _ backend: BackendKind, _ format: FormatKind, line: String = line(), _ change: (inout Target) -> Void = { _ in }
    ) throws -> (envelope: String, encoded: String) {
        let endpoint = Endpoint(scheme: "https", host: "h", port: 1, path: "")
        var target = Target(name: "t", backend: backend, format: format, endpoint: endpoint)
        change(&target)
        let encoder = FormatEncoder(format, stamp: Self.stamp, options: target.formatOptions)
        let bytes = SealedBytes(Array(line.utf8))
        var reader = ProbeResultReader()
        try reader.read(bytes.span, 0..<bytes.count)
        var encoded = ByteWriter()
        encoder.encode(reader.record, of: bytes.span, into: &encoded)
        var out = ByteWriter()
        var scratch = ByteWriter()
        scratch.append("left over from the record before")
        switch backend {
        case .splunk:
            SplunkRequestBuilder(target: target, encoder: encoder, cluster: "prod-east")
                .append(reader.record, of: bytes.span, into: &out, scratch: &scratch)
        case .elasticsearch:
            ElasticsearchRequestBuilder(target: target, encoder: encoder)
                .append(reader.record, of: bytes.span, into: &out, scratch: &scratch)
        default:
            FileRequestBuilder(target: target, encoder: encoder).append(reader.record, of: bytes.span, into: &out)
        }
        return (
            try #require(String(validating: out.seal().array, as: UTF8.self)),
            try #require(String(validating: encoded.seal().array, as: UTF8.self))
        )
    }

    private func decode<Value: Decodable>(_ text: some StringProtocol, as type: Value.Type = Value.self) throws -> Value
    {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }

    /// Lines by their line feed alone: a text holds other characters that Swift calls new lines.
    private func lines(_ text: String) -> [String] {
        let parts = text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false)
        return parts.map { String(Substring($0)) }
    }

    private struct Event: Decodable {
        var event: String
        var time: Double
        var host: String
        var source: String
        var sourcetype: String
        var fields: [String: String]
    }

    @Test(arguments: texts)
    func splunkCarriesTextAsAString(_ format: FormatKind) throws {
        let (envelope, encoded) = try carried(.splunk, format)
        let event = try decode(envelope, as: Event.self)
        #expect(Array(event.event.utf8) == Array(encoded.utf8))
        #expect(event.fields == ["uid": Self.uid, "probe_id": Self.probe])
        #expect(event.sourcetype == "sidereal:proberesult:\(format.rawValue)")
        #expect(event.host == "prod-east")
        #expect(envelope.hasPrefix(#"{"time":1773563401.500000,"#))
        let keys = try decode(envelope, as: [String: Ignored].self).keys
        #expect(Set(keys) == ["time", "host", "source", "sourcetype", "event", "fields"])
    }

    @Test(arguments: [FormatKind.json, .ocsf])
    func splunkCarriesJSONAsItIs(_ format: FormatKind) throws {
        let (envelope, encoded) = try carried(.splunk, format)
        #expect(envelope.hasSuffix(#","event":\#(encoded)}"# + "\n"))
        #expect(encoded.hasPrefix("{") && encoded.hasSuffix("}"))
        #expect(envelope.contains(#""sourcetype":"sidereal:proberesult:\#(format.rawValue)""#))
        let identity = try decode(envelope, as: Identity.self)
        #expect(identity.event.metadata.uid == Self.uid)
    }

    private struct Identity: Decodable {
        struct Metadata: Decodable { var uid: String }
        struct Inner: Decodable { var metadata: Metadata }
        var event: Inner
    }

    /// A value of any type.
    private struct Ignored: Decodable {
        init(from decoder: any Decoder) throws {}
    }

    private struct Document: Decodable {
        struct Event: Decodable {
            var id: String
            var kind: String
            var outcome: String
            var original: String
        }
        var timestamp: String
        var message: String
        var event: Event

        enum CodingKeys: String, CodingKey {
            case timestamp = "@timestamp"
            case message, event
        }
    }

    @Test(arguments: texts)
    func elasticsearchWrapsText(_ format: FormatKind) throws {
        let (envelope, encoded) = try carried(.elasticsearch, format)
        let parts = lines(envelope)
        #expect(parts.count == 3)
        #expect(parts[0] == #"{"create":{"_index":"sidereal-proberesults-2026.03.15","_id":"\#(Self.probe)"}}"#)
        #expect(parts[2].isEmpty)
        let document = try decode(parts[1], as: Document.self)
        #expect(document.timestamp == "2026-03-15T08:30:01.500000000Z")
        #expect(Array(document.message.utf8) == Array(encoded.utf8))
        #expect(Array(document.event.original.utf8) == Array(encoded.utf8))
        #expect(document.event.id == Self.uid)
        #expect(document.event.kind == "event")
        #expect(document.event.outcome == "success")
        #expect(Set(try decode(parts[1], as: [String: Ignored].self).keys) == ["@timestamp", "message", "event"])
    }

    @Test(arguments: texts)
    func elasticsearchCallsEveryOtherEffectivenessAFailure(_ format: FormatKind) throws {
        for effectiveness in ["Ineffective", "Degraded", "Compromised"] {
            let line = Self.line(outcome: "Fail", effectiveness: effectiveness)
            let parts = lines(try carried(.elasticsearch, format, line: line).envelope)
            #expect(try decode(parts[1], as: Document.self).event.outcome == "failure")
        }
    }

    @Test(arguments: [FormatKind.json, .ocsf])
    func elasticsearchCarriesJSONInline(_ format: FormatKind) throws {
        let (envelope, encoded) = try carried(.elasticsearch, format) { $0.dataStream = "logs-sidereal-default" }
        let parts = lines(envelope)
        #expect(parts.count == 3)
        #expect(parts[0] == #"{"create":{"_index":"logs-sidereal-default","_id":"\#(Self.probe)"}}"#)
        #expect(parts[1] == #"{"@timestamp":"2026-03-15T08:30:01.500000000Z","# + encoded.dropFirst())
        let keys = try decode(parts[1], as: [String: Ignored].self).keys
        #expect(keys.contains("metadata"))
    }

    @Test(arguments: FormatKind.allCases)
    func filesHaveALinePerRecord(_ format: FormatKind) throws {
        let (envelope, encoded) = try carried(.file, format)
        #expect(Array(envelope.utf8) == Array(encoded.utf8) + [0x0A])
        #expect(!encoded.utf8.contains(0x0A) && !encoded.utf8.contains(0x0D))
    }

    @Test(arguments: FormatKind.allCases)
    func filesAreNamedAfterWhatTheyHold(_ format: FormatKind) {
        let endpoint = Endpoint(scheme: "file", host: "", port: 0, path: "/a")
        let target = Target(name: "t", backend: .file, format: format, endpoint: endpoint)
        let encoder = FormatEncoder(format, stamp: Self.stamp, options: FormatOptions())
        let builder = FileRequestBuilder(target: target, encoder: encoder)
        let name = builder.fileName(target: "t", number: 3)
        #expect(name == "t-000003.\(Self.texts.contains(format) ? "log" : "ndjson")")
        #expect(FileRequestBuilder.number(inName: name, target: "t") == 3)
    }

    @Test func optionsOfATargetReachItsEncoder() throws {
        let cef = try carried(.file, .cef) {
            $0.formatOptions.vendor = "Example"
            $0.formatOptions.product = "Probes"
            $0.formatOptions.cefVersion = 1
        }
        #expect(cef.encoded.hasPrefix("CEF:1|Example|Probes|0.1.0|"))
        let leef = try carried(.file, .leef) { $0.formatOptions.vendor = "Example" }
        #expect(leef.encoded.hasPrefix("LEEF:2.0|Example|Sidereal|0.1.0|"))
        let syslog = try carried(.file, .syslog) {
            $0.formatOptions.facility = 23
            $0.formatOptions.appName = "probes"
            $0.formatOptions.enterpriseID = 4_294_967_295
        }
        #expect(syslog.encoded.hasPrefix("<190>1 2026-03-15T08:30:01.5Z prod-east probes "))
        #expect(syslog.encoded.contains("@4294967295 "))
        let ocsf = try carried(.file, .ocsf) { $0.formatOptions.product = "Probes" }
        #expect(ocsf.encoded.contains(#""name":"Probes""#))
    }

    @Test func timesBeforeTheEpochAreSortedOut() throws {
        let (envelope, _) = try carried(
            .splunk, .cef, line: Self.line().replacing("2026-03-15T08:30:01.5Z", with: "1969-12-31T23:59:59.25Z"))
        #expect(envelope.hasPrefix(#"{"time":-0.750000,"#))
    }
}
