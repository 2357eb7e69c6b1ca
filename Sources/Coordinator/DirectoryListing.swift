import Glibc
import Threading

/// What is in a directory.
enum DirectoryListing {
    /// All names, in no order, `.` and `..` among them.
    static func read(_ path: String) throws(SystemError) -> [String] {
        guard let stream = unsafe opendir(path) else { throw SystemError(code: errno) }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else { break }
            names.append(
                unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                    unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        guard errno == 0 else { throw SystemError(code: errno) }
        return names
    }
}
