import ExportCore
import Formats
import Glibc
import Logging
import Model
import Protocol
import Threading

/// The journal of what became of results.
actor StatusLane {
    private let directory: StoreDirectory
    private let executor = ThreadExecutor()
    private let names: SourceNames
    private let log: Logger
    private var targets: [String] = []
    /// Length at which the journal is made short again.
    private var compactAt = StatusLane.compactBytes
    /// After a failure: how long not to try that again, milliseconds, and until when.
    private var compactPause: UInt64 = 0
    private var compactFrom = Tick(nanoseconds: 0)
    private static let logName = "status.log"
    private static let compactBytes = 16 << 20
    /// However long the journal is: it grows by no more than this until it is made short.
    private static let maxGrowth = 128 << 20
    private static let pauses: ClosedRange<UInt64> = 10_000...600_000

    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    init(_ path: String, _ lockMilliseconds: UInt64, _ names: SourceNames, _ log: Logger) {
        directory = StoreDirectory(path, lockMilliseconds: lockMilliseconds)
        self.names = names
        self.log = log
    }

    func close() { executor.stop() }

    func takeOver(_ fence: Fence, _ targets: [String]) throws(StoreError) -> SettledSources {
        // From here on nobody else appends: whoever did is fenced. So the journal is read without the lock.
        try directory.locked { () throws(StoreError) in try directory.require(fence, takesOver: true) }
        self.targets = targets
        // It may have been replaced before what it wrote was synchronized.
        try directory.keep(Self.logName)
        let (known, length) = try readJournal()
        guard known.highestTerm <= fence.term else {
            throw StoreError(
                .superseded(by: known.highestTerm),
                "\(directory.path)/\(Self.logName) was written in term \(known.highestTerm), and this is \(fence.term):"
                    + " the lease will be taken again, in a higher term")
        }
        // Of these something is still to be written, whether or not their files can be looked at again.
        for source in known.untold {
            if let file = known.sources[source] { names.set(source, file: file.file, size: file.size) }
        }
        if known.damagedLines > 0 || length > Self.compactBytes { shorten(fence) { (known, length) } }
        return known
    }

    func write(_ entries: [StatusEntry], _ fence: Fence) throws(StoreError) {
        var out = ByteWriter(capacity: 16 << 10)
        for line in try lines(entries, term: fence.term) { line.write(into: &out) }
        let bytes = out.span.array
        try directory.append(bytes, to: Self.logName) { () throws(StoreError) in try directory.require(fence) }
        // From here on it is written, whatever else goes wrong.
        guard let length = directory.size(Self.logName), length > compactAt, SystemClock.now() >= compactFrom else {
            return
        }
        shorten(fence) { () throws(StoreError) in try readJournal() }
    }

    private func readJournal() throws(StoreError) -> (SettledSources, length: Int) {
        var known = SettledSources(targets: targets)
        let length = try directory.lines(of: Self.logName) { known.read($0) }
        return (known, length)
    }

    /// Makes the journal short, or says why not and tries again much later: a long one costs time and room, no more.
    private func shorten(
        _ fence: Fence, _ journal: () throws(StoreError) -> (known: SettledSources, length: Int)
    ) {
        do throws(StoreError) {
            let (known, length) = try journal()
            try compact(known, length, fence)
            compactPause = 0
        } catch {
            // The next write finds that out for itself.
            guard error.kind != .fenced else { return }
            compactPause = min(max(2 * compactPause, Self.pauses.lowerBound), Self.pauses.upperBound)
            compactFrom = SystemClock.now().adding(milliseconds: compactPause)
            log.warning(
                "the journal of what became of results cannot be made short; nothing is lost, and it is tried again",
                metadata: ["cause": "\(error)", "milliseconds": "\(compactPause)"])
        }
    }

    /// Puts a short journal in the place of one that was read up to `length`.
    private func compact(_ known: SettledSources, _ length: Int, _ fence: Fence) throws(StoreError) {
        let present = Set(try StoreDirectory.names(directory.path + "/results"))
        var out = ByteWriter(capacity: 1 << 20)
        for line in known.compacted(term: fence.term, isPresent: { present.contains($0) }) { line.write(into: &out) }
        let bytes = out.span.array
        try directory.replace(Self.logName, with: bytes) { () throws(StoreError) in
            try directory.require(fence)
            return directory.size(Self.logName) == length
        }
        compactAt = max(Self.compactBytes, min(4 * bytes.count, bytes.count + Self.maxGrowth))
    }

    /// One line for all that is said of a source at a target in one kind and for one reason.
    private func lines(_ entries: [StatusEntry], term: UInt64) throws(StoreError) -> [StatusLine] {
        var drafts = StatusDrafts(term: term, targets: targets)
        for entry in entries {
            switch entry {
            case .facts(let facts):
                guard facts.target < targets.count else {
                    throw StoreError(.unusable, "target \(facts.target) is none of the \(targets.count) known ones")
                }
                for (key, length) in zip(facts.keys, facts.lengths) {
                    drafts.add(key.high, key.low..<key.low + UInt64(length), facts)
                }
            case .finished(let source): drafts.finish(source)
            }
        }
        let (lines, strangers) = drafts.lines(names)
        for source in strangers {
            log.error(
                "something was to be written about a source that no file is known for; it was left out, and is told again",
                metadata: ["source": "\(String(source, radix: 16))", "term": "\(term)"])
        }
        return lines
    }
}
