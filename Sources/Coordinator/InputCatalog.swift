import Crypto
import Glibc
public import Ledger
import Threading

/// The inputs of a run, in the order they are read, each known to the ledger.
///
/// An input is the same as before if its path and its first bytes are the same; then its progress counts. A file
/// that was appended to goes on where it stopped, one that was replaced starts anew.
public struct InputCatalog: Sendable {
    /// One input.
    public struct Entry: Sendable {
        /// As given, for messages.
        public var path: String
        /// The ledger's number.
        public var source: SourceID
        /// Bytes, as of the start; a spool may grow.
        public var size: UInt64
        let handle: InputHandle
    }

    /// In reading order.
    public private(set) var entries: [Entry] = []

    private static let fingerprintBytes = 4096

    /// Paths behind `input`: the file itself, or the NDJSON files of a directory by name.
    public static func paths(_ input: String) throws(InputError) -> [String] {
        var status = stat()
        guard unsafe stat(input, &status) == 0 else {
            throw InputError("cannot read \(input): \(systemErrorText(errno))")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return [input] }
        let all: [String]
        do throws(SystemError) { all = try DirectoryListing.read(input) } catch {
            throw InputError("cannot list \(input): \(error)")
        }
        let names = all.filter { name in [".ndjson", ".jsonl", ".json"].contains(where: name.hasSuffix) }
        return names.sorted().map { input.hasSuffix("/") ? input + $0 : "\(input)/\($0)" }
    }

    /// One input that the ledger does not know: what is settled of it is written down in other terms.
    public static func unknown(_ path: String, as source: SourceID) throws(InputError) -> InputCatalog {
        let handle = try InputHandle(path: path)
        var catalog = InputCatalog()
        catalog.entries = [Entry(path: path, source: source, size: try handle.size(), handle: handle)]
        return catalog
    }

    /// Opens every path and finds it in the ledger, or adds it there.
    ///
    /// - Parameter knownByPath: the path alone tells which input it is. For segments of a spool, which nobody else
    ///   writes and which are still empty when the ledger first hears of them.
    public static func open(
        _ paths: [String], ledger: Ledger, knownByPath: Bool = false
    ) async throws -> InputCatalog {
        var catalog = InputCatalog()
        for path in paths { catalog.entries.append(try await open(path, ledger, knownByPath)) }
        return catalog
    }

    private static func open(_ path: String, _ ledger: Ledger, _ knownByPath: Bool) async throws -> Entry {
        let handle = try InputHandle(path: path)
        let size = try handle.size()
        let absolute =
            unsafe realpath(path, nil).map { pointer in
                defer { unsafe free(pointer) }
                return unsafe String(cString: pointer)
            } ?? path
        let head = try handle.read(at: 0, count: Int(min(size, UInt64(fingerprintBytes))))
        for known in try await ledger.knownSources(path: absolute) {
            let length = known.identity.fingerprintLength
            if knownByPath { return Entry(path: path, source: known.id, size: size, handle: handle) }
            guard length <= head.count, length > 0 || head.isEmpty else { continue }
            if try SHA256.hash(Array(head.prefix(length)).span) == known.identity.fingerprint {
                return Entry(path: path, source: known.id, size: size, handle: handle)
            }
        }
        let identity = SourceIdentity(
            path: absolute, fingerprint: try SHA256.hash(head.span), fingerprintLength: head.count)
        return Entry(path: path, source: try await ledger.addSource(identity), size: size, handle: handle)
    }
}
