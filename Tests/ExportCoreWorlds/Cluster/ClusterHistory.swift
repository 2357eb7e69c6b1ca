import ExportCore
import Model
import Protocol

/// What a history meets.
enum ClusterFault: CaseIterable {
    case crashWorker, drainWorker, cut, silence, pause, crashLeader, handOver, startMany, stopMany, reweigh, slowRelease
}

/// A wrong turn that the checks have to notice.
enum ClusterBug: CaseIterable {
    case takeOverWithoutWait, assignBeforeReleased, deathAtSessionLoss, claimsIgnored, fencingSkipped, leaseFromReceipt
    case marginForgotten, expelFreesShards, releasedTooEarly, epochReused, drainIgnored, lowerClaimWins, paceForgotten
    case capacityIgnored, lapseForgotten

    /// What the check says that finds it.
    var trace: String {
        switch self {
        case .epochReused: "is not new"
        case .claimsIgnored: "views differ"
        case .drainIgnored: "is not drained"
        case .lowerClaimWins: "not the highest claim"
        case .paceForgotten: "pace"
        case .capacityIgnored: "load"
        default: "two workers act"
        }
    }
}

/// A leader's machines, eight workers' sessions and a network that delays and breaks, from one seed.
///
/// The machines are the real ones. A worker here is the least that keeps the contract: it holds what it was assigned,
/// claims it in its hello, gives back what is revoked after a while, and acts on a shard as long as its lease allows.
struct ClusterHistory {
    static let shards = 32
    static let slots = 8
    static let coordinators = 3

    struct Held: Equatable {
        var term: UInt64
        var epoch: UInt32
        /// The session in which it was assigned.
        var session: SessionID
        var releasing: ShardGrant?
    }

    struct WorkerNode {
        var identity: String
        var capacity: UInt16
        var isAlive = false
        var boot: UInt64 = 0
        var lease: SessionLease
        var link: Int?
        var held: [Held?] = Array(repeating: nil, count: ClusterHistory.shards)
        var isDraining = false
        var pausedUntil = Tick(nanoseconds: 0)
        var echoReceived = Tick(nanoseconds: 0)
    }

    /// A connection. Each end has its own number for it.
    struct Link {
        var worker: Int
        var boot: UInt64
        var near: SessionID
        var far: SessionID
        /// The term of the leader at its end; zero for a standby.
        var term: UInt64
        var isOpenAtWorker = true
        var isOpenAtLeader = true
        /// Nothing arrives any more, and nobody is told.
        var isSilent = false
        var lastUp = Tick(nanoseconds: 0)
        var lastDown = Tick(nanoseconds: 0)
    }

    enum Happening {
        case dialled(worker: Int, boot: UInt64, SessionID, address: String)
        case up(Int, Message)
        case down(Int, Message)
        case closedAtLeader(Int)
        case closedAtWorker(Int)
        case givenBack(worker: Int, boot: UInt64, ShardGrant)
        case start(Int)
        case elect
        case fault
        case reweighBack(Int)
    }

    struct Leader {
        var membership: Membership
        var table: ShardTable
        var hellos: [SessionID: Hello] = [:]
        /// What was claimed in hellos that were accepted.
        var claimed: [Int: Set<ShardClaim>] = [:]
    }

    var rng: PRNG
    let bug: ClusterBug?
    var now = Tick(nanoseconds: 1_000_000_000)
    var queue = EventQueue<Tick, Happening>()
    var nodes: [WorkerNode] = []
    var links: [Link] = []
    var leader: Leader?
    var leaderPlace = 0
    var term: UInt64 = 0
    var linkOf: [SessionID: Int] = [:]
    /// The last epoch that was granted of each shard in this term.
    var granted = [UInt32](repeating: 0, count: shards)
    /// Since when no earlier leader acts, as far as the next one knows.
    var quietSince: Tick?
    var breaches: [String] = []
    var isCalm = false
    var isSlow = false
    var counts = ShardTable.Counts()
    var timing = ClusterTiming()

    init(seed: UInt64, bug: ClusterBug? = nil) {
        rng = PRNG(seed: seed)
        self.bug = bug
        timing.workerLeaseMilliseconds = 1_000
        timing.marginMilliseconds = 500
        timing.releaseMilliseconds = 400
        timing.debounceMilliseconds = 50
        for number in 0..<Self.slots {
            let capacity = UInt16(1 + rng.below(4))
            nodes.append(
                WorkerNode(identity: "w\(number)", capacity: capacity, lease: Self.lease(first: number, now: now)))
        }
        schedule(.elect, after: 0)
        for number in 0..<1 + Int(rng.below(8)) { schedule(.start(number), after: rng.below(300)) }
        schedule(.fault, after: 1_000)
    }

    static func lease(first: Int, now: Tick) -> SessionLease {
        var dial = CoordinatorDial.Settings()
        dial.initialMilliseconds = 20
        dial.maxMilliseconds = 200
        var settings = SessionLease.Settings()
        settings.dialMilliseconds = 300
        settings.helloMilliseconds = 300
        let addresses = (0..<coordinators).map { "c\($0)" }
        return SessionLease(
            dial: CoordinatorDial(addresses: addresses, first: first, now: now, settings: dial), settings: settings)
    }

    // MARK: Running

    /// Faults for `faultyMilliseconds`, then time to settle, then the checks of a cluster at rest.
    mutating func run(faultyMilliseconds: UInt64 = 8_000) {
        advance(to: now.adding(milliseconds: faultyMilliseconds))
        guard breaches.isEmpty else { return }
        isCalm = true
        isSlow = false
        if leader == nil { schedule(.elect, after: 0) }
        if !nodes.contains(where: \.isAlive) { schedule(.start(0), after: 0) }
        for number in nodes.indices { schedule(.reweighBack(number), after: 0) }
        advance(to: now.adding(milliseconds: 12_000))
        guard breaches.isEmpty else { return }
        let before = leader?.table.counts.assigned
        checkRest()
        advance(to: now.adding(milliseconds: 2_000))
        if leader?.table.counts.assigned != before { breaches.append("at rest: shards moved without a cause") }
    }

    private mutating func advance(to end: Tick) {
        var atOnce = 0
        while breaches.isEmpty {
            var next = queue.first ?? end
            if let leader {
                next = min(next, leader.membership.nextDeadline ?? end, leader.table.nextDeadline ?? end)
            }
            for number in nodes.indices where nodes[number].isAlive {
                next = min(next, max(nodes[number].lease.nextDeadline ?? end, nodes[number].pausedUntil))
            }
            guard next < end else { break }
            atOnce = next > now ? 0 : atOnce + 1
            if atOnce > 5_000 { return breaches.append("spins at \(now.nanoseconds / 1_000_000)") }
            now = max(now, next)
            step()
        }
        now = end
    }

    private mutating func step() {
        if let happening = queue.pop(notAfter: now) { return happen(happening) }
        for number in nodes.indices where nodes[number].isAlive && nodes[number].pausedUntil <= now {
            if let due = nodes[number].lease.nextDeadline, due <= now { return tellLease(number, .timer) }
        }
        if let due = leader?.membership.nextDeadline, due <= now { tellMembership(.timer) }
        if let due = leader?.table.nextDeadline, due <= now { tellTable(.timer) }
    }

    mutating func schedule(_ happening: Happening, after milliseconds: UInt64) {
        queue.push(happening, at: now.adding(milliseconds: milliseconds))
    }

    // MARK: The network

    /// Sends in order, after a delay of its own for each message.
    mutating func send(up index: Int, _ message: Message) {
        guard links[index].isOpenAtWorker, !links[index].isSilent else { return }
        links[index].lastUp = max(links[index].lastUp, now.adding(milliseconds: delay()))
        queue.push(.up(index, message), at: links[index].lastUp)
    }

    mutating func send(down index: Int, _ message: Message) {
        guard links[index].isOpenAtLeader, !links[index].isSilent else { return }
        links[index].lastDown = max(links[index].lastDown, now.adding(milliseconds: delay()))
        queue.push(.down(index, message), at: links[index].lastDown)
    }

    private mutating func delay() -> UInt64 { rng.below(40) == 0 && !isCalm ? rng.below(400) : 1 + rng.below(8) }

    /// One end closes; the other sees it later, if at all.
    mutating func closeAtWorker(_ index: Int) {
        guard links[index].isOpenAtWorker else { return }
        links[index].isOpenAtWorker = false
        if !links[index].isSilent {
            queue.push(.closedAtLeader(index), at: max(links[index].lastUp, now.adding(milliseconds: delay())))
        }
    }

    mutating func closeAtLeader(_ index: Int) {
        guard links[index].isOpenAtLeader else { return }
        links[index].isOpenAtLeader = false
        if !links[index].isSilent {
            queue.push(.closedAtWorker(index), at: max(links[index].lastDown, now.adding(milliseconds: delay())))
        }
    }

    private mutating func happen(_ happening: Happening) {
        switch happening {
        case .dialled(let worker, let boot, let session, let address): dialled(worker, boot, session, address)
        case .up(let index, let message): arrive(index, message)
        case .down(let index, let message): deliver(index, message, happening)
        case .closedAtLeader(let index):
            guard links[index].isOpenAtLeader else { return }
            links[index].isOpenAtLeader = false
            if links[index].term == term { tellMembership(.closed(links[index].far)) }
        case .closedAtWorker(let index):
            guard !isDeferred(index, happening), links[index].isOpenAtWorker else { return }
            links[index].isOpenAtWorker = false
            tellLease(links[index].worker, .closed(links[index].near))
        case .givenBack(let worker, let boot, let grant):
            guard nodes[worker].isAlive, nodes[worker].boot == boot else { return }
            if nodes[worker].pausedUntil > now { return queue.push(happening, at: nodes[worker].pausedUntil) }
            giveBack(worker, grant)
        case .start(let worker): start(worker)
        case .elect: elect()
        case .fault: if !isCalm { fault() }
        case .reweighBack(let worker):
            if let id = leader?.membership.members.first(where: { $0.identity == nodes[worker].identity })?.id {
                tellTable(.reweigh(id, capacity: nodes[worker].capacity))
            }
        }
    }

    /// Whether what happens to a worker has to wait until it runs again; true as well if it is gone.
    func isGone(_ index: Int) -> Bool {
        !nodes[links[index].worker].isAlive || nodes[links[index].worker].boot != links[index].boot
    }

    mutating func isDeferred(_ index: Int, _ happening: Happening) -> Bool {
        if isGone(index) { return true }
        let until = nodes[links[index].worker].pausedUntil
        if until > now { queue.push(happening, at: until) }
        return until > now
    }
}
