import Glibc
import Model
import Threading

/// A directory that several processes of one machine share, changed only under its lock.
///
/// Promises:
/// 1. What is written as a whole is there whole, or what was there before is: a new file, synchronized, renamed, and the
///    directory synchronized (rename(2), fsync(2)).
/// 2. What is appended is synchronized when the call returns. If it fails, the file is cut back to its length before, but only
///    by one who may still write: whoever came after may have read it.
/// 3. Nobody waits for the lock longer than told. It is flock(2) on a file of its own, so the kernel frees it however its
///    holder ends. A holder that is stopped (SIGSTOP) keeps it, and then nobody can take over; so it is held for a look
///    and a rename or a write, and never while something is synchronized.
/// 4. It stays the directory that it was. If something else lies at its path by now, because the file system was unmounted
///    or the directory replaced, nothing is read and nothing written until it is back: an empty directory would look like
///    a cluster that has not begun.
///
/// One object belongs to one thread.
@safe final class StoreDirectory {
    let path: String
    private let lockMilliseconds: UInt64
    private var lock: Int32 = -1
    /// What lay at the path when it was first looked at.
    private var original: (device: dev_t, inode: ino_t)?
    /// For what is appended to, the file whose name is known to be kept for good: whoever made it may have ended before
    /// it synchronized the directory.
    private var kept: [String: ino_t] = [:]
    /// The highest term in which something was written here.
    var newestTerm: UInt64 = 0
    /// Of names that nobody else uses: process numbers would not do, as every container has a first one.
    private let salt = String(UInt64.random(in: .min ... .max), radix: 16)
    private static let pieceBytes = 1 << 20

    init(_ path: String, lockMilliseconds: UInt64) {
        self.path = path
        self.lockMilliseconds = lockMilliseconds
        var status = stat()
        if unsafe stat(path, &status) == 0 { original = (status.st_dev, status.st_ino) }
    }

    deinit {
        if lock >= 0 { close(lock) }
    }

    /// Makes the directory and those within it that are missing.
    func make(_ names: [String]) throws(StoreError) {
        for directory in [path] + names.map({ path + "/" + $0 }) where unsafe mkdir(directory, 0o755) != 0 {
            var status = stat()
            let code = errno
            guard code == EEXIST, unsafe stat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
                throw Self.failure("cannot make the directory \(directory)", code)
            }
        }
    }

    /// Refuses another directory than the one that was there at first.
    private func requireOriginal() throws(StoreError) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw Self.failure("cannot look at \(path)", errno) }
        guard let original else {
            original = (status.st_dev, status.st_ino)
            return
        }
        guard original == (status.st_dev, status.st_ino) else {
            throw StoreError(
                .unusable,
                "\(path) is not the directory any more that it was at the start: it was unmounted, or replaced. Nothing is"
                    + " read or written until it is back; if the new one is meant, restart this coordinator")
        }
    }

    /// Does `body` while nobody else has the lock.
    func locked<Result>(_ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
        try takeLock()
        defer { flock(lock, LOCK_UN) }
        return try body()
    }

    private func takeLock() throws(StoreError) {
        let deadline = SystemClock.now().adding(milliseconds: lockMilliseconds)
        while true {
            try requireOriginal()
            if lock < 0 { try openLock() }
            if flock(lock, LOCK_EX | LOCK_NB) == 0 {
                if isPresent() { return }
                // Somebody removed the file: others lock another one by now.
                close(lock)
                lock = -1
                continue
            }
            let code = errno
            guard code == EWOULDBLOCK || code == EINTR else { throw Self.failure("cannot lock \(path)/.lock", code) }
            guard SystemClock.now() < deadline else {
                throw StoreError(
                    .busy,
                    "\(path)/.lock is held by another process for more than \(lockMilliseconds) ms"
                        + (LockHolder.find(descriptor: lock)?.words
                            ?? "; if that goes on, look for a coordinator that hangs"))
            }
            usleep(1_000)
        }
    }

    private func openLock() throws(StoreError) {
        lock = unsafe open(path + "/.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard lock >= 0 else { throw Self.failure("cannot open \(path)/.lock", errno) }
    }

    private func isPresent() -> Bool {
        var (ours, named) = (stat(), stat())
        guard unsafe fstat(lock, &ours) == 0, unsafe stat(path + "/.lock", &named) == 0 else { return false }
        return ours.st_ino == named.st_ino && ours.st_dev == named.st_dev
    }

    /// All of a file; nil if there is none.
    func read(_ name: String, limit: Int) throws(StoreError) -> [UInt8]? {
        try requireOriginal()
        let descriptor = unsafe open("\(path)/\(name)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw Self.failure("cannot read \(path)/\(name)", errno)
        }
        defer { close(descriptor) }
        var out = ByteWriter(capacity: 4_096)
        while true {
            if try read(descriptor, name, 64 << 10, into: &out) == 0 { return out.seal().array }
            guard out.count <= limit else {
                throw StoreError(.unusable, "\(path)/\(name) is longer than \(limit) bytes; it is not one of ours")
            }
        }
    }

    /// Appends what comes next of a file; zero at its end.
    private func read(
        _ descriptor: Int32, _ name: String, _ count: Int, into out: inout ByteWriter
    ) throws(StoreError) -> Int {
        while true {
            var code: Int32 = 0
            let before = out.count
            unsafe out.append(room: count) { room in
                let count = unsafe Glibc.read(descriptor, room.baseAddress, room.count)
                code = count < 0 ? errno : 0
                return max(0, count)
            }
            if code == EINTR { continue }
            guard code == 0 else { throw Self.failure("cannot read \(path)/\(name)", code) }
            return out.count - before
        }
    }

    /// Hands over all of a file in pieces that end with a line, but for one that is cut off or longer than any of ours.
    /// Returns its length; zero if there is none.
    func lines(of name: String, _ body: (Span<UInt8>) -> Void) throws(StoreError) -> Int {
        let descriptor = unsafe open("\(path)/\(name)", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return 0 }
            throw Self.failure("cannot read \(path)/\(name)", errno)
        }
        defer { close(descriptor) }
        var piece = ByteWriter(capacity: 2 * Self.pieceBytes)
        var length = 0
        while true {
            let got = try read(descriptor, name, Self.pieceBytes, into: &piece)
            length += got
            var end = got > 0 ? PageCut.lastLineEnd(piece.span) : piece.count
            if end == 0, piece.count >= Self.pieceBytes { end = piece.count }
            if end > 0 { body(piece.span.extracting(0..<end)) }
            guard got > 0 else { return length }
            var rest = ByteWriter(capacity: 2 * Self.pieceBytes)
            rest.append(piece.span, end..<piece.count)
            piece = rest
        }
    }

    /// Puts a whole file in the place of `name` if `isRight` says so under the lock; whether it did.
    @discardableResult
    func replace(
        _ name: String, with bytes: [UInt8], if isRight: () throws(StoreError) -> Bool
    ) throws(StoreError) -> Bool {
        try requireOriginal()
        let parts = name.split(separator: "/")
        let folder = parts.count > 1 ? "\(path)/\(parts[0])" : path
        let new = "\(folder)/.\(parts.last ?? "")-\(salt)\(Self.draftSuffix)"
        defer { unsafe unlink(new) }
        let descriptor = unsafe open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Self.failure("cannot make \(new)", errno) }
        var code = Self.write(bytes, to: descriptor)
        if code == 0, fsync(descriptor) != 0 { code = errno }
        close(descriptor)
        guard code == 0 else { throw Self.failure("cannot write \(path)/\(name)", code) }
        let isDone = try locked { () throws(StoreError) in
            guard try isRight() else { return false }
            guard unsafe rename(new, "\(path)/\(name)") == 0 else {
                throw Self.failure("cannot write \(path)/\(name)", errno)
            }
            return true
        }
        if isDone { try synchronize(folder) }
        return isDone
    }

    private static let draftSuffix = ".new"

    /// Removes what processes left that were killed while they wrote a whole file.
    func removeDrafts(in folder: String, olderThanSeconds age: Int) throws(StoreError) {
        let now = time(nil)
        for name in try Self.names("\(path)/\(folder)") where name.hasPrefix(".") && name.hasSuffix(Self.draftSuffix) {
            var status = stat()
            let file = "\(path)/\(folder)/\(name)"
            if unsafe stat(file, &status) == 0, status.st_mtim.tv_sec < now - age { unsafe unlink(file) }
        }
    }

    /// Appends to a file, which begins with this if there is none, unless `check` throws under the lock.
    func append(_ bytes: [UInt8], to name: String, after check: () throws(StoreError) -> Void) throws(StoreError) {
        let file = "\(path)/\(name)"
        var descriptor: Int32 = -1
        defer { if descriptor >= 0 { close(descriptor) } }
        let before = try locked { () throws(StoreError) in
            try check()
            // Under the lock, for whoever makes the file short puts another one in its place.
            descriptor = unsafe open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { throw Self.failure("cannot open \(file)", errno) }
            return try add(bytes, to: descriptor, file)
        }
        do throws(StoreError) {
            guard fdatasync(descriptor) == 0 else { throw Self.failure("cannot append to \(file)", errno) }
            try keepName(name, of: descriptor)
        } catch {
            // What others have appended meanwhile stays, and what is before it with it.
            try? locked { () throws(StoreError) in
                try check()
                if size(name) == Int(before.upperBound) { ftruncate(descriptor, before.lowerBound) }
            }
            throw error
        }
    }

    /// Makes sure that an open file's name survives the machine.
    private func keepName(_ name: String, of descriptor: Int32) throws(StoreError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw Self.failure("cannot look at \(path)/\(name)", errno)
        }
        guard kept[name] != status.st_ino else { return }
        try synchronize(path)
        kept[name] = status.st_ino
    }

    /// Where in the file it stands.
    private func add(_ bytes: [UInt8], to descriptor: Int32, _ file: String) throws(StoreError) -> Range<off_t> {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw Self.failure("cannot look at \(file)", errno) }
        let start = status.st_size
        var (code, end): (Int32, off_t) = (0, start + off_t(bytes.count))
        // Whoever wrote before may have died within a line.
        if start > 0, Self.lastByte(descriptor, start) != 0x0A {
            code = Self.write([0x0A], to: descriptor)
            end += 1
        }
        if code == 0 { code = Self.write(bytes, to: descriptor) }
        guard code == 0 else {
            ftruncate(descriptor, start)
            throw Self.failure("cannot append to \(file)", code)
        }
        return start..<end
    }

    /// Returns when what anybody has written to a file survives the machine.
    func keep(_ name: String) throws(StoreError) {
        let descriptor = unsafe open("\(path)/\(name)", O_RDONLY | O_CLOEXEC)
        if descriptor < 0, errno == ENOENT { return }
        guard descriptor >= 0 else { throw Self.failure("cannot open \(path)/\(name)", errno) }
        defer { close(descriptor) }
        guard fdatasync(descriptor) == 0 else { throw Self.failure("cannot synchronize \(path)/\(name)", errno) }
    }

    /// Length of a file; nil if there is none.
    func size(_ name: String) -> Int? {
        var status = stat()
        return unsafe stat("\(path)/\(name)", &status) == 0 ? Int(status.st_size) : nil
    }

    /// Names of what is in a directory, in no order.
    static func names(_ path: String) throws(StoreError) -> [String] {
        do throws(SystemError) { return try DirectoryListing.read(path) } catch {
            throw failure("cannot list \(path)", error.code)
        }
    }

    /// What is in a directory under names that are wanted, in no order.
    static func entries(
        _ path: String, where isWanted: (String) -> Bool
    ) throws(StoreError) -> [DirectoryListing.Entry] {
        do throws(SystemError) { return try DirectoryListing.entries(path, where: isWanted) } catch {
            throw failure("cannot list \(path)", error.code)
        }
    }

    private func synchronize(_ folder: String) throws(StoreError) {
        let opened = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard opened >= 0 else { throw Self.failure("cannot open \(folder)", errno) }
        defer { close(opened) }
        if fsync(opened) != 0 { throw Self.failure("cannot synchronize \(folder)", errno) }
    }

    private static func lastByte(_ descriptor: Int32, _ size: off_t) -> UInt8? {
        var byte: UInt8 = 0
        return unsafe pread(descriptor, &byte, 1, size - 1) == 1 ? byte : nil
    }

    /// Zero, or the error number.
    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
        var done = 0
        while done < bytes.count {
            let (written, code) = unsafe bytes.withUnsafeBytes { all in
                let count = unsafe Glibc.write(descriptor, all.baseAddress?.advanced(by: done), all.count - done)
                return (count, errno)
            }
            if written < 0, code == EINTR { continue }
            guard written > 0 else { return written < 0 ? code : EIO }
            done += written
        }
        return 0
    }

    static func failure(_ what: String, _ code: Int32) -> StoreError {
        switch code {
        case ENOSPC, EDQUOT, EFBIG:
            StoreError(.full, "\(what): \(systemErrorText(code)). Make room; nothing counts as written")
        default:
            StoreError(
                .unusable,
                "\(what): \(systemErrorText(code)). The directory must lie on a local disk and be writable for every"
                    + " coordinator")
        }
    }
}
