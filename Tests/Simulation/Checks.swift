import ExportCore
import Model
import Protocol

/// What must never happen, looked at from outside and above.
final class Checks {
    private(set) var violations: [String] = []
    private var owners: [Grant: String] = [:]
    /// The last that each shard was given to in a term.
    var owner: [Shard: String] = [:]
    /// Failures that an owner told, by record and target.
    var ownFailures: Set<Failure> = []
    var unheld: [UInt16: UInt64] = [:]
    var wellSince: [String: UInt64] = [:]
    /// When everything was mended; nil before.
    var healed: UInt64?
    /// Nothing is amiss that may halt probing.
    var mustStayOpen = false
    private var leaders: [UInt64: String] = [:]
    /// Records that workers' ledgers held as given up.
    private var buried: [Int: Set<RecordKey>] = [:]
    /// Of those, the ones that somebody has had delivered.
    private var revived: [Int: Set<RecordKey>] = [:]
    private var requests: [UInt64: Request] = [:]
    private var nextRequest: UInt64 = 0
    /// How often in a row each leader was found to say what is not so of its gate.
    var falseWords: [String: Int] = [:]
    /// When a leader last came to power: it has to see a failure itself.
    var lastLed: UInt64 = 0
    /// What each worker's ledger ever held as delivered, for each target.
    private var committed: [String: [Set<RecordKey>]] = [:]

    private struct Grant: Hashable {
        var term: UInt64
        var grant: ShardGrant
    }

    private struct Request {
        var worker: String
        var shards: Set<UInt16>
    }

    func timer(of name: String, wasHandled now: Tick, due: Tick) {
        if due <= now { violate("\(name) handled its timer and is due again at once") }
    }

    func violate(_ text: String) { if violations.count < 3 { violations.append(text) } }

    /// Invariant 1: a fact is written only if it is one.
    func told(_ key: RecordKey, _ target: Int, _ kind: Outcomes.Kind, _ world: World) {
        let isTrue =
            kind == .delivered
            ? world.receivers[target].accepted[key] != nil : buried[target]?.contains(key) ?? false
        if !isTrue { violate("1: \(key) was written as \(kind) of target \(target), which it is not") }
    }

    /// Invariant 1: what goes out under a record's name is that very record.
    func carries(_ key: RecordKey, _ line: [UInt8], _ worker: SimWorker) {
        if line != SimSource.line(of: key, length: UInt32(line.count)) {
            violate("1: \(worker.name) has other bytes under \(key) than the result's")
        }
    }

    func finished(_ source: UInt64, _ world: World) {
        for record in world.sources.first(where: { $0.id == source })?.records ?? [] {
            for target in 0..<world.plan.targetCount where world.store.facts[target][record.key] == nil {
                violate("1: source \(source) was finished without \(record.key)")
            }
        }
    }

    func commits(_ row: WorkerHands.Row, _ worker: SimWorker) {
        if row.kind == .dead { return buried[row.target, default: []].formUnion(row.keys) }
        committed[worker.name, default: [[], [], []]][row.target].formUnion(row.keys)
    }

    /// A record that was given up is delivered after all.
    func revives(_ key: RecordKey, _ target: Int) { revived[target, default: []].insert(key) }

    /// A record that was delivered after all and is not called so.
    func unrevived(_ world: World) -> String? {
        for (target, keys) in revived {
            let late = keys.first { key in
                world.store.facts[target][key] != .delivered && !world.gone.contains(key)
                    && !world.store.objects.isHopeless(key)
                    && !world.workers.contains { worker in
                        (worker.isRetired || world.now < worker.diskFailsUntil) && worker.mustTell(key, target)
                    }
            }
            if let late { return "the revived record \(late) of target \(target)" }
        }
        return nil
    }

    /// Whether a worker's ledger held a record as given up.
    func isBuried(_ key: RecordKey, _ target: Int) -> Bool { buried[target]?.contains(key) ?? false }

    /// Invariant 2: one coordinator in a term.
    func leads(_ term: UInt64, _ node: SimCoordinator) {
        if let other = leaders[term], other != node.identity {
            violate("2: \(node.identity) and \(other) lead in \(term)")
        }
        leaders[term] = node.identity
        lastLed = node.world.now
    }

    /// Invariant 2: whoever acts holds the lease by its own clock.
    func acts(_ node: SimCoordinator, _ world: World) {
        if !node.isLeading { violate("2: \(node.identity) acts after its lease") }
    }

    /// Invariant 4: one owner in an epoch.
    func assigns(_ term: UInt64, _ grants: [ShardGrant], to worker: String) {
        for grant in grants {
            let key = Grant(term: term, grant: grant)
            if let other = owners[key], other != worker {
                violate("4: shard \(grant.shard) is \(other)'s and \(worker)'s in \(term).\(grant.epoch)")
            }
            owners[key] = worker
            owner[Shard(term: term, number: grant.shard)] = worker
        }
    }

    /// Invariant 4, where it matters: no two workers send records of one shard at a time.
    func requestBegins(_ items: [SimLane.Item], _ target: Int, _ worker: SimWorker, _ world: World) -> UInt64 {
        if let known = committed[worker.name]?[target],
            let again = items.first(where: { known.contains($0.key) && !world.store.objects.isHopeless($0.key) })
        {
            violate("5: \(worker.name) sends \(again.key) again though its ledger has it as delivered")
        }
        let mayAct = worker.core?.leaseEnd.map { worker.tick < $0 } ?? false
        if !mayAct { violate("4: \(worker.name) sends though its lease is over") }
        let shards = Set(items.map(\.shard))
        world.note("\(worker.name) sends \(items.map { "\($0.key.low)/\($0.shard)" })")
        for request in requests.values where request.worker != worker.name && !request.shards.isDisjoint(with: shards) {
            violate(
                "4: \(worker.name) and \(request.worker) send records of shards \(shards.intersection(request.shards))")
        }
        nextRequest += 1
        requests[nextRequest] = Request(worker: worker.name, shards: shards)
        return nextRequest
    }

    func requestEnds(_ request: UInt64) { requests[request] = nil }

    /// Invariant 5: what is told was committed before.
    func tells(_ told: Outcomes, _ worker: SimWorker) {
        guard let row = worker.ledger.first(where: { $0.number == told.row }) else {
            return violate("5: \(worker.name) tells of row \(told.row), which its ledger does not hold")
        }
        if row.keys != told.keys || row.kind != told.kind { violate("5: row \(told.row) is told otherwise than it is") }
    }

    /// Invariant 5: what is forgotten was written.
    func forgets(_ row: WorkerHands.Row, _ world: World) {
        for key in row.keys
        where world.store.facts[row.target][key] == nil && !world.gone.contains(key)
            && !world.store.objects.isHopeless(key)
        {
            violate("5: row \(row.number) is forgotten though \(key) was not written")
        }
    }

    /// Invariant 6: a gate that was halted opens only after a person acknowledged.
    func gate(from old: GateRecord?, to new: GateRecord, _ world: World) {
        guard let old, !old.isOpen, new.isOpen, let episode = old.episode else { return }
        let name = episode.alertName(cluster: "sim")
        let alerts = world.store.alerts.filter { $0.key.hasPrefix(name) }
        if alerts.isEmpty || alerts.values.contains(where: { !$0.isAcknowledgedByPerson }) {
            violate("6: the gate opened after \(name) though nobody acknowledged it")
        }
    }

    func afterEvent(_ world: World) {
        let leading = world.coordinators.filter(\.isLeading)
        if leading.count > 1 { violate("2: \(leading.map(\.identity)) lead at the same time") }
        bounds(world)
        gateIsShut(world)
        feedIsKnown(world)
        gateIsOpen(world)
        shardsAreHeld(world)
    }

    /// Invariant 7.
    private func bounds(_ world: World) {
        for node in world.coordinators {
            guard let targets = node.core?.dispatch.targets else { continue }
            // Twice, to find a record of which a worker's row of an earlier term speaks; and a page.
            for target in targets where target.windowBytes > 2 * SimSettings.bounds.windowBytes + 1_300 {
                violate("7: \(target.windowBytes) bytes of one target in the hand of \(node.name)")
            }
        }
        for node in world.workers {
            for bytes in node.core?.hands.carriedBytes ?? [] where bytes > UInt64(SimSettings.carriedBytes) {
                violate("7: \(bytes) bytes of one target in the hands of \(node.name)")
            }
        }
    }

    /// Invariant 6: a receiver that fails for long shuts the gate, whoever leads.
    private func gateIsShut(_ world: World) {
        for receiver in world.receivers {
            guard let since = receiver.downSince, receiver.failedAttempts >= 8, let began = receiver.brokenSince,
                world.now > max(since, began, lastLed) + Self.shutWithin
            else { continue }
            if world.store.isAdmitting {
                violate(
                    "6: target \(receiver.target) fails since \((world.now - since) / World.second) s and probing goes on"
                )
            }
        }
    }

    /// Invariant 6: nobody knows what waits, so nobody knows how old it is.
    private func feedIsKnown(_ world: World) {
        guard !world.plan.hasObjects, let since = world.feedFailsSince,
            world.now > max(since, lastLed) + Self.shutWithoutFeed
        else { return }
        if world.store.isAdmitting {
            violate("6: results cannot be read since \((world.now - since) / World.second) s and probing goes on")
        }
    }

    /// What the gate allows, 6 s; its lease, 9 s; and ticks on the way.
    private static let shutWithoutFeed = 16 * World.second

    /// Suspicion and the longest evidence of another worker, 13 s, after which the gate closes or, if the store takes nothing,
    /// runs out, 9 s; and a heartbeat and two ticks on the way.
    private static let shutWithin = 24 * World.second
}
