import ExportCore
import Model
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
    /// The changes as they were last read, and from what.
    private var seen: (stamp: ResultStamp, changes: [GateChange])?
    private static let gateName = "gate.json"
    private static let changesName = "gate.log"
    private static let maxBytes = 1 << 20
    /// Length at which the older half of the changes is left out.
    static let maxChangeBytes = 1 << 20

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

    func write(_ record: GateRecord, _ fence: Fence, before deadline: Tick) throws(StoreError) -> GateRecord? {
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
                // What was asked for before a long pause must not be seen to happen after it.
                guard SystemClock.now() < deadline else {
                    throw StoreError(
                        .late,
                        "\(directory.path)/\(Self.gateName) was to be written by a time that has passed; nothing was"
                            + " written. This process was stopped, or the disk is slow")
                }
                // A closed gate keeps the time at which it was renewed last.
                return record.isOpen || there?.renewTime ?? "" == before
            }
            if isDone { return nil }
            if let newer { return newer }
        }
    }

    /// The changes of the gate that are written down, oldest first. A damaged line is left out.
    func changes() throws(StoreError) -> [GateChange] {
        guard let stamp = ResultStamp(path: "\(directory.path)/\(Self.changesName)") else { return [] }
        if let seen, seen.stamp == stamp { return seen.changes }
        var changes: [GateChange] = []
        _ = try directory.lines(of: Self.changesName) { piece in
            for line in piece.array.split(separator: 0x0A) {
                if let change = StoreText.change(Array(line)) { changes.append(change) }
            }
        }
        seen = (stamp, changes)
        return changes
    }

    /// Writes a change down for good, unless it is there.
    func tell(_ change: GateChange) throws(StoreError) {
        guard try !changes().contains(change) else { return }
        try directory.append(StoreText.change(change), to: Self.changesName) {}
        guard let length = directory.size(Self.changesName), length > Self.maxChangeBytes else { return }
        var kept: [[UInt8]] = []
        var bytes = 0
        for line in try changes().reversed().lazy.map({ StoreText.change($0) }) {
            bytes += line.count
            guard bytes <= Self.maxChangeBytes / 2 else { break }
            kept.append(line)
        }
        try directory.replace(Self.changesName, with: Array(kept.reversed().joined())) {
            directory.size(Self.changesName) == length
        }
    }

    func alerts() throws(StoreError) -> [SystemAlert] {
        var found: [SystemAlert] = []
        // What others put there is not even read: it may be no alert, or no file.
        for name in try Self.names(directory.path + "/alerts").filter({ Episode.named($0) != nil }).sorted(by: >) {
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
