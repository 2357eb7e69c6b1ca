public import Model

/// Keeps a reader informed of all objects of a kind: a list in pages, and a watch that begins where the list did and goes on
/// beside it. A pure machine.
///
/// Promises:
/// 1. Between ``Effect/restarted`` and ``Effect/listed`` every object that was there all the time is shown at least once, by a
///    page or by an event of the watch. So what was not shown meanwhile, and was known before, is gone.
/// 2. After that, every change is shown by the watch, until the next ``Effect/restarted``. The same change may come twice, and
///    an older state of an object after a newer one, even after it was told to be gone: pages and events run beside one
///    another. So the reader compares ``ObjectEntry/revision``, which grows, and until ``Effect/listed`` remembers what went.
/// 3. A list may take longer than the server keeps its version (five minutes, by etcd's compaction): it goes on at the newest
///    state (with the token that the server gives along with 410), and what this leaves out the watch has shown, which has
///    been open since the first page.
/// 4. A watch that ends is opened again where it was, by events and bookmarks. Only when the server has forgotten that version
///    (410) is everything listed anew.
/// 5. Failures are followed by growing pauses with jitter, never shorter than the server asks for. A page that is too large
///    is asked for again with half as many objects.
/// 6. A field selector that the server does not know (the resource's definition does not offer it) is given up, and everything
///    is listed without.
///
/// 7. At ``Event/relist`` everything is listed once more, between ``Effect/relisted`` and ``Effect/listed``; the watch goes on.
///
/// Nothing is asked for until the reader has taken what was asked for before: ``Event/page`` and ``Event/progress`` say that it
/// has. Answers with a number that is not of the current request are ignored.
public struct ListWatch: Sendable {
    /// Times, milliseconds.
    public struct Settings: Sendable, Equatable {
        /// The longest first pause after a failure; it doubles with each that follows.
        public var firstPause: UInt64 = 1_000
        /// The longest pause.
        public var longestPause: UInt64 = 30_000
        /// How long a watch is to last, seconds. The server ends it; each one a little different, so that not all come back at
        /// once.
        public var watchSeconds = 300..<600
        /// A watch that ends sooner without having told anything has failed.
        public var shortWatch: UInt64 = 1_000

        /// The defaults.
        public init() {}
    }

    /// What happened.
    public enum Event: Sendable {
        /// A page was taken by the reader.
        case page(id: UInt64, resourceVersion: String, continueToken: String?)
        /// There is no page.
        case listFailed(id: UInt64, APIFailure)
        /// The reader has everything of the watch up to this version.
        case progress(id: UInt64, resourceVersion: String)
        /// The watch is over; nil: in good order.
        case watchEnded(id: UInt64, APIFailure?)
        /// The reader wants to see everything once more.
        case relist
        /// Time has passed.
        case tick
    }

    /// What is to be done, in order.
    public enum Effect: Sendable, Equatable {
        /// The reader is to be told that everything is shown anew. Pages and events that it has not taken are void.
        case restarted
        /// The reader is to be told that everything is shown once more, as it wanted. Pages that it has not taken are void.
        case relisted
        /// A page is wanted.
        case list(id: UInt64, limit: Int, continueToken: String?, usesSelector: Bool)
        /// A watch is wanted. One that is open is to be closed.
        case watch(id: UInt64, resourceVersion: String, seconds: Int, usesSelector: Bool)
        /// The reader is to be told that everything was shown.
        case listed
        /// The server does not know the field selector.
        case selectorUnknown
    }

    private enum ListState: Equatable {
        case due(Tick)
        case running(UInt64)
        case done
    }

    private enum WatchState: Equatable {
        case none
        case due(Tick)
        case running(UInt64, since: Tick, hasTold: Bool)
    }

    private let settings: Settings
    /// Whether the field selector is still used.
    public private(set) var usesSelector: Bool
    private var list: ListState
    private var watch = WatchState.none
    private var cursor: String?
    private var limit = ListQuest.mostObjects
    private var version: String?
    private var hasAnnounced = false
    /// The list that is due was asked for by the reader.
    private var isWanted = false
    private var listFailures = 0
    private var watchFailures = 0
    /// Lists since the watch last told anything.
    private var restarts = 0
    private var lastID: UInt64 = 0

    /// Nothing is known yet; ``Event/tick`` begins.
    public init(usesSelector: Bool, settings: Settings = Settings(), now: Tick) {
        self.usesSelector = usesSelector
        self.settings = settings
        list = .due(now)
    }

    /// When ``Event/tick`` is wanted; nil: not before something else happens.
    public var nextTick: Tick? {
        var next: Tick?
        if case .due(let time) = list { next = time }
        if case .due(let time) = watch { next = min(next ?? time, time) }
        return next
    }

    /// Whether an answer to the page request `id` still counts.
    public func isCurrentList(_ id: UInt64) -> Bool { list == .running(id) }

    /// Whether the watch `id` still counts.
    public func isCurrentWatch(_ id: UInt64) -> Bool {
        if case .running(id, _, _) = watch { true } else { false }
    }

    /// Takes an event in; returns what is to be done, in order.
    public mutating func handle(_ event: Event, now: Tick, rng: inout PRNG) -> [Effect] {
        var effects: [Effect] = []
        switch event {
        case .page(let id, let version, let token):
            if list == .running(id) { took(version, token, now, &effects) }
        case .listFailed(let id, let failure):
            if list == .running(id) { listFailed(failure, now, &rng, &effects) }
        case .progress(let id, let version):
            guard case .running(id, let since, _) = watch else { break }
            watch = .running(id, since: since, hasTold: true)
            self.version = version
            (watchFailures, restarts) = (0, 0)
        case .watchEnded(let id, let failure):
            if case .running(id, let since, let hasTold) = watch {
                watchEnded(failure, since: since, hasTold: hasTold, now, &rng, &effects)
            }
        case .relist: relist(now)
        case .tick: break
        }
        begin(now, &rng, &effects)
        return effects
    }

    private mutating func begin(_ now: Tick, _ rng: inout PRNG, _ effects: inout [Effect]) {
        if case .due(let time) = list, time <= now {
            if !hasAnnounced { effects.append(isWanted ? .relisted : .restarted) }
            hasAnnounced = true
            isWanted = false
            lastID += 1
            list = .running(lastID)
            effects.append(.list(id: lastID, limit: limit, continueToken: cursor, usesSelector: usesSelector))
        }
        if case .due(let time) = watch, time <= now, let version {
            lastID += 1
            watch = .running(lastID, since: now, hasTold: false)
            let range = settings.watchSeconds
            let seconds = range.lowerBound + Int(rng.below(UInt64(range.count)))
            effects.append(
                .watch(id: lastID, resourceVersion: version, seconds: seconds, usesSelector: usesSelector))
        }
    }

    private mutating func took(_ version: String, _ token: String?, _ now: Tick, _ effects: inout [Effect]) {
        listFailures = 0
        if watch == .none {
            self.version = version
            watch = .due(now)
        }
        cursor = token
        guard token == nil else {
            list = .due(now)
            return
        }
        list = .done
        effects.append(.listed)
    }

    private mutating func listFailed(
        _ failure: APIFailure, _ now: Tick, _ rng: inout PRNG, _ effects: inout [Effect]
    ) {
        listFailures += 1
        switch failure.kind {
        case .expired(let token):
            // The first time at once: this is what a long list meets every few minutes.
            let pause = listFailures == 1 ? 0 : pause(listFailures, failure, &rng)
            if let token, cursor != nil, watch != .none {
                cursor = token
                list = .due(now.adding(milliseconds: pause))
            } else {
                restart(after: pause, now)
            }
        case .tooLarge where limit > 1:
            limit /= 2
            list = .due(now)
        case .rejected where usesSelector && cursor == nil: giveUpSelector(now, &effects)
        case .rejected where cursor != nil: restart(after: pause(listFailures, failure, &rng), now)
        default: list = .due(now.adding(milliseconds: pause(listFailures, failure, &rng)))
        }
    }

    private mutating func watchEnded(
        _ failure: APIFailure?, since: Tick, hasTold: Bool, _ now: Tick, _ rng: inout PRNG, _ effects: inout [Effect]
    ) {
        guard let failure else {
            let isShort = !hasTold && now.milliseconds(since: since) < settings.shortWatch
            watchFailures = isShort ? watchFailures + 1 : 0
            watch = .due(isShort ? now.adding(milliseconds: pause(watchFailures, nil, &rng)) : now)
            return
        }
        switch failure.kind {
        case .expired:
            restarts += 1
            watch = .none
            restart(after: restarts == 1 ? 0 : pause(restarts - 1, failure, &rng), now)
        case .rejected where usesSelector: giveUpSelector(now, &effects)
        case .rejected, .unreadable:
            // What the server does not take will not be taken again, and what was not read is lost.
            restarts += 1
            watch = .none
            restart(after: pause(restarts, failure, &rng), now)
        default:
            watchFailures += 1
            watch = .due(now.adding(milliseconds: pause(watchFailures, failure, &rng)))
        }
    }

    private mutating func giveUpSelector(_ now: Tick, _ effects: inout [Effect]) {
        usesSelector = false
        watch = .none
        effects.append(.selectorUnknown)
        restart(after: 0, now)
    }

    /// Before the first page there is nothing to show once more.
    private mutating func relist(_ now: Tick) {
        guard watch != .none else { return }
        var from = now
        // A server that wanted to be left alone is.
        if case .due(let time) = list { from = max(from, time) }
        if list == .done || hasAnnounced { isWanted = true }
        (cursor, hasAnnounced, limit) = (nil, false, ListQuest.mostObjects)
        list = .due(from)
    }

    private mutating func restart(after pause: UInt64, _ now: Tick) {
        cursor = nil
        hasAnnounced = false
        isWanted = false
        limit = ListQuest.mostObjects
        if watch == .none { version = nil }
        list = .due(now.adding(milliseconds: pause))
    }

    /// Full jitter below a bound that doubles, on top of what the server asks for.
    private func pause(_ failures: Int, _ failure: APIFailure?, _ rng: inout PRNG) -> UInt64 {
        let doublings = UInt64(min(max(failures - 1, 0), 20))
        let bound = min(settings.longestPause, settings.firstPause << doublings)
        return (failure?.retryAfter ?? 0) + 1 + rng.below(bound)
    }
}
