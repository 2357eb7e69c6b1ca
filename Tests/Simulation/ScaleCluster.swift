import ExportCore
import Model
import Protocol

/// A leader's `Membership` and `ShardTable` with workers that obey at once. Results are numbers by shard: what a shard that
/// goes from one worker to another would take with it.
struct ScaleCluster {
    private struct Worker {
        var capacity: UInt16
        var boot: UInt64 = 1
        var session: SessionID?
        var beats: UInt64 = 0
        var held: [UInt16: ShardClaim] = [:]
    }

    let shardCount: Int
    private let results: [UInt64]
    private let total: Double
    private var term: UInt64 = 1
    private var now = Tick(nanoseconds: 1_000_000_000)
    private var membership: Membership
    private var table: ShardTable
    private var workers: [String: Worker] = [:]
    private var names: [WorkerID: String] = [:]
    private var nextSession: UInt64 = 1
    /// Who had each shard last.
    private var owners: [String?]
    /// Results whose shard changed its owner.
    private(set) var moved: UInt64 = 0
    /// The least that had to: what those had who left, and the share of those who came.
    private(set) var minimum = 0.0
    /// The highest load in relation to the fair share, of all times at which everything was settled.
    private(set) var worst = 0.0
    private(set) var mistakes: [String] = []

    init(shardCount: Int, results: [UInt64]) {
        self.shardCount = shardCount
        self.results = results
        total = Double(results.reduce(0, +))
        owners = Array(repeating: nil, count: shardCount)
        (membership, table) = Self.leader(of: 1, shardCount, now)
    }

    private static func leader(of term: UInt64, _ shardCount: Int, _ now: Tick) -> (Membership, ShardTable) {
        let timing = ClusterTiming()
        let membership = Membership(
            Membership.Settings(
                leader: "c", term: term, versions: 1...1, shardCount: shardCount, targets: ["t"], timing: timing))
        let table = ShardTable(
            .init(shardCount: shardCount, term: term, isFirstTerm: term == 1, timing: timing), now: now)
        return (membership, table)
    }

    var workerCount: Int { workers.count }

    // MARK: What happens to workers

    /// New workers come together.
    mutating func join(_ newcomers: [String], capacity: (Int) -> UInt16 = { _ in 4 }) {
        let hadOwners = owners[0] != nil
        for (place, name) in newcomers.enumerated() { workers[name] = Worker(capacity: capacity(place)) }
        for name in newcomers { connect(name) }
        settle()
        guard hadOwners else { return }
        let weights = workers.values.reduce(UInt64(0)) { $0 + UInt64($1.capacity) }
        let shares = newcomers.reduce(0) { sum, name in
            sum + Placement.bounds(shards: shardCount, weight: workers[name]?.capacity ?? 1, total: weights).floor
        }
        minimum += Double(shares) * total / Double(shardCount)
    }

    /// Workers end without a word and do not come back: their shards wait for their death.
    mutating func kill(_ names: [String]) {
        oweWhatTheyHold(names)
        for name in names { disconnect(name) }
        for name in names { workers[name] = nil }
        settle(milliseconds: 20_000)
    }

    /// Workers are asked to end and give back what they hold.
    mutating func drain(_ names: [String]) {
        oweWhatTheyHold(names)
        for name in names {
            if let session = workers[name]?.session { tell(.drain(session)) }
        }
        advance(5_000)
        for name in names {
            if workers[name]?.held.isEmpty == false { mistakes.append("\(name) was drained and holds shards") }
            disconnect(name)
            workers[name] = nil
        }
        settle(milliseconds: 20_000)
    }

    /// Workers are killed and started again within their lease: nothing has to move.
    mutating func restart(_ names: [String]) {
        for name in names {
            disconnect(name)
            workers[name]?.held = [:]
            workers[name]?.boot += 1
        }
        advance(2_000)
        for name in names { connect(name) }
        settle()
    }

    /// Another coordinator leads, and learns from the workers who holds what: nothing has to move.
    mutating func changeLeader() {
        term += 1
        names = [:]
        (membership, table) = Self.leader(of: term, shardCount, now)
        for name in workers.keys.sorted() { connect(name) }
        settle(milliseconds: 20_000)
    }

    private mutating func oweWhatTheyHold(_ names: [String]) {
        for name in names {
            for shard in workers[name]?.held.keys.map(Int.init) ?? [] { minimum += Double(results[shard]) }
        }
    }

    private mutating func connect(_ name: String) {
        guard let worker = workers[name] else { return }
        let session = SessionID(nextSession)
        nextSession += 1
        workers[name]?.session = session
        workers[name]?.beats = 1
        tell(.connected(session, name: name))
        tell(
            .hello(
                session,
                Hello(
                    versions: 1...1, identity: name, boot: RecordKey(high: 0, low: worker.boot),
                    capacity: worker.capacity, windowBytes: 1, term: term, targets: ["t"],
                    claims: worker.held.values.sorted { $0.grant.shard < $1.grant.shard })))
        tell(.heartbeat(session, term: term, number: 1))
        guard let id = membership.worker(of: session) else { return mistakes.append("\(name) was refused") }
        tell(.lapsed(id, milliseconds: 0, welcomed: now))
    }

    private mutating func disconnect(_ name: String) {
        guard let session = workers[name]?.session else { return }
        workers[name]?.session = nil
        tell(.closed(session))
    }

    // MARK: Machines

    private mutating func tell(_ event: Membership.Event) {
        for effect in membership.handle(event, now: now) {
            switch effect {
            case .joined(let id, let session):
                guard let name = workers.first(where: { $0.value.session == session })?.key, let worker = workers[name]
                else { continue }
                names[id] = name
                tell(
                    .joined(
                        id, identity: name, capacity: worker.capacity,
                        claims: worker.held.values.sorted { $0.grant.shard < $1.grant.shard }))
            case .draining(let id): tell(.drain(id))
            case .lost(let id): tell(.lost(id))
            case .dead(let id): tell(.dead(id))
            case .refuse(_, let fault), .close(_, let fault): mistakes.append(fault.message)
            case .welcome, .echo, .told: break
            }
        }
    }

    private mutating func tell(_ event: ShardTable.Event) {
        for effect in table.handle(event, now: now) {
            switch effect {
            case .assign(let id, let grants):
                guard let name = names[id] else { continue }
                for grant in grants { give(grant, to: name) }
            case .revoke(let id, let grants):
                for grant in grants { if let name = names[id] { workers[name]?.held[grant.shard] = nil } }
                tell(.released(id, grants))
            case .expel(_, let reason): mistakes.append(reason)
            case .drained: break
            }
        }
    }

    private mutating func give(_ grant: ShardGrant, to name: String) {
        let shard = Int(grant.shard)
        if let before = owners[shard], before != name { moved += results[shard] }
        owners[shard] = name
        workers[name]?.held[grant.shard] = ShardClaim(term: term, grant: grant)
    }

    /// Lets time pass until all is in place, and looks at the loads.
    private mutating func settle(milliseconds: UInt64 = 5_000) {
        advance(milliseconds)
        guard !workers.isEmpty else { return }
        let weights = workers.values.reduce(0.0) { $0 + Double($1.capacity) }
        for shard in 0..<shardCount where table.owner(of: ShardID(UInt16(shard))) == nil {
            return mistakes.append("shard \(shard) has no owner")
        }
        for (name, worker) in workers {
            let load = worker.held.keys.reduce(0.0) { $0 + Double(results[Int($1)]) }
            let ratio = load * weights / (Double(worker.capacity) * total)
            worst = max(worst, ratio)
            let known = worker.held.keys.allSatisfy { owners[Int($0)] == name }
            if !known { mistakes.append("\(name) holds a shard that is another's") }
        }
    }

    private mutating func advance(_ milliseconds: UInt64) {
        let end = now.adding(milliseconds: milliseconds)
        var beatDue = now.adding(milliseconds: 2_500)
        while true {
            let due = [membership.nextDeadline, table.nextDeadline, beatDue].compactMap { $0 }.min() ?? end
            guard due <= end else { break }
            now = max(now, due)
            if beatDue <= now {
                beatDue = now.adding(milliseconds: 2_500)
                for (name, worker) in workers.sorted(by: { $0.key < $1.key }) {
                    guard let session = worker.session else { continue }
                    workers[name]?.beats += 1
                    tell(.heartbeat(session, term: term, number: worker.beats + 1))
                }
            }
            tell(Membership.Event.timer)
            tell(ShardTable.Event.timer)
        }
        now = end
    }
}
