// Nanoseconds per record and allocations per frame of the cluster's codec, one thread.
// Build it with optimization, or the figures mean nothing: `make bench-protocol`. A number as argument says how often a
// round goes through its frames: 1 suits callgrind.
import AllocationCount
import Model
import Protocol

/// Bytes of a record, line end included.
let recordBytes = 1_200
/// Records in a frame: 1 MB, as dispatched.
let recordsPerFrame = 840
let framesPerRound = 16
let repeats = CommandLine.arguments.dropFirst().compactMap { Int($0) }.first ?? 20

func records(_ rng: inout PRNG) -> Message {
    var bytes = ByteWriter(capacity: recordsPerFrame * recordBytes)
    for _ in 0..<recordsPerFrame * recordBytes { bytes.append(UInt8(0x20 + rng.below(0x5F))) }
    return .records(
        RecordsFrame(
            term: 1, targets: 0b111, keys: keys(&rng), grants: grants(&rng),
            lengths: Array(repeating: UInt32(recordBytes), count: recordsPerFrame), bytes: bytes.seal()))
}

func keys(_ rng: inout PRNG) -> [RecordKey] {
    (0..<recordsPerFrame).map { _ in RecordKey(high: rng.next(), low: rng.next()) }
}

func grants(_ rng: inout PRNG) -> [ShardGrant] {
    (0..<recordsPerFrame).map { _ in ShardGrant(shard: UInt16(rng.below(256)), epoch: 7) }
}

func outcomes(_ rng: inout PRNG) -> Message {
    .outcomes(
        Outcomes(
            row: rng.next(), term: 1, target: 2, kind: .delivered, reason: "", keys: keys(&rng), grants: grants(&rng)))
}

/// The best of several rounds: what disturbs a round only makes it longer. The first round warms up.
func measure(_ name: String, records: Int, _ round: () throws -> Void) rethrows {
    var best = Duration.seconds(3600)
    var allocations = 0
    let rounds = 10
    for number in 0..<rounds {
        let before = allocation_count()
        let clock = ContinuousClock()
        let start = clock.now
        for _ in 0..<repeats { try round() }
        best = min(best, clock.now - start)
        if number > 0 { allocations += Int(allocation_count() - before) }
    }
    let (seconds, attoseconds) = best.components
    let nanoseconds = Double(seconds) * 1e9 + Double(attoseconds) * 1e-9
    let frames = framesPerRound * repeats
    // Tenths and hundredths by integers: rounding would need the mathematics library.
    let perRecord = Double(Int(nanoseconds / Double(frames * max(records, 1)) * 10 + 0.5)) / 10
    let perFrame = Double(Int(Double(allocations) / Double((rounds - 1) * frames) * 100 + 0.5)) / 100
    let unit = records == 0 ? "frame " : "record"
    print("\(name): \(perRecord) ns per \(unit), \(perFrame) allocations per frame")
}

func both(_ name: String, _ messages: [Message]) throws {
    var codec = FrameCodec()
    var out = ByteWriter(capacity: 2 << 20)
    let welcome = Welcome(
        version: 1, term: 1, leader: "bench", leaseMilliseconds: 1, shardCount: 1, releaseMilliseconds: 1, targets: [],
        marginMilliseconds: 1)
    try codec.encode(.welcome(welcome), into: &out)
    try measure("\(name), encode", records: recordsPerFrame) {
        for message in messages {
            out.removeAll()
            try codec.encode(message, into: &out)
        }
    }
    var frames: [SealedBytes] = []
    for message in messages {
        var frame = ByteWriter()
        try codec.encode(message, into: &frame)
        frames.append(frame.seal())
    }
    try measure("\(name), decode", records: recordsPerFrame) {
        for frame in frames { _ = try codec.decode(frame) }
    }
}

/// A frame that claims 2³² − 1 grants and has none.
func hostile() {
    let frame = SealedBytes([0, 0, 0, 16, 1, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF])
    var decoder = FrameDecoder()
    decoder.version = 1
    var refused = 0
    measure("hostile count, refused", records: 0) {
        for _ in 0..<framesPerRound {
            do throws(ProtocolError) { _ = try decoder.decode(frame) } catch { refused += 1 }
        }
    }
    if refused != 10 * framesPerRound * repeats { print("a hostile frame was taken") }
}

do {
    var rng = PRNG(seed: 1)
    print("\(recordsPerFrame) records of \(recordBytes) bytes in a frame")
    try both("records", (0..<framesPerRound).map { _ in records(&rng) })
    try both("outcomes", (0..<framesPerRound).map { _ in outcomes(&rng) })
    hostile()
} catch {
    print("the benchmark's own frames are not valid: \(error)")
}
