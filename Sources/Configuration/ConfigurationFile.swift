import Glibc
import Threading

/// Reads a configuration file's text, and no more of it than may be.
enum ConfigurationFile {
    /// The file as text. Blocks the caller, as a start does.
    static func read(_ path: String) throws(ConfigurationError) -> String {
        let bytes = try readBytes(path)
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        let start = bytes.prefix(2)
        let isUTF16 = start == [0xFF, 0xFE] || start == [0xFE, 0xFF]
        throw failure(
            path, "the file is \(isUTF16 ? "UTF-16" : "not UTF-8 text")", at: isUTF16 ? nil : firstBadLine(bytes),
            hint: "save it as UTF-8")
    }

    private static func readBytes(_ path: String) throws(ConfigurationError) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        // One byte more than is allowed, so that the parser's own check of the size sees that it is too much.
        while bytes.count <= YAMLDocument.maxBytes {
            let wanted = min(piece.count, YAMLDocument.maxBytes + 1 - bytes.count)
            let count = unsafe Glibc.read(descriptor, &piece, wanted)
            if count == 0 { return bytes }
            if count > 0 {
                bytes.append(contentsOf: piece[..<count])
            } else if errno != EINTR {
                throw unreadable(path, errno)
            }
        }
        throw failure(path, YAMLDocument.tooLarge, hint: YAMLDocument.tooLargeHint)
    }

    private static func unreadable(_ path: String, _ code: Int32) -> ConfigurationError {
        let hint: String? =
            switch code {
            case ENOENT, ENOTDIR: "is the path right? It is taken from the current directory if it has no slash first"
            case EACCES: "let the exporter's user read it"
            case EISDIR: "give the file's path, not the directory's"
            default: nil
            }
        return failure(path, "cannot read the file: \(systemErrorText(code))", hint: hint)
    }

    /// The line of the first byte that cannot stand where it stands in UTF-8.
    private static func firstBadLine(_ bytes: [UInt8]) -> Int {
        // Decoding replaces what is bad by U+FFFD, so the first difference is the place.
        let repaired = String(decoding: bytes, as: UTF8.self)
        let sound = zip(repaired.utf8, bytes).prefix { $0 == $1 }
        return sound.reduce(1) { $1.0 == 0x0A ? $0 + 1 : $0 }
    }

    private static func failure(
        _ path: String, _ message: String, at line: Int? = nil, hint: String?
    ) -> ConfigurationError {
        let problems = Problems(file: path)
        problems.add(line.map { Position(line: $0, column: 1) }, "", message, hint: hint)
        return ConfigurationError(problems.sorted)
    }
}
