internal import Glibc
import Threading

/// The state directory, held by this process alone as long as this object lives.
///
/// The lock is `flock(2)` on the file `lock`, which the kernel releases however the process ends; the process id
/// in it is only for people. The file is not removed: another process may have it open already.
@safe final class StateDirectory {
    private let descriptor: Int32
    /// Where the database lies.
    let databasePath: String

    /// Creates the directory if need be (mode 0700: dead letters hold audit records) and locks it.
    init(_ directory: String) throws(LedgerError) {
        try Self.make(directory)
        let lockPath = directory + "/lock"
        let descriptor = unsafe open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.notWritable(lockPath, errno) }
        let cause = Self.lock(descriptor)
        if cause != 0 {
            let holder = Self.readProcessID(descriptor)
            close(descriptor)
            throw Self.locked(directory, by: holder, cause)
        }
        self.descriptor = descriptor
        databasePath = directory + "/ledger.db"
        try Self.write("\(getpid())\n", to: descriptor, path: lockPath)
        // SQLite gives its journal the mode of the database, so the database must not be made with the default.
        let database = unsafe open(databasePath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard database >= 0 else { throw Self.notWritable(databasePath, errno) }
        var status = stat()
        let isKnown = unsafe fstat(database, &status) == 0
        close(database)
        // SQLite takes a file shorter than its smallest page for an empty one and would start afresh over it.
        if isKnown, (1..<512).contains(status.st_size) {
            throw .corrupt(databasePath, "it is cut off after \(status.st_size) bytes")
        }
        try Self.synchronize(directory)
    }

    deinit {
        close(descriptor)
    }

    /// Makes a new entry of the directory survive a power failure: fsync of the file alone does not (fsync(2)).
    private static func synchronize(_ directory: String) throws(LedgerError) {
        let opened = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard opened >= 0 else { throw notWritable(directory, errno) }
        defer { close(opened) }
        if fsync(opened) != 0 {
            throw LedgerError(
                .inputOutput,
                "cannot synchronize the state directory \(directory): \(systemErrorText(errno)). Look at the"
                    + " disk and the kernel's log", systemError: errno)
        }
    }

    private static func make(_ directory: String) throws(LedgerError) {
        var path = directory.hasPrefix("/") ? "" : "."
        for part in directory.split(separator: "/") {
            path += "/" + part
            if unsafe mkdir(path, 0o700) != 0, errno != EEXIST {
                // An existing parent on a read-only file system may answer EROFS or EACCES before EEXIST.
                if unsafe access(path, F_OK) != 0 { throw notWritable(path, errno) }
            }
        }
    }

    private static func readProcessID(_ descriptor: Int32) -> Int32? {
        var buffer = [UInt8](repeating: 0, count: 32)
        let count = unsafe pread(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return nil }
        return Int32(String(decoding: buffer[..<count].prefix { $0 != 10 }, as: UTF8.self))
    }

    private static func write(_ text: String, to descriptor: Int32, path: String) throws(LedgerError) {
        let bytes = Array(text.utf8)
        let written = ftruncate(descriptor, 0) == 0 ? unsafe pwrite(descriptor, bytes, bytes.count, 0) : -1
        if written != bytes.count {
            let cause = errno
            let kind: LedgerError.Kind = cause == ENOSPC || cause == EDQUOT ? .diskFull : .notWritable
            throw LedgerError(
                kind, "cannot write \(path): \(systemErrorText(cause)). Make room, or the directory writable",
                systemError: cause)
        }
    }

    /// Returns 0, or the error number. Waits half a second for a holder that is going: one that was killed a moment
    /// ago, or a child that has been forked and still has our descriptors because it has not come to its exec.
    private static func lock(_ descriptor: Int32) -> Int32 {
        for attempt in 0... {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return 0 }
            let cause = errno
            guard cause == EWOULDBLOCK || cause == EINTR, attempt < 25 else { return cause }
            usleep(20_000)
        }
        return EWOULDBLOCK
    }

    private static func locked(_ directory: String, by holder: Int32?, _ cause: Int32) -> LedgerError {
        guard cause == EWOULDBLOCK else {
            return LedgerError(
                .inputOutput,
                "cannot lock the state directory \(directory): \(systemErrorText(cause)). Use a file system"
                    + " with flock(2)", systemError: cause)
        }
        let who = holder.map { $0 == getpid() ? "this process (pid \($0))" : "another process, pid \($0)," }
        return LedgerError(
            .locked(pid: holder),
            "\(who ?? "another process") already uses this state directory, \(directory). Stop it, or choose"
                + " another directory", systemError: cause)
    }

    private static func notWritable(_ path: String, _ cause: Int32) -> LedgerError {
        if cause == ENOSPC || cause == EDQUOT {
            return LedgerError(
                .diskFull, "cannot create \(path): \(systemErrorText(cause)). Free space on that file system",
                systemError: cause)
        }
        return LedgerError(
            .notWritable,
            "cannot create or write \(path): \(systemErrorText(cause)). The state directory must be on a writable file"
                + " system and belong to this user", systemError: cause)
    }
}
