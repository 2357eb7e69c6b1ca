import Formats
import Glibc
import Model
import Synthetic
import Testing

/// Records nobody would write, through the reader and every encoder. `make test` runs 20 000 of them, `make fuzz` a million.
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
            do throws(LineFault) {
                try LineGrammar.check(line, as: encoder)
            } catch {
                let shown = String(decoding: line.prefix(2_000), as: UTF8.self)
                throw Fault(description: "seed \(seed), case \(number): \(error): \(shown)")
            }
        }
    }

    @Test(arguments: shares)
    func hostileRecordsGiveLinesThatTheGrammarsTake(_ seed: UInt64) throws {
        var source = FuzzRecord(seed: seed)
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

    /// Most damaged records are refused, and that is the reader's business; what it lets through must come out whole.
    @Test(arguments: shares)
    func damagedRecordsAreRefusedOrComeOutWhole(_ seed: UInt64) throws {
        var rng = PRNG(seed: seed ^ 0xDA_4A_6E)
        var mutator = Mutator(seed: rng.next())
        var source = FuzzRecord(seed: rng.next())
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
            text = mutator.mutate(text)
            guard (try? reader.read(text.span, 0..<text.count)) != nil else { continue }
            accepted += 1
            try Self.check(reader, text, encoders, seed: seed, number: number)
        }
        // Were all refused, or none, the damage would prove nothing.
        #expect(accepted > cases / 20 && accepted < cases * 19 / 20, "\(accepted) of \(cases) accepted")
    }

    /// Key order, white space and escapes of the input make no difference in any format.
    @Test(arguments: shares)
    func theSameRecordGivesTheSameLines(_ seed: UInt64) throws {
        var maker = RecordMaker(seed: seed)
        var speller = Speller(seed: seed &+ 100)
        var reader = ProbeResultReader()
        let encoders = Self.encoders
        func lines(_ text: [UInt8]) throws -> [[UInt8]] {
            try reader.read(text.span, 0..<text.count)
            return encoders.map { encoder in
                var out = ByteWriter()
                encoder.encode(reader.record, of: text.span, into: &out)
                return out.seal().array
            }
        }
        for number in 0..<100 {
            let record = maker.record()
            let wanted = try lines(Array(record.text.utf8))
            let spelt = Array(speller.spell(record).utf8)
            for (index, line) in try lines(spelt).enumerated() where line != wanted[index] {
                throw Fault(
                    description: "seed \(seed), case \(number), encoder \(index): "
                        + "\(String(decoding: line, as: UTF8.self)) is not \(String(decoding: wanted[index], as: UTF8.self))"
                )
            }
        }
    }
}
