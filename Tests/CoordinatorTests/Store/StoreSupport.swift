import Glibc
import Model
import Protocol
import Testing

@testable import Coordinator
@testable import ExportCore

/// A directory of its own for a test, gone afterwards.
func withStoreDirectory<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let name = "/tmp/sidereal-store-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    defer { removeTree(name) }
    return try await body(name)
}

private func removeTree(_ path: String) {
    for name in (try? DirectoryListing.read(path)) ?? [] where name != "." && name != ".." {
        let child = "\(path)/\(name)"
        if unsafe unlink(child) != 0 { removeTree(child) }
    }
    unsafe rmdir(path)
}

func put(_ bytes: [UInt8], at path: String) {
    let descriptor = unsafe open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    defer { close(descriptor) }
    #expect(unsafe write(descriptor, bytes, bytes.count) == bytes.count)
    #expect(unsafe rename(path + ".new", path) == 0)
}

func contents(_ path: String) -> [UInt8]? {
    try? StoreDirectory("/", lockMilliseconds: 1).read(String(path.dropFirst()), limit: 1 << 30)
}

/// Why a store refuses; nil if it does not.
func refusal(_ body: () async throws -> Void) async -> StoreError.Kind? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? StoreError)?.kind
    }
}

func leaseRecord(_ holder: String, _ term: UInt64, renewal: UInt64 = 1) -> LeaseRecord {
    var record = LeaseRecord(
        holder: holder, address: "\(holder):7443", term: term, renewal: renewal, durationMilliseconds: 15_000)
    record.endpoint = "http://\(holder):8080"
    return record
}

extension FileClusterStore {
    /// Makes `holder` the leader of `term`, whoever was it before.
    @discardableResult
    func lead(_ holder: String, _ term: UInt64) async throws -> Fence {
        let before = try await readLease().stored?.version
        _ = try #require(try await writeLease(leaseRecord(holder, term), replacing: before))
        return Fence(holder: holder, term: term)
    }
}

func facts(
    _ target: Int, _ kind: Outcomes.Kind, source: UInt64, _ ranges: [Range<UInt64>], reason: String = ""
) -> StatusEntry {
    .facts(
        Dispatch.Facts(
            target: target, kind: kind, reason: reason,
            keys: ranges.map { RecordKey(high: source, low: $0.lowerBound) },
            lengths: ranges.map { UInt32($0.count) }))
}
