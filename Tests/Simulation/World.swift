import ExportCore
import Model
import Protocol

/// A cluster in one thread: machines, clocks, network, store and receivers, all from one seed.
///
/// First comes a time of faults, then one without; after it everything must have been settled. After every event the
/// invariants are checked (``Checks``). What the machines decide is theirs alone: nothing here is a copy of it.
final class World {
    static let millisecond: UInt64 = 1_000_000
    static let second: UInt64 = 1_000_000_000

    let seed: UInt64
    let plan: Plan
    let plant: Plant?
    var rng: PRNG
    var now: UInt64 = World.second
    var agenda = Agenda<() -> Void>()
    var isFaulty = true
    private(set) lazy var store = SimStore(world: self)
    var coordinators: [SimCoordinator] = []
    var workers: [SimWorker] = []
    var receivers: [SimReceiver] = []
    var blocked: Set<Direction> = []
    var sources: [SimSource] = []
    /// Results that somebody deleted.
    private(set) var gone: Set<RecordKey> = []
    /// Records that receivers refused and do not refuse any more.
    private(set) var mended: Set<RecordKey> = []
    private var mender: PRNG
    /// Between these the results cannot be read.
    var feedFailsSince: UInt64?
    var feedFailsUntil: UInt64 = 0
    /// Files that cannot be read, by their place among the sources.
    var hidden: Set<Int> = []
    let checks = Checks()
    var events = 0
    /// Workers have to have forgotten everything, whatever single objects do not take.
    var demandsForgetting = false
    /// What happened, for people who look at one history.
    private(set) var trace: [String] = []

    struct Direction: Hashable {
        var from: String
        var to: String
    }

    init(seed: UInt64, plant: Plant? = nil) {
        self.seed = seed
        self.plant = plant
        rng = PRNG(seed: seed &* 0x9E37_79B9_7F4A_7C15 | 1)
        plan = Plan(rng: &rng)
        mender = PRNG(seed: seed)
        receivers = (0..<plan.targetCount).map { SimReceiver(world: self, target: $0) }
        coordinators = (0..<plan.coordinatorCount).map { SimCoordinator(world: self, name: "c\($0)") }
        workers = (0..<plan.workerCount).map { SimWorker(world: self, name: "w\($0)") }
    }

    /// Runs to the end and says what was violated.
    func run() -> [String] {
        for node in coordinators { after(rng.below(World.second)) { node.start() } }
        for node in workers { after(rng.below(2 * World.second)) { node.start() } }
        for _ in 0..<plan.sourceCount { addSource() }
        scheduleFault()
        if plan.isScaled { scaleThrough() }
        scheduleSource()
        keepAcknowledging()
        keepReviving()
        advance(to: now + plan.faultySeconds * World.second) { false }
        if let dead = plan.deadTarget, plan.targetCount > 1 { othersGoOn(without: dead) }
        heal()
        if plan.losesADisk { workers[0].diskFailsUntil = .max }
        let calm = now
        advance(to: now + plan.calmSeconds * World.second) { self.isSettled }
        if checks.violations.isEmpty {
            if isSettled {
                freshRecordPasses()
                whatIsMendedIsWritten()
            } else {
                checks.violate("nothing more than \(unsettled) after \((now - calm) / World.second) s without faults")
            }
        }
        workers[0].diskFailsUntil = 0
        if plan.staysCut, checks.violations.isEmpty { oneIsCutOff() }
        if plan.losesAllDisks, checks.violations.isEmpty { nobodyWritesDown() }
        // By a number of its own, so that all that comes before stays as it is.
        if !plan.hasObjects, mender.below(3) == 0, checks.violations.isEmpty { aFileCannotBeRead() }
        return checks.violations
    }

    /// Takes everything down: nodes and closures hold one another.
    func end() {
        agenda = Agenda()
        coordinators = []
        workers = []
        receivers = []
    }

    func note(_ text: @autoclosure () -> String) {
        guard isTracing else { return }
        let at = now / World.millisecond
        trace.append("\(at) ms: " + text())
        if trace.count > 40_000 { trace.removeFirst(20_000) }
    }
    var isTracing = false

    func advance(to end: UInt64, until isDone: () -> Bool) {
        var turns = 0
        while let time = agenda.nextTime, time <= end, checks.violations.isEmpty {
            now = max(now, time)
            guard let action = agenda.removeFirst() else { return }
            action()
            events += 1
            checks.afterEvent(self)
            turns += 1
            if turns % 64 == 0, isDone() { return }
        }
        now = max(now, end)
    }

    func after(_ delay: UInt64, _ action: @escaping () -> Void) { agenda.insert(action, at: now + delay) }

    /// A delay as networks and disks have it: mostly short, sometimes long.
    func delay(_ typical: UInt64) -> UInt64 {
        let spread = rng.below(typical) + typical / 4
        return isFaulty && rng.below(40) == 0 ? spread * 20 : spread
    }

    func chance(_ percent: UInt64) -> Bool { isFaulty && rng.below(100) < percent }

    func isBlocked(_ from: String, _ to: String) -> Bool { blocked.contains(Direction(from: from, to: to)) }

    /// More records come while there are faults, so that something is always under way.
    private func scheduleSource() {
        after(World.second + rng.below(4 * World.second)) {
            guard self.isFaulty else { return }
            if self.sources.count < (self.plan.hasObjects ? 60 : 12) { self.addSource() }
            self.scheduleSource()
        }
    }

    func addSource() {
        guard plan.hasObjects else {
            return sources.append(SimSource(number: sources.count, rng: &rng, bornAt: now))
        }
        for _ in 0..<(3 + rng.below(6)) {
            let source = SimSource(object: sources.count, rng: &rng, bornAt: now)
            sources.append(source)
            for record in source.records { store.objects.create(record.key) }
        }
        // An API server forgets the past all the time, whoever still reads it.
        if isFaulty, plan.faults & 1 << 20 != 0, rng.below(3) > 0 {
            after(rng.below(400 * World.millisecond)) { self.store.objects.compact() }
        }
    }

    /// Nothing is owed of a result that was deleted.
    func forget(_ key: RecordKey) { gone.insert(key) }

    // MARK: End

    /// The faults are over: everybody is there, can be reached and answers.
    func heal(but dead: Int? = nil) {
        isFaulty = false
        if dead == nil { checks.healed = now }
        blocked = []
        store.outageUntil = 0
        feedFailsSince = nil
        feedFailsUntil = 0
        for receiver in receivers where receiver.target != dead { receiver.heal() }
        let wanted = plan.finalWorkers
        while workers.count < wanted {
            workers.append(SimWorker(world: self, name: "w\(workers.count)"))
        }
        for (index, node) in (coordinators as [SimNode] + workers).enumerated() {
            node.pausedUntil = 0
            node.resume()
            node.isLeaving = (node as? SimWorker)?.isRetired ?? false
            (node as? SimWorker)?.cutOff = []
            (node as? SimWorker)?.diskFailsUntil = 0
            if !node.isUp { after(rng.below(World.second) + UInt64(index)) { node.start() } }
        }
    }

    /// A person looks at the alerts now and then; with nothing else to do, each second.
    private func keepAcknowledging() {
        after(isFaulty ? World.second + rng.below(20 * World.second) : World.second) {
            self.store.acknowledgeAll()
            self.keepAcknowledging()
        }
    }

    /// A person has dead letters delivered now and then. By numbers of its own, so that histories without any stay as they are.
    /// Where exported results cannot be left out, they are looked for every ten minutes, which is longer than a history.
    private func keepReviving() {
        guard plan.hasObjects, plan.hasSelector else { return }
        after(2 * World.second + mender.below(10 * World.second)) {
            // Each may wait for the one before it to be looked for, and for a look of its own: two minutes.
            if let healed = self.checks.healed, self.now > healed + 60 * World.second { return }
            let running = self.workers.filter { !$0.isRetired }
            let worker = running[Int(self.mender.below(UInt64(running.count)))]
            worker.reviveOne(&self.mender)
            self.keepReviving()
        }
    }

    /// Receivers take this record from now on.
    func mend(_ key: RecordKey) { mended.insert(key) }

    /// Whether everything is settled, told, forgotten, and probing goes on.
    var isSettled: Bool { unsettled.isEmpty }

    /// A record that one of the targets has not settled.
    func owed(_ targets: [Int]) -> String? {
        for source in sources {
            for record in source.records {
                for target in targets where store.facts[target][record.key] == nil && !gone.contains(record.key) {
                    // Nobody can write down what became of it; that it comes to its end must be so all the same.
                    if plan.hasObjects, store.objects.isCursed(record.key),
                        receivers[target].accepted[record.key] != nil || checks.isBuried(record.key, target)
                    {
                        continue
                    }
                    return "record \(record.key) of target \(target)"
                }
            }
        }
        return nil
    }

    var unsettled: String {
        if let owed = owed(Array(0..<plan.targetCount)) { return owed }
        if plan.hasObjects {
            if let unsettled = store.objects.unsettled ?? checks.unrevived(self) { return unsettled }
        }
        for source in sources where !plan.hasObjects {
            if !store.finished.contains(source.id) { return "source \(source.id)" }
        }
        let writing = workers.filter { $0.isUp && $0.diskFailsUntil == 0 }
        // The one that takes no patch may be the last of all: then nobody knows whether others would be taken.
        for worker in writing where !worker.ledger.isEmpty && (demandsForgetting || !store.objects.hasCurses) {
            return "the ledger of \(worker.name)"
        }
        return store.isAdmitting ? "" : "the gate: \(store.gate?.reason ?? "none")"
    }
}

/// What a seed decides before anything happens.
struct Plan {
    var targetCount: Int
    var coordinatorCount: Int
    var workerCount: Int
    var finalWorkers: Int
    var sourceCount: Int
    var faultySeconds: UInt64
    let calmSeconds: UInt64 = 240
    /// Which kinds of faults there are, as bits.
    var faults: UInt64
    /// Versions of the protocol are mixed.
    var isMixed: Bool
    /// Requests may be stuck on their way.
    var isSluggish: Bool
    /// One receiver refuses everything all the time.
    var deadTarget: Int?
    /// Receivers are down for as long as it takes to halt probing.
    var hasLongOutages: Bool
    /// In the end one worker is cut off from a receiver that others reach.
    var staysCut: Bool
    /// In the end the disk of one worker takes nothing.
    var losesADisk: Bool
    /// In the end no disk takes anything for a while.
    var losesAllDisks: Bool
    /// The store carries requests out late, or twice, and answers late, or twice.
    var isStoreLate: Bool
    /// Results are objects of the API server: listed, watched, patched.
    var hasObjects: Bool
    /// The API server can choose objects by their status.
    var hasSelector: Bool
    /// One worker becomes eight and then two while there are faults, and the six stay away.
    var isScaled: Bool

    init(rng: inout PRNG) {
        targetCount = 1 + Int(rng.below(3))
        coordinatorCount = 1 + Int(rng.below(3))
        workerCount = 1 + Int(rng.below(4))
        // Some are eight once the faults are over.
        finalWorkers = rng.below(10) == 0 ? 8 : workerCount
        sourceCount = 2 + Int(rng.below(4))
        faultySeconds = 10 + rng.below(25)
        faults = rng.below(5) == 0 ? 0 : rng.next()
        isMixed = rng.below(3) == 0
        isSluggish = rng.below(3) == 0
        hasLongOutages = rng.below(4) == 0
        if hasLongOutages { faultySeconds += 40 }
        staysCut = rng.below(3) == 0 && finalWorkers > 1
        losesADisk = rng.below(4) == 0 && finalWorkers > 1
        losesAllDisks = rng.below(6) == 0
        isStoreLate = rng.below(3) == 0
        hasObjects = rng.below(3) == 0
        hasSelector = rng.below(2) == 0
        deadTarget = rng.below(8) == 0 ? Int(rng.below(UInt64(targetCount))) : nil
        isScaled = rng.below(16) == 0
        if isScaled {
            (workerCount, finalWorkers) = (1, 2)
            faultySeconds += 20
        }
    }
}

/// A whole file of records, cut into two pages.
struct SimSource {
    struct Record {
        var key: RecordKey
        var shard: UInt16
        var length: UInt32
        var isPoison: Bool
    }

    let id: UInt64
    let bornAt: UInt64
    var records: [Record] = []
    /// Where the second page begins, and the end.
    var cut: UInt64 = 0
    var end: UInt64 = 0

    init(number: Int, rng: inout PRNG, bornAt: UInt64) {
        id = 0x5000 + UInt64(number)
        self.bornAt = bornAt
        let count = 4 + Int(rng.below(16))
        for index in 0..<count {
            if index == count / 2 { cut = end }
            let length = 20 + UInt32(rng.below(100))
            records.append(
                Record(
                    key: RecordKey(high: id, low: end), shard: UInt16(rng.below(UInt64(SimSettings.shardCount))),
                    length: length, isPoison: rng.below(40) == 0))
            end += UInt64(length)
        }
    }

    /// A result that is an object: one record.
    init(object number: Int, rng: inout PRNG, bornAt: UInt64) {
        id = 0x5000 + UInt64(number)
        self.bornAt = bornAt
        let key = RecordKey(high: id, low: 0x8000_0000_0000_0000 | UInt64(number))
        end = key.low + 1
        records = [
            Record(
                key: key, shard: UInt16(rng.below(UInt64(SimSettings.shardCount))), length: 20 + UInt32(rng.below(100)),
                isPoison: rng.below(40) == 0)
        ]
    }

    /// What a record says, with its line feed: nothing that another one says.
    static func line(of key: RecordKey, length: UInt32) -> [UInt8] {
        var mixer = PRNG(seed: key.high &* 0x9E37_79B9_7F4A_7C15 ^ key.low)
        return (1..<length).map { _ in UInt8(ascii: "a") + UInt8(mixer.below(26)) } + [0x0A]
    }

    /// Page 0 or 1.
    func page(_ number: Int, for targets: TargetMask, now: UInt64) -> FeedPage {
        let range = number == 0 ? 0..<cut : cut..<end
        var bytes = ByteWriter()
        var page: [(UInt64, UInt16, UInt32, UInt32)] = []
        for record in records where range.contains(record.key.low) {
            page.append((record.key.low, record.shard, UInt32(bytes.count), record.length))
            bytes.append(Self.line(of: record.key, length: record.length).span)
        }
        var result = FeedPage(
            targets: targets, source: id, range: range, sourceSize: end,
            ageMilliseconds: (now - bornAt) / World.millisecond, bytes: bytes.seal())
        for (position, shard, start, length) in page {
            result.append(position: position, shard: shard, start: start, length: length)
        }
        return result
    }
}
