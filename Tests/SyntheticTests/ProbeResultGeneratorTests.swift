import FoundationEssentials
import Model
import Testing

@testable import Synthetic

@Suite struct ProbeResultGeneratorTests {
    private static func lines(_ count: Int, seed: UInt64) -> [[UInt8]] {
        var generator = ProbeResultGenerator(seed: seed)
        var out = ByteWriter()
        for _ in 0..<count { generator.next(into: &out) }
        return out.seal().array.split(separator: 10, omittingEmptySubsequences: false).dropLast().map(Array.init)
    }

    /// The resource as the API server's clients see it; only for this test.
    private struct Resource: Decodable {
        struct Metadata: Decodable {
            var creationTimestamp: String
            var labels: [String: String]
            var name: String
            var namespace: String
            var resourceVersion: String
            var uid: String
        }
        struct Probe: Decodable {
            var id: String
            var profile: String
            var targetNamespace: String
            var aoAuthorizationRef: String?
        }
        struct Result: Decodable {
            var outcome: String
            var controlEffectiveness: String
            var integrityStatus: String
            var nistControls: [String]
            var controlMappings: [String: [String]]
            var crosswalkVersion: String?
            var mitreAttackId: String?
            var detail: String
            var verificationMode: String?
        }
        struct Execution: Decodable {
            var timestamp: String
            var durationMs: Int64
            var jobName: String
        }
        struct Audit: Decodable {
            var exportStatus: String
        }
        struct Spec: Decodable {
            var probe: Probe
            var result: Result
            var execution: Execution
            var audit: Audit
        }
        var apiVersion: String
        var kind: String
        var metadata: Metadata
        var spec: Spec
    }

    private static let effectiveness: [String: Set<String>] = [
        "Pass": ["Effective"], "Blocked": ["Effective"], "Rejected": ["Effective"], "Detected": ["Effective"],
        "Fail": ["Ineffective"], "NotEnforced": ["Ineffective"], "Accepted": ["Ineffective"],
        "Undetected": ["Ineffective"], "Indeterminate": ["Degraded"], "BackendUnreachable": ["Degraded"],
        "NotApplicable": ["Degraded"], "TamperedResult": ["Compromised"],
    ]

    private static func isUUIDv4(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count == 36, bytes[14] == UInt8(ascii: "4"), "89ab".utf8.contains(bytes[19]) else { return false }
        return bytes.enumerated().allSatisfy { index, byte in
            [8, 13, 18, 23].contains(index) ? byte == UInt8(ascii: "-") : "0123456789abcdef".utf8.contains(byte)
        }
    }

    @Test func sameSeedSameBytes() {
        #expect(Self.lines(200, seed: 5) == Self.lines(200, seed: 5))
        #expect(Self.lines(200, seed: 5) != Self.lines(200, seed: 6))
    }

    @Test func averageIsWhatTheDocumentationSays() {
        let lines = Self.lines(5_000, seed: 1)
        let average = Double(lines.reduce(0) { $0 + $1.count + 1 }) / 5_000
        #expect((1_150...1_250).contains(average))
    }

    @Test func everyRecordIsAConsistentResource() throws {
        var uids: Set<String> = []
        var names: Set<String> = []
        var last = ""
        for line in Self.lines(5_000, seed: 42) {
            let resource = try JSONDecoder().decode(Resource.self, from: Data(line))
            let (metadata, spec) = (resource.metadata, resource.spec)
            #expect(resource.apiVersion == "sidereal.cloud/v1alpha1" && resource.kind == "SiderealProbeResult")
            #expect(spec.audit.exportStatus == "Pending")
            #expect(Self.isUUIDv4(metadata.uid) && Self.isUUIDv4(spec.probe.id))
            #expect(uids.insert(metadata.uid).inserted && uids.insert(spec.probe.id).inserted)
            #expect(names.insert(metadata.name).inserted)
            #expect(metadata.name == "sidereal-result-" + spec.probe.id.prefix(8))
            #expect(metadata.namespace == "sidereal-system")

            #expect(Self.effectiveness[spec.result.outcome]?.contains(spec.result.controlEffectiveness) == true)
            #expect((spec.result.outcome == "TamperedResult") == (spec.result.integrityStatus == "TamperedResult"))
            #expect(spec.result.controlMappings["nist-800-53"] == spec.result.nistControls)
            #expect(!spec.result.nistControls.isEmpty && spec.result.controlMappings.count > 1)
            #expect((spec.probe.profile == "detection") == (spec.result.mitreAttackId != nil))
            #expect((spec.probe.profile == "detection") == (spec.probe.aoAuthorizationRef != nil))
            #expect(spec.execution.durationMs > 0)

            let labels = metadata.labels
            #expect(labels.count == 6 && labels["sidereal.cloud/probe-id"] == spec.probe.id)
            #expect(labels["sidereal.cloud/outcome"] == spec.result.outcome)
            #expect(labels["sidereal.cloud/target-namespace"] == spec.probe.targetNamespace)
            #expect(labels.values.allSatisfy { !$0.contains("/") && $0.utf8.count <= 63 })

            // Without the Z the shorter fraction is the smaller text, so texts order as times do.
            let time = String(spec.execution.timestamp.dropLast())
            #expect(spec.execution.timestamp.hasSuffix("Z") && time > last)
            #expect(metadata.creationTimestamp > time)
            last = time
        }
    }

    @Test func profilesAndOutcomesAreAllMet() throws {
        var profiles: Set<String> = []
        var outcomes: Set<String> = []
        var unusual = 0
        for line in Self.lines(6_000, seed: 9) {
            let text = String(decoding: line, as: UTF8.self)
            for (key, value) in [("\"profile\":\"", 0), ("\"outcome\":\"", 1)] {
                let start = try #require(text.firstRange(of: key)).upperBound
                let found = String(text[start...].prefix { $0 != "\"" })
                if value == 0 { profiles.insert(found) } else { outcomes.insert(found) }
            }
            if text.contains("\\") || line.contains(where: { $0 > 127 }) { unusual += 1 }
        }
        #expect(profiles == ["rbac", "netpol", "admission", "secret", "detection", "acme.gov/egress"])
        #expect(outcomes == Set(Self.effectiveness.keys))
        #expect((100...200).contains(unusual))
    }

    @Test func calendarAgreesWithFoundation() throws {
        var clock = Clock()
        var expected = Date(timeIntervalSince1970: 1_767_225_600)
        for _ in 0..<2_000 {
            var out = ByteWriter()
            clock.append(to: &out)
            #expect(String(decoding: out.seal().array, as: UTF8.self) == expected.formatted(.iso8601))
            // A day and a bit: over five years, so past the leap day of 2028.
            clock.advance(nanoseconds: 90_061_000_000_000)
            expected += 90_061
        }
    }

    @Test func fractionHasNoZerosAtItsEnd() {
        for (nanoseconds, text) in [(1, "00.000000001"), (120_000_000, "00.12"), (999_999_999, "00.999999999")] {
            var clock = Clock()
            clock.advance(nanoseconds: UInt64(nanoseconds))
            var out = ByteWriter()
            clock.append(to: &out)
            #expect(String(decoding: out.seal().array, as: UTF8.self) == "2026-01-01T00:00:\(text)Z")
        }
    }

    @Test func aTimeOfTheCallersIsTheRecords() throws {
        var generator = ProbeResultGenerator(seed: 5)
        var other = ProbeResultGenerator(seed: 5)
        var timed = ByteWriter()
        var plain = ByteWriter()
        generator.next(at: 1_795_714_464_123_000_000, into: &timed)
        other.next(into: &plain)
        let text = String(decoding: timed.seal().array, as: UTF8.self)
        #expect(text.contains(#""timestamp":"2026-11-26T17:34:24.123Z""#))
        let uid = { (text: String) in text.firstRange(of: #""uid":""#).map { text[$0.upperBound...].prefix(36) } }
        let untimed = String(decoding: plain.seal().array, as: UTF8.self)
        #expect(uid(text) == uid(untimed))
    }
}
