import Glibc
public import Model
import Threading

/// Contents of the files that ``TLSSettings`` names.
public struct PEMContents: Sendable {
    /// Authorities to trust.
    public var authorities: SealedBytes?
    /// Client certificate and its chain.
    public var certificate: SealedBytes?
    /// The client certificate's key.
    public var key: SealedBytes?
    /// Revocation lists of the authorities.
    public var revocations: SealedBytes?
    var proxyAuthorities: SealedBytes?
    /// Path of the revocation lists, and the authorities with a comment behind them that names this version of the lists.
    var revocation: (file: String, authorities: SealedBytes)?

    /// None of them.
    public init() {}

    var all: [SealedBytes] { [trusted, certificate, key, proxyAuthorities].compactMap(\.self) }

    /// What libcurl takes for the authorities: other bytes whenever they or the revocation lists have changed.
    var trusted: SealedBytes? { revocation?.authorities ?? authorities }
}

/// Reads certificate files and keeps what it read until they change: as long as a file is the same, so are the bytes.
/// Blocks the caller; for one thread at a time.
public struct PEMFiles {
    private struct Identity: Equatable {
        let device, inode: UInt
        let size, seconds, nanoseconds: Int

        init(_ status: stat) {
            device = status.st_dev
            inode = status.st_ino
            size = status.st_size
            seconds = status.st_ctim.tv_sec
            nanoseconds = status.st_ctim.tv_nsec
        }
    }

    /// A file that cannot be used, and why.
    public struct Unreadable: Error, Sendable {
        /// The file.
        public let path: String
        /// What the system said, or what is wrong with it.
        public let why: String
    }

    /// The largest bundle of a distribution has some 220 kB.
    private static let maxBytes = 4 << 20
    private static let maxFiles = 256
    private var both: [[String]: (first: Identity, second: Identity, bytes: SealedBytes)] = [:]
    private var known: [String: (identity: Identity, bytes: SealedBytes)] = [:]

    /// Nothing read yet.
    public init() {}

    /// What the files hold now, and what is in memory.
    public mutating func contents(_ settings: TLSSettings) throws(Unreadable) -> PEMContents {
        var contents = PEMContents()
        if let path = settings.caFile { contents.authorities = try entry(path).bytes }
        if let path = settings.caFile, let list = settings.revocationFile {
            contents.revocations = try entry(list).bytes
            contents.revocation = (list, try marked(path, list))
        }
        if let path = settings.proxyCAFile { contents.proxyAuthorities = try entry(path).bytes }
        if let path = settings.certificateFile { contents.certificate = try entry(path).bytes }
        if let path = settings.keyFile { contents.key = try entry(path).bytes }
        let memory = settings.inMemory
        if let authorities = memory.authorities { contents.authorities = authorities }
        if let certificate = memory.certificate { contents.certificate = certificate }
        if let key = memory.key { contents.key = SealedBytes(Array(key.reveal().utf8)) }
        return contents
    }

    /// Authorities, and which revocation lists belong to them as a comment (text outside of the marks is passed over; RFC
    /// 7468, section 2). Made anew only when either has changed.
    private mutating func marked(_ authorities: String, _ list: String) throws(Unreadable) -> SealedBytes {
        let (first, second) = (try entry(authorities), try entry(list))
        let pair = [authorities, list]
        if let both = both[pair], both.first == first.identity, both.second == second.identity { return both.bytes }
        let bytes = SealedBytes(first.bytes.array + Array("\n# with \(second.identity)\n".utf8))
        if both.count >= PEMFiles.maxFiles { both.removeAll() }
        both[pair] = (first.identity, second.identity, bytes)
        return bytes
    }

    private mutating func entry(_ path: String) throws(Unreadable) -> (identity: Identity, bytes: SealedBytes) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw PEMFiles.unreadable(path) }
        if let entry = known[path], entry.identity == Identity(status) { return entry }
        let entry = try PEMFiles.read(path)
        if known.count >= PEMFiles.maxFiles { known.removeAll() }
        known[path] = entry
        return entry
    }

    private static func read(_ path: String) throws(Unreadable) -> (identity: Identity, bytes: SealedBytes) {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw unreadable(path) }
        defer { close(file) }
        var status = stat()
        guard unsafe fstat(file, &status) == 0 else { throw unreadable(path) }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size > 0, status.st_size <= maxBytes else {
            throw Unreadable(path: path, why: "not a regular file of 1 to \(maxBytes) bytes")
        }
        var bytes = [UInt8](repeating: 0, count: status.st_size)
        var filled = 0
        while filled < bytes.count {
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(file, $0.baseAddress.map { unsafe $0 + filled }, $0.count - filled)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw count < 0 ? unreadable(path) : Unreadable(path: path, why: "it became shorter while being read")
            }
            filled += count
        }
        return (Identity(status), SealedBytes(bytes))
    }

    private static func unreadable(_ path: String) -> Unreadable {
        let code = errno
        return Unreadable(path: path, why: systemErrorText(code))
    }
}
