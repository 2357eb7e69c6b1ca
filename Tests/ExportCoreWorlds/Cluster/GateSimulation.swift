import ExportCore
import Model
import Protocol

/// Leaders that come and go around a ``GateWorld``, with a gate each.
struct GateSimulation {
    struct Leader {
        var gate: ExportGate
        var term: UInt64
        var generation: Int
        var leadUntil: UInt64
        /// Alerts count as read where the record names the episode.
        var hasAnswers = (gate: false, alerts: false)
        var told: [String: (boot: UInt64, ability: ExportGate.Ability)] = [:]
        /// Stopped like a process under SIGSTOP, until then.
        var pausedUntil: UInt64 = 0
    }

    /// An answer of the store that is under way.
    private struct Answer {
        var at: UInt64
        var generation: Int
        var event: ExportGate.Event
    }

    var world: GateWorld
    var oracle: GateOracle
    let settings: ExportGateSettings
    let bug: PlantedGateBug?
    /// The present leader, and one that was deposed and does not know it yet.
    private var leader: Leader?
    private var ghost: Leader?
    private var term: UInt64 = 0
    private var generation = 0
    private var electAt: UInt64 = 0
    private var answers: [Answer] = []
    private var faultsUntil: UInt64 = 0
    private var nextFault: UInt64 = 0
    private var brokenLinkSince: [UInt64?]
    private(set) var leaders = 0
    private(set) var shuns = 0

    init(seed: UInt64, bug: PlantedGateBug? = nil) {
        var rng = PRNG(seed: seed)
        var settings = ExportGateSettings(impactLevel: seed % 6 == 5 ? .moderate : .high)
        if seed % 6 == 4 { settings.resumeOn = .recovery }
        settings.pace(lease: 3_000, retryPeriod: 500, workerLease: 3_000)
        settings.ageLimit = seed % 2 == 0 ? 30_000 : 90_000
        settings.recoveryAge = 2_000
        settings.backlogMark = 50
        let honest = settings
        bug?.weaken(&settings)
        let targets = 1 + Int(rng.below(3))
        let workers = 1 + Int(rng.below(4))
        self.settings = settings
        self.bug = bug
        world = GateWorld(rng: rng, targets: targets, workers: workers, threshold: honest.failureThreshold)
        world.replacesBlindly = bug == .replacesBlindly
        world.rhythm = GateWorld.Rhythm.allCases[Int(seed / 6 % 3)]
        oracle = GateOracle(settings: honest)
        brokenLinkSince = Array(repeating: nil, count: workers)
    }

    /// Faults for a time, then none, so that everything has to come right.
    mutating func run(faults: UInt64 = 100_000, calm: UInt64 = 60_000) {
        faultsUntil = world.now + faults
        let end = faultsUntil + calm
        while world.now < end {
            world.now += GateWorld.step
            if world.now < faultsUntil { breakSomething() } else { mendAll() }
            world.feed()
            world.deliver()
            land()
            lead()
            oracle.leaderSince = leader.map { _ in leaderBegan }
            for index in world.workers.indices {
                let isBroken = world.workers[index].serves && world.workers[index].links.contains(false)
                brokenLinkSince[index] = isBroken ? brokenLinkSince[index] ?? world.now : nil
                oracle.brokenWorker(world, since: brokenLinkSince[index], index)
            }
            oracle.check(world)
        }
    }

    private var leaderBegan: UInt64 = 0

    // MARK: faults

    private mutating func breakSomething() {
        if world.chance(4) { person() }
        guard world.now >= nextFault else { return }
        nextFault = world.now + 3_000 + world.rng.below(20_000)
        let target = Int(world.rng.below(UInt64(world.receivers.count)))
        let worker = Int(world.rng.below(UInt64(world.workers.count)))
        switch world.rng.below(9) {
        case 0, 1: world.receivers[target].isUp.toggle()
        case 2: world.workers[worker].links[target].toggle()
        case 3: world.workers[worker].hasSession.toggle()
        case 4:
            if world.workers[worker].runs {
                world.workers[worker].runs = false
                world.workers[worker].hasSession = false
            } else {
                world.restart(worker)
            }
        case 5: world.storeIsUp.toggle()
        case 6:
            leader = nil
            electAt = world.now + world.rng.below(5_000)
        case 7:
            if var old = leader {
                old.pausedUntil = world.now + 2_000 + world.rng.below(6_000)
                ghost = old
                leader = nil
                electAt = world.now + world.rng.below(3_000)
            }
        default: mendAll()
        }
    }

    private mutating func person() {
        switch world.rng.below(8) {
        case 0: world.alerts = world.alerts.filter { $0.value.isAcknowledgedByPerson }
        case 1, 2, 3: world.acknowledge(by: "system:serviceaccount:ops:robot")
        default: world.acknowledge()
        }
    }

    private mutating func mendAll() {
        world.storeIsUp = true
        for target in world.receivers.indices { world.receivers[target].isUp = true }
        for worker in world.workers.indices {
            if !world.workers[worker].runs { world.restart(worker) }
            world.workers[worker].hasSession = true
            for target in world.receivers.indices {
                // One of many may stay as it is: the gate has to do without it.
                world.workers[worker].links[target] =
                    world.workers.count < 3 || worker > 0 || world.workers[worker].links[target]
            }
        }
        if world.now >= faultsUntil, world.chance(10) { world.acknowledge() }
    }

    // MARK: leaders

    private mutating func lead() {
        if leader == nil, world.now >= electAt, world.storeIsUp { elect() }
        if var old = ghost, world.now >= old.pausedUntil {
            turn(&old)
            ghost = world.now > old.pausedUntil + 2_000 ? nil : old
        }
        if var present = leader {
            if world.storeIsUp { present.leadUntil = world.now + 2_000 }
            if world.now >= present.leadUntil {
                leader = nil
                electAt = world.now + 1_000
                return
            }
            turn(&present)
            leader = present
        }
    }

    private mutating func elect() {
        term += 1
        generation += 1
        leaders += 1
        leaderBegan = world.now
        for index in world.workers.indices { world.workers[index].isShunned = false }
        leader = Leader(
            gate: ExportGate(
                cluster: "sim", identity: "c\(term)", term: term, targets: world.receivers.indices.map { "t\($0)" },
                settings: settings, now: tick(world.now)),
            term: term, generation: generation, leadUntil: world.now + 2_000)
        if bug == .renewsBeforeItKnows { leader?.hasAnswers = (true, true) }
    }

    private func tick(_ milliseconds: UInt64) -> Tick { Tick(nanoseconds: milliseconds * 1_000_000) }

    private mutating func turn(_ leader: inout Leader) {
        let isPresent = leader.generation == generation
        for answer in answers where answer.generation == leader.generation && answer.at <= world.now {
            note(answer.event, &leader)
            give(answer.event, &leader)
        }
        let generation = leader.generation
        let now = world.now
        answers.removeAll { $0.generation == generation && $0.at <= now }
        if isPresent { tellWorkers(&leader) }
        for target in world.receivers.indices {
            let oldest = world.oldest(target).map { world.now - $0 }
            give(
                .backlog(target: target, records: UInt64(world.pending(target)), oldestMilliseconds: oldest), &leader)
        }
        let until = bug == .ignoresItsLease ? world.now + 60_000 : leader.leadUntil
        give(.tick(leadUntil: tick(until), wallMilliseconds: 1_764_000_000_000 + world.now), &leader)
    }

    private mutating func tellWorkers(_ leader: inout Leader) {
        for index in world.workers.indices {
            let worker = world.workers[index]
            let ability: ExportGate.Ability =
                !worker.hasSession || !worker.runs ? .fenced : worker.isShunned ? .idle : .serving
            if leader.told[worker.name].map({ $0 != (worker.boot, ability) }) ?? true {
                leader.told[worker.name] = (worker.boot, ability)
                give(.worker(worker.name, boot: RecordKey(high: 0, low: worker.boot), ability), &leader)
            }
            // One heartbeat a second, and some are lost. One without a session tells nobody, unless nobody checks.
            let isHeard = worker.hasSession || bug == .countsOldOwners
            guard worker.runs, isHeard, (world.now / GateWorld.step + UInt64(index)) % 2 == 0, !world.chance(10) else {
                continue
            }
            give(.health(worker.name, world.health(index)), &leader)
        }
    }

    private func note(_ event: ExportGate.Event, _ leader: inout Leader) {
        switch event {
        case .gateRead(let record): leader.hasAnswers = (true, leader.hasAnswers.alerts || record?.episode != nil)
        case .alertsRead: leader.hasAnswers.alerts = true
        default: break
        }
    }

    private mutating func give(_ event: ExportGate.Event, _ leader: inout Leader) {
        let before = leader.gate.state
        let event = bug?.distort(event, leader.gate) ?? event
        var effects = leader.gate.handle(event, now: tick(world.now))
        if let bug {
            effects = bug.distort(
                effects, leader.gate, term: leader.term, workers: leader.told.keys, now: tick(world.now))
        }
        if leader.gate.state != before, !effects.contains(where: { if case .record = $0 { true } else { false } }) {
            oracle.breach("untold: \(before) became \(leader.gate.state)", world.now)
        }
        for effect in effects { perform(effect, &leader) }
    }

    private mutating func perform(_ effect: ExportGate.Effect, _ leader: inout Leader) {
        let at = world.now + world.rng.below(1_200)
        let isUp = world.storeIsUp && !world.chance(3)
        func answer(_ event: ExportGate.Event) {
            answers.append(Answer(at: at, generation: leader.generation, event: event))
        }
        switch effect {
        case .readGate: answer(isUp ? .gateRead(world.record) : .gateUnreadable)
        case .readAlerts: answer(isUp ? .alertsRead(Array(world.alerts.values)) : .alertUnreadable)
        case .writeGate(let record, let before):
            if world.now >= leader.leadUntil { oracle.breach("afterLease: term \(leader.term) writes", world.now) }
            if leader.hasAnswers != (true, true) || bug == .renewsBeforeItKnows && leader.gate.state == .unknown {
                oracle.breach("unread: written before anything was read", world.now)
            }
            let begins = world.now + (world.chance(15) ? world.rng.below(4_000) : 0)
            world.writes.append(
                GateWorld.Write(
                    record: record, before: before.nanoseconds / 1_000_000, begins: begins,
                    lands: begins + world.rng.below(600), generation: leader.generation,
                    answerIsLost: world.chance(5)))
        case .raise(let alert):
            guard isUp else { return answer(.alertUnreadable) }
            oracle.raised(alert, in: world)
            world.alerts[alert.name] = world.alerts[alert.name] ?? alert
            if !world.chance(5) { answer(.alertRead(name: alert.name, world.alerts[alert.name])) }
        case .readAlert(let name): answer(isUp ? .alertRead(name: name, world.alerts[name]) : .alertUnreadable)
        case .shun(let name, let target, _):
            guard let index = world.workers.firstIndex(where: { $0.name == name }) else { return }
            shuns += 1
            oracle.shunned(index, Int(target.dropFirst()) ?? 0, in: world)
            world.workers[index].isShunned = true
        case .forgive(let name):
            if let index = world.workers.firstIndex(where: { $0.name == name }) {
                world.workers[index].isShunned = false
            }
        case .record: break
        case .outranked(let later, _):
            if later > term { oracle.breach("outranked: term \(later) is nobody's", world.now) }
        }
    }

    /// Writes reach the store in whatever order.
    private mutating func land() {
        let due = world.writes.filter { $0.lands <= world.now }
        world.writes.removeAll { $0.lands <= world.now }
        for write in due {
            var event = ExportGate.Event.gateUnwritten(write.record.version)
            if world.storeIsUp, write.begins < write.before {
                if world.replacesBlindly || write.record.mayReplace(world.record) {
                    world.record = write.record
                    if write.record.isOpen { world.renewed = write.lands }
                    event = .gateWritten(write.record.version)
                } else if let record = world.record {
                    event = .gateRefused(stored: record)
                }
            }
            if !write.answerIsLost {
                answers.append(Answer(at: world.now, generation: write.generation, event: event))
            }
        }
    }
}
