public import Model
import Synchronization
import Threading

/// The secrets as Kubernetes mounts them: one folder for each secret, one file for each key.
///
/// 1. A value that was changed on disk is seen within a second, or at the next read after ``invalidate(_:)``.
/// 2. Between two looks at the disk nothing is read: a cached value costs one lock.
/// 3. No error and no description holds any part of a value.
/// 4. A value never holds NUL, CR or LF, so it may stand in a header.
/// 5. What restricts whom TLS trusts (``guards``) is never taken for absent by mistake: not if it cannot be looked at,
///    and not once this process has seen it.
///
/// Not promised: that two keys read one after the other come from the same version of a secret. Kubernetes swaps all
/// files at once, but a read may fall on either side of that moment; the receiver then answers 401 and the pair is
/// read again.
///
/// The files are small and lie in memory (Kubernetes mounts secrets as tmpfs), so they are read on the caller's thread.
public final class SecretDirectory: Sendable {
    /// Longest accepted file, bytes.
    public static let maxBytes = 64 << 10
    /// A file is looked at again after this many milliseconds.
    public static let checkIntervalMilliseconds: UInt64 = 1_000

    /// The directory that holds a folder for each secret.
    public let root: String
    private let now: @Sendable () -> Tick
    private let cache = Mutex(Cache())

    private struct Place: Hashable {
        var ref: String
        var key: String
    }

    private struct Entry {
        var checked: Tick
        /// Nil if the file was not there.
        var content: FileContent?
    }

    /// Keys without which TLS would trust more: the authorities and the revocation lists.
    static let guards: Set<String> = ["ca.crt", "crl.pem", "proxy-ca.crt"]

    private struct Cache {
        /// Bounded by the targets of the configuration and the few keys that are asked for.
        var entries: [Place: Entry] = [:]
        /// Counts the calls of `invalidate`, so that a read that began before one does not store what it found.
        var generation = 0
        /// The ``guards`` that were there at some time; bounded by the targets of the configuration.
        var seenGuards: Set<Place> = []
    }

    /// The secrets below `root`. `now` is the machine's monotonic clock unless a test brings its own.
    public init(root: String = "/etc/sidereal/secrets", now: (@Sendable () -> Tick)? = nil) {
        self.root = root
        self.now = now ?? { SystemClock.now() }
    }

    /// The value of a key without one line break at its end; nil if there is no such file.
    public func read(_ ref: String, key: String) throws(SecretError) -> Secret? {
        let place = Place(ref: ref, key: key)
        let path = try checkedPath(place)
        let time = now()
        let (cached, generation) = cache.withLock { ($0.entries[place], $0.generation) }
        if let cached, time.milliseconds(since: cached.checked) < Self.checkIntervalMilliseconds {
            return cached.content?.secret
        }
        let content: FileContent?
        if let known = cached?.content, try FileStamp(path: path) == known.stamp {
            content = known
        } else {
            content = try FileContent.read(path: path)
        }
        cache.withLock {
            if $0.generation == generation { $0.entries[place] = Entry(checked: time, content: content) }
        }
        return content?.secret
    }

    /// The path of a key's file, for what is handed on as a file (`ca.crt`, `tls.crt`, `tls.key`); nil if the secret is
    /// there and has no such file.
    ///
    /// Throws if the secret's folder is missing, if the file cannot be looked at or is no file, and if it is one of
    /// ``guards`` that was there before: whoever removes an authority or a revocation list for good starts the process
    /// anew, and everybody else has only not yet put the next one in its place.
    public func path(_ ref: String, key: String) throws(SecretError) -> String? {
        let place = Place(ref: ref, key: key)
        let path = try checkedPath(place)
        let isGuard = Self.guards.contains(key)
        if let stamp = try FileStamp(path: path) {
            guard stamp.isFile else {
                throw SecretError(.notAFile, "\(path) is not a regular file; put the PEM text itself into a file")
            }
            if isGuard { cache.withLock { _ = $0.seenGuards.insert(place) } }
            return path
        }
        guard try exists(ref) else {
            throw SecretError(
                .absent, "there is no directory \(root)/\(ref); mount the secret \(ref) there, or correct secretRef")
        }
        guard isGuard, cache.withLock({ $0.seenGuards.contains(place) }) else { return nil }
        throw SecretError(
            .withdrawn,
            "\(path) was there and is gone, and without it TLS would trust more; put it back, or restart the exporter if"
                + " it is meant to be gone")
    }

    /// Whether the secret's folder is there.
    public func exists(_ ref: String) throws(SecretError) -> Bool {
        guard Self.isName(ref) else { return false }
        return try FileStamp(path: "\(root)/\(ref)")?.isDirectory == true
    }

    /// Forgets what was read of a secret, so that the next read goes to the disk: for a receiver that refused it.
    public func invalidate(_ ref: String) {
        cache.withLock {
            $0.generation += 1
            $0.entries = $0.entries.filter { place, _ in place.ref != ref }
        }
    }

    private func checkedPath(_ place: Place) throws(SecretError) -> String {
        guard Self.isName(place.ref), Self.isName(place.key) else {
            throw SecretError(
                .badName, "the name of a secret and of its key must each be a single file name without a slash")
        }
        return "\(root)/\(place.ref)/\(place.key)"
    }

    /// Whether `name` is one component of a path that leads downwards.
    private static func isName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && name.utf8.count <= 255
            && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x2F && $0 != 0x7F }
    }
}
