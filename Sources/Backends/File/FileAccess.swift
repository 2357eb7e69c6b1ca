import Glibc
import Threading

/// Who may read what the `file` backend writes: the exporter's user and group, nobody else.
enum FileAccess {
    static let directoryMode: mode_t = 0o750
    static let fileMode: mode_t = 0o640

    /// Makes the directory, its parents too. Returns the error number, 0 if it is there.
    static func makeDirectory(_ path: String) -> Int32 {
        var made = ""
        for part in path.split(separator: "/") {
            made += "/" + part
            if unsafe mkdir(made, directoryMode) != 0, errno != EEXIST { return errno }
        }
        return 0
    }
}
