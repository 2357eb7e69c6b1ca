import Glibc
import Threading

/// What is in a directory.
enum DirectoryListing {
    /// A name in it.
    struct Entry: Sendable, Equatable {
        var name: String
        /// Whether the name is text; if not, what cannot be read in it was replaced.
        var isText: Bool
        /// What it stands for, as the directory says.
        var inode: UInt64
    }

    /// All names, in no order, `.` and `..` among them.
    static func read(_ path: String) throws(SystemError) -> [String] { try entries(path) { _ in true }.map(\.name) }

    /// The entries with the names wanted, in no order.
    static func entries(_ path: String, where isWanted: (String) -> Bool) throws(SystemError) -> [Entry] {
        guard let stream = unsafe opendir(path) else { throw SystemError(code: errno) }
        defer { unsafe closedir(stream) }
        var entries: [Entry] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else { break }
            let (name, isText) = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                let bytes = unsafe raw.prefix { $0 != 0 }
                if let name = unsafe String(validating: bytes, as: UTF8.self) { return (name, true) }
                return unsafe (String(decoding: bytes, as: UTF8.self), false)
            }
            if isWanted(name) {
                entries.append(Entry(name: name, isText: isText, inode: unsafe UInt64(entry.pointee.d_ino)))
            }
        }
        guard errno == 0 else { throw SystemError(code: errno) }
        return entries
    }
}
