import Glibc
import Model
import Threading

/// What tells one version of a file from another.
struct FileStamp: Equatable {
    private let device: UInt64
    private let inode: UInt64
    private let size: Int64
    private let seconds: Int
    private let nanoseconds: Int
    private let mode: mode_t

    var isFile: Bool { mode & S_IFMT == S_IFREG }
    var isDirectory: Bool { mode & S_IFMT == S_IFDIR }

    /// The file that `path` leads to through its links; nil if there is none.
    ///
    /// Asked twice before it counts as absent: when Kubernetes replaces a secret, a walk that began before the link
    /// `..data` was renamed may find the old directory gone, and the next one finds the new.
    init?(path: String) throws(SecretError) {
        var status = stat()
        for _ in 0..<2 {
            if unsafe stat(path, &status) == 0 {
                self.init(status)
                return
            }
            let code = errno
            guard code == ENOENT || code == ENOTDIR else { throw FileContent.unreadable(path, code) }
        }
        return nil
    }

    init?(descriptor: Int32) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }

    private init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
        mode = status.st_mode
    }
}

/// A secret with the version of the file it came from.
struct FileContent {
    let secret: Secret
    let stamp: FileStamp

    /// A writer that never stops is given up after this many reads.
    private static let maxAttempts = 3

    /// Reads the file; nil if there is none.
    static func read(path: String) throws(SecretError) -> FileContent? {
        for attempt in 0..<maxAttempts {
            // Non-blocking, so that a pipe in place of the file cannot hold us.
            let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            guard descriptor >= 0 else {
                let code = errno
                guard code == ENOENT || code == ENOTDIR else { throw unreadable(path, code) }
                // The walk may have met Kubernetes' swap of `..data`; a second one does not.
                if attempt == 0 { continue }
                return nil
            }
            defer { close(descriptor) }
            guard let before = FileStamp(descriptor: descriptor) else { throw unreadable(path, errno) }
            guard before.isFile else {
                throw SecretError(.notAFile, "\(path) is not a regular file; put the value itself into a file")
            }
            let bytes = try readAll(descriptor, path)
            // Written in place meanwhile: what was read may be half old, half new.
            guard FileStamp(descriptor: descriptor) == before else { continue }
            return FileContent(secret: try secret(bytes, path), stamp: before)
        }
        throw SecretError(
            .unsteady, "\(path) changed during each of \(maxAttempts) reads; replace the file by renaming a new one")
    }

    private static func readAll(_ descriptor: Int32, _ path: String) throws(SecretError) -> [UInt8] {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while bytes.count <= SecretDirectory.maxBytes {
            let count = unsafe Glibc.read(descriptor, &piece, piece.count)
            if count == 0 { return bytes }
            if count > 0 {
                bytes.append(contentsOf: piece[..<count])
            } else if errno != EINTR {
                throw unreadable(path, errno)
            }
        }
        throw SecretError(
            .tooLong, "\(path) is longer than \(SecretDirectory.maxBytes) bytes; this is not a credential")
    }

    private static func secret(_ bytes: [UInt8], _ path: String) throws(SecretError) -> Secret {
        var value = bytes[...]
        if value.last == 0x0A {
            value.removeLast()
            if value.last == 0x0D { value.removeLast() }
        }
        guard !value.isEmpty else { throw SecretError(.empty, "\(path) is empty; write the value into it") }
        for byte in value where byte == 0x00 || byte == 0x0A || byte == 0x0D {
            let name = byte == 0x00 ? "a NUL" : "a line break"
            throw SecretError(
                .controlCharacter,
                "\(path) holds \(name) inside the value; a credential is a single line of text, so write it anew")
        }
        guard let text = String(validating: value, as: UTF8.self) else {
            throw SecretError(.notText, "\(path) is not UTF-8 text; write the credential as plain text")
        }
        return Secret(text)
    }

    static func unreadable(_ path: String, _ code: Int32) -> SecretError {
        let advice = code == EACCES ? "; let the exporter's user read it" : ""
        return SecretError(.unreadable(errno: code), "cannot read \(path): \(systemErrorText(code))\(advice)")
    }
}
