import Glibc
import Model

/// An open output file: appended to, synced, and cut back when a write fails half-way.
@safe final class OutputLog {
    private(set) var path: String
    private let descriptor: Int32
    /// Bytes that are whole records.
    private(set) var length: UInt64

    /// A failed system call.
    struct Failure: Error {
        var code: Int32
        var what: String
        var path: String
    }

    /// Opens the file, makes it if `create`, and locks it against other exporters.
    init(path: String, create: Bool) throws(Failure) {
        self.path = path
        let flags = O_RDWR | O_APPEND | O_CLOEXEC | (create ? O_CREAT : 0)
        descriptor = unsafe open(path, flags, FileAccess.fileMode)
        length = 0
        guard descriptor >= 0 else { throw Failure(code: errno, what: "open", path: path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw Failure(code: errno, what: "lock", path: path)
        }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw Failure(code: errno, what: "look at", path: path) }
        length = UInt64(status.st_size)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Whether `path` still leads to this file, and nobody else changed its length.
    var isInPlace: Bool {
        var opened = stat()
        var named = stat()
        guard unsafe fstat(descriptor, &opened) == 0, unsafe stat(path, &named) == 0 else { return false }
        return opened.st_ino == named.st_ino && opened.st_dev == named.st_dev && UInt64(opened.st_size) == length
    }

    /// Gives the file its other name in the same directory, which lasts once that is synced. Nothing may have that name.
    func rename(to other: String) throws(Failure) {
        guard unsafe Glibc.rename(path, other) == 0 else { throw Failure(code: errno, what: "rename", path: path) }
        path = other
    }

    /// How long the file at `path` is; nil if there is none that can be looked at.
    static func length(of path: String) -> UInt64? {
        var status = stat()
        return unsafe stat(path, &status) == 0 ? UInt64(status.st_size) : nil
    }

    /// Takes the name away from the file. A refusal leaves an empty file, which the next start passes over.
    func remove() { unsafe unlink(path) }

    /// Reads from `offset` to the end, at most `limit` bytes.
    func tail(from offset: UInt64, limit: Int) throws(Failure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(min(length - min(offset, length), UInt64(limit))))
        var done = 0
        while done < bytes.count {
            let wanted = bytes.count - done
            let (count, code) = unsafe bytes.withUnsafeMutableBytes { buffer in
                let place = off_t(offset) + off_t(done)
                let read = unsafe pread(descriptor, buffer.baseAddress?.advanced(by: done), wanted, place)
                return (read, errno)
            }
            guard count > 0 else { throw Failure(code: count < 0 ? code : EIO, what: "read", path: path) }
            done += count
        }
        return bytes
    }

    /// Appends all of `span[range]`.
    func write(_ span: Span<UInt8>, _ range: Range<Int>) throws(Failure) {
        var at = range.lowerBound
        while at < range.upperBound {
            let (count, code) = unsafe span.withUnsafeBufferPointer { buffer in
                let rest = range.upperBound - at
                let written = unsafe Glibc.write(descriptor, buffer.baseAddress?.advanced(by: at), rest)
                return (written, errno)
            }
            if count < 0, code == EINTR { continue }
            guard count > 0 else { throw Failure(code: count < 0 ? code : ENOSPC, what: "write to", path: path) }
            at += count
        }
        length += UInt64(range.count)
    }

    /// Waits until the disk has it.
    func sync() throws(Failure) {
        guard fdatasync(descriptor) == 0 else { throw Failure(code: errno, what: "sync", path: path) }
    }

    /// Cuts the file: what lies past `length` are parts of records that nobody was told of.
    func cut(to length: UInt64) throws(Failure) {
        guard ftruncate(descriptor, off_t(length)) == 0 else { throw Failure(code: errno, what: "cut", path: path) }
        self.length = length
    }

    /// Makes a new name in `directory` last (fsync(2): a file's own sync does not cover its name).
    static func syncDirectory(_ directory: String) throws(Failure) {
        let handle = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard handle >= 0 else { throw Failure(code: errno, what: "open", path: directory) }
        defer { close(handle) }
        guard fsync(handle) == 0 else { throw Failure(code: errno, what: "sync", path: directory) }
    }

    /// Names in `directory`.
    static func names(in directory: String) throws(Failure) -> [String] {
        guard let stream = unsafe opendir(directory) else { throw Failure(code: errno, what: "list", path: directory) }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            names.append(name)
        }
        return names
    }
}
