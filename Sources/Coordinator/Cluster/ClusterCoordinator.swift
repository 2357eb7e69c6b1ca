public import CoreMetrics
import ExportCore
public import Logging
import Model
public import PeerTransport
import Protocol
import Threading

/// A coordinator's process: feeds events to the machines that decide, and does what they say.
///
/// Promises:
/// 1. Before everything it does in the name of a term it looks at a fresh clock: past the lease nothing is begun.
/// 2. It never waits for a worker: one that does not read is cut off.
/// 3. What is to be kept is written one batch after the other, in order, and told as kept only then.
/// 4. When the term ends, all sessions end with it, before anything else.
///
/// Nothing in here blocks; stores and sessions have threads and tasks of their own.
public actor ClusterCoordinator {
    let settings: CoordinatorSettings
    let stores: CoordinatorStores
    let log: Logger
    let metrics: CoordinatorMetrics
    let refusals: PeerRefusals
    let startedAt = SystemClock.now()
    var election: LeaderElection
    var rng: PRNG
    /// The term that this process leads in; nil if it does not.
    var term: LedTerm?
    /// The term's leader, once what was settled before is known.
    var core: CoordinatorCore?
    var sessions: [SessionID: PeerSession] = [:]
    /// Those that asked who leads while that was not known, and until when they are not answered.
    var waiting: [SessionID: Tick] = [:]
    var lastSession: UInt64 = 0
    /// The lease as it was seen last.
    var leaseVersion: LeaseVersion?
    var followed: LeaderElection.Leader?
    var leaderSince: Tick
    var leaseSeen: Tick
    var hasLooked = false
    /// The gate as a standby sees it.
    var gateSight = GateSight()
    /// What was recorded of the gate in all terms of this process.
    var gateChanges: [GateChange] = []
    /// What of it was not told as an event yet.
    var untold = UntoldChanges()
    let eventSignal = Signal()
    var writes = WriteQueue()
    /// When the store is next to try what it has put aside; never, while it does.
    var retryAt = Tick(nanoseconds: 0)
    /// Sources that are settled and written down, and that the feed was not told of yet.
    var finishedSources: [UInt64] = []
    /// What the feed found no room for; nil while it does not wait.
    var roomAwaited: [Bool]?
    var backlog: [SourceBacklog] = []
    var inputs = SourceInputs(begun: 0, waiting: 0)
    /// Why results could not be read when that was last tried; empty if they could.
    var readFailure = ""
    /// Workers as they were last told of.
    var known: [WorkerID: KnownWorker] = [:]
    var complaints = Complaints()
    /// Terms of this process, the last ones in a row, in which no worker came.
    var lonelyTerms = 0
    var isStopping = false
    var failure: String?
    /// What the next beat waits for.
    private var resting: (task: Task<Void, Never>, until: Tick)?

    /// A coordinator that has not begun.
    ///
    /// - Parameters:
    ///   - metrics: where to count what happens.
    ///   - refusals: where to tell of connections that are refused.
    ///   - seed: of the jitter.
    public init(
        settings: CoordinatorSettings, stores: CoordinatorStores, log: Logger, metrics: any MetricsFactory,
        refusals: PeerRefusals, seed: UInt64
    ) {
        self.settings = settings
        self.stores = stores
        self.log = log
        self.metrics = CoordinatorMetrics(in: metrics)
        self.refusals = refusals
        rng = PRNG(seed: seed)
        election = LeaderElection(
            identity: settings.identity, address: settings.address, endpoint: settings.endpoint,
            settings: settings.election, now: startedAt)
        leaderSince = startedAt
        leaseSeen = startedAt
    }

    /// Takes part until ``stop()`` is done.
    ///
    /// - Parameter connections: workers, as they come.
    /// - Returns: why it cannot go on; nil if it was asked to stop.
    public func run(_ connections: AsyncStream<PeerConnection>) async -> String? {
        let acceptor = Task { for await connection in connections { self.accept(connection) } }
        let watcher = Task { await self.watchLease() }
        let gateWatcher = Task { await self.watchGate() }
        let teller = Task { await self.tellEvents() }
        elect(.tick)
        while election.nextTick != nil {
            await rest()
            beat()
        }
        endTerm("the process ends")
        for task in [acceptor, watcher, gateWatcher, teller] { task.cancel() }
        eventSignal.signal()
        await endSessions()
        return failure
    }

    /// Gives the lease back, tells the workers, and lets ``run(_:)`` return.
    public func stop() {
        guard !isStopping else { return }
        isStopping = true
        log.info("stopping: the lease is given back")
        elect(.shutDown)
        for session in sessions.values { session.finish(.error(Self.goodbye)) }
    }

    static let goodbye = PeerFault(
        code: .shutdown, message: "this coordinator ends; connect to another, which will lead")

    /// This process cannot go on: it ends, and another one leads.
    func fail(_ why: String) {
        guard failure == nil else { return }
        log.critical("\(why)")
        failure = why
        stop()
    }

    // MARK: Time

    /// Until the next beat, or until ``hurry()`` finds that it comes too late.
    private func rest() async {
        let milliseconds = pause()
        let rest = Task { _ = try? await Task.sleep(for: .milliseconds(milliseconds)) }
        resting = (rest, SystemClock.now().adding(milliseconds: UInt64(milliseconds)))
        await rest.value
        resting = nil
    }

    /// Something has changed that the next beat may be wanted for before its time.
    func hurry() {
        guard let resting else { return }
        let wanted = SystemClock.now().adding(milliseconds: UInt64(pause()))
        if election.nextTick == nil || wanted < resting.until { resting.task.cancel() }
    }

    private func pause() -> Int64 {
        let now = SystemClock.now()
        // Whoever stands by and owes nobody an answer has nothing to do between its looks at the lease.
        let isBusy = term != nil || !waiting.isEmpty
        var next = now.adding(milliseconds: isBusy ? settings.beatMilliseconds : 1_000)
        if let due = election.nextTick { next = min(next, due) }
        if let due = core?.nextDeadline { next = min(next, due) }
        let nanoseconds = next.nanoseconds > now.nanoseconds ? next.nanoseconds - now.nanoseconds : 0
        return Int64(min(1_000, max(1, (nanoseconds + 999_999) / 1_000_000)))
    }

    private func beat() {
        let now = SystemClock.now()
        refusals.flush()
        if let due = election.nextTick, now >= due { elect(.tick) }
        answerWaiting()
        guard let term, let until = election.leading(now: now)?.until else { return }
        handle(.tick(leadUntil: until, wallMilliseconds: UInt64(clamping: SystemClock.unixMilliseconds())))
        tellChanges()
        startWriting()
        retryWrites(now: now)
        term.feedSignal.signal()
    }

    // MARK: The leader's machine

    /// Gives the leader an event and does what it says, as long as this process leads.
    func handle(_ event: CoordinatorCore.Event) {
        let now = SystemClock.now()
        guard let number = term?.number, core != nil else { return }
        guard let leading = election.leading(now: now) else { return elect(.tick) }
        // An event that comes after the end that the core knows of is not taken, though the lease was renewed meanwhile.
        core?.lead(until: leading.until)
        guard let effects = core?.handle(event, now: now) else { return }
        for effect in effects {
            guard term?.number == number, core != nil else { return }
            guard election.isLeading(now: SystemClock.now()) else { return elect(.tick) }
            perform(effect)
        }
        if roomAwaited != nil { wakeFeed() }
    }

    private func perform(_ effect: CoordinatorCore.Effect) {
        switch effect {
        case .send(let id, let message): send(id, message)
        case .close(let id, let fault): close(id, fault)
        case .write(let number, let facts): write(facts.map { .facts($0) }, number)
        case .finished(let source, let number): write([.finished(source: source)], number)
        case .gate(let effect): perform(effect)
        case .superseded(let term):
            elect(.heard(term: term))
        case .told(let term):
            complain("a worker tells of term \(term), later than ours; the lease is read again, which decides")
            elect(.told(term: term))
        case .resign: elect(.resign)
        case .broken(let what): fail("the feed of results contradicts itself, and nothing more can be sent: \(what)")
        case .crowded(let workers):
            log.warning(
                "few shards for so many workers: some have more to do than others, or nothing; raise cluster.shards to four times their number, or take fewer",
                metadata: ["workers": "\(workers)", "shards": "\(settings.shardCount)"])
        case .note(let text): log.info("\(text)")
        }
    }

    private func close(_ id: SessionID, _ fault: PeerFault) {
        guard let session = sessions[id], !session.isEnding else { return }
        if let worker = core?.membership.members.first(where: { known[$0.id]?.session == id })?.id {
            known[worker]?.reason = fault.message
        }
        refuse(session, fault)
    }

    /// Tells a peer why it is not wanted, and the log.
    func refuse(_ session: PeerSession, _ fault: PeerFault) {
        tellRefusal(of: session, "\(fault.code)", fault.message)
        session.finish(.error(fault))
    }

    func tellRefusal(of session: PeerSession, _ code: String, _ cause: String) {
        metrics.saw(.refused)
        refusals.tell(
            code, "a worker's connection is refused or closed",
            ["peer": "\(session.connection.peer)", "code": "\(code)", "cause": "\(cause)"])
    }

    private func send(_ id: SessionID, _ message: Message) {
        guard let session = sessions[id] else { return }
        if case .welcome(let welcome) = message {
            session.begin(version: welcome.version, recordBytes: settings.bounds.windowBytes * settings.targets.count)
        }
        guard !session.post(message) else { return }
        session.abort("it does not read what it is sent; it was cut off, and dials again")
    }
}
