public import ExportCore
import Glibc
public import Model
import Threading

/// A directory of this machine: one record per line, synced per batch, rotated by size.
///
/// Each record once, across `kill -9`:
/// 1. The ledger learns of a new file before the first record is written to it.
/// 2. The committed length goes into the same transaction as the records' delivery.
/// 3. At start, what lies past the committed length was written but not committed. Whole lines there are kept and
///    recognised when their records come again, for the same record gives the same bytes; a torn last line is cut.
/// 4. The committed length covers no line whose record has not come again.
///
/// The committed length can never be longer than the file. If it is, or the file is gone, somebody took bytes away that
/// were vouched for: the target is held until a person has looked. That is looked at before every batch, as what is
/// appended to a deleted file is lost.
///
/// One parcel is delivered at a time.
public actor FileBackend: Backend {
    /// Tells the ledger of a new file before it is used; throws if the ledger could not take it.
    public typealias Announce = @Sendable (OutputFile) async -> Reason?

    private let target: Target
    private let builder: FileRequestBuilder
    private let announce: Announce
    private var committed: OutputFile?
    private var log: OutputLog?
    private var nextNumber = 1
    /// Lines that are in the file already though the ledger does not know.
    private var adopted = AdoptedLines()
    private let executor = ThreadExecutor()

    /// Files are written on a thread of their own: fsync blocks.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe executor.asUnownedSerialExecutor()
    }

    /// - Parameter committed: what the ledger knows of this target's last file.
    public init(
        target: Target, builder: FileRequestBuilder, committed: OutputFile?, announce: @escaping Announce
    ) {
        self.target = target
        self.builder = builder
        self.committed = committed
        self.announce = announce
    }

    /// Appends the records and waits for the disk.
    public func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
        do throws(OutputLog.Failure) {
            if let refused = try await prepare() { return DeliveryAnswer(refused) }
            guard let log else { return DeliveryAnswer(.retry(Self.closed, retryAfterMilliseconds: nil)) }
            let before = log.length
            do throws(OutputLog.Failure) {
                try append(parcel, to: log)
                try log.sync()
            } catch {
                // Half a batch must not stay; if even that fails, the next start finds and adopts it.
                try? log.cut(to: before)
                self.log = nil
                throw error
            }
            adopted.pass(parcel.count)
            let file = OutputFile(path: log.path, length: adopted.settledLength ?? log.length)
            committed = file
            return DeliveryAnswer(.delivered(slowDown: false), outputFile: file)
        } catch {
            return DeliveryAnswer(FileVerdict.of(error.code, error.what, error.path))
        }
    }

    /// Whether the directory can be written to.
    public func probe() async -> Reason? {
        let directory = target.endpoint.path
        let code = FileAccess.makeDirectory(directory)
        let failed = code != 0 ? code : (unsafe Glibc.access(directory, W_OK | X_OK) == 0 ? 0 : errno)
        guard failed != 0 else { return nil }
        return Refusal(verdict: FileVerdict.of(failed, "write to", directory)).reason
    }

    /// Closes the file and ends the thread.
    public func close() async {
        log = nil
        executor.stop()
    }

    private static let closed = Reason(code: "closed", message: "the output file is closed")

    private func append(_ parcel: Parcel, to log: OutputLog) throws(OutputLog.Failure) {
        let span = parcel.batch.bytes.span
        guard !adopted.isEmpty else {
            for range in parcel.items {
                let start = parcel.batch.range(of: range.lowerBound).lowerBound
                try log.write(span, start..<parcel.batch.range(of: range.upperBound - 1).upperBound)
            }
            return
        }
        for item in parcel.items.joined() {
            let range = parcel.batch.range(of: item)
            var line: [UInt8] = []
            line.reserveCapacity(range.count)
            for index in range { line.append(span[index]) }
            if !adopted.take(line) { try log.write(span, range) }
        }
    }

    /// Has a file ready to append to. Returns a verdict if it may not be used.
    private func prepare() async throws(OutputLog.Failure) -> Verdict? {
        if let log, !log.isInPlace { self.log = nil }
        // In a new file the lines that wait for their records could not be recognised after a crash.
        if let log, log.length < UInt64(target.maxFileBytes) || !adopted.isEmpty { return nil }
        let directory = target.endpoint.path
        if log == nil {
            let code = FileAccess.makeDirectory(directory)
            guard code == 0 else { throw OutputLog.Failure(code: code, what: "make the directory", path: directory) }
            if let committed, committed.path.hasPrefix(directory + "/") {
                switch try resume(committed) {
                case .ready: return nil
                case .refused(let verdict): return verdict
                case .absent: break
                }
            }
            for name in try OutputLog.names(in: directory) {
                if let number = builder.number(inName: name, target: target.name) {
                    nextNumber = max(nextNumber, number + 1)
                }
            }
        }
        return try await rotate()
    }

    private enum Resumption {
        case ready, refused(Verdict)
        /// The file is not there, and nothing was in it.
        case absent
    }

    /// Goes on with the file the ledger knows.
    private func resume(_ committed: OutputFile) throws(OutputLog.Failure) -> Resumption {
        let opened: OutputLog
        do throws(OutputLog.Failure) {
            opened = try OutputLog(path: committed.path, create: false)
        } catch {
            guard error.code == ENOENT else { throw error }
            return committed.length == 0 ? .absent : .refused(Self.shrunk(committed, "is gone"))
        }
        guard opened.length >= committed.length else {
            return .refused(Self.shrunk(committed, "has \(opened.length) bytes"))
        }
        let limit = max(Self.maxTailBytes, 4 * target.batch.maxBytes)
        guard opened.length - committed.length <= UInt64(limit) else {
            let message =
                "\(committed.path) has \(opened.length) bytes, but only \(committed.length) of them are recorded as"
                + " delivered, too few to be what a crash left: does it belong to another state directory? Restore"
                + " that one, or give the target another directory or name"
            return .refused(.configuration(Reason(code: "file-grew", message: message)))
        }
        let tail = try opened.tail(from: committed.length, limit: limit)
        let found = AdoptedLines(tail: tail, at: committed.length, slack: target.batch.maxRecords)
        if found.tornBytes > 0 { try opened.cut(to: opened.length - UInt64(found.tornBytes)) }
        adopted = found
        if let name = committed.path.split(separator: "/").last,
            let number = builder.number(inName: String(name), target: target.name)
        {
            nextNumber = max(nextNumber, number + 1)
        }
        log = opened
        return .ready
    }

    /// A crash leaves a batch or two past the committed length; this is far more.
    private static let maxTailBytes = 64 << 20

    private static func shrunk(_ committed: OutputFile, _ what: String) -> Verdict {
        let message =
            "\(committed.path) \(what), but \(committed.length) bytes were written and recorded as delivered: somebody"
            + " cut, removed or replaced it. Restore the file, or move the state directory aside"
        return .configuration(Reason(code: "file-shrunk", message: message))
    }

    private func rotate() async throws(OutputLog.Failure) -> Verdict? {
        let name = builder.fileName(target: target.name, number: nextNumber)
        let path = target.endpoint.path + "/" + name
        let opened = try OutputLog(path: path, create: true)
        guard opened.length == 0 else {
            nextNumber += 1
            let message = "\(path) appeared while exporting; trying the next name"
            return .retry(Reason(code: "file-exists", message: message), retryAfterMilliseconds: nil)
        }
        try OutputLog.syncDirectory(target.endpoint.path)
        let file = OutputFile(path: path, length: 0)
        if let refused = await announce(file) {
            // Or every further attempt would leave another empty file.
            opened.remove()
            return .retry(refused, retryAfterMilliseconds: nil)
        }
        nextNumber += 1
        adopted = AdoptedLines()
        committed = file
        log = opened
        return nil
    }
}
