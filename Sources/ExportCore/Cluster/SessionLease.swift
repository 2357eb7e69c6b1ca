public import Model
public import Protocol

/// A worker's side of its session: whom to dial, when to send heartbeats, and until when it may act.
///
/// Promises:
/// 1. The lease runs from when the heartbeat (or hello) was *sent* whose echo (or welcome) came, never from when that
///    came: the leader cannot have heard it earlier, so it takes the worker for dead only after the worker has stopped.
/// 2. ``isFenced(at:)`` is a comparison with a clock: a process that was paused is fenced when it wakes, whatever still
///    waits in its sockets.
/// 3. A leader of an older term than one that welcomed the worker before is left at once.
/// 4. A session without an echo for half of the lease is given up, so that another coordinator can be found in the rest.
/// 5. A grant lives as long as the lease of the session in which it was assigned. A welcome, or echoes in a later session,
///    renew only what that session's leader has confirmed by an `assign` of its own: it may have given the rest away.
public struct SessionLease: Sendable {
    /// Times of the worker's own.
    public struct Settings: Sendable, Equatable {
        /// Longest time to connect, handshakes included, milliseconds.
        public var dialMilliseconds: UInt64 = 3_000
        /// Longest wait for the answer to hello, milliseconds.
        public var helloMilliseconds: UInt64 = 3_000
        /// Heartbeats that may be without an echo; more are not remembered.
        public var maxUnanswered = 16
        /// Sessions that are over and whose ends are remembered; grants of older ones may not be acted on.
        public var maxFormer = 16

        /// The documented ones.
        public init() {}
    }

    /// What it is told.
    public enum Event: Sendable, Equatable {
        /// The connection that was asked for is up.
        case connected(SessionID)
        /// It could not be made, or is gone.
        case closed(SessionID)
        /// The leader's answer to hello.
        case welcome(SessionID, Welcome)
        /// The answer of one that does not lead.
        case notLeader(SessionID, NotLeader)
        /// The leader's heartbeat.
        case echo(SessionID, term: UInt64, number: UInt64)
        /// The worker cannot do its part: the session ends for this reason, and none is looked for until `recovered`.
        case unfit(PeerFault)
        /// It can again.
        case recovered
        /// ``SessionLease/nextDeadline`` has passed.
        case timer
    }

    /// What is to be done.
    public enum Effect: Sendable, Equatable {
        /// Connect to `address`; the connection is to be known by this number.
        case dial(SessionID, address: String)
        /// Send a hello with ``SessionLease/term`` and all that is held.
        case hello(SessionID)
        /// Send a heartbeat.
        case heartbeat(SessionID, term: UInt64, number: UInt64)
        /// Send the fault and close.
        case close(SessionID, PeerFault)
        /// The session is up: nothing of it may be sent before.
        case established(SessionID, Welcome)
        /// The session is gone.
        case ended(SessionID)
    }

    enum Phase: Sendable, Equatable {
        case idle
        case dialling(SessionID, since: Tick)
        case greeting(SessionID, since: Tick)
        case established(SessionID)
    }

    /// The highest term that a leader or standby told of.
    public private(set) var term: UInt64
    private let settings: Settings
    private var dial: CoordinatorDial
    private var phase = Phase.idle
    private var sessionCount: UInt64 = 0
    /// The length of the last session's lease; 0 before the first.
    public private(set) var leaseMilliseconds: UInt64 = 0
    private var isUnfit = false
    private var marginMilliseconds: UInt64 = 0
    /// When the last heartbeat was sent that was echoed.
    private var base: Tick?
    /// Of sessions that are over.
    private var formerEnds: [(session: SessionID, end: Tick, margin: UInt64)] = []
    private var sessionTerm: UInt64 = 0
    private var nextNumber: UInt64 = 1
    private var heartbeatDue: Tick?
    /// Whether the session was of use; one that ends before counts as a failed attempt.
    private var wasEchoed = false
    /// Sent and not echoed, oldest first.
    private var unanswered: [(number: UInt64, sent: Tick)] = []

    /// - Parameters:
    ///   - dial: whom to dial.
    ///   - term: the highest term known from before.
    public init(dial: CoordinatorDial, term: UInt64 = 0, settings: Settings = Settings()) {
        self.dial = dial
        self.term = term
        self.settings = settings
    }

    // MARK: Queries

    /// The session that is up; nil if none is.
    public var session: SessionID? {
        guard case .established(let session) = phase else { return nil }
        return session
    }

    /// When the session's lease ends; nil without a session.
    public var leaseEnd: Tick? {
        guard case .established = phase, let base else { return nil }
        return base.adding(milliseconds: leaseMilliseconds)
    }

    /// When what was assigned in `session` may be acted on no longer; nil if that is long ago. With `session` up it moves on
    /// with every echo.
    public func leaseEnd(ofGrantsIn session: SessionID) -> Tick? {
        session == self.session ? leaseEnd : formerEnds.last { $0.session == session }?.end
    }

    /// When requests that began under what was assigned in `session`, which is over, have to be cut off; nil if that is long ago.
    public func requestsEnd(ofGrantsIn session: SessionID) -> Tick? {
        formerEnds.last { $0.session == session }.map {
            $0.end.adding(milliseconds: ClusterTiming.certain(of: $0.margin))
        }
    }

    /// Whether no request may be started under what was assigned in `session`.
    public func isFenced(grantsIn session: SessionID, at now: Tick) -> Bool {
        leaseEnd(ofGrantsIn: session).map { $0 <= now } ?? true
    }

    /// Whether no request may be started under what was assigned in the session that is up; true without a session.
    public func isFenced(at now: Tick) -> Bool { leaseEnd.map { $0 <= now } ?? true }

    /// When ``Event/timer`` is due.
    public var nextDeadline: Tick? {
        switch phase {
        case .idle: return isUnfit ? nil : dial.notBefore
        case .dialling(_, let since): return since.adding(milliseconds: settings.dialMilliseconds)
        case .greeting(_, let since): return since.adding(milliseconds: settings.helloMilliseconds)
        case .established: return [heartbeatDue, giveUpTick].compactMap { $0 }.min()
        }
    }

    private var giveUpTick: Tick? { base?.adding(milliseconds: max(1, leaseMilliseconds / 2)) }

    // MARK: Events

    /// Takes in what happened. Effects are in the order in which they have to be carried out.
    public mutating func handle(_ event: Event, now: Tick, rng: inout PRNG) -> [Effect] {
        switch event {
        case .connected(let session):
            guard case .dialling(session, _) = phase else { return [] }
            phase = .greeting(session, since: now)
            return [.hello(session)]
        case .closed(let session):
            guard session == current else { return [] }
            return leave(now, &rng)
        case .welcome(let session, let welcome):
            guard case .greeting(session, let since) = phase else { return [] }
            guard welcome.term >= term else {
                return staleTerm(session, welcome.term) + leave(now, &rng)
            }
            return establish(session, welcome, helloSent: since, now)
        case .notLeader(let session, let answer):
            guard case .greeting(session, _) = phase else { return [] }
            let isOutdated = answer.term < term
            term = max(term, answer.term)
            phase = .idle
            dial.redirected(to: answer.address, isOutdated: isOutdated, now: now, rng: &rng)
            return [.ended(session)] + dialNext(now)
        case .echo(let session, let term, let number):
            guard case .established(session) = phase, term == sessionTerm else { return [] }
            answered(number, now)
            return []
        case .unfit(let fault):
            isUnfit = true
            return current.map { [.close($0, fault)] + leave(now, &rng) } ?? []
        case .recovered:
            isUnfit = false
            return phase == .idle ? dialNext(now) : []
        case .timer: return expire(now, &rng)
        }
    }

    private var current: SessionID? {
        switch phase {
        case .idle: nil
        case .dialling(let session, _), .greeting(let session, _), .established(let session): session
        }
    }

    private mutating func establish(
        _ session: SessionID, _ welcome: Welcome, helloSent: Tick, _ now: Tick
    ) -> [Effect] {
        term = welcome.term
        sessionTerm = welcome.term
        leaseMilliseconds = UInt64(welcome.leaseMilliseconds)
        marginMilliseconds = UInt64(welcome.marginMilliseconds)
        base = helloSent
        phase = .established(session)
        unanswered = []
        wasEchoed = false
        return [.established(session, welcome)] + beat(session, now)
    }

    private mutating func answered(_ number: UInt64, _ now: Tick) {
        guard let place = unanswered.lastIndex(where: { $0.number == number }) else { return }
        base = unanswered[place].sent
        if !wasEchoed { dial.welcomed(now: now) }
        wasEchoed = true
        unanswered.removeSubrange(...place)
    }

    private mutating func beat(_ session: SessionID, _ now: Tick) -> [Effect] {
        let number = nextNumber
        nextNumber += 1
        if unanswered.count >= settings.maxUnanswered { unanswered.removeFirst() }
        unanswered.append((number, now))
        heartbeatDue = now.adding(milliseconds: max(1, leaseMilliseconds / 4))
        return [.heartbeat(session, term: sessionTerm, number: number)]
    }

    private mutating func expire(_ now: Tick, _ rng: inout PRNG) -> [Effect] {
        switch phase {
        case .idle: return dialNext(now)
        case .dialling(let session, let since):
            guard since.adding(milliseconds: settings.dialMilliseconds) <= now else { return [] }
            return giveUp(session, "no connection within \(settings.dialMilliseconds) ms", now, &rng)
        case .greeting(let session, let since):
            guard since.adding(milliseconds: settings.helloMilliseconds) <= now else { return [] }
            return giveUp(session, "no answer to hello within \(settings.helloMilliseconds) ms", now, &rng)
        case .established(let session):
            if let tick = giveUpTick, tick <= now {
                return giveUp(session, "no echo of a heartbeat within \(leaseMilliseconds / 2) ms", now, &rng)
            }
            guard let due = heartbeatDue, due <= now else { return [] }
            return beat(session, now)
        }
    }

    private mutating func giveUp(
        _ session: SessionID, _ why: String, _ now: Tick, _ rng: inout PRNG
    ) -> [Effect] {
        [.close(session, PeerFault(code: .unexpected, message: "\(why); the next coordinator is tried"))]
            + leave(now, &rng)
    }

    private func staleTerm(_ session: SessionID, _ old: UInt64) -> [Effect] {
        [
            .close(
                session,
                PeerFault(code: .staleTerm, message: "term \(old) is over; the worker has heard of term \(term)"))
        ]
    }

    /// The session, or the attempt at one, is over; the next is tried.
    private mutating func leave(_ now: Tick, _ rng: inout PRNG) -> [Effect] {
        guard let session = current else { return [] }
        if let end = leaseEnd {
            if formerEnds.count >= settings.maxFormer { formerEnds.removeFirst() }
            formerEnds.append((session, end, marginMilliseconds))
        }
        if !wasEchoed { dial.failed(now: now, rng: &rng) }
        wasEchoed = false
        phase = .idle
        base = nil
        unanswered = []
        heartbeatDue = nil
        return [.ended(session)] + dialNext(now)
    }

    private mutating func dialNext(_ now: Tick) -> [Effect] {
        guard !isUnfit, let address = dial.address(now: now) else { return [] }
        sessionCount += 1
        let session = SessionID(sessionCount)
        phase = .dialling(session, since: now)
        return [.dial(session, address: address)]
    }
}
