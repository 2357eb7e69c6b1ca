import Glibc
import Threading

/// Why the output could not be written.
struct OutputFailure: Error {
    let number: Int32
    let message: String

    init(_ doing: String, _ path: String, _ number: Int32) {
        self.number = number
        let reason = systemErrorText(number)
        message = "cannot \(doing) \(path == "-" ? "standard output" : path): \(reason)"
    }
}

/// Standard output or a file.
struct OutputSink {
    private let descriptor: Int32
    private let path: String

    /// - Parameter mode: who may read a file that is made.
    init(path: String, mode: mode_t = 0o644) throws(OutputFailure) {
        self.path = path
        guard path != "-" else {
            descriptor = STDOUT_FILENO
            return
        }
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        if descriptor < 0 { throw OutputFailure("create", path, errno) }
    }

    func write(_ bytes: borrowing Span<UInt8>) throws(OutputFailure) {
        try unsafe bytes.withUnsafeBytes { (source) throws(OutputFailure) in
            var done = 0
            while done < source.count {
                let rest = unsafe UnsafeRawBufferPointer(rebasing: source[done...])
                let written = unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
                if written >= 0 {
                    done += written
                } else if errno != EINTR {
                    throw OutputFailure("write to", path, errno)
                }
            }
        }
    }

    /// Some file systems report a failed write only here (close(2)).
    func close() throws(OutputFailure) {
        if Glibc.close(descriptor) != 0 { throw OutputFailure("write to", path, errno) }
    }
}
