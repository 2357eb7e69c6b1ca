import Coordinator
import ExportCore
import Model
import Protocol

/// The API server's part: the leader's lease, results' states, the gate, alerts. Requests are slow, lost on the way or on
/// the way back, refused in an outage, or in conflict with others.
final class SimStore {
    private unowned let world: World
    var lease = LeaseState(stored: nil, highestTerm: 0)
    private var writings = 0
    private var newestTerms: [String: UInt64] = [:]
    /// For each target, what became of each record.
    var facts: [[RecordKey: Outcomes.Kind]] = [[:], [:], [:]]
    var finished: Set<UInt64> = []
    var gate: GateRecord?
    var gateRenewedAt: UInt64 = 0
    var alerts: [String: SystemAlert] = [:]
    var outageUntil: UInt64 = 0
    /// Results, where they are objects.
    private(set) lazy var objects = SimObjects(world: world)
    /// The highest term in whose name something was written.
    private var writtenTerm: UInt64 = 0

    init(world: World) { self.world = world }

    enum Answer<Value> {
        case done(Value)
        case refused
        /// No answer, or an error: nobody knows.
        case unknown
    }

    /// Whether the API server would admit a probe now.
    var isAdmitting: Bool {
        guard let gate, gate.isOpen else { return false }
        return world.now < gateRenewedAt + UInt64(gate.durationSeconds) * World.second
    }

    /// Carries out `work` some time later, and answers later still: also after the caller has given up, or twice. Some
    /// requests are carried out twice, as by a proxy that tries again.
    ///
    /// - Parameter isOnce: the caller is told once, whatever comes: of the time-out, if that is first.
    func request<Value>(
        _ node: SimNode, isOnce: Bool = false, _ work: @escaping (SimStore) -> Answer<Value>,
        _ answer: @escaping (Answer<Value>) -> Void
    ) {
        var wasTold = false
        func tell(_ result: Answer<Value>) {
            guard !isOnce || !wasTold else { return }
            wasTold = true
            answer(result)
        }
        if isOnce { node.later(Self.patience) { tell(.unknown) } }
        world.after(way()) {
            guard self.world.now >= self.outageUntil, !self.world.isBlocked(node.name, "store"), !self.world.chance(2)
            else {
                // Most errors come at once; some requests just hang.
                return node.later(self.world.delay(50 * World.millisecond)) { tell(.unknown) }
            }
            let result = work(self)
            if self.isLate, self.world.chance(2) { self.world.after(self.way()) { _ = work(self) } }
            let isLost = self.world.isBlocked("store", node.name) || self.world.chance(2)
            for _ in 0..<(self.isLate && self.world.chance(4) ? 2 : 1) {
                node.later(self.way()) { tell(isLost ? .unknown : result) }
            }
        }
    }

    private static let patience = 1_500 * World.millisecond

    private var isLate: Bool { world.plan.isStoreLate }

    /// How long a request, or its answer, is on its way: now and then for longer than anybody waits, and for longer than a
    /// lease.
    private func way() -> UInt64 {
        isLate && world.chance(3) ? world.rng.below(5 * World.second) : world.delay(5 * World.millisecond)
    }

    func writeLease(_ record: LeaseRecord, replacing: LeaseVersion?) -> Answer<LeaseVersion> {
        guard replacing == lease.stored?.version else { return .refused }
        writings += 1
        let version = LeaseVersion("\(writings)")
        lease.stored = LeaseState.Stored(record: record, version: version)
        lease.highestTerm = max(lease.highestTerm, record.term)
        return .done(version)
    }

    /// Somebody deletes the leader's lease, or edits it: empties it, gives it to a stranger, sets its term back.
    func tamper() {
        guard var held = lease.stored else { return }
        writings += 1
        held.version = LeaseVersion("\(writings)")
        switch world.rng.below(4) {
        case 0: return lease.stored = nil
        case 1: held.record.holder = ""
        case 2: held.record.holder = "somebody"
        default: held.record.term -= min(held.record.term, 1 + world.rng.below(3))
        }
        lease.stored = held
        world.note("somebody made of the lease: \(held.record)")
    }

    /// Somebody deletes the gate's record, empties it, or edits its term.
    func tamperWithGate() {
        guard var edited = gate else { return }
        switch world.rng.below(4) {
        case 0: return gate = nil
        case 1: edited.holder = ""
        case 2: edited.version.term -= min(edited.version.term, 1 + world.rng.below(3))
        default: edited.version.term += 1 + world.rng.below(3)
        }
        gate = edited
        world.note("somebody made of the gate: \(edited)")
    }

    /// As the store of a process: it also refuses a term before one that it let through.
    private func isFenced(_ identity: String, _ term: UInt64) -> Bool {
        guard let record = lease.stored?.record, record.holder == identity, record.term == term,
            term >= newestTerms[identity, default: 0]
        else { return true }
        newestTerms[identity] = term
        return false
    }

    func write(_ entries: [StatusEntry], identity: String, term: UInt64) -> Answer<Void> {
        guard !isFenced(identity, term) else { return .refused }
        note(term)
        for entry in entries {
            switch entry {
            case .facts(let fact): write(fact, term)
            case .finished(let source):
                world.checks.finished(source, world)
                finished.insert(source)
            }
        }
        return .done(())
    }

    private func write(_ fact: Dispatch.Facts, _ term: UInt64) {
        for key in fact.keys {
            if fact.kind == .failed {
                world.checks.failed(key, fact.target, term)
                continue
            }
            world.checks.told(key, fact.target, fact.kind, world)
            facts[fact.target][key] = fact.kind
        }
    }

    private func note(_ term: UInt64) {
        if term < writtenTerm { world.checks.violate("term \(term) wrote after term \(writtenTerm)") }
        writtenTerm = max(writtenTerm, term)
    }

    func write(_ record: GateRecord, identity: String, term: UInt64) -> Answer<GateRecord?> {
        guard !isFenced(identity, term) else { return .unknown }
        if !record.mayReplace(gate) { return .done(gate) }
        world.checks.gate(from: gate, to: record, world)
        gate = record
        if record.isOpen { gateRenewedAt = world.now }
        return .done(nil)
    }

    /// Renews the gate whatever it decided; for a planted mistake.
    func keepOpen(_ identity: String) {
        gate?.holder = identity
        gateRenewedAt = world.now
    }

    func raise(_ alert: SystemAlert) -> SystemAlert {
        if let known = alerts[alert.name] { return known }
        if alerts.values.contains(where: { !$0.isAcknowledgedByPerson }) {
            world.checks.violate("alert \(alert.name) was raised while another is open: \(alerts.keys.sorted())")
        }
        alerts[alert.name] = alert
        return alert
    }

    func acknowledgeAll() {
        for name in alerts.keys.sorted() where alerts[name]?.acknowledged == false {
            alerts[name]?.acknowledged = true
            alerts[name]?.acknowledgedBy = "ao@example.gov"
            alerts[name]?.acknowledgedAt = "2026-11-26T00:00:00Z"
            alerts[name]?.remediationAction = "looked at it"
        }
    }
}
