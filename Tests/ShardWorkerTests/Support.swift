import Backends
import ExportCore
import Formats
import FoundationEssentials
import Glibc
import Ledger
import Logging
import Model
import Synchronization
import Synthetic

@testable import ShardWorker

/// Calls `body` with a fresh directory and removes it afterwards.
func withTemporaryDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
    let path = FileManager.default.temporaryDirectory.path + "/sidereal-worker-" + UUID().uuidString
    try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

func target(_ backend: BackendKind, records: Int, bytes: Int = 1 << 20) -> Target {
    let endpoint = Endpoint(scheme: "https", host: "siem.example.com", port: 443, path: "")
    var target = Target(name: "t", backend: backend, format: .json, endpoint: endpoint)
    target.batch = BatchBounds(maxRecords: records, maxBytes: bytes, maxAgeMilliseconds: 5)
    target.retry = RetrySettings(initialMilliseconds: 10, maxMilliseconds: 10, windowMilliseconds: 3_600_000)
    target.maxConcurrency = 4
    target.minConcurrency = 4
    return target
}

func lineWriter(_ target: Target) -> RecordWriter {
    let stamp = ExportStamp(version: "1", cluster: "c")
    return .file(
        FileRequestBuilder(target: target, encoder: FormatEncoder(.json, stamp: stamp, options: FormatOptions())))
}

/// Lines of records, some of them blank, and pieces of them that end at line ends.
struct TestInput {
    var bytes: [UInt8] = []
    /// Where lines end.
    var ends: [UInt64] = []

    init(records: Int, rng: inout PRNG) {
        var generator = ProbeResultGenerator(seed: rng.next())
        for _ in 0..<records {
            var out = ByteWriter()
            generator.next(into: &out)
            bytes += out.seal().array
            if bytes.last != 0x0A { bytes.append(0x0A) }
            ends.append(UInt64(bytes.count))
            for _ in 0..<rng.below(6) where rng.below(3) == 0 {
                bytes += [0x20, 0x0A]
                ends.append(UInt64(bytes.count))
            }
        }
    }

    /// Each record: where it lies, and the line that `lineWriter` makes of it.
    var records: [(place: Range<UInt64>, line: [UInt8])] {
        var found: [(place: Range<UInt64>, line: [UInt8])] = []
        var start: UInt64 = 0
        for end in ends {
            defer { start = end }
            let text = Array(bytes[Int(start)..<Int(end) - 1])
            var reader = ProbeResultReader()
            guard (try? reader.read(text.span, 0..<text.count)) != nil else { continue }
            var out = ByteWriter()
            var scratch = ByteWriter()
            lineWriter(target(.file, records: 1)).append(reader.record, of: text.span, into: &out, scratch: &scratch)
            found.append((start..<end, out.seal().array.filter { $0 != 0x0A }))
        }
        return found
    }

    /// The pieces from `start` on, of one or a few lines each.
    func chunks(of source: Int64, from start: UInt64, rng: inout PRNG) -> [Chunk] {
        var found: [Chunk] = []
        var at = start
        while at < UInt64(bytes.count) {
            let later = ends.filter { $0 > at }
            let end = later[min(Int(rng.below(4)), later.count - 1)]
            found.append(
                Chunk(
                    source: source, start: at, end: end, bytes: SealedBytes(Array(bytes[Int(at)..<Int(end)])),
                    isLast: end == UInt64(bytes.count)))
            at = end
        }
        return found
    }
}

/// A receiver that notes what it gets and answers as it is told.
final class NotingBackend: Backend {
    typealias Answer = @Sendable (Parcel) async -> DeliveryAnswer

    private let answer: Answer
    private let bodies = Mutex<[[UInt8]]>([])

    init(answer: @escaping Answer) { self.answer = answer }

    /// The bodies of all requests.
    var received: [[UInt8]] { bodies.withLock { $0 } }

    func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
        bodies.withLock { $0.append(parcel.body().array) }
        return await answer(parcel)
    }

    func probe() async -> Reason? { nil }
    func close() async {}
}

/// Never answers, as a receiver that is still at it when the process dies.
func never(_: Parcel) async -> DeliveryAnswer {
    try? await Task.sleep(for: .seconds(3_600))
    return DeliveryAnswer(.unknown(Reason(code: "never", message: "")))
}

func parts(
    _ ledger: any LedgerSink, refuse: @escaping @Sendable ([BadRecord]) async -> Bool = { _ in true }
) -> Worker.Parts {
    Worker.Parts(
        ledger: ledger, log: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }, limits: Limits(), seed: 1,
        lookup: { _, _ in nil }, refuse: refuse)
}
