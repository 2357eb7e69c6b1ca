import Coordinator
import ExportCore
import Model
import Protocol
import Threading

/// A cluster's store in memory, with the rules of a real one: writes are conditional and fenced.
actor MemoryStore: LeaseStore, GateStore, AlertStore, StatusStore {
    private(set) var lease = LeaseState(stored: nil, highestTerm: 0)
    private var version = 0
    private(set) var gate: GateRecord?
    private(set) var alerts: [SystemAlert] = []
    /// Everything that was written, by target: keys that are settled.
    private(set) var delivered: [Int: [RecordKey]] = [:]
    private(set) var finished: [UInt64] = []
    private(set) var refusedWrites = 0
    private var isDeaf = false

    /// From here on nobody gets an answer about the lease, as if the network to the store were cut.
    func cutLease() { isDeaf = true }
    func mendLease() { isDeaf = false }

    /// Another candidate takes the lease without waiting, which a broken store or a person may bring about.
    func usurp() {
        let term = lease.highestTerm + 1
        put(LeaseRecord(holder: "usurper/1", address: "", term: term, renewal: 1, durationMilliseconds: 60_000))
    }

    private func put(_ record: LeaseRecord) {
        version += 1
        lease = LeaseState(
            stored: LeaseState.Stored(record: record, version: LeaseVersion("\(version)")),
            highestTerm: max(lease.highestTerm, record.term))
    }

    private func check(_ fence: Fence) throws(StoreError) {
        guard let record = lease.stored?.record, record.holder == fence.holder, record.term == fence.term else {
            refusedWrites += 1
            throw StoreError(.fenced, "the lease is not \(fence.holder)'s in term \(fence.term)")
        }
    }

    func readLease() async throws(StoreError) -> LeaseState {
        if isDeaf { throw StoreError(.busy, "no answer") }
        return lease
    }

    func writeLease(_ record: LeaseRecord, replacing: LeaseVersion?) async throws(StoreError) -> LeaseVersion? {
        if isDeaf { throw StoreError(.busy, "no answer") }
        guard lease.stored?.version == replacing else { return nil }
        put(record)
        return lease.stored?.version
    }

    func waitForLeaseChange(since: LeaseVersion?, milliseconds: UInt64) async -> Bool {
        for _ in 0..<max(1, milliseconds / 10) {
            if lease.stored?.version != since { return true }
            guard (try? await Task.sleep(for: .milliseconds(10))) != nil else { return false }
        }
        return false
    }

    func readGate() async throws(StoreError) -> GateRecord? { gate }

    func writeGate(_ record: GateRecord, fence: Fence, before: Tick) async throws(StoreError) -> GateRecord? {
        try check(fence)
        guard SystemClock.now() < before else { throw StoreError(.late, "too late") }
        guard record.mayReplace(gate) else { return gate }
        gate = record
        if record.isOpen { gate?.renewed = UInt64(SystemClock.unixMilliseconds()) }
        return nil
    }

    func readAlerts() async throws(StoreError) -> [SystemAlert] { alerts }

    func readAlert(name: String) async throws(StoreError) -> SystemAlert? { alerts.first { $0.name == name } }

    func createAlert(_ alert: SystemAlert, fence: Fence) async throws(StoreError) -> SystemAlert {
        try check(fence)
        if let known = alerts.first(where: { $0.name == alert.name }) { return known }
        alerts.append(alert)
        return alert
    }

    func takeOver(fence: Fence, targets: [String]) async throws(StoreError) -> SettledSources {
        try check(fence)
        return SettledSources(targets: targets)
    }

    func write(_ entries: [StatusEntry], fence: Fence) async throws(StoreError) {
        try check(fence)
        for entry in entries {
            switch entry {
            case .facts(let facts) where facts.kind == .delivered:
                delivered[facts.target, default: []] += facts.keys
            case .facts: break
            case .finished(let source): finished.append(source)
            }
        }
    }
}

/// Results that are there from the beginning: pages of one source, for one target.
actor ScriptedResults: ResultSource {
    private var pages: [FeedPage]
    private var next = 0
    private var hasPassed = false

    static let source: UInt64 = 7

    /// `count` records of 100 bytes, in pages of `perPage`.
    init(count: Int, perPage: Int, shardCount: UInt16) {
        var pages: [FeedPage] = []
        var position: UInt64 = 0
        for start in stride(from: 0, to: count, by: perPage) {
            let records = min(perPage, count - start)
            let line = [UInt8](repeating: 0x78, count: 99) + [0x0A]
            let bytes = SealedBytes((0..<records).flatMap { _ in line })
            var page = FeedPage(
                targets: TargetMask(0), source: Self.source, range: position..<position + UInt64(records * 100),
                sourceSize: UInt64(count * 100), ageMilliseconds: 5, bytes: bytes)
            for record in 0..<records {
                page.append(
                    position: position + UInt64(record * 100), shard: UInt16((start + record) % Int(shardCount)),
                    start: UInt32(record * 100), length: 100)
            }
            position += UInt64(records * 100)
            pages.append(page)
        }
        self.pages = pages
    }

    func next(hasRoom: [Bool], bytes: Int) async throws(StoreError) -> [ResultEvent] {
        if next < pages.count {
            guard hasRoom[0] else { return [] }
            next += 1
            return [.page(pages[next - 1])]
        }
        guard !hasPassed else { return [] }
        hasPassed = true
        return [.passed(target: 0)]
    }

    func backlog() async -> [SourceBacklog] {
        let records = pages[next...].reduce(0) { $0 + $1.records.count }
        return [SourceBacklog(records: UInt64(records), oldestMilliseconds: records > 0 ? 5 : nil)]
    }

    func inputs() async -> SourceInputs { SourceInputs(begun: next > 0 ? 1 : 0, waiting: next > 0 ? 0 : 1) }

    func finished(source: UInt64) async {}

    func close() async {}
}
