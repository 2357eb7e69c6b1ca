import Crypto
import Glibc
import Model
import Threading

/// What tells whether a name still stands for the same file.
struct ResultStamp: Equatable {
    var inode: UInt64
    var size: UInt64
    /// Modification, nanoseconds since 1970.
    var modified: Int64

    /// Nil if there is nothing, or no regular file.
    init?(path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        inode = UInt64(status.st_ino)
        size = UInt64(status.st_size)
        modified = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }
}

/// A file of results that is not settled yet.
struct ResultFile {
    let name: String
    let path: String
    let source: UInt64
    let size: UInt64
    /// When its writer was done with it, milliseconds since 1970.
    let writtenAt: Int64
    /// What of it is settled, for each target.
    let settled: [PositionSet]
    /// How many bytes of it each target still has to be shown.
    let unsettledBytes: [UInt64]
    /// It cannot be read: it stays as it is, and counts as not delivered.
    var isBroken = false

    private static let fingerprintBytes = 4_096

    /// Looks at a file.
    ///
    /// - Parameter settled: what is known of a source and its targets.
    init(
        name: String, path: String, stamp: ResultStamp, settled known: (UInt64) -> [PositionSet]
    ) throws(InputError) {
        self.name = name
        self.path = path
        size = stamp.size
        writtenAt = stamp.modified / 1_000_000
        source = try Self.source(name, path, stamp.size)
        settled = known(source)
        unsettledBytes = settled.map { [size] in size - min(size, $0.total) }
    }

    /// The number of a source: the first eight bytes of SHA-256 over the file's name, size and first bytes. Like its
    /// neighbour in all but the name, or under the same name but different, it is another source.
    private static func source(_ name: String, _ path: String, _ size: UInt64) throws(InputError) -> UInt64 {
        let handle = try InputHandle(path: path)
        var text = Array("\(name)\u{0}\(size)\u{0}".utf8)
        text += try handle.read(at: 0, count: Int(min(size, UInt64(fingerprintBytes))))
        let hash: [UInt8]
        do { hash = try SHA256.hash(text.span) } catch {
            throw InputError("cannot compute the fingerprint of \(path): \(error)")
        }
        return hash.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
