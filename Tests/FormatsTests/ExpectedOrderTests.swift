import Formats
import Foundation
import Model
import Synthetic
import Testing

/// Members in the API server's own order and spelling are read by a short way. It must come to what the long way comes to,
/// whatever is wrong: white space behind each brace makes the reader go that one.
@Suite struct ExpectedOrderTests {
    /// The same text with a space behind every brace that opens an object.
    private static func loosened(_ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        var (isString, isEscaped) = (false, false)
        for byte in bytes {
            out.append(byte)
            if isString {
                if !isEscaped, byte == 0x22 { isString = false }
                isEscaped = !isEscaped && byte == 0x5C
            } else if byte == 0x22 {
                isString = true
            } else if byte == 0x7B {
                out.append(0x20)
            }
        }
        return out
    }

    private static func outcome(_ bytes: [UInt8]) -> String {
        do throws(RecordError) {
            return String(decoding: try Records.encode(bytes), as: UTF8.self)
        } catch {
            // Without what is shown of the text and its position: both depend on white space.
            let words = error.message.split(separator: " ").prefix { $0 != "at" && $0 != "found" }
            return "refused: \(error.field): \(words.joined(separator: " "))"
        }
    }

    private static func agrees(_ bytes: [UInt8]) -> Bool { outcome(bytes) == outcome(loosened(bytes)) }

    private static func generated(_ seed: UInt64) -> [[UInt8]] {
        var generator = ProbeResultGenerator(seed: seed)
        return (0..<8).map { _ in
            var out = ByteWriter()
            generator.next(into: &out)
            return out.seal().array
        }
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func damageIsSeenAlike(seed: UInt64) {
        let records = Self.generated(seed) + [Array(Records.full.text.utf8)]
        for record in records { #expect(Self.agrees(record), "\(String(decoding: record, as: UTF8.self))") }
        var mutator = Mutator(seed: seed)
        for _ in 0..<3_000 {
            let damaged = mutator.mutate(records[mutator.below(records.count)])
            #expect(Self.agrees(damaged), "\(String(decoding: damaged, as: UTF8.self))")
        }
    }

    /// What lies behind a record is looked at together with its end: whatever it is, the record reads as it does alone, or is
    /// refused for the same thing at the same place.
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func textBehindARecordDecidesNothing(seed: UInt64) {
        let records = Self.generated(seed) + [Array(Records.full.text.utf8)]
        let behind = ["\n", "\"", "\"}}}", "}]}", "x", "0", "\",\"a\":\"", "\u{0}", "\u{e9}"].map {
            Array(String(repeating: $0, count: 40).utf8)
        }
        var mutator = Mutator(seed: seed)
        for round in 0..<1_000 {
            var record = records[mutator.below(records.count)]
            if mutator.below(4) > 0 { record = mutator.mutate(record) }
            if mutator.below(4) == 0 { record.removeLast(mutator.below(record.count)) }
            let alone = Self.account(record, record.count)
            let tail = behind[round % behind.count]
            #expect(Self.account(record + tail, record.count) == alone, "\(String(decoding: record, as: UTF8.self))")
        }
    }

    private struct Account: Equatable {
        var fields: [JSONValue] = []
        var others: [JSONMember] = []
        var refusal: RecordError?
    }

    /// Where all fields of the first `count` bytes are, or why they are refused.
    private static func account(_ bytes: [UInt8], _ count: Int) -> Account {
        var reader = ProbeResultReader()
        do throws(RecordError) {
            try reader.read(bytes.span, 0..<count)
            return Account(fields: Field.allCases.map { reader.record[$0] }, others: reader.record.others)
        } catch { return Account(refusal: error) }
    }

    /// Each member once more behind itself, which the short way meets first.
    @Test(arguments: [
        "apiVersion", "kind", "creationTimestamp", "name", "namespace", "uid", "exportStatus", "jobName", "timestamp",
        "id", "profile", "targetNamespace", "controlEffectiveness", "crosswalkVersion", "detail", "integrityStatus",
        "outcome", "verificationMode",
    ])
    func repeatedMembersAreRefused(key: String) {
        let records = Self.generated(9).map { String(decoding: $0, as: UTF8.self) }
        guard let text = records.first(where: { $0.contains("\"\(key)\":\"") }),
            let start = text.range(of: "\"\(key)\":\"")?.lowerBound,
            let end = text[start...].dropFirst(key.utf8.count + 4).firstIndex(of: "\"")
        else {
            Issue.record("the record does not hold \(key)")
            return
        }
        let member = text[start...end]
        let twice = text[..<start] + member + "," + text[start...]
        #expect(Records.refusal(String(twice))?.message.contains("appears twice") == true, "\(key)")
    }

    /// A string ends, or is special, at any place of the sixteen bytes that are looked at together.
    @Test func everyPlaceInAStringCounts() throws {
        for length in 0..<40 {
            for place in 0...length {
                for special in [#"\""#, #"\\"#, "\u{e9}", "\u{2028}", "\u{1F600}", "\u{7F}"] {
                    let plain = Array(repeating: "x", count: length)
                    let text = (plain[..<place] + [special] + plain[place...]).joined()
                    let bytes = Self.detailed(text)
                    let read = try Records.parsed(try Records.encode(bytes))["spec.result.detail"]
                    #expect(read == .string(special.hasPrefix("\\") ? Self.unescaped(text) : text))
                }
                for broken in ["\u{1F}", "\n", "\\x"] {
                    let text =
                        String(repeating: "x", count: place) + broken + String(repeating: "x", count: length - place)
                    #expect(Records.refusal(Self.detailed(text))?.field == "spec.result.detail")
                }
            }
        }
    }

    private static func detailed(_ spelt: String) -> [UInt8] {
        Array(Records.full.text.replacing(#""TCP connections timed out.""#, with: "\"\(spelt)\"").utf8)
    }

    private static func unescaped(_ text: String) -> String {
        text.replacing(#"\""#, with: "\"").replacing(#"\\"#, with: "\\")
    }
}
