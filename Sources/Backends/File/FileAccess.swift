import Glibc
import Threading

/// Who may read what the `file` backend writes: the exporter's user and group, nobody else.
enum FileAccess {
    static let directoryMode: mode_t = 0o750
    static let fileMode: mode_t = 0o640

    /// Makes the directory, its parents too, each name for good. Returns the error number, 0 if it is there.
    static func makeDirectory(_ path: String) -> Int32 {
        var made = ""
        for part in path.split(separator: "/") {
            let parent = made.isEmpty ? "/" : made
            made += "/" + part
            guard unsafe mkdir(made, directoryMode) == 0 else {
                if errno == EEXIST { continue }
                return errno
            }
            do throws(OutputLog.Failure) {
                try OutputLog.syncDirectory(parent)
            } catch {
                return error.code
            }
        }
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return errno }
        return status.st_mode & S_IFMT == S_IFDIR ? 0 : ENOTDIR
    }

    /// What would keep ``makeDirectory(_:)`` or a file in it from being made: an error number, or 0. Looks at the nearest
    /// directory that exists, and changes nothing.
    static func obstacle(to path: String) -> Int32 {
        var parts = path.split(separator: "/")
        while true {
            let existing = "/" + parts.joined(separator: "/")
            var status = stat()
            if unsafe stat(existing, &status) == 0 {
                guard status.st_mode & S_IFMT == S_IFDIR else { return ENOTDIR }
                return unsafe access(existing, W_OK | X_OK) == 0 ? 0 : errno
            }
            guard errno == ENOENT, !parts.isEmpty else { return errno }
            parts.removeLast()
        }
    }
}
