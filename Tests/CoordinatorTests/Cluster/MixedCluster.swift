import Backends
import ExportCore
import Formats
import Ledger
import Logging
import Model
import PeerTransport
import ShardWorker
import Synchronization
import Synthetic
import Testing

@testable import Coordinator
@_spi(NextRelease) @testable import Protocol

/// Coordinators and workers of two releases: the shells, connections, ledgers and stores are the real ones. Each worker speaks to
/// its leader over a socket, and says now and then what only the next release knows.
final class MixedCluster {
    /// What went over the connections.
    final class Wire: Sendable {
        private struct State {
            /// Where each coordinator listens, and its release.
            var places: [String: (port: Int, release: ProtocolRelease)] = [:]
            /// The version of each worker's last session.
            var versions: [String: UInt8] = [:]
            var unknown: (said: Int, heard: Int) = (0, 0)
        }

        private let state = Mutex(State())

        /// The version that each worker's last session has.
        var versions: [String: UInt8] { state.withLock { $0.versions } }
        /// Messages of the next release that workers said, and that were said to them.
        var unknown: (said: Int, heard: Int) { state.withLock { $0.unknown } }

        func listens(_ name: String, _ port: Int, _ release: ProtocolRelease) {
            state.withLock { $0.places[name] = (port, release) }
        }

        func speaks(_ worker: String, _ version: UInt8) { state.withLock { $0.versions[worker] = version } }
        func said() { state.withLock { $0.unknown.said += 1 } }
        func heard() { state.withLock { $0.unknown.heard += 1 } }

        /// Where an address leads, which may be a coordinator's name, and the release there.
        func place(_ address: String) -> (port: Int, release: ProtocolRelease)? {
            state.withLock { state in
                let parts = address.split(separator: ":").map(String.init)
                return state.places[parts[0]] ?? state.places.values.first { "\($0.port)" == parts.last }
            }
        }
    }

    /// Takes every record, and counts how often.
    final class Receiver: Backend {
        private let lines = Mutex<[[UInt8]: Int]>([:])
        var distinct: Int { lines.withLock { $0.count } }

        func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
            let records = parcel.body().array.split(separator: 0x0A).map { Array($0) }
            lines.withLock { lines in for record in records { lines[record, default: 0] += 1 } }
            return DeliveryAnswer(.delivered(slowDown: false))
        }

        func probe() async -> Reason? { nil }
        func close() async {}
    }

    private struct Worker {
        let worker: ClusterWorker
        let ledger: Ledger
        let client: PeerClient
        let running: Task<Bool, Never>
        let release: ProtocolRelease
    }

    let wire = Wire()
    let receiver = Receiver()
    private let directory: String
    private var coordinators: [String: (member: TestCoordinator, store: FileClusterStore, release: ProtocolRelease)] =
        [:]
    private var workers: [String: Worker] = [:]
    private var starts = 0
    private var files = 0
    private var generator = ProbeResultGenerator(seed: 20)
    private(set) var records = 0

    init(_ directory: String) { self.directory = directory }

    private static let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    // MARK: Members

    /// Starts a member: `c…` is a coordinator, `w…` a worker.
    func start(_ name: String, _ release: ProtocolRelease) async throws {
        starts += 1
        if name.hasPrefix("w") { return try await startWorker(name, release) }
        let store = try FileClusterStore(directory: directory, log: Self.log)
        let stores = CoordinatorStores(lease: store, gate: store, alerts: store, status: store) { settled in
            store.results(settled: settled, shardCount: UInt16(TestCoordinator.shardCount))
        }
        let member = try await TestCoordinator(name, stores, start: starts, release: release)
        coordinators[name] = (member, store, release)
        wire.listens(name, member.port, release)
    }

    private func startWorker(_ name: String, _ release: ProtocolRelease) async throws {
        let ledger = try await Ledger.open(directory: "\(directory)/\(name)")
        let endpoint = Endpoint(scheme: "https", host: "localhost", port: 1, path: "")
        var target = Target(name: "t0", backend: .splunk, format: .json, endpoint: endpoint)
        target.batch = BatchBounds(maxRecords: 20, maxBytes: 1 << 20, maxAgeMilliseconds: 5)
        let encoder = FormatEncoder(
            .json, stamp: ExportStamp(version: "1", cluster: "c"), options: FormatOptions())
        let plan = LanePlan(
            target: target, writer: .file(FileRequestBuilder(target: target, encoder: encoder)), backend: receiver)
        let client = try PeerClient(security: .loopbackOnly)
        let settings = WorkerCore.Settings(
            identity: name, boot: RecordKey(high: UInt64(starts), low: 1), capacity: 1, windowBytes: 1 << 20,
            targets: ["t0"], release: release)
        let worker = try await ClusterWorker(
            settings, coordinators: ["c0:7443", "c1:7443"], plans: [plan],
            parts: ClusterWorker.Parts(
                ledger: ledger, log: Self.log, limits: Limits(), encoders: 1,
                dial: { [wire] address in
                    guard let place = wire.place(address) else { throw PeerError(.connect, "nobody is at \(address)") }
                    let connection = try await client.connect(host: "127.0.0.1", port: place.port)
                    return ChattyConnection(connection, name, (release, place.release), wire)
                }))
        workers[name] = Worker(
            worker: worker, ledger: ledger, client: client, running: Task { await worker.run() }, release: release)
    }

    /// Ends a member in order.
    func stop(_ name: String) async throws {
        if let ended = coordinators.removeValue(forKey: name) {
            await ended.member.stop()
            await ended.store.close()
        }
        if let ended = workers.removeValue(forKey: name) {
            ended.worker.stop(graceMilliseconds: 20_000)
            #expect(await ended.running.value, "\(name) ends with nothing in hand")
            await ended.client.shutdown()
            try await ended.ledger.close()
        }
    }

    func stopAll() async throws {
        for name in workers.keys.sorted() { try await stop(name) }
        for name in coordinators.keys.sorted() { try await stop(name) }
    }

    // MARK: Records

    /// So many results come.
    func export(_ count: Int) {
        var out = ByteWriter(capacity: count * 1_400)
        for _ in 0..<count {
            generator.next(into: &out)
            if out.span[out.count - 1] != 0x0A { out.append(0x0A) }
        }
        files += 1
        records += count
        put(out.span.array, at: "\(directory)/results/\(files).ndjson")
    }

    /// Waits until everything is delivered, written down, and forgotten by workers, and all of them are at work.
    func settle(_ why: String) async {
        await until("all \(records) are delivered \(why), and not \(receiver.distinct)") {
            receiver.distinct == records
        }
        await until("all is written down \(why)") { isWritten }
        for (name, worker) in workers {
            await until("\(name) may forget everything \(why)") {
                (try? await worker.ledger.toldRows().rows.isEmpty) == true
            }
            await until("\(name) has its shards \(why)") { worker.worker.isReady }
        }
    }

    private var isWritten: Bool {
        guard let journal = contents("\(directory)/status.log") else { return false }
        var known = SettledSources(targets: ["t0"])
        known.read(journal.span)
        return known.damagedLines == 0 && known.sources.count == files
            && known.sources.keys.allSatisfy(known.isFinished)
    }

    /// Whoever leads.
    func leader() async -> (name: String, release: ProtocolRelease)? {
        for (name, known) in coordinators {
            if await known.member.role == .leader { return (name, known.release) }
        }
        return nil
    }

    /// Who leads admits probes.
    func isOpen() async -> Bool {
        for known in coordinators.values {
            let status = await known.member.coordinator.status()
            if status.coordinator.role == .leader { return status.gate.state == .open }
        }
        return false
    }

    /// Workers, and the highest version that each has in common with `leader`.
    func versions(with leader: ProtocolRelease) -> [String: UInt8?] {
        workers.mapValues { leader.common(with: $0.release.versions) }
    }
}

/// A worker's connection on which whoever is of the next release says more than others know.
struct ChattyConnection: WorkerConnection {
    private struct State {
        /// Zero before the session begins.
        var version: UInt8 = 0
        var waiting: SealedBytes?
    }

    private let connection: PeerConnection
    private let worker: String
    private let releases: (own: ProtocolRelease, leader: ProtocolRelease)
    private let wire: MixedCluster.Wire
    private let state: Held

    private final class Held: Sendable { let value = Mutex(State()) }

    init(
        _ connection: PeerConnection, _ worker: String, _ releases: (ProtocolRelease, ProtocolRelease),
        _ wire: MixedCluster.Wire
    ) {
        self.connection = connection
        self.worker = worker
        self.releases = releases
        self.wire = wire
        state = Held()
    }

    var executor: (any TaskExecutor)? { connection.executor }

    private func unknown(_ version: UInt8) -> SealedBytes {
        var encoder = FrameEncoder(release: .next)
        encoder.version = version
        var out = ByteWriter(capacity: 32)
        encoder.encodeSkippable(into: &out)
        return out.seal()
    }

    func send(_ frame: SealedBytes) async throws {
        try await connection.send(frame)
        let version = state.value.withLock { $0.version }
        guard releases.own == .next, version > 0 else { return }
        try await connection.send(unknown(version))
        wire.said()
    }

    func sendUrgently(_ frame: SealedBytes) -> Bool { (try? connection.trySend(frame)) ?? false }

    func receive() async throws -> SealedBytes? {
        let waiting = state.value.withLock { state in
            defer { state.waiting = nil }
            return state.waiting
        }
        if let waiting { return waiting }
        guard let frame = try await connection.receive() else { return nil }
        // The header's fifth byte; zero in a handshake.
        let version = frame.span[4]
        guard version > 0 else { return frame }
        wire.speaks(worker, version)
        let isChatty = releases.leader == .next
        state.value.withLock { state in
            state.version = version
            if isChatty { state.waiting = frame }
        }
        guard isChatty else { return frame }
        wire.heard()
        return unknown(version)
    }

    func close() async { await connection.close() }
    func abort() { connection.abort() }
}
