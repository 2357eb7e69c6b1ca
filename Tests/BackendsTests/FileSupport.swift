import ExportCore
import Glibc
import Model
import Synchronization
import Testing

@testable import Backends

/// What a ledger would hold of one file target.
final class FileLedger: Sendable {
    private let files = Mutex<[OutputFile]>([])
    private let refusal = Mutex<(reason: Reason, path: String?)?>(nil)

    /// What the ledger knows: the last file.
    var file: OutputFile? { files.withLock { $0.last } }
    /// Every file that was begun, in order.
    var announced: [String] { files.withLock { $0.filter { $0.length == 0 }.map(\.path) } }

    func write(_ file: OutputFile) { files.withLock { $0.append(file) } }

    /// Refuses what is announced, or only the file at `path`.
    func refuse(with reason: Reason?, from path: String? = nil) {
        refusal.withLock { $0 = reason.map { ($0, path) } }
    }

    func announce(_ file: OutputFile) -> Reason? {
        if let refused = refusal.withLock({ $0 }), refused.path ?? file.path == file.path { return refused.reason }
        write(file)
        return nil
    }
}

/// A file target `t` in `directory`, closed at the end whatever happens.
func withFileBackend<R>(
    _ directory: String, _ ledger: FileLedger, maxFileBytes: Int = 1 << 20, gzip: Bool = false,
    maxFileAge: UInt64 = 900_000,
    syncDirectory: @escaping FileBackend.SyncDirectory = OutputLog.syncDirectory,
    _ body: (FileBackend) async throws -> R
) async throws -> R {
    var target = target(.file)
    target.endpoint.path = directory
    target.maxFileBytes = maxFileBytes
    target.maxFileAgeMilliseconds = maxFileAge
    if gzip { target.compression = .gzip }
    let builder = FileRequestBuilder(target: target, encoder: encoder())
    let backend = FileBackend(
        target: target, builder: builder, committed: ledger.file, recorded: { ledger.file },
        announce: { ledger.announce($0) }, syncDirectory: syncDirectory)
    do {
        let result = try await body(backend)
        await backend.close()
        return result
    } catch {
        await backend.close()
        throw error
    }
}

extension FileBackend {
    /// Delivers these lines as one batch.
    func deliver(lines: [String]) async -> DeliveryAnswer { await deliver(parcel(lines)) }
}

/// The largest length the file system allows a file to have.
func largestLength(_ descriptor: Int32) -> off_t {
    var low: off_t = 1
    var high = off_t.max
    while low < high {
        let middle = low + (high - low) / 2 + (high - low) % 2
        if ftruncate(descriptor, middle) == 0 { low = middle } else { high = middle - 1 }
    }
    return low
}
