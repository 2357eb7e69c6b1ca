import Model

@testable import ExportCore
@testable import ExportCoreWorlds

/// Mistakes that cost a cluster its one leader, or all of them. Raw value: what is to be noticed.
enum ElectionBug: CaseIterable {
    case noMargin, deadlineFromTheAnswer, versionIgnored, termNotGrown, lostAnswerIsSuccess, takesTooEarly
    case storeForgetsTerms, actsUntilTold, identityOfTheName, actsWhileGivingBack, countsFromTheQuestion
    case neverAsksAgain

    var breach: String {
        switch self {
        case .termNotGrown, .storeForgetsTerms: "a term did not grow"
        case .neverAsksAgain: "nobody leads after the faults"
        default: "two lead at one moment"
        }
    }
}

/// The machine with one of the bugs built around it.
struct BuggyElection: Contender {
    private let bug: ElectionBug
    private var inner: LeaderElection
    private var isActing = false
    private var actingUntil = Tick(nanoseconds: 0)
    private var begun: [UInt64: Tick] = [:]
    private var writes: Set<UInt64> = []
    private var isDeaf = false

    var ignoresVersions: Bool { bug == .versionIgnored }
    var nextTick: Tick? { inner.nextTick }

    init(_ bug: ElectionBug, identity: String, now: Tick) {
        self.bug = bug
        let settings =
            switch bug {
            case .noMargin:
                ElectionSettings(unchecked: 15_000, renewDeadline: 15_000, retryPeriod: 2_000, requestTimeout: 4_000)
            case .takesTooEarly:
                ElectionSettings(unchecked: 5_000, renewDeadline: 10_000, retryPeriod: 2_000, requestTimeout: 4_000)
            default: ElectionSettings.standard
            }
        let name = identity.split(separator: "/").first.map(String.init) ?? identity
        inner = LeaderElection(
            identity: bug == .identityOfTheName ? name : identity, address: identity, settings: settings, now: now)
    }

    func isLeading(now: Tick) -> Bool {
        switch bug {
        case .actsUntilTold, .actsWhileGivingBack: isActing
        case .deadlineFromTheAnswer: inner.isLeading(now: now) || isActing && now < actingUntil
        default: inner.isLeading(now: now)
        }
    }

    mutating func handle(_ event: LeaderElection.Event, now: Tick, rng: inout PRNG) -> [LeaderElection.Effect] {
        var time = now
        var event = event
        switch (bug, event) {
        case (.countsFromTheQuestion, .read(let id, _)): time = begun[id] ?? now
        case (.storeForgetsTerms, .read(let id, let state)):
            event = .read(id: id, LeaseState(stored: state.stored, highestTerm: 0))
        case (.lostAnswerIsSuccess, .failed(let id)) where writes.contains(id):
            event = .wrote(id: id, LeaseVersion("unknown"))
        case (.deadlineFromTheAnswer, .wrote): actingUntil = now.adding(milliseconds: 10_000)
        case (.neverAsksAgain, .failed): isDeaf = true
        default: break
        }
        if isDeaf { return [] }
        return inner.handle(event, now: time, rng: &rng).map { changed($0, now) }
    }

    private mutating func changed(_ effect: LeaderElection.Effect, _ now: Tick) -> LeaderElection.Effect {
        switch effect {
        case .read(let id): begun[id] = now
        case .write(let id, var record, let replacing):
            begun[id] = now
            writes.insert(id)
            if bug == .termNotGrown, !inner.isLeading(now: now), record.term > 1 { record.term -= 1 }
            return .write(id: id, record, replacing: replacing)
        case .lead: isActing = true
        case .stepDown(_, .renewDeadline): if bug != .deadlineFromTheAnswer { isActing = false }
        case .stepDown(_, .shutdown): if bug != .actsWhileGivingBack { isActing = false }
        case .stepDown, .finished: isActing = false
        case .follow: break
        }
        return effect
    }
}
