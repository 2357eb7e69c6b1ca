import Glibc
import Threading

/// Reads a configuration file, and little more of it than may be.
enum ConfigurationFile {
    /// The file's bytes. Blocks the caller, as a start does.
    static func read(_ path: String) throws(ConfigurationError) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        // One byte more than is allowed, so that whoever checks the size sees that it is too much.
        while bytes.count <= ConfigurationText.maxBytes {
            let wanted = min(piece.count, ConfigurationText.maxBytes + 1 - bytes.count)
            let count = unsafe Glibc.read(descriptor, &piece, wanted)
            if count == 0 { break }
            if count > 0 {
                bytes.append(contentsOf: piece[..<count])
            } else if errno != EINTR {
                throw unreadable(path, errno)
            }
        }
        return bytes
    }

    private static func unreadable(_ path: String, _ code: Int32) -> ConfigurationError {
        let hint: String? =
            switch code {
            case ENOENT, ENOTDIR: "is the path right? It is taken from the current directory if it has no slash first"
            case EACCES: "let the exporter's user read it"
            case EISDIR: "give the file's path, not the directory's"
            default: nil
            }
        let problems = Problems(file: path)
        problems.add(nil, "", "cannot read the file: \(systemErrorText(code))", hint: hint)
        return ConfigurationError(problems.sorted)
    }
}
