import Formats
import FoundationEssentials
import Model
import Testing

@testable import Backends

@Suite struct RequestBuilderTests {
    private func splunk(_ change: (inout Target) -> Void = { _ in }) throws -> RecordWriter {
        var target = target(.splunk)
        change(&target)
        return .splunk(SplunkRequestBuilder(target: target, encoder: encoder(), cluster: stamp.cluster))
    }

    private func elasticsearch(_ change: (inout Target) -> Void = { _ in }) throws -> RecordWriter {
        var target = target(.elasticsearch)
        change(&target)
        return .elasticsearch(ElasticsearchRequestBuilder(target: target, encoder: encoder()))
    }

    @Test func envelopeByteForByte() throws {
        let expected =
            #"{"time":1773570645.123456,"host":"prod \"east\"","source":"sidereal","#
            + #""sourcetype":"sidereal:proberesult:json","event":{"# + nativeForm() + "}\n"
        #expect(try written(record(), by: splunk()) == expected)
    }

    @Test func envelopeHoldsTheTargetsNames() throws {
        let writer = try splunk {
            $0.index = "audit\\x"
            $0.source = "s\n1"
            $0.sourcetype = "my:type"
            $0.host = "h\"1"
        }
        let expected =
            #"{"time":1773570645.123456,"host":"h\"1","source":"s\n1","sourcetype":"my:type","index":"audit\\x","#
            + #""event":{"# + nativeForm() + "}\n"
        #expect(try written(record(), by: writer) == expected)
    }

    /// Splunk answers 200 to an unknown key and drops the event and all that follow.
    @Test func envelopeHasNoOtherKeys() throws {
        let allowed: Set = ["time", "host", "source", "sourcetype", "index", "event", "fields"]
        let text = try written(record(), by: splunk { $0.index = "audit" })
        let bytes = Array(text.utf8)
        let members = JSONAnswer.members(bytes.span, 0..<bytes.count) ?? []
        #expect(members.count >= 5)
        #expect(Set(members.map(\.key)).isSubset(of: allowed))
        #expect(members.count == Set(members.map(\.key)).count)
    }

    /// HEC keeps microseconds: cut, never rounded, always six digits and no exponent.
    @Test(arguments: [
        ("2026-03-15T10:30:45.123456789Z", "1773570645.123456"),
        ("2026-03-15T10:30:45.999999999Z", "1773570645.999999"),
        ("2026-03-15T10:30:45Z", "1773570645.000000"), ("2026-03-15T10:30:45.5Z", "1773570645.500000"),
        ("2026-03-15T12:30:45.000001+02:00", "1773570645.000001"), ("1970-01-01T00:00:00.000000001Z", "0.000000"),
    ]) func timeIsCutToMicroseconds(timestamp: String, expected: String) throws {
        let text = try written(record(timestamp: timestamp), by: splunk())
        #expect(text.hasPrefix("{\"time\":\(expected),\"host\""))
    }

    @Test func bulkPairByteForByte() throws {
        let expected =
            #"{"create":{"_index":"sidereal-proberesults-2026.03.15","#
            + #""_id":"0b1c2d3e-4f50-4617-8a29-3b4c5d6e7f80"}}"# + "\n"
            + #"{"@timestamp":"2026-03-15T10:30:45.123456789Z","# + nativeForm() + "\n"
        #expect(try written(record(), by: elasticsearch()) == expected)
    }

    /// The index is named after the record's own day in UTC, so a repeated record meets the same index.
    @Test(arguments: [
        ("2026-03-15T23:59:59.999999999Z", "2026.03.15"), ("2026-03-16T00:00:00Z", "2026.03.16"),
        ("2026-03-16T01:30:00+02:00", "2026.03.15"), ("2026-03-15T22:30:00-02:00", "2026.03.16"),
        ("2025-12-31T23:30:00-01:00", "2026.01.01"), ("2024-02-29T12:00:00Z", "2024.02.29"),
        ("2024-03-01T00:30:00+01:00", "2024.02.29"),
    ]) func indexIsNamedAfterTheRecordsDay(timestamp: String, day: String) throws {
        let text = try written(record(timestamp: timestamp), by: elasticsearch { $0.index = "audit" })
        #expect(text.hasPrefix(#"{"create":{"_index":"audit-\#(day)","_id":"#))
    }

    @Test func dataStreamHasNoDay() throws {
        let text = try written(record(), by: elasticsearch { $0.dataStream = "logs-sidereal-prod" })
        #expect(text.hasPrefix(#"{"create":{"_index":"logs-sidereal-prod","_id":"#))
    }

    /// `index` would overwrite an audit record.
    @Test func onlyCreateIsUsed() throws {
        let text = try written(record(), by: elasticsearch())
        #expect(text.split(separator: "\n").count == 2 && text.hasSuffix("\n"))
        #expect(text.hasPrefix(#"{"create":"#))
    }

    @Test func fileLineByteForByte() throws {
        let builder = FileRequestBuilder(target: target(.file), encoder: encoder())
        #expect(try written(record(), by: .file(builder)) == "{" + nativeForm() + "\n")
    }

    /// The same record gives the same bytes, whatever changed around it: nothing else recognises it after a crash.
    @Test func repeatedRecordGivesTheSameBytes() throws {
        let later = record().replacing("\"17\"", with: "\"99\"").replacing("Pending", with: "Failed")
        for writer in [try splunk(), try elasticsearch()] {
            #expect(try written(record(), by: writer) == written(later, by: writer))
        }
    }

    @Test func addressesOfRequests() throws {
        var target = target(.splunk, port: 8088)
        target.endpoint.path = "/splunk"
        let below = SplunkRequestBuilder(target: target, encoder: encoder(), cluster: "c")
        #expect(below.eventURL == "https://siem.example.com:8088/splunk/services/collector/event")
        #expect(below.healthURL == "https://siem.example.com:8088/splunk/services/collector/health")
        target.endpoint.path = "/services/collector"
        let whole = SplunkRequestBuilder(target: target, encoder: encoder(), cluster: "c")
        #expect(whole.eventURL == "https://siem.example.com:8088/services/collector/event")
        #expect(whole.healthURL == "https://siem.example.com:8088/services/collector/health")
        let bulk = ElasticsearchRequestBuilder(target: Self.elastic, encoder: encoder())
        // `status` stays in the filter, or the items' places would shift.
        #expect(
            bulk.bulkURL == "https://[2001:db8::1]:9200/_bulk?filter_path=errors,items.*.status,"
                + "items.*.failure_store,items.*.error.type,items.*.error.reason")
        #expect(bulk.rootURL == "https://[2001:db8::1]:9200/")
    }

    private static let elastic = Target(
        name: "es", backend: .elasticsearch, format: .json,
        endpoint: Endpoint(scheme: "https", host: "2001:db8::1", port: 9200, path: ""))

    @Test func fileNames() throws {
        let builder = FileRequestBuilder(target: target(.file), encoder: encoder())
        #expect(builder.fileName(target: "soc", number: 1) == "soc-000001.ndjson")
        #expect(builder.fileName(target: "soc", number: 1_234_567) == "soc-1234567.ndjson")
        for name in ["soc-000007.log", "soc-000007.ndjson.gz", "soc-000007.ndjson.open", "soc-000007.log.gz.open"] {
            #expect(FileRequestBuilder.number(inName: name, target: "soc") == 7)
        }
        var packed = target(.file)
        packed.compression = .gzip
        let compressed = FileRequestBuilder(target: packed, encoder: encoder())
        #expect(compressed.fileName(target: "soc", number: 1) == "soc-000001.ndjson.gz")
        #expect(compressed.writes("/a/soc-000001.ndjson.gz.open") && !compressed.writes("/a/soc-000001.ndjson.open"))
        #expect(builder.writes("/a/soc-000001.ndjson.open") && !builder.writes("/a/soc-000001.ndjson.gz.open"))
        for number in [1, 999_999, 1_000_000] {
            let name = builder.fileName(target: "soc", number: number)
            #expect(FileRequestBuilder.number(inName: name, target: "soc") == number)
            #expect(FileRequestBuilder.number(inName: name, target: "so") == nil)
        }
        for name in [
            "soc-1.ndjson", "soc-000001.txt", "soc-000001.open", "soc-000001-000001.ndjson", "soc-.ndjson",
            "soc-00000x.ndjson", "x-soc-000001.ndjson", "soc-99999999999999999999.ndjson", "soc-٠٠٠٠٠١.ndjson", "",
        ] {
            #expect(FileRequestBuilder.number(inName: name, target: "soc") == nil, "\(name)")
        }
    }
}

@Suite struct ParcelTests {
    private let five = batch(["a", "bb", "ccc", "dddd", "eeeee"])

    @Test func wholeBatchIsNotCopied() {
        let parcel = Parcel(batch: five, items: [0..<5])
        #expect(parcel.body() === five.bytes)
        #expect(parcel.count == 5)
    }

    @Test(arguments: [
        ([0..<1], "a\n"), ([4..<5], "eeeee\n"), ([1..<3], "bb\nccc\n"), ([0..<1, 2..<3, 4..<5], "a\nccc\neeeee\n"),
        ([0..<2, 2..<5], "a\nbb\nccc\ndddd\neeeee\n"),
    ]) func partsHoldJustTheirRecords(items: [Range<Int>], expected: String) {
        let parcel = Parcel(batch: five, items: items)
        #expect(String(decoding: parcel.body().array, as: UTF8.self) == expected)
        #expect(parcel.count == expected.count { $0 == "\n" })
    }
}
