import Formats
import Testing

/// What the reader compares in words of eight bytes: one wrong byte at any place must be seen.
@Suite struct WordCompareTests {
    private static let id = Array("3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f3".utf8)

    @Test func everyByteOfAUUIDCounts() {
        let text = Records.full.setting("spec.probe.id", .string(String(decoding: Self.id, as: UTF8.self))).text
        let bytes = Array(text.utf8)
        guard let start = Self.place(of: Self.id, in: bytes) else {
            Issue.record("the record does not hold the UUID")
            return
        }
        for index in 0..<36 {
            let isDash = [8, 13, 18, 23].contains(index)
            for value in UInt8.min...UInt8.max {
                var changed = bytes
                changed[start + index] = value
                let isHex = Character(Unicode.Scalar(value)).isASCII && Character(Unicode.Scalar(value)).isHexDigit
                let isTaken = (try? Records.encode(changed)) != nil
                #expect(isTaken == (isDash ? value == 0x2D : isHex), "byte \(value) at \(index)")
            }
        }
    }

    /// A key with one byte changed is no key of ours: required ones are then missing, others become unknown members.
    @Test(arguments: [
        "id", "profile", "targetNamespace", "outcome", "controlEffectiveness", "integrityStatus", "timestamp",
        "durationMs", "jobName",
    ])
    func everyByteOfAKeyCounts(key: String) {
        let bytes = Array(Records.full.text.utf8)
        guard let start = Self.place(of: Array("\"\(key)\":".utf8), in: bytes) else {
            Issue.record("the record does not hold the key")
            return
        }
        for index in 1...key.utf8.count {
            var changed = bytes
            changed[start + index] ^= 0x01
            #expect(throws: RecordError.self, "byte \(index) of \(key)") { _ = try Records.encode(changed) }
        }
    }

    @Test func everyByteOfAFixedValueCounts() {
        for value in ["sidereal.cloud/v1alpha1", "SiderealProbeResult", "Blocked", "Effective", "Verified"] {
            let bytes = Array(Records.full.text.utf8)
            guard let start = Self.place(of: Array("\"\(value)\"".utf8), in: bytes) else {
                Issue.record("the record does not hold the value")
                continue
            }
            for index in 1...value.utf8.count {
                var changed = bytes
                changed[start + index] ^= 0x01
                #expect(throws: RecordError.self, "byte \(index) of \(value)") {
                    _ = try Records.encode(changed)
                }
            }
        }
    }

    /// The last place, as a label may repeat a value of the specification before it.
    private static func place(of wanted: [UInt8], in bytes: [UInt8]) -> Int? {
        (0...bytes.count - wanted.count).last { bytes[$0..<$0 + wanted.count].elementsEqual(wanted) }
    }
}
