import Glibc
import Synchronization
import Threading

/// Keeps what comes through a pipe in a file until every target has it: a pipe cannot be read again.
///
/// A segment holds at most `maxBytes`; then the pipe waits until the segment was exported, which is what bounds the
/// disk. Segments that a killed run left behind are exported by the next run with the same state directory.
public final class StdinSpool: Sendable {
    /// How far the segment has come.
    public struct Progress: Sendable {
        /// Bytes in the file.
        public var written: UInt64
        /// Nothing comes any more.
        public var isFinal: Bool
        /// The pipe has more for another segment.
        public var hasMore: Bool
        /// Why writing ended early.
        public var failure: InputError?
    }

    /// Where the segment lies.
    public let path: String
    private let state = Mutex(Progress(written: 0, isFinal: false, hasMore: false, failure: nil))
    private let input: Int32
    private let maxBytes: UInt64

    /// Left free on the disk, so that it still takes the ledger's commits: its write-ahead log grows to 4 MiB. Without
    /// them nothing could be settled, and the segment never be removed.
    private static let reserveBytes: UInt64 = 8 << 20

    /// How far it has come.
    public var progress: Progress { state.withLock { $0 } }

    private init(path: String, input: Int32, maxBytes: UInt64) {
        self.path = path
        self.input = input
        self.maxBytes = maxBytes
    }

    /// Directory of the segments below a state directory.
    public static func directory(state: String) -> String { state + "/spool" }

    /// Segments that an earlier run left, oldest first.
    public static func leftBehind(state: String) throws(InputError) -> [String] {
        var status = stat()
        guard unsafe stat(directory(state: state), &status) == 0 else { return [] }
        return try InputCatalog.paths(directory(state: state))
    }

    /// Removes a segment that was exported.
    public static func remove(_ path: String) { unsafe unlink(path) }

    /// Starts copying from descriptor `input` (0: standard input) into a new segment.
    public static func start(
        state: String, input: Int32 = 0, maxBytes: UInt64 = 1 << 30
    ) throws(InputError) -> StdinSpool {
        let directory = directory(state: state)
        if unsafe mkdir(directory, 0o700) != 0, errno != EEXIST {
            throw InputError("cannot make \(directory): \(systemErrorText(errno))")
        }
        let path = "\(directory)/stdin-\(SystemClock.unixMilliseconds()).ndjson"
        let output = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard output >= 0 else { throw InputError("cannot make \(path): \(systemErrorText(errno))") }
        let spool = StdinSpool(path: path, input: input, maxBytes: maxBytes)
        let copier = Copier(spool: spool, output: output)
        Task { await copier.run() }
        return spool
    }

    fileprivate func copy(to output: Int32) {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        var failure: InputError?
        var written: UInt64 = 0
        var lineEnd: UInt64 = 0
        while failure == nil {
            let room = buffer.count
            let count = unsafe read(input, &buffer, room)
            if count < 0, errno == EINTR { continue }
            if count < 0 { failure = InputError("cannot read standard input: \(systemErrorText(errno))") }
            guard count > 0 else { break }
            let kept: Int
            (kept, failure) = write(buffer, count, output)
            if let last = buffer[..<kept].lastIndex(of: 0x0A) { lineEnd = written + UInt64(last) + 1 }
            written += UInt64(kept)
            state.withLock { [written] in $0.written = written }
            if written >= maxBytes, lineEnd == written {
                state.withLock { $0.hasMore = true }
                break
            }
        }
        // Half a record whose rest was lost would look like a mistake of whoever wrote it.
        if failure != nil, ftruncate(output, off_t(lineEnd)) == 0 { written = lineEnd }
        if fdatasync(output) != 0, failure == nil {
            failure = InputError("cannot sync \(path): \(systemErrorText(errno))")
        }
        close(output)
        state.withLock { [written, failure] state in
            state.written = written
            state.isFinal = true
            state.failure = failure
        }
    }

    /// Returns how many bytes are in the file, fewer than `count` only with a failure.
    private func write(_ buffer: [UInt8], _ count: Int, _ output: Int32) -> (kept: Int, failure: InputError?) {
        guard Self.hasRoom(output, count) else { return (0, Self.writeFailure(path, ENOSPC)) }
        var done = 0
        while done < count {
            let (written, code) = unsafe buffer.withUnsafeBytes { bytes in
                let result = unsafe Glibc.write(output, bytes.baseAddress?.advanced(by: done), count - done)
                return (result, errno)
            }
            if written < 0, code == EINTR { continue }
            guard written > 0 else { return (done, Self.writeFailure(path, code)) }
            done += written
        }
        return (done, nil)
    }

    private static func hasRoom(_ descriptor: Int32, _ count: Int) -> Bool {
        var status = statvfs()
        // Where that cannot be told, the write itself will tell.
        guard unsafe fstatvfs(descriptor, &status) == 0 else { return true }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize) >= reserveBytes + UInt64(count)
    }

    private static func writeFailure(_ path: String, _ code: Int32) -> InputError {
        InputError(
            "cannot write to \(path): \(systemErrorText(code)); \(reserveBytes >> 20) MiB are left to the ledger. What was"
                + " taken from the pipe before is kept; free some space and pipe the rest in again")
    }
}

/// Reading a pipe blocks, so it has a thread of its own.
private actor Copier {
    private let spool: StdinSpool
    private let output: Int32
    private let executor = ThreadExecutor()

    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    init(spool: StdinSpool, output: Int32) {
        self.spool = spool
        self.output = output
    }

    func run() {
        spool.copy(to: output)
        executor.stop()
    }
}
