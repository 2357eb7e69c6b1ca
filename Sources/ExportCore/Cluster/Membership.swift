public import Model
public import Protocol

/// Decides who belongs to the cluster, within one term of one leader: which session is which worker's, and when a worker
/// is dead.
///
/// Promises:
/// 1. A worker is dead only when its session is gone, or was silent for the lease, **and** the lease and the margin have
///    passed since it was last heard: from then on it cannot act, because its own lease runs from when it *sent* the last
///    heartbeat that was echoed, which was before it was heard.
/// 2. Only a heartbeat or a hello counts as hearing; other frames renew no lease.
/// 3. An identity has one session at a time. The same process may come back at any time, its new session replaces the old.
///    Another process under the same identity is refused while the old one's session lives, and taken at once when it is
///    gone: both keep their state in one directory, whose lock the new one could only get because the old one has ended.
///    Two workers that share an identity, but not a directory, are a mistake in the set-up that this cannot see.
/// 4. A worker that was told to go is not taken back, unless it starts anew, before it is dead.
/// 5. Not more sessions and workers than ``Settings`` allows.
public struct Membership: Sendable {
    /// Who leads, and what workers have to fit.
    public struct Settings: Sendable, Equatable {
        /// The leader's name.
        public var leader: String
        /// Its term.
        public var term: UInt64
        /// Versions of the protocol that the leader speaks.
        public var versions: ClosedRange<UInt8>
        /// Number of shards in the cluster.
        public var shardCount: Int
        /// Names of all targets, in the order that sessions count in. A worker may serve more, but has to serve these.
        public var targets: [String]
        /// The times.
        public var timing: ClusterTiming
        /// The most workers that are alive or not yet dead.
        public var maxWorkers = 4_096
        /// The most sessions that have not said hello yet.
        public var maxStrangers = 256
        /// How long a session may take to say hello.
        public var helloMilliseconds: UInt64 = 5_000

        /// The documented bounds.
        public init(
            leader: String, term: UInt64, versions: ClosedRange<UInt8>, shardCount: Int, targets: [String],
            timing: ClusterTiming = ClusterTiming()
        ) {
            self.leader = leader
            self.term = term
            self.versions = versions
            self.shardCount = shardCount
            self.targets = targets
            self.timing = timing
        }
    }

    /// What it is told.
    public enum Event: Sendable, Equatable {
        /// A connection is up. `name`: who the certificate says it is; nil without one.
        case connected(SessionID, name: String?)
        /// Its introduction.
        case hello(SessionID, Hello)
        /// A sign of life.
        case heartbeat(SessionID, term: UInt64, number: UInt64)
        /// The worker wants to leave.
        case drain(SessionID)
        /// The connection is gone.
        case closed(SessionID)
        /// ``ShardTable`` wants the worker to go.
        case expel(WorkerID, reason: String)
        /// ``Membership/nextDeadline`` has passed.
        case timer
    }

    /// What is to be done.
    public enum Effect: Sendable, Equatable {
        /// Send it. The hello's effects are these two, in this order.
        case welcome(SessionID, Welcome)
        /// The worker is here; once more, if it was before. Its claims are in its hello.
        case joined(WorkerID, SessionID)
        /// Send the fault and close: the session never was a worker's.
        case refuse(SessionID, PeerFault)
        /// Send the fault and close.
        case close(SessionID, PeerFault)
        /// Send a heartbeat with this number.
        case echo(SessionID, number: UInt64)
        /// The worker wants to leave.
        case draining(WorkerID)
        /// Its session is gone; it may still act.
        case lost(WorkerID)
        /// It can do nothing more.
        case dead(WorkerID)
        /// A worker says that it has heard of a later term than this leader's, which may not be the leader any more.
        case told(term: UInt64)
    }

    /// A worker as it stands.
    public struct Member: Sendable, Equatable {
        /// Its number.
        public internal(set) var id: WorkerID
        /// Its stable name.
        public internal(set) var identity: String
        /// Which start of its process.
        public internal(set) var boot: RecordKey
        /// Its weight in placement, at least 1.
        public internal(set) var capacity: UInt16
        /// How it is spoken to; nil while it is lost.
        public internal(set) var session: SessionID?
        /// When its last hello or heartbeat came.
        public internal(set) var lastHeard: Tick
        /// When its session's hello was answered.
        public internal(set) var welcomed: Tick
        /// The number of its last heartbeat in this session.
        public internal(set) var lastNumber: UInt64
        /// Whether it wants to leave.
        public internal(set) var isDraining: Bool
        /// Whether it was told to go.
        public internal(set) var isExpelled: Bool
    }

    struct Stranger: Sendable {
        var name: String?
        var since: Tick
    }

    let settings: Settings
    /// All workers that are not dead, in the order in which they first joined.
    public internal(set) var members: [Member] = []
    var strangers: [SessionID: Stranger] = [:]
    var workers: [SessionID: WorkerID] = [:]
    var places: [WorkerID: Int] = [:]
    var nextNumber: UInt32 = 0
    /// Sessions refused since the term began.
    public internal(set) var refusals: UInt64 = 0

    /// Of a leader that has heard nobody yet.
    public init(_ settings: Settings) { self.settings = settings }

    // MARK: Queries

    /// Whose session it is; nil before its hello was accepted and after it ended.
    public func worker(of session: SessionID) -> WorkerID? { workers[session] }
    /// How a worker is spoken to; nil if it is lost or dead.
    public func session(of worker: WorkerID) -> SessionID? { member(worker)?.session }
    /// A worker; nil if it is dead.
    public func member(_ worker: WorkerID) -> Member? { places[worker].map { members[$0] } }

    /// When ``Event/timer`` is due; nil if nothing waits.
    public var nextDeadline: Tick? {
        var next: Tick?
        for stranger in strangers.values {
            let due = stranger.since.adding(milliseconds: settings.helloMilliseconds)
            next = min(next ?? due, due)
        }
        for member in members {
            let due = member.session == nil ? deathTick(member) : silenceTick(member)
            next = min(next ?? due, due)
        }
        return next
    }

    func deathTick(_ member: Member) -> Tick {
        member.lastHeard.adding(milliseconds: settings.timing.deathMilliseconds)
    }

    func silenceTick(_ member: Member) -> Tick {
        member.lastHeard.adding(milliseconds: settings.timing.workerLeaseMilliseconds)
    }

    // MARK: Events

    /// Takes in what happened. Effects are in the order in which they have to be carried out.
    public mutating func handle(_ event: Event, now: Tick) -> [Effect] {
        switch event {
        case .connected(let session, let name):
            guard strangers.count < settings.maxStrangers else {
                return refuse(session, .overloaded, "too many connections that have not said hello; try again later")
            }
            strangers[session] = Stranger(name: name, since: now)
            return []
        case .hello(let session, let hello): return greet(session, hello, now)
        case .heartbeat(let session, let term, let number): return hear(session, term, number, now)
        case .drain(let session):
            guard let worker = workers[session], let place = places[worker], !members[place].isDraining else {
                return []
            }
            members[place].isDraining = true
            return [.draining(worker)]
        case .closed(let session):
            strangers[session] = nil
            return part(session)
        case .expel(let worker, let reason):
            guard let place = places[worker] else { return [] }
            members[place].isExpelled = true
            guard let session = members[place].session else { return [] }
            return [.close(session, PeerFault(code: .unexpected, message: reason))] + part(session)
        case .timer: return expire(now)
        }
    }

    private mutating func hear(_ session: SessionID, _ term: UInt64, _ number: UInt64, _ now: Tick) -> [Effect] {
        guard let worker = workers[session], let place = places[worker] else {
            guard strangers.removeValue(forKey: session) != nil else { return [] }
            return refuse(session, .unexpected, "a heartbeat before hello; say hello first")
        }
        guard term == settings.term else {
            let fault = PeerFault(
                code: .staleTerm, message: "a heartbeat of term \(term) in a session of term \(settings.term)")
            return [.close(session, fault)] + part(session)
        }
        // One that was overtaken or doubled renews nothing.
        guard number > members[place].lastNumber else { return [] }
        members[place].lastNumber = number
        members[place].lastHeard = now
        return [.echo(session, number: number)]
    }

    /// A worker's session ends.
    mutating func part(_ session: SessionID) -> [Effect] {
        guard let worker = workers.removeValue(forKey: session), let place = places[worker] else { return [] }
        members[place].session = nil
        return [.lost(worker)]
    }

    private mutating func expire(_ now: Tick) -> [Effect] {
        var effects: [Effect] = []
        for session in strangers.keys.sorted() {
            guard let since = strangers[session]?.since, since.adding(milliseconds: settings.helloMilliseconds) <= now
            else { continue }
            strangers[session] = nil
            effects += refuse(session, .unexpected, "no hello within \(settings.helloMilliseconds) ms")
        }
        for member in members {
            guard let session = member.session, silenceTick(member) <= now else { continue }
            let lease = settings.timing.workerLeaseMilliseconds
            let fault = PeerFault(
                code: .unexpected, message: "no heartbeat within \(lease) ms; connect and say hello again")
            effects.append(.close(session, fault))
            effects += part(session)
        }
        let dead = members.filter { $0.session == nil && deathTick($0) <= now }
        guard !dead.isEmpty else { return effects }
        let gone = Set(dead.map(\.id))
        members.removeAll { gone.contains($0.id) }
        places = [:]
        for (place, member) in members.enumerated() { places[member.id] = place }
        return effects + dead.map { .dead($0.id) }
    }

    mutating func refuse(_ session: SessionID, _ code: PeerFault.Code, _ message: String) -> [Effect] {
        refusals += 1
        return [.refuse(session, PeerFault(code: code, message: message))]
    }
}
