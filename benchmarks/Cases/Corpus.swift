import Formats
import Model
import Synthetic

/// Records that were read once: their bytes and their ranges. As many as the exporter has before it at a time, so that they
/// lie in the processor's caches as they do there.
struct Corpus: Sendable {
    static let count = 250
    /// How often a round goes through it.
    static let passes = MicroCase.unitsOfRound / count

    let bytes: SealedBytes
    let records: [ProbeResult]
    let lines: [Range<Int>]

    private init(_ text: consuming ByteWriter) throws(RecordError) {
        let bytes = text.seal()
        var records: [ProbeResult] = []
        var lines: [Range<Int>] = []
        var reader = ProbeResultReader()
        let span = bytes.span
        var start = 0
        for index in 0..<span.count where span[index] == 0x0A {
            try reader.read(span, start..<index)
            records.append(reader.record)
            lines.append(start..<index)
            start = index + 1
        }
        self.bytes = bytes
        self.records = records
        self.lines = lines
    }

    /// Records that come to about 520 bytes in the native form: no optional field, no labels.
    static func small() throws(RecordError) -> Corpus {
        var out = ByteWriter()
        var rng = PRNG(seed: 7)
        func identity(_ rng: inout PRNG) -> String {
            let digits = String(0x1_0000_0000 + rng.below(0xF000_0000), radix: 16).suffix(8)
            return "\(digits)-5b0e-4c55-9d3c-5b8f6c2e\(digits.prefix(4))"
        }
        for number in 0..<count {
            let id = identity(&rng)
            let duration = 40 + rng.below(900)
            out.append(
                string: """
                    {"apiVersion":"sidereal.cloud/v1alpha1","kind":"SiderealProbeResult","metadata":{\
                    "uid":"\(identity(&rng))"},"spec":{"audit":{"exportStatus":"Pending"},"execution":{\
                    "durationMs":\(duration),"jobName":"sidereal-probe-\(number)",\
                    "timestamp":"2026-03-15T08:30:00.123456789Z"},"probe":{"id":"\(id)","profile":"rbac",\
                    "targetNamespace":"payments"},"result":{"controlEffectiveness":"Effective",\
                    "controlMappings":{"nist-800-53":["AC-3"]},"integrityStatus":"Verified","outcome":"Pass"}}}

                    """)
        }
        return try Corpus(out)
    }

    /// What `generate` writes: about 1.2 KB each.
    static func typical() throws(RecordError) -> Corpus {
        var out = ByteWriter()
        var generator = ProbeResultGenerator(seed: 1)
        for _ in 0..<count { generator.next(into: &out) }
        return try Corpus(out)
    }

    /// Both, by name.
    static let kinds: [(name: String, make: @Sendable () throws -> Corpus)] = [
        ("small", { try small() }), ("typical", { try typical() }),
    ]
}
