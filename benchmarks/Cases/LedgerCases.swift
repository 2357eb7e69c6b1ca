import Glibc
import Ledger
import Model
import Protocol

/// Two batches of 500 records each, on a real file that is synchronized: what the processor has to do for it. How long the
/// disk takes is the disk's affair.
enum LedgerCases {
    static let all = [
        MicroCase("ledger-batch") { try await batches() },
        MicroCase("ledger-told") { try await rows() },
    ]

    private static let recordsOfBatch = 500
    private static let bytesOfBatch = recordsOfBatch * 1_200
    private static let batchesOfRound = MicroCase.unitsOfRound / recordsOfBatch

    /// A process that works alone: the batch leaves, and is accepted.
    private static func batches() async throws -> Round {
        let directory = try Scratch()
        let ledger = try await Ledger.open(directory: directory.path)
        let identity = SourceIdentity(
            path: "/var/log/results.ndjson", fingerprint: Array(repeating: 7, count: 32), fingerprintLength: 1_024)
        let source = try await ledger.addSource(identity)
        var start: UInt64 = 0
        return Round(waiting: {
            for _ in 0..<batchesOfRound {
                let range = start..<start + UInt64(bytesOfBatch)
                start = range.upperBound
                let stretch = BatchInFlight.Stretch(source: source.rawValue, range: range)
                let flight = BatchInFlight(stretches: [stretch], receipt: nil, sentAt: 1_773_563_400_000)
                try await ledger.commit([.departed(target: "bench", flight)])
                try await ledger.commit([
                    .accepted(
                        target: "bench", source: source, range: range, records: recordsOfBatch, bytes: bytesOfBatch)
                ])
            }
            return Int(start)
        }) {
            try await ledger.close()
            directory.remove()
        }
    }

    /// A worker of a cluster: it tells its leader what was accepted, who then has the rows before.
    private static func rows() async throws -> Round {
        let directory = try Scratch()
        let ledger = try await Ledger.open(directory: directory.path)
        var rng = PRNG(seed: 3)
        let (keys, grants) = (FrameCases.keys(&rng), FrameCases.grants(&rng))
        let own = SourceID(rawValue: 1)
        var number: UInt64 = 0
        return Round(waiting: {
            for _ in 0..<batchesOfRound {
                number += 1
                try await ledger.commit([
                    .accepted(
                        target: "bench", source: own, range: 0..<0, records: recordsOfBatch, bytes: bytesOfBatch),
                    .told(
                        ToldRow(
                            number: number, target: "bench", kind: .delivered, reason: "", keys: keys, grants: grants)),
                    .forgotten(through: number - 1),
                ])
            }
            return Int(number)
        }) {
            try await ledger.close()
            directory.remove()
        }
    }
}

/// A directory for a ledger, below `TMPDIR`.
struct Scratch {
    let path: String

    init() throws {
        let parent = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        var name = Array("\(parent)/sidereal-bench-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&name) != nil else {
            throw WrongCase(description: "no directory could be made below \(parent): errno \(errno)")
        }
        path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// With what lies in it.
    func remove() {
        if let listing = unsafe opendir(path) {
            while let entry = unsafe readdir(listing) {
                let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                    unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
                }
                unsafe unlink("\(path)/\(name)")
            }
            unsafe closedir(listing)
        }
        unsafe rmdir(path)
    }
}
