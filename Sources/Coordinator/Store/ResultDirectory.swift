public import ExportCore
import Glibc
import Model
import Protocol
import Threading

/// The results in a directory, for one leader: whole files that arrive by rename, read in the order of their names as
/// they are found, each by every target at its own pace.
///
/// Promises:
/// 1. A record is handed over for a target unless the journal says that it is settled there, in pages that are cut at the
///    same places whoever reads them.
/// 2. Memory is a page, a few open files, and what is known of each file that is not settled; nothing per record.
/// 3. What cannot be read is told once and counts as not delivered, for longer and longer: a file, a name, or the whole
///    directory. The others go on, but nothing is called passed. A file that was removed too early is told as well.
///
/// Files are not changed, moved or removed. Names that begin with `.`, or do not end in `.ndjson`, are none of ours.
public actor ResultDirectory: ResultSource {
    private let path: String
    private let shardCount: UInt16
    private let limits: Limits
    private let names: SourceNames
    private let targetCount: Int
    /// Sources that are settled and whose file may be there.
    private var finished: Set<UInt64> = []
    /// Those of them whose file went away lately, and those to be forgotten for them.
    private var departed: DepartedSources
    private var gone: [UInt64] = []
    /// What is settled of other sources, for each target.
    private var begun: [UInt64: [PositionSet]] = [:]
    private let executor = ThreadExecutor()

    /// Files that are not settled, by their number in the order of reading.
    private var files: [Int: ResultFile] = [:]
    private var nextFile = 0
    private var present: ResultNames
    /// Files that were looked at, and could not be read later.
    private var broken: [Int: String] = [:]
    /// Since when the directory cannot be listed, milliseconds since 1970, and why.
    private var unlisted: (since: Int64, why: String)?
    private var sources: [UInt64: Int] = [:]
    private var schedule: FeedSchedule
    /// Whether a target's cursor stands at a page it needs, or at the end.
    private var isPlaced: [Bool]
    private var isPassed: [Bool]
    private var handles: [(file: Int, handle: InputHandle)] = []
    private var notes: [String] = []
    private var lookedAt: Tick?
    private var read: (bytes: UInt64, records: UInt64) = (0, 0)

    private static let lookMilliseconds: UInt64 = 200
    private static let maxHandles = 32
    private static let maxNotes = 100
    /// Settled files that were removed and are remembered all the same, if nothing else is said.
    static let mostDeparted = 1 << 16

    /// Reading blocks, so it has a thread of its own.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    init(
        _ path: String, settled: SettledSources, shardCount: UInt16, limits: Limits, names: SourceNames,
        mostDeparted: Int = ResultDirectory.mostDeparted
    ) {
        self.path = path
        self.shardCount = shardCount
        self.limits = limits
        self.names = names
        present = ResultNames(path)
        departed = DepartedSources(most: mostDeparted)
        for (number, source) in settled.sources {
            if settled.isFinished(number) {
                finished.insert(number)
            } else {
                begun[number] = settled.targets.map { source.settled(at: $0) }
                // Something may have to be written about it although nobody can look at it now.
                if !source.file.isEmpty { names.set(number, file: source.file, size: source.size) }
            }
        }
        targetCount = settled.targets.count
        schedule = FeedSchedule(starts: Array(repeating: ChunkRef(file: 0, offset: 0), count: targetCount))
        isPlaced = Array(repeating: false, count: targetCount)
        isPassed = Array(repeating: false, count: targetCount)
    }

    /// Ends the thread; nothing may be asked after.
    public func close() { executor.stop() }

    /// The next pages for targets with room, else news, else nothing. Several pages, as each turn costs whoever asks two
    /// changes of threads.
    public func next(hasRoom: [Bool], bytes: Int) throws(StoreError) -> [ResultEvent] {
        try list()
        var events: [ResultEvent] = []
        var sum = 0
        while sum < bytes, let event = event(hasRoom) {
            events.append(event)
            // News are few, and whoever gets them may want to say something before more is read.
            guard case .page(let page) = event else { break }
            sum += max(1, page.bytes.count)
        }
        return events
    }

    private func event(_ hasRoom: [Bool]) -> ResultEvent? {
        if let note = notes.popLast() { return .note(note) }
        if let source = gone.popLast() { return .gone(source: source) }
        for target in 0..<targetCount where hasRoom[target] && !isPlaced[target] { place(target) }
        while let (ref, chosen) = schedule.next(hasRoom: hasRoom, isAvailable: { files[$0.file] != nil }) {
            // A target may stand here without having been placed: its cursor was moved to what is settled for it.
            let needy = chosen.filter { isPlaced[$0] }
            guard !needy.isEmpty, let page = page(ref, needy) else {
                for target in chosen { place(target) }
                continue
            }
            return .page(page)
        }
        if let note = notes.popLast() { return .note(note) }
        guard present.unread.isEmpty, broken.isEmpty else { return nil }
        for target in 0..<targetCount where isPlaced[target] && !isPassed[target] && isAtEnd(target) {
            isPassed[target] = true
            return .passed(target: target)
        }
        return nil
    }

    /// What was not handed over yet, by bytes.
    public func backlog() -> [SourceBacklog] {
        let average = read.records == 0 ? 1_200 : max(1, read.bytes / read.records)
        let now = SystemClock.unixMilliseconds()
        var bytes = Array(repeating: UInt64(0), count: targetCount)
        var oldest = Array(repeating: Int64.max, count: targetCount)
        for (number, file) in files {
            for target in 0..<targetCount {
                let cursor = schedule.cursor(of: target)
                guard file.isBroken || number >= cursor.file else { continue }
                var left = file.unsettledBytes[target]
                if number == cursor.file { left = min(left, file.size - min(file.size, cursor.offset)) }
                guard left > 0 else { continue }
                bytes[target] += left
                oldest[target] = min(oldest[target], file.writtenAt)
            }
        }
        // For all that is known these are results, and no target has had them.
        var hidden = present.unread.values.map { (size: $0.size, since: $0.since) }
        if let unlisted { hidden.append((0, unlisted.since)) }
        for target in 0..<targetCount {
            for rest in hidden {
                bytes[target] += max(average, rest.size)
                oldest[target] = min(oldest[target], rest.since)
            }
        }
        return bytes.indices.map { target in
            guard bytes[target] > 0 else { return SourceBacklog(records: 0, oldestMilliseconds: nil) }
            return SourceBacklog(
                records: max(1, bytes[target] / average),
                oldestMilliseconds: UInt64(max(0, now - oldest[target])))
        }
    }

    /// Files that are not settled, by whether a target's cursor is in them or past them.
    public func inputs() -> SourceInputs {
        let furthest =
            (0..<targetCount).lazy.map { self.schedule.cursor(of: $0) }
            .max { ($0.file, $0.offset) < ($1.file, $1.offset) } ?? ChunkRef(file: 0, offset: 0)
        let waiting = files.keys.lazy.filter {
            $0 > furthest.file || $0 == furthest.file && furthest.offset == 0
        }.count
        var inputs = SourceInputs(
            begun: files.count - waiting, waiting: waiting + present.unread.count)
        inputs.unread = present.unread.count + broken.count
        inputs.trouble =
            unlisted?.why ?? present.unread.min { $0.key < $1.key }?.value.reason ?? broken.values.min() ?? ""
        return inputs
    }

    /// Files of which something is still to be read.
    public func readable() async -> ReadableSources? {
        guard lookedAt != nil, unlisted == nil else { return nil }
        return ReadableSources(
            sources: Set(files.values.lazy.filter { !$0.isBroken }.map(\.source)),
            isComplete: present.unread.isEmpty && broken.isEmpty)
    }

    /// Forgets a file that is settled for every target.
    public func finished(source: UInt64) {
        names.remove(source)
        begun[source] = nil
        if drop(source) { finished.insert(source) }
    }

    /// Files that are not settled, and those that are open.
    var held: Int { files.count + handles.count }

    /// Settled files that are gone and still remembered.
    var departures: Int { departed.count }

    // MARK: Finding files

    /// Looks for new files, at most five times a second.
    private func list() throws(StoreError) {
        let now = SystemClock.now()
        if let lookedAt, now < lookedAt.adding(milliseconds: Self.lookMilliseconds) { return }
        lookedAt = now
        let news: ResultNames.News
        do throws(StoreError) { news = try present.look(now: now) } catch {
            if unlisted == nil { unlisted = (SystemClock.unixMilliseconds(), error.description) }
            throw error
        }
        unlisted = nil
        for (name, source) in news.gone { forget(name, source) }
        var isGrown = false
        for entry in news.fresh where take(entry) { isGrown = true }
        guard isGrown else { return }
        isPassed = Array(repeating: false, count: targetCount)
        isPlaced = Array(repeating: false, count: targetCount)
    }

    /// Looks at what a name stands for; whether there is something to read in it.
    private func take(_ entry: DirectoryListing.Entry) -> Bool {
        let file = "\(path)/\(entry.name)"
        let stamp = entry.isText ? ResultStamp(path: file) : nil
        let before = present.known[entry.name]
        if let stamp, let before, before.stamp == stamp {
            present.add(entry, stamp, source: before.source)
            return false
        }
        guard let stamp else {
            var status = stat()
            if entry.isText, unsafe lstat(file, &status) != 0, errno == ENOENT {
                present.remove(entry.name)
                if let before { forget(entry.name, before.source) }
                return false
            }
            hinder(
                entry, nil,
                entry.isText
                    ? "\(file) is no regular file that this process may look at"
                    : "\(file): the name is not UTF-8, so nothing can be written down about it; rename it")
            return false
        }
        do throws(InputError) {
            let (source, isNew) = try look(at: entry.name, stamp, before)
            present.add(entry, stamp, source: source)
            return isNew
        } catch {
            hinder(entry, stamp, error.description)
            return false
        }
    }

    private func hinder(_ entry: DirectoryListing.Entry, _ stamp: ResultStamp?, _ why: String) {
        guard present.addUnread(entry, stamp, why) else { return }
        note("\(why). Until it can be read, or is removed, it counts as results that are not delivered")
    }

    /// Takes a file in: its number, and whether there is something to read in it.
    private func look(
        at name: String, _ stamp: ResultStamp, _ before: ResultNames.Known?
    ) throws(InputError) -> (source: UInt64, isNew: Bool) {
        guard stamp.size > 0 else { return (0, false) }
        let file = try ResultFile(name: name, path: "\(path)/\(name)", stamp: stamp) { settled($0) }
        if departed.remove(file.source) { finished.insert(file.source) }
        if sources[file.source] != nil || finished.contains(file.source) { return (file.source, false) }
        if let before, before.source != 0 {
            drop(before.source)
            note(
                "\(file.path) changed after it appeared, so all of it is delivered again; files must arrive by rename"
                    + " and stay as they are")
        }
        files[nextFile] = file
        sources[file.source] = nextFile
        names.set(file.source, file: name, size: stamp.size)
        nextFile += 1
        return (file.source, true)
    }

    /// A name is gone.
    private func forget(_ name: String, _ source: UInt64) {
        if finished.remove(source) != nil, let forgotten = departed.add(source) { gone.append(forgotten) }
        guard drop(source) else { return }
        note("\(path)/\(name) was removed before all of it was delivered; what was not is lost to the exporter")
    }

    /// Reads no more of a source; whether there was something left to read.
    @discardableResult private func drop(_ source: UInt64) -> Bool {
        guard let number = sources.removeValue(forKey: source) else { return false }
        files[number] = nil
        broken[number] = nil
        handles.removeAll { $0.file == number }
        return true
    }

    private func settled(_ source: UInt64) -> [PositionSet] {
        begun[source] ?? Array(repeating: PositionSet(), count: targetCount)
    }

    private func note(_ text: String) {
        if notes.count < Self.maxNotes { notes.insert(text, at: 0) }
    }

    // MARK: Reading

    private func isAtEnd(_ target: Int) -> Bool { schedule.cursor(of: target).file >= nextFile }

    /// Moves a target's cursor on to the next page that it needs.
    private func place(_ target: Int) {
        var cursor = schedule.cursor(of: target)
        while cursor.file < nextFile {
            guard let file = files[cursor.file], !file.isBroken else {
                cursor = ChunkRef(file: cursor.file + 1, offset: 0)
                continue
            }
            let settled = file.settled[target]
            guard let start = needed(file, cursor, settled) else {
                cursor = ChunkRef(file: cursor.file + 1, offset: 0)
                continue
            }
            cursor.offset = start
            break
        }
        schedule.advance([target], to: cursor)
        isPlaced[target] = true
    }

    /// Where the first page at or after the cursor begins that is not settled; nil if there is none in the file.
    private func needed(_ file: ResultFile, _ cursor: ChunkRef, _ settled: PositionSet) -> UInt64? {
        guard cursor.offset < file.size else { return nil }
        // The first position after the cursor that is not settled lies in the page that is wanted.
        guard let range = settled.ranges.first(where: { $0.upperBound > cursor.offset }),
            range.lowerBound <= cursor.offset
        else { return cursor.offset }
        guard range.upperBound < file.size else { return nil }
        do throws(InputError) {
            let start = try PageCut.start(
                try handle(cursor.file, file), containing: range.upperBound, limits: limits)
            return max(start, cursor.offset)
        } catch {
            setAside(cursor.file, error)
            return nil
        }
    }

    private func handle(_ number: Int, _ file: ResultFile) throws(InputError) -> InputHandle {
        if let place = handles.firstIndex(where: { $0.file == number }) { return handles[place].handle }
        let handle = try InputHandle(path: file.path)
        if handles.count == Self.maxHandles { handles.removeFirst() }
        handles.append((number, handle))
        return handle
    }

    private func setAside(_ number: Int, _ error: InputError) {
        files[number]?.isBroken = true
        broken[number] = error.description
        note("\(error). What is left in it is not delivered until a coordinator that begins to lead can read it")
    }

    /// Reads a page; nil if the file cannot be read.
    private func page(_ ref: ChunkRef, _ targets: [Int]) -> FeedPage? {
        guard let file = files[ref.file], !file.isBroken else { return nil }
        var out = ByteWriter(capacity: limits.chunkBytes + (16 << 10))
        let end: UInt64
        do throws(InputError) {
            end = try PageCut.read(
                try handle(ref.file, file), &out, from: ref.offset, size: file.size, limits: limits)
        } catch {
            setAside(ref.file, error)
            for target in targets { isPlaced[target] = false }
            return nil
        }
        let isLast = end == file.size
        schedule.advance(
            targets, to: isLast ? ChunkRef(file: ref.file + 1, offset: 0) : ChunkRef(file: ref.file, offset: end))
        for target in targets { isPlaced[target] = false }
        // Whatever reads a record by its length finds its end in its last byte.
        if !out.isEmpty, out.span[out.count - 1] != 0x0A { out.append(0x0A) }
        var mask = TargetMask(bits: 0)
        for target in targets { mask.bits |= TargetMask(target).bits }
        let age = UInt64(max(0, SystemClock.unixMilliseconds() - file.writtenAt))
        var page = FeedPage(
            targets: mask, source: file.source, range: ref.offset..<end, sourceSize: file.size,
            ageMilliseconds: age, bytes: out.seal())
        ResultLines.cut(&page, shardCount: shardCount)
        read.bytes += UInt64(page.bytes.count)
        read.records += UInt64(page.records.count)
        return page
    }
}
