public import Model

/// The life of one candidate: it follows, takes the lease when it is free, leads, renews, steps down.
///
/// Promises, with a store whose writes are atomic, conditional on a version and seen by every later reading:
/// 1. At any moment ``isLeading(now:)`` is true for at most one candidate, provided that no clock runs faster than another
///    by the factor ``ElectionSettings/lease`` / ``ElectionSettings/renewDeadline`` (1.5 by default). Clocks are never
///    compared, only rates matter: a leader counts from the moment at which it *began* the last write that succeeded,
///    the others count the lease, which is longer, from the moment at which they *learned* of it.
/// 2. ``Effect/lead(term:)`` comes with a term higher than any before, also if the lease was deleted meanwhile: the store
///    keeps the highest term apart from the lease, and the machine remembers what it saw. A deleted lease is made anew
///    without a holder and waited out; its leader, if it lives, simply takes it on.
/// 3. A write without an answer is neither success nor failure: the lease is read again. If it says what we wrote, the
///    write counts from when it was begun.
/// 4. While the store does not answer, a leader goes on until its deadline and not a moment longer, and nobody takes over.
/// 5. When the store answers again, somebody leads within a lease, a retry period and four requests.
/// 6. A lease that somebody else edits, also one that is emptied, is waited out: its holder steps down when it learns of it,
///    at its next renewal, and acts until its deadline if it cannot.
/// 7. Who resigned takes no lease for the duration of one, so that others are first; after that, also if nobody came.
/// 8. A later term that workers tell of and the store does not know, as after somebody edited it, is outgrown: they serve
///    nobody of an earlier one. The leader takes its own lease again in a term beyond it, at most once in
///    ``leasesBetweenOutgrowing`` leases, so that a worker in a bad state costs one hand-over in that time and no more.
///
/// Not promised: that what a leader began arrives before its term is over. A process may stand still between asking
/// ``isLeading(now:)`` and the write that follows; hence everything that writes is fenced by the term as well.
///
/// Effects come in order. One request is under way at a time; answers to others are ignored.
public struct LeaderElection: Sendable {
    /// Terms beyond this are nobody's: JSON numbers are exact up to here, and no cluster lives to see it.
    public static let maxTerm: UInt64 = 1 << 53

    /// How many leases pass at least between two terms that were ended for a worker's word: 5 minutes by default.
    static let leasesBetweenOutgrowing: UInt64 = 20

    let settings: ElectionSettings
    let identity: String
    let address: String
    let endpoint: String
    var sight: Sight?
    var leadership: Leadership?
    var request: Request?
    /// The last write of ours that may have been carried out though we got no answer.
    var unanswered: Request?
    /// The highest term of which we know that somebody had it.
    var highestTerm: UInt64
    /// The highest term that somebody other than the store spoke of. The next one is beyond it.
    var toldTerm: UInt64 = 0
    /// From when on such a word has the lease read again.
    var nextLook: Tick
    /// From when on such a word ends a term that the store holds for the last.
    var nextOutgrowing: Tick
    /// The next thing to do is a reading.
    var mustRead = true
    var due: Tick
    /// When the lease we hold is renewed at the latest.
    var renewal: Tick
    var conflicts: UInt64 = 0
    var lastID: UInt64 = 0
    var lastRenewal: UInt64 = 0
    /// The last term that we led in; it is not led in twice.
    var lastLed: UInt64 = 0
    var followed: Leader??
    /// Until when an earlier leader can have acted, when the lease was last taken.
    var takenQuietSince: Tick
    /// Until when the lease is left to others after a resignation.
    var restsUntil: Tick?
    /// When a shutdown is over though the lease could not be given back.
    var stopBy: Tick?
    private(set) var isFinished = false

    /// A candidate that knows nothing yet.
    ///
    /// - Parameters:
    ///   - identity: unique for each start of the process. A second process of the same identity would take the lease for
    ///     its own.
    ///   - address: where this coordinator listens when it leads.
    ///   - endpoint: where it shows the cluster's status, as a URL; empty if it does not.
    ///   - highestTerm: the highest term of which there is a trace elsewhere, as in the status journal.
    public init(
        identity: String, address: String, endpoint: String = "", settings: ElectionSettings = .standard,
        highestTerm: UInt64 = 0, now: Tick
    ) {
        precondition(!identity.isEmpty)
        self.identity = identity
        self.address = address
        self.endpoint = endpoint
        self.settings = settings
        self.highestTerm = highestTerm
        due = now
        nextLook = now
        nextOutgrowing = now
        renewal = now
        takenQuietSince = now
    }

    /// Whether anything may be done in the name of the term. To be asked before every action.
    public func isLeading(now: Tick) -> Bool { leadership.map { now < $0.until } ?? false }

    /// Our term and until when we may act in it unless it is renewed; nil if we do not lead.
    public func leading(now: Tick) -> (term: UInt64, until: Tick)? {
        leadership.flatMap { now < $0.until ? ($0.term, $0.until) : nil }
    }

    /// Since when certainly no leader of an earlier term has acted; nil if we do not lead.
    ///
    /// That is as early as it can be known: whoever gave the lease back may have acted until then; whoever let it lapse could
    /// act for the renew deadline after its last renewal, of which we learned later than it was begun.
    public var quietSince: Tick? { leadership?.quietSince }

    /// The highest term known, whoever had it.
    public var highestKnownTerm: UInt64 { highestTerm }

    /// Who holds the lease as far as is known; nil if nobody does, or not any more.
    public func leader(now: Tick) -> Leader? {
        guard let sight, let record = sight.state.stored?.record, record.isHeld else { return nil }
        guard now < expiry(of: sight) else { return nil }
        return Leader(
            identity: record.holder, address: record.address, endpoint: record.endpoint, term: record.term)
    }

    /// Whether nobody leads, or whoever does has let three times the retry period pass without renewing: one that is asked for the
    /// leader had better not name it, for it is dead, or will have renewed in a moment. A standby sees a renewal within two.
    public func isLeaderInDoubt(now: Tick) -> Bool {
        guard leader(now: now) != nil, let sight else { return true }
        return now >= sight.since.adding(milliseconds: 3 * settings.retryPeriod)
    }

    /// When ``Event/tick`` is wanted next; nil once everything is done.
    public var nextTick: Tick? {
        guard !isFinished else { return nil }
        var next = request.map { $0.begun.adding(milliseconds: settings.requestTimeout) } ?? due
        if let leadership { next = min(next, leadership.until) }
        if let stopBy { next = min(next, stopBy) }
        return next
    }

    /// Takes an event in; returns what is to be done, in order.
    public mutating func handle(_ event: Event, now: Tick, rng: inout PRNG) -> [Effect] {
        guard !isFinished else { return [] }
        var effects: [Effect] = []
        // Before anything else: an answer that came too late finds a leader who has already stepped down.
        if let leadership, now >= leadership.until { stepDown(.renewDeadline, &effects) }
        switch event {
        case .tick: break
        case .changed:
            mustRead = true
            due = min(due, now)
        case .read(let id, let state):
            if answered(id) != nil { saw(state, now, &rng, &effects) }
        case .wrote(let id, let version):
            if let request = answered(id) { wrote(request, version, now, &rng, &effects) }
        case .conflict(let id):
            if answered(id) != nil { conflicted(now, &rng) }
        case .failed(let id):
            if let request = answered(id) { failed(request, now, &rng) }
        case .heard(let term): heard(term, now, &effects)
        case .told(let term): told(term, now)
        case .resign: resign(now, &effects)
        case .shutDown:
            guard stopBy == nil else { break }
            stopBy = now.adding(milliseconds: settings.renewDeadline)
            due = now
            stepDown(.shutdown, &effects)
        }
        if let request, now >= request.begun.adding(milliseconds: settings.requestTimeout) {
            self.request = nil
            failed(request, now, &rng)
        }
        act(now, &effects)
        return effects
    }

    /// The request `id` if it is the one under way.
    private mutating func answered(_ id: UInt64) -> Request? {
        guard let request, request.id == id else { return nil }
        self.request = nil
        return request
    }

    mutating func stepDown(_ reason: StepDownReason, _ effects: inout [Effect]) {
        guard let leadership else { return }
        self.leadership = nil
        effects.append(.stepDown(term: leadership.term, reason))
        // To give it back takes no look: the write says which version it replaces.
        if reason != .shutdown { mustRead = true }
    }

    private mutating func heard(_ term: UInt64, _ now: Tick, _ effects: inout [Effect]) {
        guard term > highestTerm, term <= Self.maxTerm else { return }
        highestTerm = term
        guard leadership != nil else { return }
        stepDown(.outranked(by: term), &effects)
        due = now
    }

    /// What a worker says may be true, and then the store says so as well; or the store has lost it; or the worker is in a bad
    /// state, and must not be able to keep the cluster without a leader.
    private mutating func told(_ term: UInt64, _ now: Tick) {
        guard term > highestTerm, term < Self.maxTerm else { return }
        toldTerm = max(toldTerm, term)
        guard leadership != nil, now >= nextLook else { return }
        nextLook = now.adding(milliseconds: settings.retryPeriod)
        mustRead = true
        due = min(due, now)
    }

    private mutating func resign(_ now: Tick, _ effects: inout [Effect]) {
        guard leadership != nil else { return }
        restsUntil = now.adding(milliseconds: settings.lease)
        stepDown(.resigned, &effects)
        due = now
    }

    /// Whether the lease is left to others.
    func isResting(now: Tick) -> Bool { restsUntil.map { now < $0 } ?? false }

    /// A pause of the retry period, less up to a fifth, so that candidates that began together do not stay together.
    func pause(_ rng: inout PRNG) -> UInt64 {
        settings.retryPeriod - rng.below(settings.retryPeriod / 5 + 1)
    }

    /// When the lease that was seen may be taken though it was not given back.
    func expiry(of sight: Sight) -> Tick {
        let duration = sight.state.stored?.record.durationMilliseconds ?? 0
        return sight.since.adding(milliseconds: max(duration, settings.lease))
    }

    /// Whether the lease as it was seen is free: given back by its holder, or our own from a term that we have left, and
    /// nobody led since; or not changed for its duration.
    ///
    /// "Nobody led since" matters where leases are deleted: a write from long ago, which asked for no lease to be there,
    /// may arrive after others led and theirs was deleted. It is told by its term.
    func mayTake(_ sight: Sight, now: Tick) -> Bool {
        guard let record = sight.state.stored?.record else { return false }
        let wasLeft = record.isGivenBack || record.holder == identity
        return wasLeft && record.term >= highestTerm || now >= expiry(of: sight)
    }

    /// Until when whoever held the lease as it was seen may have acted.
    private func lastAct(_ sight: Sight, now: Tick) -> Tick {
        guard let record = sight.state.stored?.record, now >= expiry(of: sight) else { return now }
        // One with other settings than ours has another deadline, but one within its lease.
        let isLikeUs = record.durationMilliseconds == settings.lease
        return min(
            now, sight.since.adding(milliseconds: isLikeUs ? settings.renewDeadline : record.durationMilliseconds))
    }

    /// Begins the next request, if it is time and none is under way.
    private mutating func act(_ now: Tick, _ effects: inout [Effect]) {
        if stopBy != nil { return actStopping(now, &effects) }
        guard request == nil, now >= due else { return }
        guard !mustRead, let sight else { return beginReading(now, &effects) }
        if let leadership {
            begin(record(term: leadership.term), sight.state.stored?.version, now, &effects)
        } else if isResting(now: now) {
            actResting(sight, now, &effects)
        } else if sight.state.stored == nil {
            begin(vacancy(), nil, now, &effects)
        } else if mayTake(sight, now: now) {
            takenQuietSince = lastAct(sight, now: now)
            begin(record(term: max(highestTerm, toldTerm) + 1), sight.state.stored?.version, now, &effects)
        } else {
            beginReading(now, &effects)
        }
    }

    /// Gives the lease back once it is known to be ours, and follows whoever comes.
    private mutating func actResting(_ sight: Sight, _ now: Tick, _ effects: inout [Effect]) {
        guard let held = sight.state.stored, held.record.holder == identity else { return beginReading(now, &effects) }
        begin(vacated(held.record), held.version, now, &effects)
    }

    /// Gives the lease back, if it is ours or may have become ours.
    private mutating func actStopping(_ now: Tick, _ effects: inout [Effect]) {
        let held = sight?.state.stored.flatMap { $0.record.holder == identity ? $0 : nil }
        let isOurs = held != nil || unanswered != nil
        let isOver = stopBy.map { now >= $0 } ?? false
        guard !isOver, request?.record != nil || isOurs else {
            isFinished = true
            effects.append(.finished)
            return
        }
        guard request == nil, now >= due else { return }
        guard !mustRead, let held else { return beginReading(now, &effects) }
        begin(vacated(held.record), held.version, now, &effects)
    }

    private mutating func vacated(_ held: LeaseRecord) -> LeaseRecord {
        var record = held
        record.holder = ""
        record.address = ""
        record.endpoint = ""
        record.renewal = nextRenewal(after: record.renewal)
        return record
    }

    /// What is written where no lease is. To take a lease is always to replace one, so that only one can have done it.
    private mutating func vacancy() -> LeaseRecord {
        LeaseRecord(
            holder: highestTerm == 0 ? "" : LeaseRecord.vacant, address: "", term: highestTerm,
            renewal: nextRenewal(after: 0), durationMilliseconds: settings.lease)
    }

    private mutating func record(term: UInt64) -> LeaseRecord {
        var record = LeaseRecord(
            holder: identity, address: address, term: term,
            renewal: nextRenewal(after: sight?.state.stored?.record.renewal ?? 0), durationMilliseconds: settings.lease)
        record.endpoint = endpoint
        return record
    }

    /// Never the same twice, so that what is read tells which of our writes it was.
    private mutating func nextRenewal(after seen: UInt64) -> UInt64 {
        lastRenewal = max(lastRenewal, seen) + 1
        return lastRenewal
    }

    private mutating func beginReading(_ now: Tick, _ effects: inout [Effect]) {
        lastID += 1
        request = Request(id: lastID, begun: now, record: nil)
        effects.append(.read(id: lastID))
    }

    private mutating func begin(
        _ record: LeaseRecord, _ replacing: LeaseVersion?, _ now: Tick, _ effects: inout [Effect]
    ) {
        lastID += 1
        request = Request(id: lastID, begun: now, record: record)
        effects.append(.write(id: lastID, record, replacing: replacing))
    }
}
