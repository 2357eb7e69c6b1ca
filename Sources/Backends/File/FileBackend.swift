import Compression
public import ExportCore
import Glibc
public import Model
import Threading

/// A directory of this machine: one record per line, or a gzip member of such lines per batch, synced per batch, rotated
/// by size and age.
///
/// Each record once, across `kill -9`:
/// 1. The ledger learns of a new file before the first record is written to it.
/// 2. The committed length goes into the same transaction as the records' delivery.
/// 3. At start, what lies past the committed length was written but not committed. Whole lines, or whole members, there
///    are kept and recognised when their records come again, for the same record gives the same line; what is torn at the
///    end is cut.
/// 4. The committed length covers every new line that was acknowledged, so nothing before such a line is ever cut. It
///    covers no line whose record has not come again, until a new line is written behind it.
///
/// Who reads the directory sees finished files only, each complete from the start:
/// 5. A file that is written is named `….open`. It gets its final name by one rename, when it is full or old, or at the
///    end, and only when the ledger has all that is in it and the final name, so that the next run can do a rename that did
///    not come about, and does not miss a file that was taken away. Under its final name nothing is ever written to it again, and no
///    number is used twice.
/// 6. Where that name belongs to a finished file, the file is the reader's: taking it away is no fault.
///
/// The committed length can never be longer than the file. If it is, or the file is gone, somebody took bytes away that
/// were vouched for: the target is held until a person has looked. That is looked at before every batch, as what is
/// appended to a deleted file is lost.
///
/// One parcel is delivered at a time.
public actor FileBackend: Backend {
    /// Tells the ledger of a file, before it is used and when it is finished; says why if the ledger could not take it.
    public typealias Announce = @Sendable (OutputFile) async -> Reason?
    /// What the ledger has of the target's last file; nil if it has none or cannot be asked.
    public typealias Recorded = @Sendable () async -> OutputFile?

    typealias SyncDirectory = @Sendable (String) throws(OutputLog.Failure) -> Void

    private let target: Target
    private let syncDirectory: SyncDirectory
    private let builder: FileRequestBuilder
    private let announce: Announce
    private let recorded: Recorded
    private var committed: OutputFile?
    private var log: OutputLog?
    private var openedAt = Tick(nanoseconds: 0)
    private var ageing: Task<Void, Never>?
    /// The end of the file that is under way: nothing may be written meanwhile.
    private var finishing: Task<Verdict?, Never>?
    private var nextNumber = 1
    /// Lines that are in the file already though the ledger does not know.
    private var adopted = AdoptedLines()
    private var compressor: Gzip.Compressor?
    private let executor = ThreadExecutor()

    /// Files are written on a thread of their own: fsync blocks.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe executor.asUnownedSerialExecutor()
    }

    /// - Parameters:
    ///   - committed: what the ledger knows of this target's last file.
    ///   - recorded: what it knows later on; without it a file is finished by rotation only.
    public init(
        target: Target, builder: FileRequestBuilder, committed: OutputFile?, recorded: @escaping Recorded = { nil },
        announce: @escaping Announce
    ) {
        self.init(
            target: target, builder: builder, committed: committed, recorded: recorded, announce: announce,
            syncDirectory: OutputLog.syncDirectory)
    }

    /// - Parameter syncDirectory: makes the names in a directory last.
    init(
        target: Target, builder: FileRequestBuilder, committed: OutputFile?, recorded: @escaping Recorded,
        announce: @escaping Announce, syncDirectory: @escaping SyncDirectory
    ) {
        self.syncDirectory = syncDirectory
        self.target = target
        self.builder = builder
        self.committed = committed
        self.recorded = recorded
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

    /// Whether the directory can be written to, or made. Makes nothing.
    public func probe() async -> Reason? {
        let directory = target.endpoint.path
        let code = FileAccess.obstacle(to: directory)
        return code == 0 ? nil : Refusal(verdict: FileVerdict.of(code, "write to", directory)).reason
    }

    /// Finishes the file if the ledger has all of it, else leaves it to the next run, and ends the thread.
    public func close() async {
        ageing?.cancel()
        _ = await finishing?.value
        if log == nil { takeUpLeftBehind() }
        await finishIfRecorded()
        log = nil
        executor.stop()
    }

    private static let closed = Reason(code: "closed", message: "the output file is closed")

    private func append(_ parcel: Parcel, to log: OutputLog) throws(OutputLog.Failure) {
        let bytes = adopted.isEmpty ? parcel.body() : unrecognised(parcel)
        guard bytes.count > 0 else { return }
        guard FileRequestBuilder.isCompressed(log.path) else { return try log.write(bytes.span, 0..<bytes.count) }
        let member = try compress(bytes, for: log)
        try log.write(member.span, 0..<member.count)
    }

    private func compress(_ bytes: SealedBytes, for log: OutputLog) throws(OutputLog.Failure) -> SealedBytes {
        do throws(CompressionError) {
            if compressor == nil { compressor = try Gzip.Compressor() }
            guard let member = try compressor?.compress(bytes.span) else { return try Gzip.compress(bytes.span) }
            return member
        } catch {
            throw OutputLog.Failure(code: ENOMEM, what: "compress for", path: log.path)
        }
    }

    /// Lines of the parcel that are not in the file yet.
    private func unrecognised(_ parcel: Parcel) -> SealedBytes {
        let span = parcel.batch.bytes.span
        var out = ByteWriter()
        for item in parcel.items.joined() {
            let range = parcel.batch.range(of: item)
            var line: [UInt8] = []
            line.reserveCapacity(range.count)
            for index in range { line.append(span[index]) }
            if !adopted.take(line) { out.append(span, range) }
        }
        if out.count > 0 { adopted.cover() }
        return out.seal()
    }
}

// MARK: - From file to file

extension FileBackend {
    /// Has a file ready to append to. Returns a verdict if it may not be used.
    private func prepare() async throws(OutputLog.Failure) -> Verdict? {
        _ = await finishing?.value
        if let log, !log.isInPlace { self.log = nil }
        if let log, mayGoOn(log) { return nil }
        let directory = target.endpoint.path
        if log == nil {
            adopted = AdoptedLines()
            let code = FileAccess.makeDirectory(directory)
            guard code == 0 else { throw OutputLog.Failure(code: code, what: "make the directory", path: directory) }
            if let committed, committed.path.hasPrefix(directory + "/") {
                switch try resume(committed) {
                case .ready: break
                case .refused(let verdict): return verdict
                case .absent: break
                }
            }
            // A reader may have taken the last file away; its name is not used again.
            let prefix = directory + "/"
            let known = committed.flatMap { $0.path.hasPrefix(prefix) ? $0.path.dropFirst(prefix.count) : nil }
            for name in try OutputLog.names(in: directory) + [String(known ?? "")] {
                if let number = FileRequestBuilder.number(inName: name, target: target.name) {
                    nextNumber = max(nextNumber, number + 1)
                    removeLeftOver(directory + "/" + name)
                }
            }
            if let log, mayGoOn(log) { return nil }
        }
        // With one parcel at a time, the ledger has all that was delivered before this one.
        if let log, let refused = await finish(log) { return refused }
        return try await rotate()
    }

    /// Takes away what a crash left between making a file and telling the ledger: an empty one that nobody holds open.
    private func removeLeftOver(_ path: String) {
        guard FileRequestBuilder.isOpen(path), path != log?.path, OutputLog.length(of: path) == 0 else { return }
        guard let found = try? OutputLog(path: path, create: false), found.length == 0 else { return }
        found.remove()
    }

    /// Whether more may be written to the file. In a new one the lines that wait for their records could not be
    /// recognised after a crash.
    private func mayGoOn(_ log: OutputLog) -> Bool {
        guard FileRequestBuilder.isOpen(log.path), committed?.path == log.path else { return false }
        if adopted.settledLength != nil { return true }
        guard builder.writes(log.path) else { return false }
        let age = SystemClock.now().milliseconds(since: openedAt)
        return log.length < UInt64(target.maxFileBytes) && age < target.maxFileAgeMilliseconds
    }

    private enum Resumption {
        case ready, refused(Verdict)
        /// It is finished, or it is not there and nothing was in it.
        case absent
    }

    /// Goes on with the file the ledger knows.
    private func resume(_ committed: OutputFile) throws(OutputLog.Failure) -> Resumption {
        guard FileRequestBuilder.isOpen(committed.path) else { return try completeRename(committed) }
        let opened: OutputLog
        do throws(OutputLog.Failure) {
            opened = try OutputLog(path: committed.path, create: false)
        } catch {
            guard error.code == ENOENT else { throw error }
            let finished = FileRequestBuilder.finished(committed.path)
            if let length = OutputLog.length(of: finished), length == committed.length { return .absent }
            return committed.length == 0 ? .absent : .refused(FileVerdict.shrunk(committed, "is gone"))
        }
        guard opened.length >= committed.length else {
            return .refused(FileVerdict.shrunk(committed, "has \(opened.length) bytes"))
        }
        let limit = max(Self.maxTailBytes, 4 * target.batch.maxBytes)
        guard opened.length - committed.length <= UInt64(limit) else {
            return .refused(FileVerdict.grown(committed, to: opened.length))
        }
        let tail = try opened.tail(from: committed.length, limit: limit)
        if FileRequestBuilder.isCompressed(committed.path) {
            guard let found = try adoptMembers(tail, of: opened, after: committed.length) else {
                return .refused(FileVerdict.grown(committed, to: opened.length))
            }
            adopted = found
        } else {
            adopted = AdoptedLines(tail: tail, at: committed.length, slack: target.batch.maxRecords)
            if adopted.tornBytes > 0 { try opened.cut(to: opened.length - UInt64(adopted.tornBytes)) }
        }
        log = opened
        age()
        return .ready
    }

    /// Cuts a torn member and recognises the lines of whole ones; nil if they are more than a crash leaves.
    ///
    /// Members of several lines become members of one line each, or the committed length could not tell which of their
    /// lines have come again: a second crash would then take a line that is settled for one that still waits. Should the
    /// process die meanwhile, what was cut was not acknowledged and comes again: what was lies before the committed length,
    /// or was recognised, in a member of its own before the first of several lines.
    private func adoptMembers(
        _ tail: [UInt8], of log: OutputLog, after length: UInt64
    ) throws(OutputLog.Failure) -> AdoptedLines? {
        let limit = max(Self.maxTailBytes, 4 * target.batch.maxBytes)
        guard var members = try? Gzip.members(of: tail.span, limit: limit) else { return nil }
        var whole = members.last?.end ?? 0
        if let first = members.firstIndex(where: { $0.content.dropLast().contains(0x0A) }) {
            try log.cut(to: length + UInt64(first == 0 ? 0 : members[first - 1].end))
            let lines = members[first...].flatMap { $0.content.split(separator: 0x0A).map { Array($0) + [0x0A] } }
            members.removeSubrange(first...)
            for line in lines {
                let member = try compress(SealedBytes(line), for: log)
                try log.write(member.span, 0..<member.count)
                members.append((line, Int(log.length - length)))
            }
            try log.sync()
            whole = members.last?.end ?? 0
        } else if whole < tail.count {
            try log.cut(to: length + UInt64(whole))
        }
        return AdoptedLines(members: members, of: whole, at: length, slack: target.batch.maxRecords)
    }

    /// A crash leaves a batch or two past the committed length; this is far more.
    private static let maxTailBytes = 64 << 20

    /// Does the rename that the ledger heard of, if it did not come about. Where the file has neither name, it was finished
    /// and a reader took it.
    private func completeRename(_ committed: OutputFile) throws(OutputLog.Failure) -> Resumption {
        let path = committed.path + FileRequestBuilder.openSuffix
        guard let length = OutputLog.length(of: path) else { return .absent }
        if let other = OutputLog.length(of: committed.path) {
            return other == committed.length ? .absent : .refused(FileVerdict.nameTaken(path))
        }
        let opened = try OutputLog(path: path, create: false)
        let file = OutputFile(path: path, length: committed.length)
        guard length >= file.length else { return .refused(FileVerdict.shrunk(file, "has \(length) bytes")) }
        guard length == file.length else { return .refused(FileVerdict.grown(file, to: length)) }
        try opened.rename(to: committed.path)
        try syncDirectory(target.endpoint.path)
        return .absent
    }

    /// Gives the file its final name. All that is in it must be in the ledger.
    private func finish(_ log: OutputLog) async -> Verdict? {
        if let finishing { return await finishing.value }
        let task = Task { await giveFinalName(to: log) }
        finishing = task
        return await task.value
    }

    /// The ledger hears of it first: a reader may take the file as soon as it has the name.
    private func giveFinalName(to log: OutputLog) async -> Verdict? {
        defer { finishing = nil }
        let file = OutputFile(path: FileRequestBuilder.finished(log.path), length: log.length)
        // Without the suffix it has its name already, and only the directory's sync failed.
        let isOpen = FileRequestBuilder.isOpen(log.path)
        if isOpen, OutputLog.length(of: file.path) != nil { return FileVerdict.nameTaken(log.path) }
        if committed != file {
            if let refused = await announce(file) { return .retry(refused, retryAfterMilliseconds: nil) }
            committed = file
        }
        do throws(OutputLog.Failure) {
            if isOpen { try log.rename(to: file.path) }
            try syncDirectory(target.endpoint.path)
        } catch {
            return FileVerdict.of(error.code, error.what, error.path)
        }
        self.log = nil
        ageing?.cancel()
        return nil
    }

    /// A process that died between its last commit and the rename left a file that only wants its name, and here were no
    /// records that would have taken it up. If it cannot be used, whoever has records for it says why.
    private func takeUpLeftBehind() {
        guard let committed, committed.path.hasPrefix(target.endpoint.path + "/") else { return }
        _ = try? resume(committed)
    }

    /// Finishes the file now, if the ledger has all that is in it. An empty one is taken away.
    private func finishIfRecorded() async {
        guard let log, adopted.settledLength == nil, log.isInPlace else { return }
        if log.length == 0 {
            log.remove()
            self.log = nil
            return
        }
        guard let known = await recorded(), self.log === log, known.length == log.length,
            FileRequestBuilder.finished(known.path) == FileRequestBuilder.finished(log.path)
        else { return }
        _ = await finish(log)
    }

    /// Sees to it that a file which gets no more records is finished in time all the same.
    private func age() {
        openedAt = SystemClock.now()
        ageing?.cancel()
        let wait = target.maxFileAgeMilliseconds
        ageing = Task { [weak self] in
            guard (try? await Task.sleep(for: .milliseconds(wait))) != nil else { return }
            // What is not recorded yet will be in a moment.
            while await self?.finishAged() == false {
                guard (try? await Task.sleep(for: .seconds(1))) != nil else { return }
            }
        }
    }

    /// Whether nothing is left to finish.
    private func finishAged() async -> Bool {
        await finishIfRecorded()
        return log == nil
    }

    private func rotate() async throws(OutputLog.Failure) -> Verdict? {
        let name = builder.fileName(target: target.name, number: nextNumber) + FileRequestBuilder.openSuffix
        let path = target.endpoint.path + "/" + name
        let opened = try OutputLog(path: path, create: true)
        guard opened.length == 0 else {
            nextNumber += 1
            let message = "\(path) appeared while exporting; trying the next name"
            return .retry(Reason(code: "file-exists", message: message), retryAfterMilliseconds: nil)
        }
        try syncDirectory(target.endpoint.path)
        let file = OutputFile(path: path, length: 0)
        if let refused = await announce(file) {
            // Or every further attempt would leave another empty file.
            opened.remove()
            return .retry(refused, retryAfterMilliseconds: nil)
        }
        nextNumber += 1
        committed = file
        log = opened
        age()
        return nil
    }
}
