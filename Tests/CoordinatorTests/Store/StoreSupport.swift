import Glibc
import Logging
import Model
import Protocol
import Synchronization
import Testing
import Threading

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

extension Tick {
    /// Later than any test.
    static var far: Tick { SystemClock.now().adding(milliseconds: 3_600_000) }
}

/// setfsuid(2): whose files this thread may open. The module of the C library lacks its header.
@discardableResult @_silgen_name("setfsuid") private func setfsuid(_ user: uid_t) -> Int32

/// Does something as a user who owns nothing, on this thread alone: a test may run as root, to whom all is open.
@discardableResult func asNobody<Result>(_ body: () throws -> Result) rethrows -> Result {
    setfsuid(65_534)
    defer { setfsuid(geteuid()) }
    return try body()
}

/// From here on this thread is somebody's who owns nothing.
func becomeForever(_ user: uid_t) { setfsuid(user) }

/// A log that can be looked at.
final class HeardLog: LogHandler {
    private let lines = Mutex<[String]>([])
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }

    var heard: [String] { lines.withLock { $0 } }

    var logger: Logger { Logger(label: "test") { _ in self } }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        lines.withLock { $0.append("\(event.level): \(event.message)") }
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
