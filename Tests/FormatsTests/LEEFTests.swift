import Formats
import Model
import Testing

@Suite struct LEEFTests {
    private static let encoder = LEEFRecordEncoder(
        stamp: ExportStamp(version: "0.1.0", cluster: "prod-east"), options: FormatOptions())
    static let roundTrip = LineRoundTrip(
        keys: [
            "metadata.uid": "uid", "metadata.name": "recordName", "metadata.namespace": "recordNamespace",
            "metadata.creationTimestamp": "creationTimestamp", "metadata.labels": "labels",
            "metadata.annotations": "annotations", "spec.probe.profile": "profile",
            "spec.probe.targetNamespace": "targetNamespace", "spec.probe.aoAuthorizationRef": "aoAuthorizationRef",
            "spec.result.crosswalkVersion": "crosswalkVersion", "spec.result.mitreAttackId": "mitreAttackId",
            "spec.result.detail": "detail", "spec.result.verificationMode": "verificationMode",
            "spec.result.nistControls": "nistControls", "spec.result.controlMappings": "controlMappings",
            "spec.execution.jobName": "jobName",
        ], exactKey: "exact", extraKey: "extra", spellsLineEnds: false)

    @Test(arguments: 0..<8) func hostileRecordIsReadBack(seed: UInt64) throws {
        var rng = PRNG(seed: seed)
        for _ in 0..<60 {
            let record = HostileRecord(&rng)
            let line = try LEEFReader(LineRoundTrip.encode(Self.encoder, record.json))
            try Self.roundTrip.check(line.values, record)
        }
    }

    @Test func goldenLinesAreWritten() throws {
        try Golden.check("leef.txt") { try LineRoundTrip.encode(Self.encoder, $0) }
    }

    private func record(time: String = "2026-03-15T08:30:00.123456789Z", profile: String = "rbac") -> String {
        #"{"metadata":{"uid":"u"},"spec":{"probe":{"id":"550e8400-e29b-41d4-a716-446655440000","profile":"\#(profile)","#
            + #""targetNamespace":"n"},"result":{"outcome":"Fail","controlEffectiveness":"Ineffective","#
            + #""integrityStatus":"Verified"},"execution":{"timestamp":"\#(time)","durationMs":1,"#
            + #""jobName":"j"},"audit":{}}}"#
    }

    @Test(arguments: [
        ("2026-03-15T08:30:00.123456789Z", "1773563400123", nil),
        ("2001-09-09T01:46:39.999Z", "Sep 09 2001 01:46:39.999 UTC", "MMM dd yyyy HH:mm:ss.SSS zzz"),
        ("2300-01-02T03:04:05Z", "Jan 02 2300 03:04:05.000 UTC", "MMM dd yyyy HH:mm:ss.SSS zzz"),
    ]) func timeHasThirteenDigitsOrAFormat(time: String, devTime: String, format: String?) throws {
        let line = try LEEFReader(LineRoundTrip.encode(Self.encoder, record(time: time)))
        #expect(line.values["devTime"] == devTime && line.values["devTimeFormat"] == format)
        #expect(line.values["timestamp"] == time)
    }

    @Test(arguments: [
        ("rbac", "probe:rbac:Fail"), ("netpol", "probe:netpol:Fail"), ("admission", "probe:admission:Fail"),
        ("secret", "probe:secret:Fail"), ("detection", "probe:detection:Fail"), ("rbad", "probe:custom:Fail"),
        ("acme.gov/egress|x", "probe:custom:Fail"),
    ]) func eventIDIsOfAFixedVocabulary(profile: String, eventID: String) throws {
        let line = try LEEFReader(LineRoundTrip.encode(Self.encoder, record(profile: profile)))
        #expect(line.header[4] == eventID && line.header[5] == "x09")
        #expect(line.values["profile"] == profile)
        #expect(line.values["sev"] == "8" && line.values["cat"] == "Ineffective")
    }

    @Test(arguments: HostileStamp.all.filter { !$0.isEmpty }) func hostileStampIsKept(text: String) throws {
        let encoder = LEEFRecordEncoder(
            stamp: ExportStamp(version: text, cluster: text), options: FormatOptions())
        let line = try LEEFReader(LineRoundTrip.encode(encoder, record()))
        try HostileStamp.check(
            line.values["exact"], text, shown: line.values["exporterCluster"], version: line.header[3])
    }
}
