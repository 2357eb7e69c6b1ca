import Model
import Protocol

/// How one target fares, put together from what all workers say of it.
///
/// 1. A success of any worker ends the row of failures, whoever it is and whatever it owns: it is a fact.
/// 2. A failure counts only from a worker that holds shards, is not fenced and not shunned; and what a worker did while
///    that was not so does not count when it comes back.
/// 3. What failed before this leader's term never breaks a target by itself; one more failure has to be seen.
/// 4. At the threshold, nobody is blamed but the worker that fails as long as another one's last word, however old, was not
///    a failure: records come in bursts or rarely, so that a success of long ago may be the last that could be had. That
///    other one has `suspicion` and `evidence` to show it; then, or when it fails too, the target is broken.
struct TargetWatch: Sendable {
    /// What one worker says.
    struct View: Sendable {
        fileprivate var attempts: UInt64
        fileprivate var successes: UInt64
        /// Failures in a row as the worker tells them.
        fileprivate var inRow: UInt64
        /// The same, as far as they count.
        var failures: UInt64
        var failingSince: Tick?
        var lastSuccess: Tick?
        fileprivate var lastFailure: Tick?
        /// Whether its last report of any attempt had a success in it, or there was no attempt yet.
        fileprivate var isFine: Bool
        /// The next report that could count is only where counting begins.
        fileprivate(set) var isStale = false
        fileprivate var oldest: UInt64?
        fileprivate var reported: Tick
    }

    let name: String
    private let settings: ExportGateSettings
    private(set) var workers: [String: View] = [:]
    /// Failures since the last success of anybody.
    private(set) var failures: UInt64 = 0
    private(set) var lastSuccess: Tick?
    /// Why the last attempt failed; empty if it did not.
    private(set) var reason = ""
    /// The last failure, also after successes.
    private var lastFailed: (reason: String, at: Tick)?
    private(set) var pending: UInt64?
    private var unwritten: UInt64 = 0
    /// Whether something of it can still be sent.
    private var isUnsent = true
    private var oldest: (age: UInt64, at: Tick)?
    /// Successes since the target was last found broken.
    private(set) var successes: UInt64 = 0
    /// Whether it has to show that it works before the episode can end.
    private(set) var mustProve = false
    /// When the threshold was reached; nil if it is not.
    private var doubted: Tick?

    init(name: String, settings: ExportGateSettings) {
        self.name = name
        self.settings = settings
    }

    /// Takes a worker's report. `counts` says whether its failures count, `carries` whether it may be known from an
    /// earlier leader's term. From a report on that a worker makes without being fenced, it is seen what it does.
    mutating func report(
        _ worker: String, _ health: TargetHealth, counts: Bool, isFenced: Bool, carries: Bool, now: Tick
    ) {
        guard let view = workers[worker] else { return meet(worker, health, counts, carries, now) }
        // Counters that shrank are those of a new process.
        let isNew = health.attempts < view.attempts || health.successes < view.successes
        let successes = health.successes - (isNew ? 0 : view.successes)
        let inRow = UInt64(health.consecutiveFailures)
        // A row that shrank without a success is one that the worker began anew, as after a refusal of a single record,
        // which a receiver that works gives as well.
        let began = successes > 0 || isNew || inRow < view.inRow
        let row = began ? inRow : inRow - view.inRow
        var next = view
        next.attempts = health.attempts
        next.inRow = inRow
        next.successes = health.successes
        if !isFenced { next.isStale = false }
        next.oldest = health.oldestMilliseconds
        next.reported = now
        let mayCount = counts && !view.isStale
        if successes > 0 {
            succeeded(successes, at: now)
            next.lastSuccess = now
            next.isFine = true
        }
        if began {
            next.failures = 0
            next.failingSince = nil
        }
        if row > 0, mayCount {
            next.isFine = successes > 0
            next.lastFailure = now
            next.failures += row
            next.failingSince = next.failingSince ?? now
            failures += row
            failed(health.reason, at: now)
        }
        workers[worker] = next
    }

    private mutating func meet(
        _ worker: String, _ health: TargetHealth, _ counts: Bool, _ carries: Bool, _ now: Tick
    ) {
        let success = health.sinceSuccessMilliseconds.map { now.subtracting(milliseconds: $0) }
        let carried = carries && counts ? min(UInt64(health.consecutiveFailures), settings.failureThreshold - 1) : 0
        workers[worker] = View(
            attempts: health.attempts, successes: health.successes, inRow: UInt64(health.consecutiveFailures),
            failures: carried,
            failingSince: carried > 0 ? now : nil, lastSuccess: success, isFine: health.consecutiveFailures == 0,
            oldest: health.oldestMilliseconds, reported: now)
        let isLatest = success.map { mine in lastSuccess.map { mine > $0 } ?? true } ?? (lastSuccess == nil)
        if let success, isLatest { lastSuccess = success }
        if isLatest, carried > failures {
            failures = carried
            failed(health.reason, at: now)
        }
    }

    private mutating func failed(_ why: String, at now: Tick) {
        reason = why
        lastFailed = (why, now)
    }

    private mutating func succeeded(_ count: UInt64, at now: Tick) {
        failures = 0
        lastSuccess = now
        reason = ""
        // A peer may say anything; what it says must not end the leader.
        successes = min(successes, 1 << 40) + min(count, 1 << 40)
    }

    /// What the worker does from here until its next report does not count.
    mutating func distrust(_ worker: String) { workers[worker]?.isStale = true }

    /// It has to fail anew to be suspect.
    mutating func pardon(_ worker: String) {
        workers[worker]?.failures = 0
        workers[worker]?.failingSince = nil
        workers[worker]?.isStale = true
    }

    /// It counts as one that was never heard of.
    mutating func forget(_ worker: String) { workers[worker] = nil }

    /// Takes the coordinator's own knowledge: records not delivered here, and the age of the oldest in milliseconds.
    /// Of these, the `unwritten` ones wait for nobody to send them.
    mutating func backlog(_ records: UInt64, oldest age: UInt64?, unwritten: UInt64, now: Tick) {
        pending = records
        self.unwritten = unwritten
        isUnsent = records > unwritten
        oldest = age.map { ($0, now) }
        // With nothing left to send, nothing can show that the target works again.
        if !isUnsent { failures = 0 }
    }

    /// Whether the worker should be given what another one fails with: its last word is no failure, or it has nothing to
    /// send there and its failure is old. It would not try again by itself, and what it failed with then may be mended.
    func mayTakeOver(_ worker: String, now: Tick) -> Bool {
        guard let view = workers[worker] else { return false }
        if view.isFine { return true }
        let isOld = view.lastFailure.map { now >= $0.adding(milliseconds: settings.evidence) } ?? true
        return isOld && view.oldest == nil
    }

    /// Whether this worker's word is evidence that the target works, or it still has time to show that.
    func isEvidence(_ worker: String, now: Tick) -> Bool {
        guard let view = workers[worker], view.isFine else { return false }
        if let success = view.lastSuccess, now < success.adding(milliseconds: settings.evidence) { return true }
        return doubted.map { now < $0.adding(milliseconds: settings.suspicion + settings.evidence) } ?? true
    }

    /// Notes since when the threshold is reached; before everything that is decided at a tick.
    mutating func doubt(now: Tick) { doubted = isAtThreshold ? doubted ?? now : nil }

    /// Whether attempts failed in a row as often as makes the target suspect.
    var isAtThreshold: Bool { failures >= settings.failureThreshold }

    /// Age of the oldest undelivered record, by the coordinator's knowledge or that of the workers given, which remember
    /// it when a leader changes.
    func oldestAge(_ serving: Set<String>, now: Tick) -> UInt64? {
        if pending == 0 { return nil }
        var age = oldest.map { $0.age + now.milliseconds(since: $0.at) }
        for (worker, view) in workers {
            guard let waited = view.oldest, serving.contains(worker) else { continue }
            // Not grown by the time since the report: it may have been delivered since.
            age = max(age ?? 0, waited)
        }
        return age
    }

    /// The last failure there that is known.
    func lastFailure(now: Tick) -> ExportGate.LastFailure? {
        lastFailed.map { ExportGate.LastFailure(reason: $0.reason, milliseconds: now.milliseconds(since: $0.at)) }
    }

    /// What is wrong with it; `hindrance` is what keeps the coordinator from reading and writing.
    func trouble(_ serving: Set<String>, hindrance: String, now: Tick) -> ExportGate.Cause? {
        if isAtThreshold, !serving.contains(where: { isEvidence($0, now: now) }) {
            return .failures(target: name, count: failures, reason: reason)
        }
        if let age = oldestAge(serving, now: now), age >= settings.ageLimit {
            var wait = ExportGate.Wait(milliseconds: age, records: pending)
            (wait.unwritten, wait.failures, wait.hindrance) = (unwritten, failures, hindrance)
            wait.last = lastFailure(now: now)
            return .age(target: name, wait)
        }
        return nil
    }

    /// It was found broken, or nobody knows whether it was.
    mutating func demandProof() {
        mustProve = true
        successes = 0
    }

    /// The episode is over.
    mutating func acquit() { mustProve = false }

    /// Whether enough has succeeded, or nothing is left that could.
    var isProven: Bool { !mustProve || successes >= settings.recoverySuccesses || !isUnsent }

    /// Whether what is left to send is little, or young.
    func isCalm(_ serving: Set<String>, now: Tick) -> Bool {
        guard let pending else { return false }
        if pending == 0 { return true }
        let age = oldestAge(serving, now: now) ?? 0
        return age < settings.recoveryAge || (pending <= settings.backlogMark && age < settings.ageLimit)
    }
}
