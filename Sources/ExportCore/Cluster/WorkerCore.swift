public import Model
public import Protocol

/// A worker in the cluster: its session with the leader, and what it has in hand, as one machine.
///
/// Promises:
/// 1. No request may start at or after ``leaseEnd``: it is compared with a clock before each, so a process that was
///    paused is fenced when it wakes. Nor one with records of a shard whose own grant has run out, whatever the present
///    session has granted besides (``mayStart(target:_:at:)``): lanes hear of withdrawals later than of a new lease.
/// 2. What is carried under a grant of an earlier session that the present one has not confirmed is withdrawn when that
///    session's lease ends.
///    A request with it that has no answer yet is cut off before the leader can give the shard to anybody else.
/// 3. Messages of any other connection than the session's change nothing.
/// 4. A worker whose ledger has taken nothing for the length of its lease leaves its session, so that its shards go to
///    others, and dials again when the ledger takes a commit: with nothing written down it can deliver and tell nothing.
/// 5. A worker that is asked to stop gives its shards back, finishes what is under way, waits until the leader has for good
///    what it was told, and ends at its grace period's end whatever happens.
public struct WorkerCore: Sendable {
    /// What a worker is.
    public struct Settings: Sendable {
        /// Its name, as in its certificate.
        public var identity: String
        /// Random for this start of the process.
        public var boot: RecordKey
        /// Its weight in placement.
        public var capacity: UInt16
        /// Bytes of records per target that it takes at once.
        public var windowBytes: UInt64
        /// Its targets, in its own order.
        public var targets: [String]
        /// Which versions of the protocol it speaks.
        public var release: ProtocolRelease

        /// All parts.
        public init(
            identity: String, boot: RecordKey, capacity: UInt16, windowBytes: UInt64, targets: [String],
            release: ProtocolRelease = .current
        ) {
            self.identity = identity
            self.boot = boot
            self.capacity = capacity
            self.windowBytes = windowBytes
            self.targets = targets
            self.release = release
        }
    }

    /// What happens to it.
    public enum Event: Sendable {
        /// ``WorkerCore/nextDeadline`` has passed.
        case timer
        /// A connection is up.
        case connected(SessionID)
        /// It could not be made, or is gone.
        case closed(SessionID)
        /// A message came.
        case received(SessionID, Message)
        /// Rows are in the ledger.
        case committed([UInt64])
        /// The ledger did not take a commit; it is tried again.
        case uncommitted(reason: String)
        /// The first commit that the ledger took after one that it did not.
        case ledgerTakes
        /// A lane carries these stretches no further.
        case withdrawn(target: Int, [Range<UInt64>])
        /// An attempt at these stretches failed for the first time.
        case failed(target: Int, [Range<UInt64>], reason: String)
        /// The process is asked to end.
        case stop(graceMilliseconds: UInt64)
    }

    /// What is to be done, in this order.
    public enum Effect: Sendable {
        /// A connection is to be made, to be known by this number.
        case dial(SessionID, address: String)
        /// A message is to be sent.
        case send(SessionID, Message)
        /// A heartbeat is to be sent, with the health of targets in the session's order.
        case heartbeat(SessionID, term: UInt64, number: UInt64, order: [Int], lapsedMilliseconds: UInt32)
        /// The fault is to be sent, if there is one, and the connection closed.
        case close(SessionID, PeerFault?)
        /// Records for the lanes.
        case intake(WorkerHands.Delivery)
        /// A lane is to carry these stretches no further.
        case withdraw(target: Int, [Range<UInt64>])
        /// A lane is to cut off its requests with what lies at these places; what became of it is unknown then.
        case cutOff(target: Int, [Range<UInt64>])
        /// The lease is over, or there is one again: lanes stop and go on.
        case fenced(Bool)
        /// The ledger may forget rows up to this one.
        case forget(through: UInt64)
        /// The leader told of its gate.
        case gate(isOpen: Bool, reason: String)
        /// For the log.
        case note(String)
        /// The process may end. Clean: nothing is in hand.
        case exit(isClean: Bool)
    }

    /// What it has in hand.
    public private(set) var hands: WorkerHands
    private let settings: Settings
    private var lease: SessionLease
    /// Whether the session has confirmed shards yet.
    private var isConfirmed = false
    private var order: [Int] = []
    private var sessionTerm: UInt64 = 0
    private var isFenced = true
    /// The last session in which something was assigned, unless its lease is over.
    private var former: SessionID?
    /// Sessions that are over and in which something was granted, and when requests under that have to be cut off.
    private var cutOffs: [(session: SessionID, due: Tick)] = []
    private var stopDeadline: Tick?
    /// Since when the ledger takes nothing.
    private var ledgerFailsSince: Tick?
    private var isUnfit = false
    private var mayLeave = false
    private var hasExited = false

    /// - Parameters:
    ///   - rows: what the ledger remembers as told.
    ///   - nextRow: above every number that was ever used.
    public init(_ settings: Settings, dial: CoordinatorDial, rows: [WorkerHands.Row], nextRow: UInt64) {
        self.settings = settings
        hands = WorkerHands(
            targetCount: settings.targets.count, windowBytes: settings.windowBytes, rows: rows, nextRow: nextRow)
        lease = SessionLease(dial: dial)
    }

    /// When ``Event/timer`` is due.
    public var nextDeadline: Tick? {
        let ends = isFenced ? nil : leaseEnd
        // Without a confirmation everything in hand is of that session: its end is the fence then, which stays once passed.
        let former = isConfirmed ? formerEnd : nil
        let cutOff = cutOffs.lazy.map(\.due).min()
        return [lease.nextDeadline, ends, former, cutOff, hasExited ? nil : stopDeadline].compactMap { $0 }.min()
    }

    /// No request may start at or after this; nil if none may start at all.
    public var leaseEnd: Tick? { isConfirmed ? lease.leaseEnd : formerEnd }

    /// Whether a request with what a target's lane carries at these places may begin now: under the leases of the sessions in
    /// which its shards were granted, and not merely because the present session has granted others. What is to be withdrawn
    /// does not leave before the lane hears of it.
    public func mayStart(target: Int, _ ranges: [Range<UInt64>], at now: Tick) -> Bool {
        guard let leaseEnd, now < leaseEnd else { return false }
        return hands.isGranted(target: target, ranges) { !lease.isFenced(grantsIn: $0, at: now) }
    }

    private var formerEnd: Tick? { former.flatMap { lease.leaseEnd(ofGrantsIn: $0) } }

    /// The leader's session, if there is one.
    public var session: SessionID? { lease.session }

    /// The highest term heard of.
    public var term: UInt64 { lease.term }

    /// Whether a leader has given it shards, or confirmed that it has none.
    public var isReady: Bool { isConfirmed && lease.session != nil }

    /// What a lane settled, as rows to be committed with its changes.
    public mutating func settle(
        target: Int, _ ranges: [Range<UInt64>], dead: [WorkerHands.DeadRecord]
    ) -> [WorkerHands.Row] {
        hands.settle(target: target, ranges, dead: dead)
    }

    /// What the intake refused, as rows to be committed with the dead letters.
    public mutating func refuse(_ refused: [WorkerHands.DeadRecord]) -> [WorkerHands.Row] { hands.refuse(refused) }

    /// What was delivered after it was given up, as rows to be committed.
    public mutating func revive(target: Int, _ keys: [RecordKey]) -> [WorkerHands.Row] {
        hands.revive(target: target, keys)
    }

    /// Takes an event and returns what to do.
    public mutating func handle(_ event: Event, now: Tick, rng: inout PRNG) -> [Effect] {
        var effects: [Effect] = []
        switch event {
        case .timer: effects = run(lease.handle(.timer, now: now, rng: &rng), now)
        case .connected(let session): effects = run(lease.handle(.connected(session), now: now, rng: &rng), now)
        case .closed(let session): effects = run(lease.handle(.closed(session), now: now, rng: &rng), now)
        case .received(let session, let message): effects = receive(session, message, now, &rng)
        case .committed(let rows): effects = run(hands.committed(rows))
        case .uncommitted(let reason): effects = run(ledgerFails(reason, now, &rng), now)
        case .ledgerTakes: effects = ledgerTakes(now, &rng)
        case .withdrawn(let target, let ranges): effects = run(hands.withdrawn(target: target, ranges))
        case .failed(let target, let ranges, let reason):
            if !isFenced { effects = run(hands.failed(target: target, ranges, reason: reason)) }
        case .stop(let grace): effects = stop(grace, now)
        }
        return effects + watchLease(now) + leaveIfDone(now)
    }

    // MARK: Messages

    private mutating func receive(
        _ session: SessionID, _ message: Message, _ now: Tick, _ rng: inout PRNG
    ) -> [Effect] {
        switch message {
        case .welcome(let welcome):
            if let target = welcome.targets.first(where: { !settings.targets.contains($0) }) {
                let fault = PeerFault(
                    code: .targets,
                    message: "the leader has a target \(target) that is none of this worker's; configure both alike")
                return [.close(session, fault)] + run(lease.handle(.closed(session), now: now, rng: &rng), now)
            }
            return run(lease.handle(.welcome(session, welcome), now: now, rng: &rng), now)
        case .notLeader(let answer):
            return run(lease.handle(.notLeader(session, answer), now: now, rng: &rng), now)
        case .error(let fault):
            return [.note("the coordinator closed the session: \(fault.message)"), .close(session, nil)]
                + run(lease.handle(.closed(session), now: now, rng: &rng), now)
        default: break
        }
        guard session == lease.session else { return [] }
        switch message {
        case .heartbeat(let beat):
            return run(lease.handle(.echo(session, term: beat.term, number: beat.number), now: now, rng: &rng), now)
        case .assign(let term, let grants):
            hands.assign(term: term, grants)
            if term == sessionTerm { isConfirmed = true }
            return []
        case .revoke(let term, let grants): return run(hands.revoke(term: term, grants))
        case .records(let frame): return hands.take(frame).map { [.intake($0)] } ?? []
        case .settled(let term, let row): return run(hands.settled(term: term, through: row))
        case .gate(let term, let isOpen, let reason):
            return term == sessionTerm ? [.gate(isOpen: isOpen, reason: reason)] : []
        case .drain(let term, _):
            if term == sessionTerm { mayLeave = true }
            return []
        case .hello, .welcome, .notLeader, .released, .outcomes, .error:
            let fault = PeerFault(
                code: .unexpected, message: "a leader does not say this in a session; the connection is closed")
            return [.close(session, fault)] + run(lease.handle(.closed(session), now: now, rng: &rng), now)
        }
    }

    private mutating func run(_ effects: [SessionLease.Effect], _ now: Tick) -> [Effect] {
        effects.flatMap { effect -> [Effect] in
            switch effect {
            case .dial(let session, let address): return [.dial(session, address: address)]
            case .hello(let session): return [.send(session, .hello(hello))]
            case .heartbeat(let session, let term, let number):
                let lapsed = lapsedMilliseconds(now)
                return [.heartbeat(session, term: term, number: number, order: order, lapsedMilliseconds: lapsed)]
            case .close(let session, let fault): return [.close(session, fault)]
            case .established(let session, let welcome): return begin(session, welcome)
            case .ended(let ended):
                var withdrawn: [Effect] = []
                if isConfirmed {
                    // What this session's leader has not confirmed must not outlive it: it may be somebody else's.
                    withdrawn = run(hands.withdrawUnconfirmed())
                    former = ended
                }
                hands.leave()
                isConfirmed = false
                if hands.formerSessions.contains(ended), let due = lease.requestsEnd(ofGrantsIn: ended) {
                    cutOffs.append((ended, due))
                }
                return withdrawn
            }
        }
    }

    /// How long ago the lease ended under which it holds what the present session has not confirmed.
    private func lapsedMilliseconds(_ now: Tick) -> UInt32 {
        hands.formerSessions.reduce(0) { longest, session in
            guard let end = lease.leaseEnd(ofGrantsIn: session) else { return .max }
            // Never less than it is.
            return end < now ? max(longest, UInt32(clamping: now.milliseconds(since: end) + 1)) : longest
        }
    }

    private var hello: Hello {
        Hello(
            versions: settings.release.versions, identity: settings.identity, boot: settings.boot,
            capacity: settings.capacity,
            windowBytes: settings.windowBytes, term: lease.term, targets: settings.targets, claims: hands.claims)
    }

    private mutating func begin(_ session: SessionID, _ welcome: Welcome) -> [Effect] {
        order = welcome.targets.compactMap { settings.targets.firstIndex(of: $0) }
        sessionTerm = welcome.term
        isConfirmed = false
        let told = run(hands.begin(session, term: welcome.term, order: order))
        let leaving: [Effect] =
            stopDeadline == nil ? [] : [.send(session, .drain(term: sessionTerm, reason: Self.ends))]
        return [.note("\(welcome.leader) leads in term \(welcome.term)")] + told + leaving
    }

    private static let ends = "the process was asked to end"

    /// Mutating, or `self` would be copied before what makes the effects changes `hands`, and with that every table in it.
    private mutating func run(_ effects: [WorkerHands.Effect]) -> [Effect] {
        effects.compactMap { effect in
            switch effect {
            case .send(let message): lease.session.map { .send($0, message) }
            case .withdraw(let target, let ranges): .withdraw(target: target, ranges)
            case .cutOff(let target, let ranges): .cutOff(target: target, ranges)
            case .forget(let row): .forget(through: row)
            case .intake(let delivery): .intake(delivery)
            }
        }
    }

    // MARK: Ledger

    private mutating func ledgerFails(_ reason: String, _ now: Tick, _ rng: inout PRNG) -> [SessionLease.Effect] {
        let since = ledgerFailsSince ?? now
        ledgerFailsSince = since
        guard !isUnfit, lease.session != nil, now >= since.adding(milliseconds: lease.leaseMilliseconds) else {
            return []
        }
        isUnfit = true
        let span = now.milliseconds(since: since) / 1_000
        let fault = PeerFault(
            code: .shutdown,
            message:
                "the worker's ledger has taken nothing for \(span) s, so it can settle nothing and its shards should go"
                + " to others; look at the disk of its state directory. The last error: "
                + String(reason.prefix(Self.maxReason)))
        return lease.handle(.unfit(fault), now: now, rng: &rng)
    }

    private static let maxReason = 200

    private mutating func ledgerTakes(_ now: Tick, _ rng: inout PRNG) -> [Effect] {
        ledgerFailsSince = nil
        guard isUnfit else { return [] }
        isUnfit = false
        return [.note("the ledger takes commits again; a leader is looked for")]
            + run(lease.handle(.recovered, now: now, rng: &rng), now)
    }

    // MARK: Lease and end

    private mutating func watchLease(_ now: Tick) -> [Effect] {
        var effects: [Effect] = []
        if isConfirmed, let session = former, lease.isFenced(grantsIn: session, at: now) {
            former = nil
            effects += run(hands.withdrawUnconfirmed())
        }
        for (session, due) in cutOffs where due <= now { effects += run(hands.cutOff(grantedIn: session)) }
        cutOffs.removeAll { $0.due <= now }
        let fenced = leaseEnd.map { $0 <= now } ?? true
        guard fenced != isFenced else { return effects }
        isFenced = fenced
        return effects + [.fenced(fenced)]
    }

    private mutating func stop(_ grace: UInt64, _ now: Tick) -> [Effect] {
        guard stopDeadline == nil else { return [] }
        stopDeadline = now.adding(milliseconds: grace)
        return lease.session.map { [.send($0, .drain(term: sessionTerm, reason: Self.ends))] } ?? []
    }

    private mutating func leaveIfDone(_ now: Tick) -> [Effect] {
        guard let stopDeadline, !hasExited else { return [] }
        // Whoever is fewer for good takes its ledger along: what the leader has lost by then is delivered again.
        let isDone =
            hands.isEmpty && !hands.isOwedWord && (mayLeave || hands.shardCount == 0 || lease.session == nil)
        guard isDone || stopDeadline <= now else { return [] }
        hasExited = true
        return [.exit(isClean: hands.isEmpty)]
    }
}
