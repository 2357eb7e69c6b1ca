public import Model
public import Protocol

/// Decides which worker owns which shard, within one term of one leader: the only writer of the assignment.
///
/// Promises:
/// 1. A shard has at most one owner, and each ownership an epoch of its own; epochs of a shard only grow, also above those
///    of claims from earlier terms.
/// 2. A shard moves in two phases: the owner is told to give it back, and only when it has done so, or is dead by
///    ``Membership``'s rule, is it given to somebody else.
/// 3. What a former leader granted is adopted from the workers' claims, the highest (term, epoch) first, and confirmed
///    when nobody else can hold it: at once if the claimant's lease had not been over for long when the last earlier leader
///    can have acted, for then that leader has not given the shard away; otherwise, like what nobody claims, only
///    when a worker that did not come could no longer act.
/// 4. Not more than ``Settings/maxRevoking`` shards are on their way at once, and changes are gathered before shards are
///    placed anew, so that eight workers that join move things once.
/// 5. A worker that does not give back in time is told to go; its shards wait for its death like any other's.
/// 6. Shards of a lost worker stay its own until it is dead or back.
///
/// Where shards go is ``Placement``'s decision.
///
/// Not promised: that a claim is honest; workers are told from one another by certificate, and what one says about its own
/// shards is believed.
public struct ShardTable: Sendable {
    /// Sizes and times.
    public struct Settings: Sendable, Equatable {
        /// Number of shards in the cluster.
        public var shardCount: Int
        /// The term of this leader.
        public var term: UInt64
        /// Whether no leader was ever before: then nobody can hold a shard, and none has to be waited for.
        public var isFirstTerm: Bool
        /// Since when certainly no earlier leader has acted; nil: since the take-over.
        public var quietSince: Tick?
        /// The times.
        public var timing: ClusterTiming
        /// The most shards that are on their way from one worker to another at once.
        public var maxRevoking: Int

        /// `shardCount` shards in `term`; an eighth of them, but at least 16, may move at once.
        public init(shardCount: Int, term: UInt64, isFirstTerm: Bool, timing: ClusterTiming = ClusterTiming()) {
            self.shardCount = shardCount
            self.term = term
            self.isFirstTerm = isFirstTerm
            self.timing = timing
            maxRevoking = max(16, shardCount / 8)
        }
    }

    /// What it is told.
    public enum Event: Sendable, Equatable {
        /// A worker's hello was accepted, for the first time or again. `claims` is all that it holds; what it held before
        /// and does not claim is in its hands no more.
        case joined(WorkerID, identity: String, capacity: UInt16, claims: [ShardClaim])
        /// It said after `welcomed`, when its hello was answered, that the lease under its claims ended so long ago; zero if it
        /// lasts. Only the first word in a session is about all that the hello claimed.
        case lapsed(WorkerID, milliseconds: UInt32, welcomed: Tick)
        /// Its session is gone.
        case lost(WorkerID)
        /// It can do nothing more.
        case dead(WorkerID)
        /// It wants to leave.
        case drain(WorkerID)
        /// Its share is another one. Zero: it cannot deliver, and its shards are better off with anybody who can.
        case reweigh(WorkerID, capacity: UInt16)
        /// It gave these back.
        case released(WorkerID, [ShardGrant])
        /// ``ShardTable/nextDeadline`` has passed.
        case timer
    }

    /// What is to be done.
    public enum Effect: Sendable, Equatable {
        /// Tell the worker that these are its own.
        case assign(WorkerID, [ShardGrant])
        /// Tell the worker to give these back.
        case revoke(WorkerID, [ShardGrant])
        /// The worker did not give back in time: it has to go (``Membership/Event/expel(_:reason:)``).
        case expel(WorkerID, reason: String)
        /// The worker wanted to leave and holds nothing any more.
        case drained(WorkerID)
    }

    /// What a shard is.
    public enum State: Sendable, Equatable {
        /// A former leader may have given it to somebody who has not come.
        case unclaimed
        /// Nobody's.
        case free
        /// Held by a worker since an earlier term, and not confirmed to it.
        case claimed(WorkerID)
        /// A worker's.
        case owned(WorkerID, epoch: UInt32)
        /// A worker's who has to give it back; `to` shall have it then, nil if nobody can.
        case revoking(WorkerID, epoch: UInt32, to: WorkerID?)
    }

    /// Numbers for status and metrics.
    public struct Counts: Sendable, Equatable {
        /// Epochs begun: shards given to somebody, or confirmed.
        public var assigned: UInt64 = 0
        /// Shards that changed their owner while both lived.
        public var moved: UInt64 = 0
        /// Claims that lost against a higher one.
        public var refusedClaims: UInt64 = 0
        /// Workers told to go.
        public var expelled: UInt64 = 0
        /// Times that shards were placed anew.
        public var placements: UInt64 = 0

        /// All zero.
        public init() {}
    }

    enum Phase: UInt8, Sendable { case unclaimed, free, claimed, owned, revoking }

    struct Member: Sendable {
        var id: WorkerID
        var identity: String
        var capacity: UInt16
        var isConnected = false
        var isDraining = false
        var saidDrained = false
        var held = 0
        /// Whether nobody else can hold what it claimed in its present session; nil as long as nothing tells.
        var isVouched: Bool?
        /// Shards it claimed in vain and has not given back.
        var strays: [UInt16] = []
        var strayDeadline: Tick?
    }

    let settings: Settings
    /// Numbers for status and metrics.
    public internal(set) var counts = Counts()
    /// The column `phase[shard]`, and so the others.
    var phase: [Phase]
    /// Slot of whoever holds it, -1 if nobody.
    var holder: [Int32]
    /// Slot of whoever should own it, -1 if nobody.
    var desired: [Int32]
    /// The last epoch begun or adopted.
    var epoch: [UInt32]
    /// What the claim said that made it ``Phase/claimed``.
    var basis: [ShardClaim]
    /// When it was last left without an owner who can be sent records; meaningless while it has one.
    var since: [Tick]
    /// Members by slot; a slot is used again after its member's death.
    var members: [Member?] = []
    var slots: [WorkerID: Int] = [:]
    /// Shards in revocation, in order of ``revokedAt``.
    var revoking: [UInt16] = []
    var revokedAt: [Tick]
    /// Shards to revoke when the pace allows; the next stands last.
    var moves: [UInt16] = []
    var planDue: Tick?
    var gatherEnd: Tick?
    /// When no grant of an earlier leader can be acted on any more; nil when that is past.
    var takeOverEnd: Tick?
    /// Since when no earlier leader has acted.
    let quietSince: Tick
    /// Whether nobody can hold it by the word of an earlier leader.
    var isClear: [Bool]

    /// The table of a leader that takes over at `now`.
    public init(_ settings: Settings, now: Tick) {
        self.settings = settings
        let count = settings.shardCount
        phase = Array(repeating: settings.isFirstTerm ? .free : .unclaimed, count: count)
        holder = Array(repeating: -1, count: count)
        desired = Array(repeating: -1, count: count)
        epoch = Array(repeating: 0, count: count)
        basis = Array(repeating: ShardClaim(term: 0, grant: ShardGrant(shard: 0, epoch: 0)), count: count)
        since = Array(repeating: now, count: count)
        revokedAt = Array(repeating: now, count: count)
        isClear = Array(repeating: settings.isFirstTerm, count: count)
        quietSince = min(settings.quietSince ?? now, now)
        guard !settings.isFirstTerm else { return }
        gatherEnd = now.adding(milliseconds: settings.timing.debounceMilliseconds)
        takeOverEnd = quietSince.adding(milliseconds: settings.timing.deathMilliseconds)
    }

    // MARK: Queries

    /// Who may be sent records of `shard`, and in which epoch; nil if nobody, for now. Two look-ups in arrays.
    public func owner(of shard: ShardID) -> (worker: WorkerID, epoch: UInt32)? {
        let index = Int(shard.number)
        guard phase[index] == .owned, let member = members[Int(holder[index])], member.isConnected else { return nil }
        return (member.id, epoch[index])
    }

    /// Whose word on `shard` counts: its owner, also while it gives the shard back or its session is lost. The shard has to
    /// be one of ours.
    public func holder(of shard: ShardID) -> (worker: WorkerID, epoch: UInt32)? {
        let index = Int(shard.number)
        guard phase[index] == .owned || phase[index] == .revoking, let member = members[Int(holder[index])] else {
            return nil
        }
        return (member.id, epoch[index])
    }

    /// Since when no records of `shard` can be sent; nil if they can.
    public func unownedSince(_ shard: ShardID) -> Tick? { owner(of: shard) == nil ? since[Int(shard.number)] : nil }

    /// Since when the shard that has waited longest is without an owner; nil if all have one. Looks at every shard.
    public var oldestUnowned: Tick? {
        phase.indices.lazy.compactMap { self.unownedSince(ShardID(UInt16($0))) }.min()
    }

    /// What `shard` is.
    public func state(of shard: ShardID) -> State {
        let index = Int(shard.number)
        guard holder[index] >= 0, let id = members[Int(holder[index])]?.id else {
            return phase[index] == .unclaimed ? .unclaimed : .free
        }
        switch phase[index] {
        case .unclaimed: return .unclaimed
        case .free: return .free
        case .claimed: return .claimed(id)
        case .owned: return .owned(id, epoch: epoch[index])
        case .revoking:
            let to = desired[index] >= 0 ? members[Int(desired[index])]?.id : nil
            return .revoking(id, epoch: epoch[index], to: to)
        }
    }

    /// How many shards a worker holds, those on their way from it included.
    public func load(of worker: WorkerID) -> Int { slots[worker].flatMap { members[$0]?.held } ?? 0 }

    /// Number of shards.
    public var shardCount: Int { settings.shardCount }
    /// How many shards are on their way from one worker to another.
    public var revokingCount: Int { revoking.count }
    /// How many shards may still be in the hands of somebody who has not come since the take-over.
    public var awaitedCount: Int { takeOverEnd == nil ? 0 : isClear.lazy.filter { !$0 }.count }

    /// When ``Event/timer`` is due; nil if nothing waits.
    public var nextDeadline: Tick? {
        var next = [gatherEnd ?? planDue, takeOverEnd].compactMap { $0 }.min() ?? Tick(nanoseconds: .max)
        if let first = revoking.first { next = min(next, expelTick(revokedAt[Int(first)])) }
        for member in members { if let deadline = member?.strayDeadline { next = min(next, deadline) } }
        return next.nanoseconds == .max ? nil : next
    }

    func expelTick(_ start: Tick) -> Tick { start.adding(milliseconds: settings.timing.expelMilliseconds) }
}
