public import Model
public import Protocol

/// The leader of one term: sessions, shards, records in hand and the gate, as one machine. It begins with the term and is
/// thrown away with it.
///
/// Promises:
/// 1. From `leadUntil` on nothing happens: no heartbeat is echoed, nothing is assigned, sent, or written (invariant 2).
/// 2. Records go only to the owner of their shard, under its present grant (invariant 4).
/// 3. A leader whom no worker reaches resigns once the gate has had its time to close and to say so: another one may be
///    reached.
/// 4. What a worker tells is believed or refused by `Dispatch`, by who owns what at that moment.
public struct CoordinatorCore: Sendable {
    /// What it needs to know.
    public struct Settings: Sendable {
        /// Sessions and workers.
        public var membership: Membership.Settings
        /// Whether no leader ever was before.
        public var isFirstTerm: Bool
        /// Since when certainly no earlier leader has acted (``LeaderElection/quietSince``); nil: since it began.
        public var quietSince: Tick?
        /// Name of the cluster.
        public var cluster: String
        /// When exporting counts as failed, and what follows.
        public var gate: ExportGateSettings
        /// Bounds of what is in hand.
        public var bounds: Dispatch.Bounds
        /// How long it leads without a worker's session, milliseconds.
        public var patience: UInt64
        /// See ``Dispatch``.
        public var forgetsSources = false

        /// All parts. `resignations`: how many terms of this process in a row ended without a worker.
        public init(
            membership: Membership.Settings, isFirstTerm: Bool, cluster: String, gate: ExportGateSettings,
            bounds: Dispatch.Bounds = Dispatch.Bounds(), resignations: Int = 0
        ) {
            self.membership = membership
            self.isFirstTerm = isFirstTerm
            self.cluster = cluster
            self.gate = gate
            self.bounds = bounds
            let limit = gate.noWorkerLimit
            patience = (limit + limit / 4) << UInt64(min(max(0, resignations), Self.maxDoublings))
        }

        /// If no worker reaches any coordinator, leaders change less and less often.
        private static let maxDoublings = 4
    }

    /// Sessions and workers.
    public private(set) var membership: Membership
    /// Who owns what.
    public private(set) var table: ShardTable
    /// Records in hand.
    public private(set) var dispatch: Dispatch
    /// Whether probing may go on.
    public private(set) var gate: ExportGate
    /// The last health that each worker told, in the session's order of targets.
    public private(set) var health: [WorkerID: [TargetHealth]] = [:]
    /// What workers told of their targets in this term, summed up.
    public private(set) var tallies: [TargetTally]
    let settings: Settings
    /// Of sessions that are not welcomed yet.
    private(set) var hellos: [SessionID: Hello] = [:]
    private var leadUntil: Tick
    /// Whether a worker was in session in this term.
    public private(set) var hadWorker = false
    private var lonelySince: Tick
    private var told: [WorkerID: WorkerWord] = [:]
    private(set) var unread: [Unread?]
    private let began: Tick
    private var gateWord: Bool?
    /// How many workers were last said to be too many.
    private var crowdTold = 0
    /// Names of workers that the gate was told of.
    private var names: [WorkerID: String] = [:]

    /// What the gate was told of a worker.
    private struct WorkerWord: Equatable {
        var boot: RecordKey
        var ability: ExportGate.Ability
    }

    /// A load is a whole number of shards: with this many for each worker, the highest is at most a quarter above the fair one.
    private static let shardsPerWorker = 4

    /// The leader of a term that begins.
    ///
    /// - Parameters:
    ///   - index: what the store remembers as settled.
    ///   - leadUntil: until when it may act.
    public init(_ settings: Settings, index: SettledIndex, leadUntil: Tick, now: Tick) {
        let about = settings.membership
        self.settings = settings
        self.leadUntil = leadUntil
        lonelySince = now
        membership = Membership(about)
        var shards = ShardTable.Settings(
            shardCount: about.shardCount, term: about.term, isFirstTerm: settings.isFirstTerm, timing: about.timing)
        shards.quietSince = settings.quietSince
        table = ShardTable(shards, now: now)
        dispatch = Dispatch(
            term: about.term, shardCount: about.shardCount, targetCount: about.targets.count, index: index,
            bounds: settings.bounds, forgetsSources: settings.forgetsSources)
        gate = ExportGate(
            cluster: settings.cluster, identity: about.leader, term: about.term, targets: about.targets,
            settings: settings.gate, now: now)
        unread = Array(repeating: nil, count: about.targets.count)
        began = now
        tallies = Array(repeating: TargetTally(), count: about.targets.count)
    }

    /// Its term.
    public var term: UInt64 { settings.membership.term }

    /// When the next tick is due, if that is before the regular one.
    public var nextDeadline: Tick? {
        [membership.nextDeadline, table.nextDeadline].compactMap { $0 }.min()
    }

    /// The lease was renewed: it may act until then. To be told before every event, for an event that comes after the end
    /// it knows of is not taken.
    public mutating func lead(until: Tick) { leadUntil = until }

    /// Takes an event and returns what to do.
    public mutating func handle(_ event: Event, now: Tick) -> [Effect] {
        if case .tick(let until, _) = event { leadUntil = until }
        guard now < leadUntil else { return [] }
        switch event {
        case .tick(_, let wall): return tick(wall, now)
        case .connected(let session, let name):
            return run(membership.handle(.connected(session, name: name), now: now), now)
        case .closed(let session):
            hellos[session] = nil
            return run(membership.handle(.closed(session), now: now), now)
        case .received(let session, let message): return receive(session, message, now)
        case .page(let page):
            let (isTaken, effects) = dispatch.take(page, now: now)
            guard isTaken else { return [.broken("page \(page.range) of \(page.source) crosses another")] }
            return run(effects)
        case .fed: return run(dispatch.flush())
        case .passed(let target): return run(dispatch.passed(target: target))
        case .looked(let records): return run(dispatch.looked(for: records))
        case .readable(let sources): return run(dispatch.readable(sources))
        case .gone(let source):
            dispatch.forget(source)
            return []
        case .backlog(let target, let records, let oldest, let unwritten):
            unread[target] = Unread(records: records, oldest: oldest, unwritten: unwritten, told: now)
            return []
        case .hindered(let what): return run(gate.handle(.hindered(what), now: now), now)
        case .written(let number): return run(dispatch.written(through: number))
        case .gate(let event): return run(gate.handle(event, now: now), now)
        }
    }

    // MARK: Messages

    private mutating func receive(_ session: SessionID, _ message: Message, _ now: Tick) -> [Effect] {
        if case .hello(let hello) = message {
            hellos[session] = hello
            return run(membership.handle(.hello(session, hello), now: now), now)
        }
        guard let worker = membership.worker(of: session) else {
            return refuse(session, "\(message.name) before hello", now)
        }
        switch message {
        case .heartbeat(let beat):
            guard beat.term == term else { return [] }
            for target in tallies.indices where target < beat.health.count {
                tallies[target].add(
                    beat.health[target], after: health[worker].flatMap { target < $0.count ? $0[target] : nil })
            }
            health[worker] = beat.health
            if let member = membership.member(worker), beat.health.count == settings.membership.targets.count {
                // Or what it does between here and the next tick would be taken for what it did before.
                tellGate(of: member, now)
                _ = gate.handle(.health(member.identity, beat.health), now: now)
            }
            let isFirst = membership.member(worker)?.lastNumber == 0
            let heard = run(membership.handle(.heartbeat(session, term: beat.term, number: beat.number), now: now), now)
            guard isFirst, let member = membership.member(worker) else { return heard }
            let claims = ShardTable.Event.lapsed(
                worker, milliseconds: beat.lapsedMilliseconds, welcomed: member.welcomed)
            return heard + run(table.handle(claims, now: now), now)
        case .released(let term, let grants):
            guard term == self.term else { return [] }
            if let stranger = grants.first(where: { Int($0.shard) >= table.shardCount }) {
                return refuse(session, "shard \(stranger.shard) of \(table.shardCount) given back", now)
            }
            return release(worker, grants, now)
        case .outcomes(let told):
            guard Int(told.target) < settings.membership.targets.count else {
                return refuse(session, "outcomes of target \(told.target)", now)
            }
            return run(dispatch.outcomes(told, from: worker))
        case .drain: return run(membership.handle(.drain(session), now: now), now)
        case .error(let fault):
            return [.note("worker \(membership.member(worker)?.identity ?? "") ended its session: \(fault.message)")]
        case .hello, .welcome, .notLeader, .assign, .revoke, .records, .settled, .gate:
            return refuse(session, message.name, now)
        }
    }

    private mutating func refuse(_ session: SessionID, _ what: String, _ now: Tick) -> [Effect] {
        let fault = PeerFault(
            code: .unexpected, message: "a worker does not say this here: \(what). The session is closed; dial again")
        hellos[session] = nil
        return [.close(session, fault)] + run(membership.handle(.closed(session), now: now), now)
    }

    private mutating func release(_ worker: WorkerID, _ grants: [ShardGrant], _ now: Tick) -> [Effect] {
        let holders = grants.filter { grant in
            table.holder(of: ShardID(grant.shard)).map { $0.worker == worker && $0.epoch == grant.epoch } ?? false
        }
        let effects = run(dispatch.unassigned(holders.map(\.shard)))
        return effects + run(table.handle(.released(worker, grants), now: now), now)
    }

    // MARK: Effects of the machines

    private mutating func run(_ effects: [Membership.Effect], _ now: Tick) -> [Effect] {
        effects.flatMap { effect -> [Effect] in
            switch effect {
            case .welcome(let session, let welcome): return [.send(session, .welcome(welcome))]
            case .joined(let worker, let session): return join(worker, session, now)
            case .refuse(let session, let fault), .close(let session, let fault):
                hellos[session] = nil
                return [.close(session, fault)]
            case .echo(let session, let number):
                return [.send(session, .heartbeat(Heartbeat(term: term, number: number, health: [])))]
            case .draining(let worker): return run(table.handle(.drain(worker), now: now), now)
            case .lost(let worker):
                let given = run(dispatch.closed(worker))
                return given + run(table.handle(.lost(worker), now: now), now)
            case .dead(let worker):
                health[worker] = nil
                return run(table.handle(.dead(worker), now: now), now)
            case .told(let term): return [.told(term: term)]
            }
        }
    }

    private mutating func join(_ worker: WorkerID, _ session: SessionID, _ now: Tick) -> [Effect] {
        guard let hello = hellos.removeValue(forKey: session) else { return [] }
        dispatch.opened(worker, windowBytes: Int(clamping: hello.windowBytes))
        let word: [Effect] = gateWord.map { [.send(session, gateMessage(isOpen: $0))] } ?? []
        let placed = table.handle(
            .joined(worker, identity: hello.identity, capacity: max(1, hello.capacity), claims: hello.claims), now: now)
        return word + run(placed, now)
            + (gate.shunned.contains { $0.worker == hello.identity }
                ? run(table.handle(.reweigh(worker, capacity: 0), now: now), now) : [])
            + crowd()
    }

    /// Whether there are few shards for so many workers.
    private mutating func crowd() -> [Effect] {
        let workers = membership.members.count
        guard workers * Self.shardsPerWorker > table.shardCount else {
            crowdTold = 0
            return []
        }
        guard workers >= 2 * crowdTold else { return [] }
        crowdTold = workers
        return [.crowded(workers: workers)]
    }

    private mutating func run(_ effects: [ShardTable.Effect], _ now: Tick) -> [Effect] {
        effects.flatMap { effect -> [Effect] in
            switch effect {
            case .assign(let worker, let grants):
                let message = Message.assign(term: term, grants: grants)
                return send(worker, message) + run(dispatch.assigned(grants, to: worker))
            case .revoke(let worker, let grants):
                dispatch.revoked(grants.map(\.shard), of: worker)
                return send(worker, .revoke(term: term, grants: grants))
            case .expel(let worker, let reason):
                return run(membership.handle(.expel(worker, reason: reason), now: now), now)
            case .drained(let worker):
                return send(worker, .drain(term: term, reason: "nothing is left with you"))
            }
        }
    }

    private mutating func run(_ effects: [ExportGate.Effect], _ now: Tick) -> [Effect] {
        effects.flatMap { effect -> [Effect] in
            switch effect {
            case .shun(let name, _, _): return [.gate(effect)] + reweigh(name, shunned: true, now)
            case .forgive(let name): return [.gate(effect)] + reweigh(name, shunned: false, now)
            case .outranked(let later, true): return [.gate(effect), .superseded(term: later)]
            default: return [.gate(effect)]
            }
        }
    }

    private mutating func reweigh(_ name: String, shunned: Bool, _ now: Tick) -> [Effect] {
        guard let member = membership.members.first(where: { $0.identity == name }) else { return [] }
        let capacity = shunned ? 0 : max(1, member.capacity)
        return run(table.handle(.reweigh(member.id, capacity: capacity), now: now), now)
    }

    // MARK: Time

    private mutating func tick(_ wall: UInt64, _ now: Tick) -> [Effect] {
        var effects = run(membership.handle(.timer, now: now), now)
        effects += run(table.handle(.timer, now: now), now)
        tellGate(now)
        effects += run(gate.handle(.tick(leadUntil: leadUntil, wallMilliseconds: wall), now: now), now)
        return effects + announceGate(now) + (isForsaken(now) ? [.resign] : [])
    }

    /// Whether no worker came for so long that another coordinator should try.
    private mutating func isForsaken(_ now: Tick) -> Bool {
        if membership.members.contains(where: { $0.session != nil }) {
            hadWorker = true
            lonelySince = now
        }
        return now >= lonelySince.adding(milliseconds: settings.patience)
    }

    /// What the gate has to know of workers and targets.
    private mutating func tellGate(_ now: Tick) {
        var gone = told
        for member in membership.members {
            gone[member.id] = nil
            tellGate(of: member, now)
        }
        for worker in gone.keys {
            told[worker] = nil
            guard let name = names.removeValue(forKey: worker) else { continue }
            _ = gate.handle(.workerGone(name), now: now)
        }
        let silences = unread.map { now.milliseconds(since: $0?.told ?? began) }
        _ = gate.handle(.feedSilent(milliseconds: silences.max() ?? 0), now: now)
        for target in unread.indices {
            guard let rest = unread[target] else { continue }
            let inHand = dispatch.oldestMilliseconds(of: target, now: now)
            _ = gate.handle(
                .backlog(
                    target: target, records: rest.records + UInt64(dispatch.targets[target].inHand),
                    oldestMilliseconds: [inHand, rest.oldestMilliseconds(now: now)].compactMap { $0 }.max(),
                    unwritten: rest.unwritten), now: now)
        }
    }

    private mutating func tellGate(of member: Membership.Member, _ now: Tick) {
        let ability: ExportGate.Ability =
            member.session == nil ? .fenced : table.load(of: member.id) > 0 ? .serving : .idle
        let word = WorkerWord(boot: member.boot, ability: ability)
        guard told[member.id] != word else { return }
        told[member.id] = word
        names[member.id] = member.identity
        _ = gate.handle(.worker(member.identity, boot: member.boot, ability), now: now)
    }

    private mutating func announceGate(_ now: Tick) -> [Effect] {
        let isOpen = gate.isAdmitting(now: now)
        guard gateWord != isOpen else { return [] }
        // A new leader that has only not written its own record yet does not know that the gate is closed.
        if gateWord == nil, !isOpen, gate.state == .unknown || gate.state == .open { return [] }
        gateWord = isOpen
        return membership.members.compactMap { member in
            member.session.map { .send($0, gateMessage(isOpen: isOpen)) }
        }
    }

    private func gateMessage(isOpen: Bool) -> Message { .gate(term: term, isOpen: isOpen, reason: gate.reason) }
}
