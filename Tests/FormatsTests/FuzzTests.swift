import Formats
import Model
import Synthetic
import Testing

/// Damaged records: the reader ends with a verdict, and what it accepts is JSON to others too.
@Suite struct FuzzTests {
    private static let rounds = 6_250

    private static func seeds() -> [[UInt8]] {
        var records = [Array(Records.full.text.utf8)]
        var maker = RecordMaker(seed: 31)
        var speller = Speller(seed: 32)
        for _ in 0..<12 { records.append(Array(speller.spell(maker.record()).utf8)) }
        var generator = ProbeResultGenerator(seed: 33)
        for _ in 0..<12 {
            var out = ByteWriter()
            generator.next(into: &out)
            records.append(out.seal().array)
        }
        return records
    }

    /// Eight times 6250 damaged records.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func damagedRecords(seed: UInt64) throws {
        let records = Self.seeds()
        var mutator = Mutator(seed: seed)
        var accepted = 0
        for round in 0..<Self.rounds {
            let whole = records[mutator.below(records.count)]
            let bytes: [UInt8]
            if mutator.below(10) == 0 {
                // A splice: the head of one record, the tail of another.
                let other = records[mutator.below(records.count)]
                bytes = Array(whole.prefix(mutator.below(whole.count)) + other.suffix(mutator.below(other.count)))
            } else {
                bytes = mutator.mutate(whole)
            }
            if Self.verdict(bytes, "seed \(seed), round \(round)") { accepted += 1 }
        }
        #expect(accepted > Self.rounds / 50, "the damage was so great that nothing was left to check")
        #expect(accepted < Self.rounds, "nothing was damaged")
    }

    /// Whether the reader accepts; what it accepts, or refuses as broken text, is held against Foundation.
    private static func verdict(_ bytes: [UInt8], _ label: String) -> Bool {
        let shown = String(decoding: bytes, as: UTF8.self)
        do throws(RecordError) {
            let out = try Records.encode(bytes)
            guard let encoded = try? Records.parsed(out) else {
                // Foundation refuses numbers beyond a Double; RFC 8259, section 6, does not.
                if !hasHugeNumber(out) { Issue.record("\(label): no JSON comes of \(shown)") }
                return true
            }
            // Foundation refuses escaped surrogates without a partner, where we write U+FFFD.
            if let source = try? Records.parsed(bytes) {
                if encoded["spec.result"] != source["spec.result"].map(withoutNulls) {
                    Issue.record("\(label): values differ from \(shown)")
                }
            } else if !shown.contains("\\u") {
                Issue.record("\(label): accepted, but no JSON: \(shown)")
            }
            return true
        } catch {
            if isAboutText(error), (try? Records.parsed(bytes)) != nil {
                Issue.record("\(label): \(error), but Foundation reads \(shown)")
            }
            return false
        }
    }

    private static func withoutNulls(_ tree: JSON) -> JSON {
        guard case .object(let members) = tree else { return tree }
        let known = Field.allCases.map(\.path)
        return .object(members.filter { $0.value != .null || !known.contains("spec.result." + $0.key) })
    }

    private static func hasHugeNumber(_ bytes: [UInt8]) -> Bool {
        String(decoding: bytes, as: UTF8.self).contains { "eE".contains($0) }
    }

    // Not "expected a key": Foundation lets a comma stand before a closing brace, RFC 8259, section 4, does not.
    private static let textFaults = [
        "the JSON text ends", "expected a JSON value", "expected ':'", "expected ','",
        "a control character", "unknown escape", "the text is not valid", "malformed number", "expected true, false",
        "unexpected text",
    ]

    private static func isAboutText(_ error: RecordError) -> Bool {
        textFaults.contains { error.message.hasPrefix($0) }
    }
}
