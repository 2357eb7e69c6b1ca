import Formats
import Glibc
import Model
import Synthetic
import Testing

/// Records nobody would write, through the reader and every encoder. `make fuzz` runs a million of them.
@Suite struct FormatFuzzTests {
    private static let shares: [UInt64] = [1, 2, 3, 4]
    private static let cases =
        unsafe getenv("SIDEREAL_FUZZ_CASES").flatMap { unsafe Int(String(cString: $0)) } ?? 20_000

    private static let stamp = ExportStamp(version: "0.1.0", cluster: "c|l=u\\s]t\"e\nr é")

    private static var encoders: [FormatEncoder] {
        var tight = FormatOptions()
        tight.maxMessageBytes = 1024
        tight.vendor = "V|e=n\\d\"o]r é"
        tight.cefVersion = 1
        return FormatKind.allCases.map { FormatEncoder($0, stamp: stamp, options: FormatOptions()) }
            + [FormatKind.cef, .leef, .syslog, .ocsf].map { FormatEncoder($0, stamp: stamp, options: tight) }
    }

    private struct Fault: Error, CustomStringConvertible {
        var description: String
    }

    /// Encodes `reader.record` with each encoder and has the format's grammar read it.
    private static func check(
        _ reader: borrowing ProbeResultReader, _ text: [UInt8], _ encoders: [FormatEncoder], seed: UInt64, number: Int
    ) throws {
        // The encoders with options of their own come last; a quarter of the records is enough for them.
        for encoder in number % 4 == 0 ? encoders[...] : encoders.prefix(FormatKind.allCases.count) {
            var out = ByteWriter()
            encoder.encode(reader.record, of: text.span, into: &out)
            let line = out.seal().array
            do throws(GrammarFault) {
                try LineGrammar.check(line, as: encoder)
            } catch {
                let shown = String(decoding: line.prefix(2_000), as: UTF8.self)
                throw Fault(description: "seed \(seed), case \(number): \(error): \(shown)")
            }
        }
    }

    @Test(arguments: shares)
    func hostileRecordsGiveLinesThatTheGrammarsTake(_ seed: UInt64) throws {
        var source = HostileRecord(seed: seed)
        var reader = ProbeResultReader()
        let encoders = Self.encoders
        for number in 0..<Self.cases / Self.shares.count / 2 {
            let record = source.next()
            let text = Array(record.utf8)
            do throws(RecordError) {
                try reader.read(text.span, 0..<text.count)
            } catch {
                throw Fault(description: "seed \(seed), case \(number): refused: \(error): \(record)")
            }
            try Self.check(reader, text, encoders, seed: seed, number: number)
        }
    }

    /// Bytes are changed, cut out, doubled and moved. Most such records are refused, and that is the reader's business;
    /// what it lets through is a record, and must come out as one.
    @Test(arguments: shares)
    func damagedRecordsAreRefusedOrComeOutWhole(_ seed: UInt64) throws {
        var rng = PRNG(seed: seed ^ 0xDA_4A_6E)
        var source = HostileRecord(seed: rng.next())
        var generator = ProbeResultGenerator(seed: rng.next())
        var reader = ProbeResultReader()
        let encoders = Self.encoders
        var accepted = 0
        let cases = Self.cases / Self.shares.count / 2
        for number in 0..<cases {
            var text: [UInt8]
            if rng.below(2) == 0 {
                text = Array(source.next().utf8)
            } else {
                var out = ByteWriter()
                generator.next(into: &out)
                text = out.seal().array
            }
            for _ in 0...rng.below(3) { Self.damage(&text, &rng) }
            guard (try? reader.read(text.span, 0..<text.count)) != nil else { continue }
            accepted += 1
            try Self.check(reader, text, encoders, seed: seed, number: number)
        }
        // Were all refused, or none, the damage would prove nothing.
        #expect(accepted > cases / 20 && accepted < cases * 19 / 20, "\(accepted) of \(cases) accepted")
    }

    private static func damage(_ text: inout [UInt8], _ rng: inout PRNG) {
        func place(_ rng: inout PRNG) -> Int { Int(rng.below(UInt64(text.count))) }
        guard text.count > 1 else { return }
        let at = place(&rng)
        let end = min(text.count, at + 1 + Int(rng.below(12)))
        switch rng.below(7) {
        case 0: text[at] = UInt8(truncatingIfNeeded: rng.next())
        case 1: text[at] ^= 1 << UInt8(rng.below(8))
        case 2: text.removeSubrange(at..<end)
        case 3: text.insert(contentsOf: text[at..<end], at: place(&rng))
        case 4: text.insert(contentsOf: Array("\\\"{}[],:ué\u{0}".utf8).shuffled(using: &rng).prefix(2), at: at)
        case 5: text.removeSubrange(end...)
        default: text.swapAt(at, place(&rng))
        }
    }
}
