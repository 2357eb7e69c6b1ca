import ExportCore
import Formats
import Glibc
import Model
import Protocol
import Synchronization
import Threading

/// What files the sources are, shared between whoever reads results and whoever writes about them.
final class SourceNames: Sendable {
    private let table = Mutex<[UInt64: (file: String, size: UInt64)]>([:])

    subscript(source: UInt64) -> (file: String, size: UInt64)? { table.withLock { $0[source] } }

    func set(_ source: UInt64, file: String, size: UInt64) { table.withLock { $0[source] = (file, size) } }

    func remove(_ source: UInt64) { table.withLock { $0[source] = nil } }
}

/// The lease, on a thread of its own: nothing else may make its renewal late.
actor LeaseLane {
    private let directory: StoreDirectory
    private let executor = ThreadExecutor()
    private var written: UInt64 = 0
    private let salt = UInt64.random(in: .min ... .max)

    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    init(_ path: String, _ lockMilliseconds: UInt64) {
        directory = StoreDirectory(path, lockMilliseconds: lockMilliseconds)
    }

    func read() throws(StoreError) -> LeaseState { try directory.lease() }

    func write(_ record: LeaseRecord, replacing: LeaseVersion?) throws(StoreError) -> LeaseVersion? {
        written += 1
        // Never the same twice, whatever was deleted meanwhile.
        let version = LeaseVersion(String(salt, radix: 16) + "-\(written)")
        return try directory.writeLease(
            record, replacing: replacing, version: version, wall: SystemClock.unixMilliseconds())
    }

    func close() { executor.stop() }
}

/// The gate and its alerts.
actor GateLane {
    private let directory: StoreDirectory
    private let executor = ThreadExecutor()
    private static let gateName = "gate.json"
    private static let maxBytes = 1 << 20

    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    init(_ path: String, _ lockMilliseconds: UInt64) {
        directory = StoreDirectory(path, lockMilliseconds: lockMilliseconds)
    }

    private func stored() throws(StoreError) -> (record: GateRecord, renewTime: String)? {
        try directory.read(Self.gateName, limit: Self.maxBytes).map { StoreText.gate($0) }
    }

    func read() throws(StoreError) -> GateRecord? {
        try stored().map { stored in
            var record = stored.record
            record.renewed = StoreText.milliseconds(stored.renewTime)
            return record
        }
    }

    func write(_ record: GateRecord, _ fence: Fence) throws(StoreError) -> GateRecord? {
        while true {
            let before = try stored()?.renewTime ?? ""
            let time = record.isOpen ? StoreText.time(SystemClock.unixMilliseconds()) : before
            var newer: GateRecord?
            let isDone = try directory.replace(Self.gateName, with: StoreText.gate(record, renewTime: time)) {
                () throws(StoreError) in
                try directory.require(fence)
                let there = try stored()
                guard record.mayReplace(there?.record) else {
                    newer = there?.record
                    return false
                }
                // A closed gate keeps the time at which it was renewed last.
                return record.isOpen || there?.renewTime ?? "" == before
            }
            if isDone { return nil }
            if let newer { return newer }
        }
    }

    func alerts() throws(StoreError) -> [SystemAlert] {
        var found: [SystemAlert] = []
        for name in try Self.names(directory.path + "/alerts").sorted(by: >) {
            guard found.count < 100, let alert = try alert(name), alert.reason == SystemAlert.exportDegraded else {
                continue
            }
            found.append(alert)
        }
        return found
    }

    func alert(_ name: String) throws(StoreError) -> SystemAlert? {
        try directory.read("alerts/\(try Self.checked(name)).json", limit: Self.maxBytes).flatMap {
            StoreText.alert($0, name: name)
        }
    }

    func create(_ alert: SystemAlert, _ fence: Fence) throws(StoreError) -> SystemAlert {
        let file = "alerts/\(try Self.checked(alert.name)).json"
        var known: SystemAlert?
        try directory.replace(file, with: StoreText.alert(alert, createdAt: SystemClock.unixMilliseconds())) {
            () throws(StoreError) in
            guard let there = try directory.read(file, limit: Self.maxBytes) else {
                try directory.require(fence)
                return true
            }
            known = StoreText.alert(there, name: alert.name)
            guard known != nil else {
                throw StoreError(
                    .unusable,
                    "\(directory.path)/\(file) is no alert any more; mend it, or remove it to have it raised again")
            }
            return false
        }
        return known ?? alert
    }

    func close() { executor.stop() }

    /// A name that is a file's and nothing more.
    private static func checked(_ name: String) throws(StoreError) -> String {
        guard !name.isEmpty, !name.hasPrefix("."), !name.contains("/"), name.utf8.count <= 250 else {
            throw StoreError(.unusable, "\"\(name)\" cannot be the name of an alert")
        }
        return name
    }

    private static func names(_ path: String) throws(StoreError) -> [String] {
        try StoreDirectory.names(path).compactMap { name in
            name.hasPrefix(".") || !name.hasSuffix(".json") ? nil : String(name.dropLast(5))
        }
    }
}

/// The journal of what became of results.
actor StatusLane {
    private let directory: StoreDirectory
    private let executor = ThreadExecutor()
    private let names: SourceNames
    private var targets: [String] = []
    /// Length at which the journal is made short again.
    private var compactAt = StatusLane.compactBytes
    private static let logName = "status.log"
    private static let compactBytes = 16 << 20
    private static let maxBytes = 1 << 30

    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    init(_ path: String, _ lockMilliseconds: UInt64, _ names: SourceNames) {
        directory = StoreDirectory(path, lockMilliseconds: lockMilliseconds)
        self.names = names
    }

    func close() { executor.stop() }

    func takeOver(_ fence: Fence, _ targets: [String]) throws(StoreError) -> SettledSources {
        // From here on nobody else appends: whoever did is fenced. So the journal is read without the lock.
        try directory.locked { () throws(StoreError) in try directory.require(fence) }
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
        if known.damagedLines > 0 || length > Self.compactBytes { try compact(known, length, fence) }
        return known
    }

    func write(_ entries: [StatusEntry], _ fence: Fence) throws(StoreError) {
        var out = ByteWriter(capacity: 16 << 10)
        for line in try lines(entries, term: fence.term) { line.write(into: &out) }
        let bytes = out.span.array
        try directory.append(bytes, to: Self.logName) { () throws(StoreError) in try directory.require(fence) }
        guard let length = directory.size(Self.logName), length > compactAt else { return }
        let (known, read) = try readJournal()
        try compact(known, read, fence)
    }

    private func readJournal() throws(StoreError) -> (SettledSources, length: Int) {
        var known = SettledSources(targets: targets)
        guard let bytes = try directory.read(Self.logName, limit: Self.maxBytes) else { return (known, 0) }
        known.read(bytes.span)
        return (known, bytes.count)
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
        compactAt = max(Self.compactBytes, 4 * bytes.count)
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
        return try drafts.lines(names)
    }
}
