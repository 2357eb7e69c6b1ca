public import ExportCore
import Glibc
public import Logging
public import Model
import Threading

/// The store of a cluster on one machine: a directory that its coordinators share.
///
/// | in the directory | is |
/// |---|---|
/// | `results/*.ndjson` | results, whole files that arrive by rename; left where they are |
/// | `lease.json` | who leads |
/// | `highest-term.json` | the highest term ever, should the lease be deleted |
/// | `status.log` | what became of results (``StatusLine``) |
/// | `gate.json`, `alerts/*.json` | the gate and its alerts; people acknowledge by editing the alert |
/// | `gate.log` | changes of the gate, the last so many |
/// | `.lock` | held for every change |
///
/// Promises:
/// 1. Nothing is written in the name of a term unless the lease says, under the same lock, that it is still that holder's
///    in that term: a leader that was replaced changes nothing (invariant 2).
/// 2. What was written survives the process and the machine once the call returned.
/// 3. Lease, status, and gate with alerts each have a thread: a long journal does not cost the lease.
public final class FileClusterStore: LeaseStore, GateStore, AlertStore, GateEventStore, StatusStore {
    /// Where everything lies.
    public let directory: String
    private let leases: LeaseLane
    private let gates: GateLane
    private let statuses: StatusLane
    let names = SourceNames()
    /// Nobody writes a file for so long.
    private static let draftSeconds = 3_600

    /// Opens the directory, or makes it.
    ///
    /// - Parameters:
    ///   - lockMilliseconds: longest wait for another coordinator's change.
    ///   - log: for what goes wrong without being an answer to anybody.
    public init(
        directory: String, lockMilliseconds: UInt64 = 2_000, log: Logger = Logger(label: "store")
    ) throws(StoreError) {
        self.directory = directory
        let place = StoreDirectory(directory, lockMilliseconds: lockMilliseconds)
        try place.make(["results", "alerts"])
        for folder in [".", "alerts"] { try place.removeDrafts(in: folder, olderThanSeconds: Self.draftSeconds) }
        leases = LeaseLane(directory, lockMilliseconds)
        gates = GateLane(directory, lockMilliseconds)
        statuses = StatusLane(directory, lockMilliseconds, names, log)
    }

    /// Ends the threads; nothing may be asked after.
    public func close() async {
        await leases.close()
        await gates.close()
        await statuses.close()
    }

    /// Reads the results for one leader, which knows from ``takeOver(fence:targets:)`` what is settled.
    public func results(settled: SettledSources, shardCount: UInt16, limits: Limits = Limits()) -> ResultDirectory {
        ResultDirectory(
            directory + "/results", settled: settled, shardCount: shardCount, limits: limits, names: names)
    }

    // MARK: Lease

    /// The lease as of now.
    public func readLease() async throws(StoreError) -> LeaseState { try await leases.read() }

    /// See ``LeaseStore/writeLease(_:replacing:)``.
    public func writeLease(
        _ record: LeaseRecord, replacing: LeaseVersion?
    ) async throws(StoreError) -> LeaseVersion? {
        try await leases.write(record, replacing: replacing)
    }

    /// Looks 20 times a second.
    public func waitForLeaseChange(since: LeaseVersion?, milliseconds: UInt64) async -> Bool {
        let deadline = SystemClock.now().adding(milliseconds: milliseconds)
        while true {
            if let state = try? await leases.read(), state.stored?.version != since { return true }
            guard SystemClock.now() < deadline else { return false }
            do { try await Task.sleep(for: .milliseconds(50)) } catch { return false }
        }
    }

    // MARK: Gate and alerts

    /// The gate's record.
    public func readGate() async throws(StoreError) -> GateRecord? { try await gates.read() }

    /// See ``GateStore/writeGate(_:fence:before:)``.
    public func writeGate(
        _ record: GateRecord, fence: Fence, before deadline: Tick
    ) async throws(StoreError) -> GateRecord? {
        try await gates.write(record, fence, before: deadline)
    }

    /// All alerts of ours.
    public func readAlerts() async throws(StoreError) -> [SystemAlert] { try await gates.alerts() }

    /// One alert.
    public func readAlert(name: String) async throws(StoreError) -> SystemAlert? { try await gates.alert(name) }

    /// See ``AlertStore/createAlert(_:fence:)``.
    public func createAlert(_ alert: SystemAlert, fence: Fence) async throws(StoreError) -> SystemAlert {
        try await gates.create(alert, fence)
    }

    /// Writes the change down, if it is not there.
    public func tell(_ change: ExportGate.Transition, holder: String) async throws(StoreError) {
        try await gates.tell(GateChange(change))
    }

    /// The last changes.
    public func recorded() async throws(StoreError) -> [GateChange]? {
        try await gates.changes().suffix(GateChange.most)
    }

    // MARK: Status

    /// Reads the journal, and makes it short if it is long.
    public func takeOver(fence: Fence, targets: [String]) async throws(StoreError) -> SettledSources {
        try await statuses.takeOver(fence, targets)
    }

    /// Appends to the journal.
    public func write(_ entries: [StatusEntry], fence: Fence) async throws(StoreError) {
        try await statuses.write(entries, fence)
    }
}

extension StoreDirectory {
    private static let leaseName = "lease.json"
    private static let termName = "highest-term.json"

    /// The lease. What cannot be read as one is waited out like one that is missing: somebody may lead.
    func lease() throws(StoreError) -> LeaseState {
        let bytes = try read(Self.leaseName, limit: 64 << 10)
        let highest = try highestTerm()
        guard let bytes else { return LeaseState(stored: nil, highestTerm: highest) }
        if let stored = StoreText.lease(bytes) {
            return LeaseState(stored: stored, highestTerm: max(highest, stored.record.term))
        }
        let unreadable = LeaseRecord(
            holder: LeaseRecord.vacant, address: "", term: highest, renewal: 0, durationMilliseconds: 0)
        var hash = UInt64(bytes.count)
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return LeaseState(
            stored: LeaseState.Stored(record: unreadable, version: LeaseVersion("unreadable-\(hash)")),
            highestTerm: highest)
    }

    private func highestTerm() throws(StoreError) -> UInt64 {
        try read(Self.termName, limit: 64 << 10).flatMap { StoreText.highestTerm($0) } ?? 0
    }

    /// Writes the lease; nil if it is not in the version expected.
    func writeLease(
        _ record: LeaseRecord, replacing: LeaseVersion?, version: LeaseVersion, wall: Int64
    ) throws(StoreError) -> LeaseVersion? {
        // First, so that a lease of this term never lies where the term is not known otherwise. If the lease is not
        // written after it, the next term is one higher, and that is all.
        if try highestTerm() < record.term {
            try replace(Self.termName, with: StoreText.highestTerm(record.term)) { () throws(StoreError) in
                guard try lease().stored?.version == replacing else { return false }
                return try highestTerm() < record.term
            }
        }
        let stored = LeaseState.Stored(record: record, version: version)
        let isDone = try replace(Self.leaseName, with: StoreText.lease(stored, renewedAt: wall)) {
            () throws(StoreError) in try lease().stored?.version == replacing
        }
        return isDone ? version : nil
    }

    /// Refuses, under the lock, whoever does not hold the lease, and a term before one that was let through: a request
    /// may come late, and somebody may have set the lease back to the term in which it was made. A term that takes over
    /// may look first, and learns from what is written which one it has to be.
    func require(_ fence: Fence, takesOver: Bool = false) throws(StoreError) {
        let record = try lease().stored?.record
        guard let record, record.holder == fence.holder, record.term == fence.term,
            takesOver || fence.term >= newestTerm
        else {
            let now = record.map { $0.isHeld ? "\($0.holder) holds it in term \($0.term)" : "nobody holds it" }
            throw StoreError(
                .fenced,
                "\(path)/lease.json is not that of \(fence.holder) in term \(fence.term) any more: "
                    + (now ?? "it is gone") + ". Nothing was written")
        }
        newestTerm = max(newestTerm, fence.term)
    }
}
