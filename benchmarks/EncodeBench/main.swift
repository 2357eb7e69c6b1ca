// Nanoseconds and allocations per record of the reader and of each encoder, one thread.
// Build it with optimization, or the figures mean nothing: `make bench-encode`. Arguments choose formats and a corpus, and
// a number among them says how often a round goes through its records: `encode-bench small syslog 1` suits callgrind.
import AllocationCount
import Formats
import Model
import Synthetic

/// Records that were read once: their bytes and their ranges.
struct Corpus {
    let name: String
    let bytes: SealedBytes
    let records: [ProbeResult]
    let lines: [Range<Int>]

    init(_ name: String, _ text: consuming ByteWriter) throws(RecordError) {
        self.name = name
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
        for number in 0..<256 {
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
        return try Corpus("small", out)
    }

    /// What `generate` writes.
    static func generated() throws(RecordError) -> Corpus {
        var out = ByteWriter()
        var generator = ProbeResultGenerator(seed: 1)
        for _ in 0..<256 { generator.next(into: &out) }
        return try Corpus("generated", out)
    }
}

/// What one encoder costs.
struct Cost {
    var nanoseconds: Double
    var bytes: Int
    var allocations: Double
}

/// The best of several rounds: what disturbs a round only makes it longer.
func measure(_ corpus: Corpus, rounds: Int, repeats: Int, _ round: () -> Int) -> Cost {
    var best = Duration.seconds(3600)
    var size = 0
    var allocations = 0
    for number in 0..<rounds {
        let before = allocation_count()
        let clock = ContinuousClock()
        let start = clock.now
        for _ in 0..<repeats { size = round() }
        best = min(best, clock.now - start)
        // The first round warms up.
        if number > 0 { allocations += Int(allocation_count() - before) }
    }
    let count = corpus.records.count
    let (seconds, attoseconds) = best.components
    let nanoseconds = Double(seconds) * 1e9 + Double(attoseconds) * 1e-9
    return Cost(
        nanoseconds: nanoseconds / Double(repeats * count), bytes: size / count,
        allocations: Double(allocations) / Double((rounds - 1) * repeats * count))
}

func measure(_ encoder: some RecordEncoder, _ corpus: Corpus, rounds: Int, repeats: Int) -> Cost {
    var out = ByteWriter(capacity: 4 << 20)
    let span = corpus.bytes.span
    return measure(corpus, rounds: rounds, repeats: repeats) {
        out.removeAll()
        for index in corpus.records.indices { encoder.encode(corpus.records[index], of: span, into: &out) }
        return out.count
    }
}

/// What comes before all encoders, once for each record.
func measureReading(_ corpus: Corpus, rounds: Int, repeats: Int) throws(RecordError) -> Cost {
    var reader = ProbeResultReader()
    let span = corpus.bytes.span
    var fault: RecordError?
    let cost = measure(corpus, rounds: rounds, repeats: repeats) {
        do throws(RecordError) {
            for line in corpus.lines { try reader.read(span, line) }
        } catch {
            fault = error
        }
        return span.count
    }
    if let fault { throw fault }
    return cost
}

/// What a coordinator does instead of reading: it looks for the uid.
func measurePlacing(_ corpus: Corpus, rounds: Int, repeats: Int) -> Cost {
    let span = corpus.bytes.span
    return measure(corpus, rounds: rounds, repeats: repeats) {
        var shards = 0
        for line in corpus.lines { shards &+= Int(IdentityScan.uidHash(span, line)?.shard(of: 256).number ?? 0) }
        return shards
    }
}

func fixed(_ value: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int(value * scale + 0.5)
    let fraction = String(scaled % Int(scale))
    guard digits > 0 else { return "\(scaled)" }
    return "\(scaled / Int(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
}

func row(_ cells: [String]) -> String {
    cells.enumerated().map { index, cell in
        let padding = String(repeating: " ", count: max(0, (index == 0 ? 8 : 14) - cell.count))
        return index == 0 ? cell + padding : padding + cell
    }.joined()
}

func report(_ name: String, _ cost: Cost, first: Int?) {
    print(
        row([
            name, fixed(cost.nanoseconds, 0), first.map { "\($0)" } ?? "-",
            first.map { fixed(Double($0) / cost.nanoseconds, 1) } ?? "-", "\(cost.bytes)", fixed(cost.allocations, 3),
        ]))
}

/// Nanoseconds of the exporter this one replaces, for its record of about 520 bytes of JSON.
let firstImplementation: [FormatKind: Int] = [.json: 2_311, .cef: 2_903, .leef: 3_963, .syslog: 1_534, .ocsf: 4_698]

let arguments = CommandLine.arguments.dropFirst()
let chosen = FormatKind.allCases.filter { arguments.contains($0.rawValue) }
let repeats = arguments.compactMap { Int($0) }.first ?? 200

do {
    let stamp = ExportStamp(version: ExporterVersion.current, cluster: "bench")
    let corpora = [try Corpus.small(), try Corpus.generated()]
    let named = corpora.filter { arguments.contains($0.name) }
    for corpus in named.isEmpty ? corpora : named {
        print("\(corpus.name) records")
        print(row(["", "ns/record", "first ns", "times faster", "bytes", "allocations"]))
        if chosen.isEmpty {
            report("placing", measurePlacing(corpus, rounds: 15, repeats: max(1, repeats)), first: nil)
            report("reading", try measureReading(corpus, rounds: 15, repeats: max(1, repeats)), first: nil)
        }
        for format in chosen.isEmpty ? FormatKind.allCases : chosen {
            let encoder = FormatEncoder(format, stamp: stamp, options: FormatOptions())
            let cost = measure(encoder, corpus, rounds: 15, repeats: max(1, repeats))
            // The earlier figures were taken with small records only.
            report(format.rawValue, cost, first: corpus.name == "small" ? firstImplementation[format] : nil)
        }
        print("")
    }
} catch {
    print("the benchmark's own records are not valid: \(error)")
}
