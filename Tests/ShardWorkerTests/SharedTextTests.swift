import Backends
import ExportCore
import Formats
import FoundationEssentials
import Ledger
import Model
import Synchronization
import Testing

@testable import ShardWorker

/// What is written once for several targets is what each of them would have had written for itself.
@Suite struct SharedTextTests {
    private static let stamp = ExportStamp(version: "1", cluster: "c")

    /// A target of a backend whose envelope, options and format are its own.
    private static func plan(
        _ backend: BackendKind, _ format: FormatKind, _ change: (inout FormatOptions) -> Void = { _ in }
    ) -> (target: Target, writer: RecordWriter) {
        var target = target(backend, records: 7)
        target.format = format
        change(&target.formatOptions)
        let encoder = FormatEncoder(format, stamp: stamp, options: target.formatOptions)
        let writer: RecordWriter =
            switch backend {
            case .splunk: .splunk(SplunkRequestBuilder(target: target, encoder: encoder, cluster: "c"))
            case .elasticsearch: .elasticsearch(ElasticsearchRequestBuilder(target: target, encoder: encoder))
            case .s3: .s3(S3RequestBuilder(target: target, encoder: encoder, cluster: "c"))
            case .syslog: .syslog(SyslogRequestBuilder(target: target, encoder: encoder, stamp: stamp))
            case .file: .file(FileRequestBuilder(target: target, encoder: encoder))
            }
        return (target, writer)
    }

    /// Every backend with JSON, and text formats in pairs that differ in their options or in nothing.
    private static let plans = [
        plan(.elasticsearch, .json), plan(.splunk, .json), plan(.file, .json), plan(.s3, .json), plan(.syslog, .json),
        plan(.splunk, .cef), plan(.syslog, .cef), plan(.file, .cef) { $0.vendor = "Other" },
        plan(.elasticsearch, .leef), plan(.splunk, .leef), plan(.file, .syslog), plan(.syslog, .syslog),
        plan(.file, .ocsf),
    ]

    /// Records with fields of every size, hostile strings, blank lines and lines that are refused.
    private static func lines(_ rng: inout PRNG) -> [[UInt8]] {
        let strange = #"{\"\\\u0000\r\n\u2028\ud83d\ude00 |=]\ud800"#
        return (0..<40).map { _ in
            switch rng.below(8) {
            case 0: return Array("{\"metadata\":{\"uid\":\"x\"}}".utf8)
            case 1: return Array("  ".utf8)
            case 2: return Array("no record".utf8)
            default:
                let plain = String(repeating: "a", count: Int(rng.below(9_000)))
                return Array(record(detail: rng.below(3) == 0 ? strange : plain).utf8)
            }
        }
    }

    private static func record(detail: String) -> String {
        let uid = UUID().uuidString.lowercased()
        return #"{"metadata":{"uid":"\#(uid)","name":"r","labels":{"b":"2","a":"1"}},"spec":{"probe":{"id":"\#(uid)","#
            + #""profile":"rbac","targetNamespace":"n"},"result":{"outcome":"Pass","controlEffectiveness":"Effective","#
            + #""integrityStatus":"Verified","detail":"\#(detail)"},"execution":{"timestamp":"2026-03-15T08:30:01Z","#
            + #""durationMs":7,"jobName":"j"},"audit":{"exportStatus":"Pending"}},"sidereal":{"of":"others"}}"#
    }

    /// What a target must get of `lines`, written for it alone.
    private static func expected(_ lines: [[UInt8]], _ writer: RecordWriter) -> [UInt8] {
        var reader = ProbeResultReader()
        var out = ByteWriter()
        var scratch = ByteWriter()
        for line in lines where (try? reader.read(line.span, 0..<line.count)) != nil {
            writer.append(reader.record, of: line.span, into: &out, scratch: &scratch)
        }
        return out.seal().array
    }

    /// Feeds lines in pieces that targets take together, in groups, or alone, as they do when some lag.
    private static func deliver(
        _ lines: [[UInt8]], _ rng: inout PRNG
    ) async throws -> (received: [[UInt8]], refused: [UInt64], settled: [UInt64]) {
        let refused = Mutex<[UInt64]>([])
        let backends = plans.map { _ in NotingBackend { _ in DeliveryAnswer(.delivered(slowDown: false)) } }
        var chunks: [Chunk] = []
        var start: UInt64 = 0
        for line in lines {
            let bytes = line + [0x0A]
            let end = start + UInt64(bytes.count)
            chunks.append(Chunk(source: 1, start: start, end: end, bytes: SealedBytes(bytes), isLast: false))
            start = end
        }
        return try await withTemporaryDirectory { directory in
            let ledger = try await Ledger.open(directory: directory)
            let lanes = zip(plans, backends).enumerated().map { index, pair in
                var target = pair.0.target
                target.name = "t\(index)"
                // In the order of the input.
                (target.maxConcurrency, target.minConcurrency) = (1, 1)
                return LanePlan(target: target, writer: pair.0.writer, backend: pair.1)
            }
            let worker = Worker(
                lanes, settled: plans.map { _ in [:] },
                parts: parts(ledger) { bad in
                    refused.withLock { $0 += bad.map(\.range.lowerBound) }
                    return true
                })
            var next = plans.map { _ in 0 }
            while let least = next.min(), least < chunks.count {
                let at = rng.below(2) == 0 ? least : next[Int(rng.below(UInt64(next.count)))]
                guard at < chunks.count else { continue }
                let all = next.indices.filter { next[$0] == at }
                let some = all.filter { _ in rng.below(4) > 0 }
                let taking = some.isEmpty ? all : some
                await worker.take(chunks[at], for: taking)
                for target in taking { next[target] += 1 }
            }
            await worker.closeBatches(force: true)
            while !worker.gauges.allSatisfy({ $0.snapshot().isIdle }) { await worker.waitForProgress(milliseconds: 10) }
            let settled = worker.gauges.map { $0.snapshot().settledInput }
            await worker.stop()
            try await ledger.close()
            return (backends.map { $0.received.flatMap { $0 } }, refused.withLock { $0 }, settled)
        }
    }

    @Test(arguments: 0..<12 as Range<UInt64>)
    func everyTargetGetsItsOwn(_ seed: UInt64) async throws {
        var rng = PRNG(seed: seed)
        let lines = Self.lines(&rng)
        let (received, refused, settled) = try await Self.deliver(lines, &rng)
        for (index, plan) in Self.plans.enumerated() {
            let same = received[index] == Self.expected(lines, plan.writer)
            #expect(same, "seed \(seed): \(plan.target.backend) \(plan.target.format)")
        }
        // What is refused is refused once for all, and settled with what lies around it.
        var reader = ProbeResultReader()
        var (at, bad): (UInt64, [UInt64]) = (0, [])
        for line in lines {
            let isBlank = line.allSatisfy { $0 == 0x20 }
            if !isBlank, (try? reader.read(line.span, 0..<line.count)) == nil { bad.append(at) }
            at += UInt64(line.count) + 1
        }
        #expect(refused.sorted() == bad, "seed \(seed)")
        #expect(settled.allSatisfy { $0 == at }, "seed \(seed)")
    }
}
