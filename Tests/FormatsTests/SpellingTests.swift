import Formats
import Model
import Synthetic
import Testing

/// Key order, white space and escapes of the input make no difference to the output.
@Suite struct SpellingTests {
    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func theSameRecordGivesTheSameBytes(seed: UInt64) throws {
        var maker = RecordMaker(seed: seed)
        for _ in 0..<15 {
            let record = maker.record()
            let plain = Array(record.text.utf8)
            let wanted = try Records.encode(plain)
            var speller = Speller(seed: maker.rng.next())
            for _ in 0..<4 {
                let spelt = Array(speller.spell(record).utf8)
                #expect(try Records.encode(spelt) == wanted)
            }
        }
    }

    /// Foundation reads the same values out of the output as the tree holds, less what never leaves, plus the stamp.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func theOutputHoldsTheSameValues(seed: UInt64) throws {
        var maker = RecordMaker(seed: seed &+ 1_000)
        for _ in 0..<15 {
            let record = maker.record()
            let out = try Records.parsed(Records.encode(Array(record.text.utf8)))
            guard case .object(let members) = record else { continue }
            var wanted = JSON.object(members).setting("spec.audit", nil)
            for name in ["resourceVersion", "managedFields", "generation"] {
                wanted = wanted.setting("metadata." + name, nil)
            }
            wanted = wanted.setting("sidereal", out["sidereal"])
            #expect(out == Self.withoutNulls(wanted).ordered)
        }
    }

    /// Known optional fields that are null are absent; the maker writes no other null at these places.
    private static func withoutNulls(_ tree: JSON) -> JSON {
        SchemaTests.optionalStrings.reduce(tree) { $0[$1] == .null ? $0.setting($1, nil) : $0 }
    }

    /// A record that was exported before and comes in again keeps its bytes; the old stamp gets another name.
    @Test func outputIsAFixedPoint() throws {
        var maker = RecordMaker(seed: 77)
        for _ in 0..<100 {
            // Without other unknown fields of the root, the old stamp stands right before the new one.
            let record = (0..<4).reduce(maker.record()) { $0.setting("unknown0\($1)", nil) }
            let first = try Records.encode(record.text)
            let stamp = try #require(first.firstRange(of: ",\"sidereal\":{\"export\":{"))
            let shard = try #require(Records.parsed(first)["sidereal.export.shard"]).text
            let again = first.replacing("\"spec\":{\"probe\":", with: "\"spec\":{\"audit\":{},\"probe\":")
            let old = #","x-sidereal":{"export":{"cluster":"prod-east","shard":\#(shard),"version":"0.1.0"}}"#
            #expect(try Records.encode(again) == first[..<stamp.lowerBound] + old + first[stamp.lowerBound...])
        }
    }

    @Test func syntheticRecordsKeepEveryValue() throws {
        var generator = ProbeResultGenerator(seed: 5)
        for _ in 0..<300 {
            var out = ByteWriter()
            generator.next(into: &out)
            let bytes = out.seal().array
            let encoded = try Records.parsed(Records.encode(bytes))
            let source = try Records.parsed(bytes)
            for section in ["spec.probe", "spec.result", "spec.execution", "metadata.labels", "metadata.uid"] {
                #expect(encoded[section] == source[section])
            }
        }
    }
}

/// Random valid records as trees.
struct RecordMaker {
    var rng: PRNG

    init(seed: UInt64) { rng = PRNG(seed: seed) }

    private mutating func below(_ bound: Int) -> Int { Int(rng.below(UInt64(bound))) }
    private mutating func coin() -> Bool { rng.below(2) == 0 }

    // No two of these compose to the same text: a dictionary of Foundation's would take them for one key.
    private static let scalars: [Unicode.Scalar] =
        Array("abcXYZ019 _-/.\"\\<>&'{}[]:,\n\t\r".unicodeScalars) + [
            "\0", "\u{1}", "\u{8}", "\u{C}", "\u{1F}", "\u{7F}", "\u{80}", "ß", "Ж", "\u{7FF}", "\u{800}", "担",
            "\u{2028}", "\u{FFFD}", "\u{E000}", "\u{1F6A8}", "\u{10000}", "\u{10FFFD}",
        ]

    mutating func text(_ maximum: Int) -> String {
        var text = String.UnicodeScalarView()
        for _ in 0..<below(maximum + 1) { text.append(Self.scalars[below(Self.scalars.count)]) }
        return String(text)
    }

    private mutating func value(depth: Int) -> JSON {
        switch below(depth > 0 ? 8 : 5) {
        case 0: return .null
        case 1: return .bool(coin())
        case 2: return .number(String(Int64(truncatingIfNeeded: rng.next() >> rng.below(64))))
        case 3, 4: return .string(text(12))
        case 5: return .list((0..<below(4)).map { _ in value(depth: depth - 1) })
        default: return object(depth: depth)
        }
    }

    private mutating func object(depth: Int) -> JSON {
        var members: [JSON.Member] = []
        for index in 0..<below(5) {
            // The number keeps keys apart.
            members.append(JSON.Member(key: text(6) + "\(index)", value: value(depth: depth - 1)))
        }
        return .object(members)
    }

    private mutating func map(lists: Bool) -> JSON {
        var members: [JSON.Member] = []
        for index in 0..<below(6) {
            let value: JSON =
                lists ? .list((0..<below(4)).map { _ in JSON.string(text(8)) }) : .string(text(10))
            members.append(JSON.Member(key: text(8) + "\(index)", value: value))
        }
        return .object(members)
    }

    private mutating func uuid() -> String {
        let digits = Array((JSON.hex16(rng.next()) + JSON.hex16(rng.next())).map(String.init))
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { digits[$0].joined() }.joined(separator: "-")
    }

    mutating func record() -> JSON {
        var record = Records.full
        record = record.setting("metadata.uid", .string(uuid())).setting("spec.probe.id", .string(uuid()))
        record = record.setting("spec.result.outcome", .string(["Pass", "Fail", "Blocked"][below(3)]))
        record = record.setting("spec.execution.durationMs", .number(String(Int64(truncatingIfNeeded: rng.next()))))
        record = record.setting("spec.probe.targetNamespace", .string(text(10)))
        record = record.setting("spec.probe.profile", .string("p" + text(10)))
        for path in SchemaTests.optionalStrings {
            switch below(4) {
            case 0: record = record.setting(path, nil)
            case 1: record = record.setting(path, .null)
            default: record = record.setting(path, .string(text(30)))
            }
        }
        record = record.setting("metadata.labels", map(lists: false))
        record = record.setting("metadata.annotations", .members(["note": .string(text(20))]))
        record = record.setting("spec.result.controlMappings", map(lists: true))
        record = record.setting("spec.result.nistControls", .list((0..<below(4)).map { _ in .string(text(6)) }))
        for (index, parent) in EncoderTests.parents.enumerated() where coin() {
            for number in 0...below(3) {
                record = record.setting(parent + "unknown\(index)\(number)", value(depth: 3))
            }
        }
        if coin() { record = record.setting("metadata.resourceVersion", value(depth: 1)) }
        if coin() { record = record.setting("metadata.managedFields", value(depth: 3)) }
        return record.setting("spec.audit.more", value(depth: 2))
    }
}

extension JSON {
    /// Sixteen hexadecimal digits.
    static func hex16(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
