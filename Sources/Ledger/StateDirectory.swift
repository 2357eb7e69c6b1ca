internal import Glibc
import Threading

/// The state directory, held by this process as long as this object lives.
///
/// The locks are `flock(2)` on the files `lock`, which the exporter holds, and `dead-letters.lock`, which whoever
/// removes dead letters holds. The kernel releases them however the process ends; the process id in them is only for
/// people. The files are not removed: another process may have them open already.
@safe final class StateDirectory {
    /// What the directory is wanted for.
    enum Use {
        /// Exporting: one process at a time. The directory and the database are made if they are missing.
        case exporting
        /// Removing dead letters: one process at a time, also beside an exporter. Nothing is made.
        case removingDeadLetters
    }

    private let descriptors: [Int32]
    /// Where the database lies.
    let databasePath: String
    /// The exporter that works on the directory beside us: its process id, or 0 if that is not known. Nil if we keep
    /// exporters out.
    let exporter: Int32?

    /// Locks `directory`.
    init(_ directory: String, for use: Use = .exporting) throws(LedgerError) {
        databasePath = directory + "/ledger.db"
        switch use {
        case .exporting:
            // Mode 0700: dead letters hold audit records.
            try Self.make(directory)
            descriptors = [try Self.hold(directory, "lock")]
            exporter = nil
            // SQLite gives its journal the mode of the database, so the database must not be made with the default.
            let database = unsafe open(databasePath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            guard database >= 0 else { throw Self.notWritable(databasePath, errno) }
            close(database)
            try Self.checkLength(databasePath)
            try Self.synchronize(directory)
        case .removingDeadLetters:
            try Self.requireLedger(directory)
            let own = try Self.hold(directory, "dead-letters.lock")
            do throws(LedgerError) {
                descriptors = [own, try Self.hold(directory, "lock", attempts: 1)]
                exporter = nil
            } catch {
                guard case .locked(let holder) = error.kind else {
                    close(own)
                    throw error
                }
                descriptors = [own]
                exporter = holder ?? 0
            }
        }
    }

    deinit {
        for descriptor in descriptors { close(descriptor) }
    }

    /// Refuses a directory in which nothing was ever exported, in words for whoever mistyped it.
    static func requireLedger(_ directory: String) throws(LedgerError) {
        var status = stat()
        if unsafe stat(directory, &status) != 0 {
            throw LedgerError(
                .missing,
                "cannot use the state directory \(directory): \(systemErrorText(errno)). Name the one that the"
                    + " exporter was started with (--state)", systemError: errno)
        }
        let database = directory + "/ledger.db"
        if unsafe stat(database, &status) != 0 || status.st_size == 0 {
            throw LedgerError(
                .missing,
                "there is no ledger in \(directory): no exporter has worked with this directory yet. Name the one that"
                    + " the exporter was started with (--state)", systemError: errno)
        }
        try checkLength(database)
    }

    /// SQLite takes a file shorter than its smallest page for an empty one and would start afresh over it.
    private static func checkLength(_ path: String) throws(LedgerError) {
        var status = stat()
        if unsafe stat(path, &status) == 0, (1..<512).contains(status.st_size) {
            throw .corrupt(path, "it is cut off after \(status.st_size) bytes")
        }
    }

    /// Takes the lock `name` and writes our process id into it.
    private static func hold(_ directory: String, _ name: String, attempts: Int = 25) throws(LedgerError) -> Int32 {
        let path = directory + "/" + name
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw notWritable(path, errno) }
        let cause = lock(descriptor, attempts: attempts)
        if cause != 0 {
            let holder = readProcessID(descriptor)
            close(descriptor)
            throw locked(directory, name, by: holder, cause)
        }
        var owner = stat()
        // Whoever works as root in another's directory must not shut the owner out.
        if geteuid() == 0, unsafe stat(directory, &owner) == 0 {
            fchown(descriptor, owner.st_uid, owner.st_gid)
        }
        do throws(LedgerError) {
            try write("\(getpid())\n", to: descriptor, path: path)
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
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
    private static func lock(_ descriptor: Int32, attempts: Int) -> Int32 {
        for attempt in 0... {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return 0 }
            let cause = errno
            guard cause == EWOULDBLOCK || cause == EINTR, attempt < attempts else { return cause }
            usleep(20_000)
        }
        return EWOULDBLOCK
    }

    private static func locked(_ directory: String, _ name: String, by holder: Int32?, _ cause: Int32) -> LedgerError {
        guard cause == EWOULDBLOCK else {
            return LedgerError(
                .inputOutput,
                "cannot lock the state directory \(directory): \(systemErrorText(cause)). Use a file system"
                    + " with flock(2)", systemError: cause)
        }
        let who = holder.map { $0 == getpid() ? "this process (pid \($0))" : "another process, pid \($0)," }
        let said =
            name == "lock"
            ? "already uses this state directory, \(directory). Stop it, or choose another directory"
            : "is removing or retrying dead letters of \(directory). Wait until it has ended, or end it"
        return LedgerError(.locked(pid: holder), "\(who ?? "another process") \(said)", systemError: cause)
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
