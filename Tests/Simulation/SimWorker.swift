import ExportCore
import Model
@_spi(NextRelease) import Protocol

/// A worker's process around `WorkerCore`: what the shell does, with a fake disk under the ledger.
final class SimWorker: SimNode {
    var core: WorkerCore?
    /// What its disk holds, whatever happens to the process.
    var ledger: [WorkerHands.Row] = []
    /// Records that its ledger holds as given up, for each target, and those of them that somebody has had delivered and of which
    /// no row tells.
    private(set) var letters: [[RecordKey]] = [[], [], []]
    private(set) var revived: [[RecordKey]] = [[], [], []]
    /// Until when its disk takes nothing.
    var diskFailsUntil: UInt64 = 0
    private var isFailing = false
    /// Nobody starts it again.
    var isRetired = false
    /// Receivers that it does not reach.
    var cutOff: Set<Int> = []
    private var highestRow: UInt64 = 0
    private var lanes: [SimLane] = []
    private var links: [SessionID: SimLink] = [:]
    private var rng = PRNG(seed: 0)
    private var release = ProtocolRelease.current

    override func start() {
        guard !isUp, !isLeaving, !isRetired else { return }
        isUp = true
        boot += 1
        world.note("\(name) starts")
        release = world.plan.isMixed && world.rng.below(2) == 0 ? .next : .current
        rng = PRNG(seed: world.rng.next())
        links = [:]
        isFailing = false
        let settings = WorkerCore.Settings(
            identity: name, boot: RecordKey(high: 7, low: boot), capacity: 1 + UInt16(world.rng.below(3)),
            windowBytes: UInt64(SimSettings.windowBytes * (world.plant == .boundlessWindow ? 10 : 1)),
            targets: (0..<world.plan.targetCount).map { "t\($0)" },
            release: release)
        let dial = CoordinatorDial(
            addresses: world.coordinators.map(\.name), first: Int(world.rng.below(8)), now: tick)
        let rows = world.plant == .forgetfulLedger ? [] : ledger
        if world.plant == .forgetfulLedger { ledger = [] }
        core = WorkerCore(settings, dial: dial, rows: rows, nextRow: highestRow + 1)
        lanes = (0..<world.plan.targetCount).map { SimLane(worker: self, target: $0) }
        handle(.timer)
        tellRevived()
    }

    override func crash() {
        guard isUp else { return }
        super.crash()
        for link in links.values { link.close(fromWorker: true) }
        links = [:]
        core = nil
        lanes = []
    }

    func breakLinks() { for link in links.values { link.fail() } }

    /// The way of its connections fails, but not that of new ones.
    func stallLinks(until time: UInt64) { for link in links.values { link.stalledUntil = time } }

    override func wake() {
        handle(.timer)
        if isUp, let due = core?.nextDeadline { world.checks.timer(of: name, wasHandled: tick, due: due) }
        for lane in lanes { lane.handle(.tick) }
    }

    func setTimers() {
        guard let core else { return }
        setTimer(([core.nextDeadline] + lanes.map(\.nextTick)).compactMap { $0 }.min())
    }

    func stop() { handle(.stop(graceMilliseconds: 5_000)) }

    func handle(_ event: WorkerCore.Event) {
        guard isUp, let effects = core?.handle(event, now: tick, rng: &rng) else { return }
        for effect in effects where isUp { perform(effect) }
        setTimers()
    }

    private func perform(_ effect: WorkerCore.Effect) {
        switch effect {
        case .dial(let session, let address): dial(session, address)
        case .send(let session, let message): send(session, message)
        case .heartbeat(let session, let term, let number, let order, let lapsed):
            let beat = Heartbeat(
                term: term, number: number, health: order.map { lanes[$0].report },
                lapsedMilliseconds: world.plant == .alwaysVouched ? 0 : lapsed)
            send(session, .heartbeat(beat))
        case .close(let session, let fault):
            if let fault { send(session, .error(fault)) }
            links.removeValue(forKey: session)?.close(fromWorker: true)
        case .intake(let delivery): intake(delivery)
        case .withdraw(let target, let ranges): withdraw(target, ranges)
        case .cutOff(let target, let ranges): if world.plant != .neverCutOff { lanes[target].cutOff(ranges) }
        case .fenced(let isFenced):
            world.note("\(name) \(isFenced ? "is fenced" : "may act")")
            for lane in lanes { lane.handle(isFenced && world.plant != .skipFencing ? .pause : .resume) }
        case .forget(let row):
            for old in ledger where old.number <= row { world.checks.forgets(old, world) }
            ledger.removeAll { $0.number <= row }
        case .gate, .note: break
        case .exit:
            crash()
            // Whoever watches over processes starts another, unless it was asked to be fewer.
            world.after(World.second + world.rng.below(World.second)) { if !self.world.isFaulty { self.start() } }
        }
    }

    /// A lane hears of it after the encoders have handed over what they have open, and one of them may wait for the ledger.
    private func withdraw(_ target: Int, _ ranges: [Range<UInt64>]) {
        let isStuck = world.now < diskFailsUntil && world.rng.below(2) == 0
        let wait = isStuck ? world.rng.below(2 * World.second) : 0
        later(wait + world.delay(5 * World.millisecond)) { self.lanes[target].withdraw(ranges) }
    }

    private func send(_ session: SessionID, _ message: Message) {
        if case .outcomes(let told) = message, told.kind != .failed, world.plant != .tellBeforeCommit {
            world.checks.tells(told, self)
        }
        links[session]?.send(message, fromWorker: true)
        // Word of a failure may come late, when the records are somebody else's.
        if case .outcomes(let told) = message, told.kind == .failed, world.rng.below(3) == 0 {
            later(World.second + world.rng.below(4 * World.second)) {
                self.links[session]?.send(message, fromWorker: true)
            }
        }
    }

    private func dial(_ session: SessionID, _ address: String) {
        let patience = 300 * World.millisecond + world.rng.below(World.second)
        world.after(world.delay(5 * World.millisecond)) {
            guard let node = self.world.coordinators.first(where: { $0.name == address }), node.isUp, self.isUp,
                !self.world.isBlocked(self.name, address), !self.world.isBlocked(address, self.name)
            else { return self.later(patience) { self.handle(.closed(session)) } }
            let here = SimLink.End(release: self.release)
            here.name = self.name
            let link = SimLink(world: self.world, worker: here, coordinator: node.accept(from: self.name))
            node.adopt(link)
            self.later(0) { self.connected(session, link) }
        }
    }

    private func connected(_ session: SessionID, _ link: SimLink) {
        links[session] = link
        let boot = boot
        link.worker.receive = { message in
            self.later(0) { if self.boot == boot { self.receive(session, message) } }
        }
        link.worker.closed = {
            self.later(0) {
                self.links[session] = nil
                self.handle(.closed(session))
            }
        }
        handle(.connected(session))
    }

    private func receive(_ session: SessionID, _ message: Message) {
        guard links[session] != nil else { return }
        if case .revoke(let term, let grants) = message, world.plant == .releaseAtOnce {
            return send(session, .released(term: term, grants: grants))
        }
        handle(.received(session, message))
    }

    private func intake(_ delivery: WorkerHands.Delivery) {
        var items: [SimLane.Item] = []
        var position = delivery.range.lowerBound
        // Lines end with LF; each is one record.
        let bytes = delivery.bytes.span
        for index in 0..<bytes.count where bytes[index] == 0x0A {
            let stop = delivery.range.lowerBound + UInt64(index) + 1
            if let record = core?.hands.record(at: position) {
                let line = Int(position - delivery.range.lowerBound)..<index + 1
                let key = world.plant == .mixUpRecords ? items.last?.key ?? record.key : record.key
                world.checks.carries(key, line.map { bytes[$0] }, self)
                items.append(
                    .init(position: position, length: stop - position, key: key, shard: record.shard))
            }
            position = stop
        }
        for (target, skip) in delivery.targets {
            lanes[target].add(items.filter { !skip.contains($0.position) })
        }
    }

    /// The ledger takes a lane's changes, or says that it did not; a crash meanwhile may leave them on the disk or not, whole.
    ///
    /// - Parameter done: called with whether they are kept, unless the process ended.
    func commit(_ rows: [WorkerHands.Row], _ done: @escaping (Bool) -> Void) {
        if world.plant == .tellBeforeCommit { handle(.committed(rows.map(\.number))) }
        let boot = boot
        world.after(world.delay(4 * World.millisecond)) {
            let isThere = self.isUp && self.boot == boot
            guard isThere || self.world.rng.below(2) == 0 else { return }
            if !isThere, self.boot != boot { return }
            let isRefused = self.world.now < self.diskFailsUntil
            // An error does not say that nothing was written.
            if !isRefused || self.world.rng.below(4) == 0 { self.keep(rows) }
            self.later(self.world.delay(World.millisecond)) {
                isRefused ? self.refused(rows, done) : self.committed(rows, done)
            }
        }
    }

    private func keep(_ rows: [WorkerHands.Row]) {
        ledger.removeAll { old in rows.contains { $0.number == old.number } }
        ledger += rows
        ledger.sort { $0.number < $1.number }
        highestRow = max(highestRow, rows.map(\.number).max() ?? 0)
        for row in rows {
            world.checks.commits(row, self)
            if row.kind == .dead { letters[row.target] += row.keys }
            // In the same transaction.
            if row.kind == .delivered, !revived[row.target].isEmpty {
                revived[row.target].removeAll { row.keys.contains($0) }
            }
        }
    }

    /// Somebody mends what was wrong with a record that this one has given up, and has it delivered by a process of their own.
    func reviveOne(_ rng: inout PRNG) {
        let target = Int(rng.below(UInt64(world.plan.targetCount)))
        guard world.now >= diskFailsUntil, !letters[target].isEmpty, !world.receivers[target].isDown else { return }
        let key = letters[target].remove(at: Int(rng.below(UInt64(letters[target].count))))
        world.mend(key)
        world.receivers[target].accept(key)
        revived[target].append(key)
        world.checks.revives(key, target)
        world.note("somebody has \(key) of \(name) delivered to \(target)")
    }

    /// Whether its disk alone knows of a record that it was delivered after all.
    func mustTell(_ key: RecordKey, _ target: Int) -> Bool {
        revived[target].contains(key) || ledger.contains { $0.target == target && $0.keys.contains(key) }
    }

    /// Looks from time to time what was delivered beside it.
    private func tellRevived() {
        later(Self.reviveMilliseconds * World.millisecond) {
            for target in 0..<self.world.plan.targetCount where self.core?.hands.hasRevivals(of: target) == false {
                guard !self.revived[target].isEmpty, self.world.plant != .silentRevival else { continue }
                let rows = self.core?.revive(target: target, self.revived[target]) ?? []
                self.commitRevived(rows)
            }
            self.tellRevived()
        }
    }

    private func commitRevived(_ rows: [WorkerHands.Row]) {
        commit(rows) { isKept in
            guard !isKept else { return }
            self.later(World.second) { self.commitRevived(rows) }
        }
    }

    private static let reviveMilliseconds: UInt64 = 5_000

    private func committed(_ rows: [WorkerHands.Row], _ done: (Bool) -> Void) {
        if world.plant != .tellBeforeCommit { handle(.committed(rows.map(\.number))) }
        if isFailing {
            isFailing = false
            handle(.ledgerTakes)
        }
        done(true)
    }

    private func refused(_ rows: [WorkerHands.Row], _ done: (Bool) -> Void) {
        world.note("the ledger of \(name) refuses \(rows.map(\.number))")
        if world.plant == .tellWhatWasRefused { return committed(rows, done) }
        isFailing = true
        if world.plant != .keepShardsWithoutLedger { handle(.uncommitted(reason: "disk full")) }
        done(false)
    }
}
