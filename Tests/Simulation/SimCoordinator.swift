import Coordinator
import ExportCore
import Model
@_spi(NextRelease) import Protocol

/// A coordinator's process around `LeaderElection` and `CoordinatorCore`.
final class SimCoordinator: SimNode {
    private(set) var election: LeaderElection?
    private(set) var core: CoordinatorCore?
    private var links: [SessionID: SimLink] = [:]
    /// Introductions of workers that wait to be told who leads.
    private var held: [SessionID: Message] = [:]
    private var nextSession: UInt64 = 1
    private var rng = PRNG(seed: 0)
    private var release = ProtocolRelease.current
    var schedule = FeedSchedule(starts: [])
    /// Files that could not be read when it last looked.
    var hidden: Set<Int> = []
    private var writes = WriteQueue()
    /// Where results are objects; nil: not leading.
    private(set) var results: SimResults?
    private var nextTick: UInt64 = 0

    var identity: String { "\(name)/\(boot)" }

    override func start() {
        guard !isUp else { return }
        isUp = true
        boot += 1
        release = world.plan.isMixed && world.rng.below(2) == 0 ? .next : .current
        rng = PRNG(seed: world.rng.next())
        links = [:]
        held = [:]
        core = nil
        actsUntil = Tick(nanoseconds: 0)
        election = LeaderElection(
            identity: identity, address: name, settings: SimSettings.election, now: tick)
        elect(.tick)
        beat()
    }

    override func crash() {
        guard isUp else { return }
        super.crash()
        drop()
        election = nil
    }

    /// Ends in order: gives the lease back.
    func stop() { elect(.shutDown) }

    override func wake() { elect(.tick) }

    var isLeading: Bool { isUp && (election?.isLeading(now: tick) ?? false || tick < actsUntil) }
    /// Until when it acts by a planted mistake, whatever the election says.
    private var actsUntil = Tick(nanoseconds: 0)

    private func beat() {
        if world.plant == .gateNeverCloses, isLeading { world.store.keepOpen(identity) }
        if let until = election?.leading(now: tick)?.until, core != nil {
            let until = world.plant == .actAfterLease ? Tick(nanoseconds: .max) : until
            handle(.tick(leadUntil: until, wallMilliseconds: wall))
            if let due = core?.nextDeadline { world.checks.timer(of: identity, wasHandled: tick, due: due) }
            noteGate()
            if tick < until, let gate = core?.gate { world.checks.reasonHolds(gateWord, gate, name, at: tick) }
            if let results { feedObjects(results) } else { feed() }
        } else if world.plant == .actAfterLease, core != nil {
            handle(.tick(leadUntil: Tick(nanoseconds: .max), wallMilliseconds: wall))
        }
        later(80 * World.millisecond) { self.beat() }
    }

    /// For people: what the gate thinks, when that changes.
    private func noteGate() {
        guard world.isTracing, let gate = core?.gate else { return }
        let targets = gate.targetStatus(now: tick).map { "\($0.state) \($0.failures)" }
        let word =
            "gate of \(name): \(gate.state), admits \(world.store.isAdmitting), targets \(targets), shunned \(gate.shunned.map(\.worker))"
        if word != gateNote { world.note(word) }
        gateNote = word
    }
    private var gateNote = ""
    /// What people were last told of the gate, and when by this node's clock.
    var gateWord: (cause: String, at: Tick) = ("", Tick(nanoseconds: 0))

    // MARK: Election

    func elect(_ event: LeaderElection.Event) {
        guard let effects = election?.handle(event, now: tick, rng: &rng) else { return }
        for effect in effects {
            world.note("\(identity): \(effect)")
            perform(effect)
        }
        setTimer(election?.nextTick)
    }

    private func perform(_ effect: LeaderElection.Effect) {
        switch effect {
        case .read(let id):
            world.store.request(self, { .done($0.lease) }) { answer in
                if case .done(var state) = answer {
                    if self.world.plant == .emptiedIsGivenBack, state.stored?.record.holder.isEmpty ?? false {
                        state.stored?.record.address = ""
                    }
                    self.elect(.read(id: id, state))
                } else {
                    self.elect(.failed(id: id))
                }
            }
        case .write(let id, let record, let version):
            let begun = tick
            world.store.request(self, { $0.writeLease(record, replacing: version) }) { answer in
                switch answer {
                case .done(let version):
                    if self.world.plant == .lateRenewalCounts, self.core?.term == record.term,
                        self.tick > begun.adding(milliseconds: SimSettings.election.requestTimeout)
                    {
                        self.actsUntil = self.tick.adding(milliseconds: SimSettings.election.renewDeadline)
                    }
                    self.elect(.wrote(id: id, version))
                case .refused: self.elect(.conflict(id: id))
                case .unknown: self.elect(.failed(id: id))
                }
            }
        case .lead(let term): takeOver(term)
        case .stepDown: if world.plant != .actAfterLease { drop() }
        case .follow: for session in held.keys.sorted() { answer(session) }
        case .finished: crash()
        }
    }

    private func drop() {
        world.note("\(identity) steps down")
        core = nil
        writes = WriteQueue()
        endResults()
        for link in links.values { link.close(fromWorker: false) }
        links = [:]
        held = [:]
    }

    /// Reads what is settled, then leads.
    private func takeOver(_ term: UInt64) {
        world.store.request(self, isOnce: true, { .done(($0.facts, $0.finished)) }) { answer in
            guard let leading = self.election?.leading(now: self.tick), leading.term == term else { return }
            guard case .done(let (facts, finished)) = answer else {
                return self.later(100 * World.millisecond) { self.takeOver(term) }
            }
            self.lead(term, until: leading.until, facts, finished)
        }
    }

    private func lead(
        _ term: UInt64, until: Tick, _ facts: [[RecordKey: Outcomes.Kind]], _ finished: Set<UInt64>
    ) {
        let count = world.plan.targetCount
        var index = SettledIndex(targetCount: count)
        // Objects show themselves what is settled of them.
        for source in world.sources where !world.plan.hasObjects {
            for record in source.records {
                let range = record.key.low..<record.key.low + UInt64(record.length)
                for target in 0..<count where facts[target][record.key] != nil {
                    index.insert(range, of: source.id, target: target)
                }
            }
        }
        for source in finished { index.finish(source) }
        var timing = SimSettings.timing
        if world.plant == .deadAtOnce {
            timing.workerLeaseMilliseconds = 40
            timing.marginMilliseconds = 1
        }
        var membership = Membership.Settings(
            leader: name, term: term, versions: release.versions, shardCount: SimSettings.shardCount,
            targets: (0..<count).map { "t\($0)" }, timing: SimSettings.timing)
        membership.timing = timing
        membership.helloMilliseconds = 2_000
        var settings = CoordinatorCore.Settings(
            membership: membership, isFirstTerm: term == 1 || world.plant == .noWaitAfterTakeOver, cluster: "sim",
            gate: SimSettings.gate, bounds: SimSettings.bounds)
        if world.plant == .neverShun { settings.gate.suspicion = 600_000 }
        settings.quietSince = election?.quietSince
        settings.forgetsSources = world.plan.hasObjects
        core = CoordinatorCore(settings, index: index, leadUntil: until, now: tick)
        writes = WriteQueue()
        endResults()
        if world.plan.hasObjects { results = SimResults(world: world, node: self) }
        readAnew()
        world.checks.leads(term, self)
        world.note("\(identity) leads in term \(term)")
        for (session, hello) in held.sorted(by: { $0.key < $1.key }) {
            handle(.connected(session, name: links[session]?.worker.name))
            receive(session, hello)
        }
        held = [:]
    }

    private func endResults() {
        results?.objects.close()
        results = nil
    }

    // MARK: Sessions

    func accept(from worker: String) -> SimLink.End {
        let end = SimLink.End(release: release)
        end.name = name
        return end
    }

    func adopt(_ link: SimLink) {
        let session = SessionID(nextSession)
        nextSession += 1
        let boot = boot
        links[session] = link
        let peer = link.worker.name
        link.coordinator.receive = { message in
            self.later(0) { if self.boot == boot { self.receive(session, message) } }
        }
        link.coordinator.closed = {
            self.later(0) {
                self.links[session] = nil
                self.held[session] = nil
                self.handle(.closed(session))
            }
        }
        later(0) { self.handle(.connected(session, name: peer)) }
    }

    private func receive(_ session: SessionID, _ message: Message) {
        guard let link = links[session] else { return }
        if core == nil || !isLeading && world.plant != .actAfterLease {
            world.note("\(name) does not lead and was told: \(message.brief)")
            guard case .hello = message else { return }
            held[session] = message
            let mustWait = isLeading || election?.isLeaderInDoubt(now: tick) ?? true
            return mustWait ? later(2_000 * World.millisecond) { self.answer(session) } : answer(session)
        }
        if case .outcomes(let told) = message, told.kind == .failed {
            world.checks.failureTold(told, by: link.worker.name)
            if world.plant == .believeFormerOwners { believe(told) }
        }
        handle(.received(session, message))
    }

    /// Tells a worker that has waited for it who leads, if this one does not by now.
    private func answer(_ session: SessionID) {
        guard held.removeValue(forKey: session) != nil, let link = links.removeValue(forKey: session) else { return }
        let leader = election?.leader(now: tick)
        let answer = NotLeader(
            term: election?.highestKnownTerm ?? 0, leader: leader?.identity ?? "",
            address: leader?.identity == identity ? "" : leader?.address ?? "")
        link.send(.notLeader(answer), fromWorker: false)
        link.close(fromWorker: false)
    }

    /// Takes it as if the owner had said it.
    private func believe(_ told: Outcomes) {
        guard var forged = Optional(told), let core else { return }
        for (place, grant) in told.grants.enumerated() {
            guard let owner = core.table.holder(of: ShardID(grant.shard)) else { continue }
            forged.keys = [told.keys[place]]
            forged.grants = [ShardGrant(shard: grant.shard, epoch: owner.epoch)]
            if let session = core.membership.session(of: owner.worker) { handle(.received(session, .outcomes(forged))) }
        }
    }

    func handle(_ event: CoordinatorCore.Event) {
        guard isUp, isLeading || world.plant == .actAfterLease else { return world.note("\(name) drops an event") }
        if let until = election?.leading(now: tick)?.until, world.plant != .actAfterLease { core?.lead(until: until) }
        guard let effects = core?.handle(event, now: tick) else { return }
        for effect in effects where core != nil { perform(effect) }
        writeNext()
    }

    private func perform(_ effect: CoordinatorCore.Effect) {
        switch effect {
        case .send(let session, let message):
            var message = message
            if case .assign(let term, let grants) = message, let link = links[session] {
                let sent = world.plant == .forgetAShard ? grants.filter { $0.shard != 5 } : grants
                message = .assign(term: term, grants: sent)
                world.checks.assigns(term, sent, to: link.worker.name)
            }
            world.checks.acts(self, world)
            links[session]?.send(message, fromWorker: false)
        case .close(let session, let fault):
            links[session]?.send(.error(fault), fromWorker: false)
            links.removeValue(forKey: session)?.close(fromWorker: false)
        case .write(let number, let facts) where results != nil:
            if let results { write(facts.map { .facts($0) }, number, results) }
            if world.plant == .settledBeforeWritten { handle(.written(through: number)) }
        case .write(let number, let facts): write(facts.map { .facts($0) }, number)
        case .finished(let source, let number): write([.finished(source: source)], number)
        case .gate(let effect): perform(effect)
        case .superseded(let term): elect(.heard(term: term))
        case .told(let term): elect(.told(term: term))
        case .resign: elect(.resign)
        case .broken(let why): world.checks.violate(why)
        case .crowded, .note: break
        }
    }

    // MARK: Store

    private func write(_ entries: [StatusEntry], _ number: UInt64) {
        writes.add(entries, number: number, most: Self.mostWritten)
        if world.plant == .settledBeforeWritten { handle(.written(through: number)) }
    }

    /// So few that what a write says is often cut, and written in parts.
    private static let mostWritten = 3

    /// One write at a time, again until it is done or the lease is another's.
    private func writeNext() {
        guard !writes.isWriting, !writes.isEmpty, let term = core?.term else { return }
        if let pause = writes.pausedUntil, tick < pause { return }
        writes.isWriting = true
        let (entries, identity) = (writes.first(Self.mostWritten), identity)
        world.store.request(self, isOnce: true, { $0.write(entries, identity: identity, term: term) }) { answer in
            guard self.core?.term == term else { return }
            if case .done = answer {
                self.handle(.written(through: self.writes.wrote(entries.count)))
                return self.writeNext()
            }
            self.writes.failed(now: self.tick, pause: 100)
            // The lease tells whether this is the end of the term.
            if case .refused = answer { self.elect(.changed) }
            self.later(110 * World.millisecond) { self.writeNext() }
        }
    }
}
