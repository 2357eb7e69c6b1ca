import ExportCore
import Model

/// What the simulation drives: `Delivery`, or one with a bug in it.
protocol DeliveryMachine {
    var hasPermit: Bool { get }
    var isIdle: Bool { get }
    var nextTick: Tick? { get }
    var status: Delivery.Status { get }
    mutating func handle(_ event: Delivery.Event, now: Tick, rng: inout PRNG) -> [Delivery.Effect]
}

extension Delivery: DeliveryMachine {}

/// Bugs that the simulation has to find, each with the word of the oracle that names it.
enum PlantedBug: String, CaseIterable, Sendable {
    case tooManyPermits = "permits"
    case permitGivenBackBeforeTheCommit = "the permits do not match"
    case limitNeverLowered = "was not lowered"
    case breakerNeverOpens = "although the target is down"
    case pauseTooShort = "too soon after"
    case twoProbes = "in flight while half-open"
    case retryAfterForgotten = "before Retry-After"
    case slowDownIgnored = "before the pause"
    case unknownTakenForSuccess = "never stored"
    case itemsNotLookedAt = "settled as delivered"
    case committedTwice = "commit of unknown batch"
    case deadLettersForgotten = "but never stored"
    case everythingSentAgain = "although it was answered"
    case clockForgotten = "nothing will ever happen again"
    case notSentTakenForFailure = "for a request that never left"
    case backOffForEver = "after the faults ended"
    case pauseIgnored = "sent while paused"
    case resumeForgotten = "happen again after a pause"
    case withdrawalForgotten = "sent although it was withdrawn"
    case withdrawnUnderWay = "withdrawn with its answer open"
    case withdrawalUntold = "was not withdrawn at once"
    case withdrawnWholeCommitted = "of which all was withdrawn"
    case tooMuchWithdrawn = "withdrawn unasked"
    case abandonedAwaited = "was not abandoned at once"
}

/// A delivery with a planted bug.
struct BuggyDelivery: DeliveryMachine {
    let bug: PlantedBug
    private var inner: Delivery
    /// Batches that were submitted and have no request under way.
    private var resting: [BatchID: Int] = [:]
    private var sizes: [BatchID: Int] = [:]

    init(_ bug: PlantedBug, policy: RetryPolicy, permits: Int, floor: Int) {
        self.bug = bug
        var policy = policy
        var settings = Breaker.Settings()
        if bug == .pauseTooShort { policy.settings.initialMilliseconds = 10 }
        if bug == .backOffForEver { policy.settings.maxMilliseconds = 80_000_000 }
        if bug == .backOffForEver { policy.settings.initialMilliseconds = 60_000_000 }
        if bug == .breakerNeverOpens {
            settings.failures = .max
            settings.periodMilliseconds = .max
        }
        let count = bug == .tooManyPermits ? permits + 2 : permits
        inner = Delivery(
            policy: policy, permits: count, minConcurrency: bug == .limitNeverLowered ? permits : floor,
            breaker: settings)
    }

    var hasPermit: Bool { inner.hasPermit }
    var isIdle: Bool { inner.isIdle }
    var nextTick: Tick? { bug == .clockForgotten ? nil : inner.nextTick }
    var status: Delivery.Status { inner.status }

    mutating func handle(_ event: Delivery.Event, now: Tick, rng: inout PRNG) -> [Delivery.Effect] {
        note(event)
        var effects = inner.handle(distorted(event), now: now, rng: &rng)
        for effect in effects {
            switch effect {
            case .send(let id, _): resting[id] = nil
            case .commit(let id, _) where bug == .permitGivenBackBeforeTheCommit:
                effects += inner.handle(.committed(id), now: now, rng: &rng)
            default: continue
            }
        }
        if bug == .withdrawnUnderWay, case .withdraw(let id, let items) = event, resting[id] == nil {
            effects.append(.withdrawn(id, items: items))
        }
        var shown: [Delivery.Effect] = []
        for effect in effects { shown += distorted(effect) }
        return shown
    }

    private mutating func note(_ event: Delivery.Event) {
        switch event {
        case .submit(let id, let items):
            sizes[id] = items
            resting[id] = items
        case .notSent(let id): resting[id] = sizes[id]
        case .committed(let id): resting[id] = nil
        default: return
        }
    }

    private func distorted(_ event: Delivery.Event) -> Delivery.Event {
        if bug == .notSentTakenForFailure, case .notSent(let id) = event {
            let reason = Reason(code: "ledger", message: "not sent")
            return .answered(id, .retry(reason, retryAfterMilliseconds: nil), nanoseconds: 0)
        }
        switch (bug, event) {
        case (.pauseIgnored, .pause), (.resumeForgotten, .resume), (.withdrawalForgotten, .withdraw): return .tick
        case (.abandonedAwaited, .abandon(let id, let items)): return .withdraw(id, items: items)
        case (.tooMuchWithdrawn, .withdraw(let id, _)), (.tooMuchWithdrawn, .abandon(let id, _)):
            return .withdraw(id, items: [0..<(sizes[id] ?? 1)])
        default: break
        }
        guard case .answered(let id, let verdict, let nanoseconds) = event else { return event }
        switch (bug, verdict) {
        case (.retryAfterForgotten, .retry(let reason, _)):
            return .answered(id, .retry(reason, retryAfterMilliseconds: nil), nanoseconds: nanoseconds)
        case (.slowDownIgnored, .delivered):
            return .answered(id, .delivered(slowDown: false), nanoseconds: nanoseconds)
        case (.unknownTakenForSuccess, .unknown), (.itemsNotLookedAt, .items):
            return .answered(id, .delivered(slowDown: false), nanoseconds: nanoseconds)
        default: return event
        }
    }

    private mutating func distorted(_ effect: Delivery.Effect) -> [Delivery.Effect] {
        switch (bug, effect) {
        case (.committedTwice, .commit): return [effect, effect]
        case (.deadLettersForgotten, .commit(let id, _)): return [.commit(id, dead: [])]
        case (.withdrawalUntold, .withdrawn): return []
        case (.withdrawnWholeCommitted, .ended(let id)): return [.commit(id, dead: [])]
        case (.everythingSentAgain, .send(let id, _)): return [.send(id, items: [0..<(sizes[id] ?? 1)])]
        case (.twoProbes, .send):
            guard case .halfOpen = inner.status.breaker, let (id, items) = resting.first else { return [effect] }
            resting[id] = nil
            return [effect, .send(id, items: [0..<items])]
        default: return [effect]
        }
    }
}
