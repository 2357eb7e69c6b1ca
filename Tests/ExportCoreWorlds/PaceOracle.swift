import ExportCore
import Model

/// Watches when requests leave, and holds it against rules of its own: it counts and times by itself and believes of the
/// machine's status only what it must.
struct PaceOracle {
    private struct Sent {
        var at: Tick
        /// How often the target had gone down by then.
        var timesDown: Int
    }

    let permits: Int
    let floor: Int
    let settings: RetrySettings
    private(set) var breaches: [String] = []
    private(set) var timesDown = 0
    private(set) var cuts = 0
    private(set) var most = 0

    private var sent: [BatchID: Sent] = [:]
    private var failuresInRow = 0
    private var firstFailure: Tick?
    /// The target failed so often that it counts as down.
    private var isDown = false
    private var earliest: [(until: Tick, why: String)] = []
    private var limit: Int
    private var lastCut = Tick(nanoseconds: 0)
    /// The limit before it fell without an overload: perhaps for a look, after which it is back.
    private var beforeLook: Int?
    /// Overload of requests that left before is no reason to lower the limit again.
    private var quietSince = Tick(nanoseconds: 0)

    init(permits: Int, floor: Int, settings: RetrySettings) {
        self.permits = permits
        self.floor = floor
        self.settings = settings
        limit = floor
    }

    /// The process died: nothing is known of the target, what was found out stays.
    func restarted() -> PaceOracle {
        var fresh = PaceOracle(permits: permits, floor: floor, settings: settings)
        fresh.breaches = breaches
        fresh.timesDown = timesDown
        fresh.cuts = cuts
        fresh.most = most
        return fresh
    }

    private mutating func note(_ breach: String) { breaches.append(breach) }

    /// A request leaves; `status` is the machine's after it.
    mutating func sends(_ id: BatchID, now: Tick, status: Delivery.Status) {
        sent[id] = Sent(at: now, timesDown: timesDown)
        most = max(most, sent.count)
        // The limit may have been lowered by the answer that came in the same step, but never raised past the ceiling.
        if sent.count > status.concurrencyLimit {
            note("\(sent.count) in flight, the limit is \(status.concurrencyLimit)")
        }
        if isDown, sent.count > 1 { note("\(sent.count) in flight although the target is down") }
        for (until, why) in earliest where now < until { note("sent \(until.milliseconds(since: now)) ms \(why)") }
        earliest.removeAll { $0.until <= now }
        switch status.breaker {
        case .closed: break
        case .open: note("sent while open")
        case .halfOpen where sent.count > 1: note("\(sent.count) in flight while half-open")
        case .halfOpen: break
        }
    }

    /// A request did not leave after all.
    mutating func takesBack(_ id: BatchID) { sent[id] = nil }

    /// An answer comes; `after` is the machine's status once it has heard.
    mutating func answers(_ id: BatchID, _ verdict: Verdict, records: Int, now: Tick, after status: Delivery.Status) {
        guard let request = sent.removeValue(forKey: id) else { return }
        let meaning = Meaning(verdict, records: records)
        watchLimit(meaning, request.at, now, status)
        if let pause = meaning.pause(settings) { earliest.append((now.adding(milliseconds: pause), meaning.why)) }
        // What was under way when it went down says nothing new.
        guard request.timesDown == timesDown else { return }
        if meaning.isSuccess {
            failuresInRow = 0
            firstFailure = nil
            isDown = false
        }
        guard meaning.isFailure else { return }
        failuresInRow += 1
        let isLong = firstFailure.map { now.milliseconds(since: $0) >= 30_000 } ?? false
        firstFailure = firstFailure ?? now
        guard isDown || failuresInRow >= 5 || isLong || meaning.refusesSettings else { return }
        timesDown += 1
        isDown = true
        earliest.append((now.adding(milliseconds: settings.initialMilliseconds / 2), Self.tooSoon))
    }

    private static let tooSoon = "too soon after the target went down"

    private mutating func watchLimit(_ meaning: Meaning, _ sentAt: Tick, _ now: Tick, _ status: Delivery.Status) {
        let current = status.concurrencyLimit
        defer { limit = current }
        if !(floor...permits).contains(current) { note("a limit of \(current) outside \(floor)...\(permits)") }
        let hasOpened = status.breaker != .closed
        if current > limit {
            if meaning.isOverload { note("the limit was raised by an overload") }
            if current > max(limit * 2, limit + 1), current != beforeLook {
                note("the limit was raised from \(limit) to \(current)")
            }
        }
        if meaning.isOverload, sentAt > quietSince, limit > floor, current >= limit {
            note("the limit of \(limit) was not lowered")
        }
        // A cut at the floor changes nothing that can be seen.
        if current <= max(floor, limit - 1) { quietSince = now }
        guard current < limit else { return }
        beforeLook = meaning.isOverload ? nil : limit
        cuts += 1
        if sentAt < lastCut, !hasOpened { note("the limit was lowered twice in a round trip") }
        lastCut = now
    }
}

/// What an answer says, read without `Delivery`.
private struct Meaning {
    var isSuccess = false
    var isFailure = false
    var isOverload = false
    var refusesSettings = false
    var why = ""
    private var retryAfter: UInt64?
    private var asksForPause = false

    init(_ verdict: Verdict, records: Int) {
        switch verdict {
        case .delivered(let slowDown):
            isSuccess = true
            isOverload = slowDown
            asksForPause = slowDown
            why = "before the pause was over"
        case .items(let verdicts, let wish): read(verdicts, wish, records)
        case .poisonAt(let place, _):
            isSuccess = 0..<records ~= place
            isFailure = !isSuccess
        case .poison, .tooLarge: break
        case .retry(_, let wish):
            isFailure = true
            isOverload = true
            retryAfter = wish
            why = "before Retry-After was over"
        case .configuration:
            isFailure = true
            refusesSettings = true
        case .unknown:
            isFailure = true
            isOverload = true
        }
    }

    private mutating func read(_ verdicts: [ItemVerdict], _ wish: UInt64?, _ records: Int) {
        let again = verdicts.count { item in
            switch item {
            case .delivered, .poison: false
            case .retry, .configuration: true
            }
        }
        guard verdicts.count == records else {
            isFailure = true
            return
        }
        isSuccess = again < records
        isFailure = again > 0
        refusesSettings = again == records && verdicts.contains { if case .configuration = $0 { true } else { false } }
        isOverload = verdicts.contains { if case .retry = $0 { true } else { false } }
        if again > 0, let wish {
            retryAfter = wish
            why = "before Retry-After was over"
        }
    }

    /// Milliseconds in which nothing may be sent.
    func pause(_ settings: RetrySettings) -> UInt64? {
        asksForPause ? settings.initialMilliseconds / 2 : retryAfter
    }
}
