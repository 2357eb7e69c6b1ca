public import Model

/// Decides whether probes may run: the gate is open while exporting works, and halted while it does not.
///
/// One gate lives for one term of one leader. What outlives it is the gate's record and the alert.
///
/// Promises:
/// 1. Exporting that has failed for the threshold closes the gate (invariant 6): `failureThreshold` failed attempts at one
///    target, by all workers together and with no success of anybody in between; or its oldest record older than
///    `ageLimit`; or no worker able to send for `noWorkerLimit`; or a feed that told nothing for `feedSilence`. Found at
///    the next tick; while another worker has tried nothing since, it gets the records first, and that takes at most
///    `suspicion` and `evidence`. Closed is what the store has confirmed, or what ran out because it was not renewed.
/// 2. Exporting that works again and was acknowledged opens it: once every target that was broken has succeeded
///    `recoverySuccesses` times or has nothing left to send, and every backlog is small, for `stability` on end.
/// 3. Nothing is renewed before the stored record and, unless it has a running episode, the alerts were read, without a worker
///    able to send, or past the tick to which the leader may act. So the gate closes by itself when every process is dead.
/// 4. An episode has one alert. Its name follows from the episode, which is kept in the gate's record before the alert is
///    raised: a new leader goes on with both. An alert that is gone is raised again, never taken for acknowledged.
/// 5. A worker that fails where others succeed does not close the gate, however long ago they had anything to send. It is
///    shunned, which moves its shards, and tried again later; never the last one that is left, and not when all others
///    fail too.
/// 6. Every change of state is told as a ``Transition`` with its cause; while it does not work, so is every other thing that
///    goes wrong, and every one that is mended while another is not, within `suspicion` of the last that was told.
/// 7. A gate whose stored record is of a later term writes nothing, and says so, so that a term above that is led in.
///
/// Not promised: that no probe runs in the time between the first failure and the threshold; what it finds waits in the
/// durable queue.
public struct ExportGate: Sendable {
    let settings: ExportGateSettings
    let cluster: String
    let term: UInt64
    var keeper: GateKeeper
    var targets: [TargetWatch]
    var members: [String: Member] = [:]
    var suspects: [String: Suspicion] = [:]
    /// Workers that left in this term: what they tell when they come back is known already, or does not count.
    var departed: Set<String> = []
    var noWorkerSince: Tick
    /// For how long the feed has told nothing of its backlog, milliseconds.
    var feedSilence: UInt64 = 0
    /// What keeps the coordinator from reading and writing; empty if nothing does.
    var hindrance = ""
    /// One of the workers that were able to send when last any was.
    var lastAble: String?
    /// The later term that was told of.
    var toldOutranked: UInt64?
    /// What the gate is in.
    public internal(set) var state = State.unknown
    /// Why it is in that state, in words for people; empty while all is well.
    var why = ""
    /// What is told to be wrong.
    var told: Told?
    /// Since when it is in that state.
    public internal(set) var since: Tick
    var sinceWall: UInt64 = 0
    /// The running episode.
    public internal(set) var episode: Episode?
    var begun: Tick?
    var ended: Episode.ID?
    var episodesOfTerm: UInt32 = 0
    /// The episode's alert as the store has it; nil before that is known.
    public internal(set) var alert: SystemAlert?
    var alerts: [SystemAlert]?
    /// Whether the store was asked for the episode's alert, or cannot have it yet.
    var hasSoughtAlert = true
    var gateRequest = Request()
    var alertRequest = Request()
    var calmSince: Tick?
    /// How often each state was entered in this term, by the state.
    public internal(set) var entered: [State: UInt64] = [:]

    /// At the beginning of `term`; `targets` are the names, in the order in which workers tell their health.
    public init(
        cluster: String, identity: String, term: UInt64, targets: [String], settings: ExportGateSettings, now: Tick
    ) {
        self.settings = settings
        self.cluster = cluster
        self.term = term
        keeper = GateKeeper(term: term, identity: identity, settings: settings, now: now)
        self.targets = targets.map { TargetWatch(name: $0, settings: settings) }
        noWorkerSince = now
        since = now
    }

    /// Takes what happened. Only `tick` decides, so it has to come at least once a second.
    public mutating func handle(_ event: Event, now: Tick) -> [Effect] {
        switch event {
        case .worker(let name, let boot, let ability): changed(name, boot, ability, now)
        case .workerGone(let name): gone(name, now)
        case .health(let name, let health): report(name, health, now)
        case .backlog(let target, let records, let oldest, let unwritten):
            guard targets.indices.contains(target) else { break }
            targets[target].backlog(records, oldest: oldest, unwritten: unwritten, now: now)
        case .feedSilent(let silence): feedSilence = silence
        case .hindered(let what): hindrance = what
        case .gateRead(let record): keeper.read(record)
        case .gateUnreadable: gateRequest.rest(settings, now)
        case .gateWritten(let version): keeper.wrote(version, now: now)
        case .gateRefused(let record): keeper.refused(by: record)
        case .gateUnwritten(let version): keeper.failed(version, now: now)
        case .alertsRead(let list):
            guard state == .unknown else { break }
            alertRequest = Request()
            alerts = list
        case .alertRead(let name, let found):
            if name == alertName {
                alert = found
                hasSoughtAlert = true
            }
            alertRequest.rest(settings, now)
        case .alertUnreadable: alertRequest.rest(settings, now)
        case .tick(let leadUntil, let wall): return tick(leadUntil: leadUntil, wall: wall, now)
        }
        return []
    }

    private mutating func tick(leadUntil: Tick, wall: UInt64, _ now: Tick) -> [Effect] {
        guard now < leadUntil else { return [] }
        if let later = keeper.outrankedBy { return outranked(later, now) }
        toldOutranked = nil
        var effects: [Effect] = []
        if state == .unknown {
            learn(wall, now, &effects)
            guard state != .unknown else { return effects }
        }
        for target in targets.indices { targets[target].doubt(now: now) }
        let trusted = judgeWorkers(now, &effects)
        let causes = troubles(trusted, now)
        advance(causes, trusted, wall, now, &effects)
        let mayOpen = !trusted.isEmpty || !settings.failClosed
        if let record = keeper.next(wanted, mayOpen: mayOpen, now: now) {
            effects.append(.writeGate(record, before: min(leadUntil, now.adding(milliseconds: keeper.renewal))))
        }
        askAboutAlert(now, &effects)
        return effects
    }

    /// Why it is in its state, in words for people; empty while all is well.
    public var reason: String {
        guard let later = keeper.outrankedBy else { return why }
        return "the stored record of the gate is of term \(later), this leader's is \(term); no probe is admitted"
    }

    /// Told once for each such term. The record is read again, in case a person deletes it.
    private mutating func outranked(_ later: UInt64, _ now: Tick) -> [Effect] {
        let look: [Effect] = gateRequest.begin(settings, now) ? [.readGate] : []
        guard toldOutranked != later else { return look }
        toldOutranked = later
        return look + [.outranked(by: later, isCredible: later - term <= Membership.maxTermLead)]
    }
}
