import Formats
import Model
import Testing

@Suite struct CEFTests {
    private static let stamp = ExportStamp(version: "0.1.0", cluster: "prod-east")
    static let roundTrip = LineRoundTrip(
        keys: [
            "metadata.uid": "siderealUid", "metadata.name": "siderealName", "metadata.namespace": "siderealNamespace",
            "metadata.creationTimestamp": "siderealCreationTimestamp", "metadata.labels": "siderealLabels",
            "metadata.annotations": "siderealAnnotations", "spec.probe.profile": "cat",
            "spec.probe.targetNamespace": "cs3", "spec.probe.aoAuthorizationRef": "flexString2",
            "spec.result.crosswalkVersion": "siderealCrosswalkVersion", "spec.result.mitreAttackId": "cs5",
            "spec.result.detail": "msg", "spec.result.verificationMode": "flexString1",
            "spec.result.nistControls": "cs2", "spec.result.controlMappings": "cs1",
            "spec.execution.jobName": "deviceProcessName",
        ], exactKey: "siderealExact", extraKey: "siderealExtra", spellsLineEnds: true)

    private static func encoder(_ version: Int = 0, stamp: ExportStamp = stamp) -> CEFRecordEncoder {
        var options = FormatOptions()
        options.cefVersion = version
        return CEFRecordEncoder(stamp: stamp, options: options)
    }

    @Test(arguments: 0..<8) func hostileRecordIsReadBack(seed: UInt64) throws {
        var rng = PRNG(seed: seed)
        for _ in 0..<60 {
            let record = HostileRecord(&rng)
            let line = try CEFReader(LineRoundTrip.encode(Self.encoder(), record.json))
            try Self.roundTrip.check(line.values, record)
        }
    }

    @Test func hostileRecordIsReadBackInVersion1() throws {
        var roundTrip = Self.roundTrip
        roundTrip.keys["spec.probe.targetNamespace"] = "reportedResourceName"
        roundTrip.keys["spec.result.mitreAttackId"] = "threatAttackID"
        var rng = PRNG(seed: 77)
        for _ in 0..<60 {
            let record = HostileRecord(&rng)
            let line = try CEFReader(LineRoundTrip.encode(Self.encoder(1), record.json))
            #expect(line.header[0] == "CEF:1")
            #expect(line.values["reportedDuration"] == "1234" && line.values["cn1"] == nil)
            try roundTrip.check(line.values, record)
        }
    }

    @Test func goldenLinesAreWritten() throws {
        try Golden.check("cef.txt") { try LineRoundTrip.encode(Self.encoder(), $0) }
    }

    private func record(
        time: String = "2026-03-15T08:30:00.123456789Z", duration: String = "1234", result: String = "",
        profile: String = "rbac"
    ) -> String {
        #"{"metadata":{"uid":"u"},"spec":{"probe":{"id":"550e8400-e29b-41d4-a716-446655440000","profile":"\#(profile)","#
            + #""targetNamespace":"n"},"result":{"outcome":"Pass","controlEffectiveness":"Effective","#
            + #""integrityStatus":"Verified"\#(result)},"execution":{"timestamp":"\#(time)","durationMs":\#(duration),"#
            + #""jobName":"j"},"audit":{}}}"#
    }

    @Test(arguments: [
        ("2026-03-15T08:30:00.123456789Z", "1234", "1773563400123", "1773563401357"),
        ("1970-01-01T00:00:00Z", "0", "0", "0"),
        ("2001-09-09T01:46:39.999Z", "1", "999999999999", "1000000000000"),
        ("9999-12-31T23:59:59.999Z", "1", "253402300799999", nil),
        ("1969-12-31T23:59:59.9991Z", "1", "Dec 31 1969 23:59:59.999 UTC", "0"),
        ("0001-01-01T23:59:00+23:59", "0", "Jan 01 0001 00:00:00.000 UTC", "Jan 01 0001 00:00:00.000 UTC"),
        ("2026-03-15T08:30:00Z", "-1", "1773563400000", nil),
        ("2026-03-15T08:30:00Z", "9223372036854775807", "1773563400000", nil),
    ]) func timesAreMilliseconds(time: String, duration: String, start: String, end: String?) throws {
        let line = try CEFReader(LineRoundTrip.encode(Self.encoder(), record(time: time, duration: duration)))
        #expect(line.values["rt"] == start && line.values["start"] == start)
        #expect(line.values["end"] == end)
        #expect(line.values["cn1"] == duration)
        #expect(line.values["siderealTimestamp"] == time)
    }

    @Test func everyThirteenDigitNumberIsWrittenInFull() throws {
        var rng = PRNG(seed: 5)
        for _ in 0..<300 {
            let seconds = 1_000_000_000 + Int64(rng.below(9_000_000_000))
            var time = ByteWriter()
            Timestamp(seconds: seconds, nanoseconds: 7_000_000).write(digits: 3, into: &time)
            let text = String(decoding: time.seal().array, as: UTF8.self)
            let line = try CEFReader(LineRoundTrip.encode(Self.encoder(), record(time: text, duration: "0")))
            #expect(line.values["rt"] == "\(seconds * 1000 + 7)")
        }
    }

    @Test func longDetailIsCutBetweenCharactersAndKeptWhole() throws {
        let detail = String(repeating: "x", count: 1022) + "漢"
        let line = try CEFReader(LineRoundTrip.encode(Self.encoder(), record(result: ",\"detail\":\"\(detail)\"")))
        #expect(line.values["msg"] == String(repeating: "x", count: 1022))
        #expect(line.values["siderealExact"] == "{\"spec.result.detail\":\"\(detail)\"}")
    }

    @Test func valueAsLongAsTheMaximumIsNotCut() throws {
        let detail = String(repeating: "x", count: 1023)
        let line = try CEFReader(LineRoundTrip.encode(Self.encoder(), record(result: ",\"detail\":\"\(detail)\"")))
        #expect(line.values["msg"] == detail)
        #expect(line.values["siderealExact"] == nil)
    }

    @Test func escapedProfileIsTheSameProfile() throws {
        let plain = try LineRoundTrip.encode(Self.encoder(), record())
        #expect(try LineRoundTrip.encode(Self.encoder(), record(profile: "\\u0072bac")) == plain)
    }

    @Test func controlsInAnyOrderAndSpellingGiveTheSameLine() throws {
        let sorted = #","controlMappings":{"cmmc":["A-1"],"nist-800-53":["AC-3","AC-6"]}"#
        let plain = try LineRoundTrip.encode(Self.encoder(), record(result: sorted))
        let values = try CEFReader(plain).values
        #expect(values["cs1"] == "cmmc:A-1;nist-800-53:AC-3,AC-6")
        for other in [
            #","controlMappings": { "nist-800-53" : [ "AC-3" , "AC-6" ], "cmmc" : [ "A-1" ] }"#,
            #","controlMappings":{ "cmmc" : [ "A-1" ] , "nist-800-53" : [ "AC-3" , "AC-6" ] }"#,
            #","controlMappings":{"cmm\u0063":["A\u002d1"],"nist-800-53":["AC-3","AC-6"]}"#,
        ] {
            #expect(try LineRoundTrip.encode(Self.encoder(), record(result: other)) == plain)
        }
    }

    @Test(arguments: ["{}", "null", #"{"a":[]}"#, #"{"a":[""]}"#, #"{"a:b":["c"]}"#, #"{"":["a"]}"#])
    func unusualMappingsAreToldApart(json: String) throws {
        let line = try CEFReader(
            LineRoundTrip.encode(Self.encoder(), record(result: ",\"controlMappings\":\(json)")))
        switch json {
        case "null": #expect(line.values["cs1"] == nil && line.values["siderealExact"] == nil)
        case #"{"a":[]}"#: #expect(line.values["cs1"] == "a:" && line.values["siderealExact"] == nil)
        default: #expect(line.values["siderealExact"] == "{\"spec.result.controlMappings\":\(json)}")
        }
    }

    @Test(arguments: HostileStamp.all) func hostileStampIsKept(cluster: String) throws {
        let stamp = ExportStamp(version: cluster, cluster: cluster)
        let line = try CEFReader(LineRoundTrip.encode(Self.encoder(stamp: stamp), record()))
        try HostileStamp.check(
            line.values["siderealExact"], cluster, shown: line.values["deviceExternalId"], version: line.header[3])
    }
}
