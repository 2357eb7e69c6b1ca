public import Model
import Threading

/// Carries out what ``ListWatch`` decides: a stream of pages and changes of all objects of a kind, for one reader.
///
/// Promises, besides those of ``ListWatch``: at most one page and one piece of the watch wait for the reader; while it does not
/// come, nothing is asked for, and a watch is slowed down by TCP's flow control. A server ends a watch that stands still for
/// too long; then it goes on, or everything is listed anew.
public actor ObjectFeed {
    /// What the reader is told.
    public enum Output: Sendable {
        /// Everything is shown anew from here on.
        case restarted
        /// Everything is shown once more from here on, as ``ObjectFeed/relist()`` asked for.
        case relisted
        /// Objects that are there.
        case page(ObjectPage)
        /// Changes. The piece has no `ERROR` event.
        case changes(WatchPiece)
        /// Everything that was there has been shown since the last ``restarted``.
        case listed
        /// The server does not know the field selector; from now on everything is shown.
        case selectorUnknown
        /// Something failed; it is tried again.
        case trouble(APIFailure)
    }

    private enum Ready {
        case output(Output)
        case page(id: UInt64, ObjectPage)
        case piece(id: UInt64, WatchPiece, CheckedContinuation<Bool, Never>)
    }

    private let client: KubernetesClient
    private let resource: APIResource
    private let namespace: String?
    private let fieldSelector: String?
    private var machine: ListWatch
    private var rng: PRNG
    private var alarm = Alarm()
    private var ready: [Ready] = []
    private var waiter: CheckedContinuation<Void, Never>?
    private var listing: Task<Void, Never>?
    private var watching: Task<Void, Never>?
    private var hasBegun = false
    private var isClosed = false
    private var ring: (@Sendable () -> Void)?
    private var health = FeedHealth()

    /// What is to be known of a reader besides what it shows.
    public struct Standing: Sendable, Equatable {
        /// Since when something fails; nil: nothing does.
        public var failingSince: Tick?
        /// A watch is open: the server has answered, and tells what happens. One that is asked for tells nothing yet.
        public var isWatching: Bool

        /// How a reader stands.
        public init(failingSince: Tick?, isWatching: Bool) {
            (self.failingSince, self.isWatching) = (failingSince, isWatching)
        }
    }

    /// How it stands now.
    public var standing: Standing { health.standing(SystemClock.now()) }

    /// - Parameters:
    ///   - namespace: nil: all of them.
    ///   - fieldSelector: what is wanted, if the server can tell; nil: everything.
    ///   - seed: for jitter.
    public init(
        _ client: KubernetesClient, _ resource: APIResource, namespace: String? = nil, fieldSelector: String? = nil,
        settings: ListWatch.Settings = ListWatch.Settings(), seed: UInt64
    ) {
        self.client = client
        self.resource = resource
        self.namespace = namespace
        self.fieldSelector = fieldSelector
        machine = ListWatch(usesSelector: fieldSelector != nil, settings: settings, now: SystemClock.now())
        rng = PRNG(seed: seed)
    }

    /// What comes next, waiting for it; nil if the feed was closed or the task was cancelled.
    public func next() async -> Output? {
        if !hasBegun {
            hasBegun = true
            handle(.tick)
        }
        while !isClosed, !Task.isCancelled {
            guard !ready.isEmpty else {
                await withTaskCancellationHandler {
                    await withCheckedContinuation { continuation in
                        precondition(waiter == nil, "a feed has one reader at a time")
                        waiter = continuation
                        if Task.isCancelled { wake() }
                    }
                } onCancel: {
                    Task { await self.wake() }
                }
                continue
            }
            if let output = take(ready.removeFirst()) { return output }
        }
        return nil
    }

    /// What is there already; nil if that is nothing. For a reader that has other things to do as well; it is told by `ring`
    /// when to come again.
    ///
    /// - Parameter pages: whether it has room for another page; the watch goes on without.
    public func poll(pages: Bool) -> Output? {
        if !hasBegun {
            hasBegun = true
            handle(.tick)
        }
        while !isClosed {
            let place = ready.firstIndex { if case .page = $0 { pages } else { true } }
            guard let place else { return nil }
            if let output = take(ready.remove(at: place)) { return output }
        }
        return nil
    }

    /// Has `ring` called when there is something for ``poll(pages:)``.
    public func setAlarm(_ ring: @escaping @Sendable () -> Void) { self.ring = ring }

    /// Shows everything once more; a list that is under way is given up. Pages that were not taken are void.
    public func relist() { handle(.relist) }

    private func take(_ item: Ready) -> Output? {
        switch item {
        case .output(let output): return output
        case .page(let id, let page):
            guard machine.isCurrentList(id) else { return nil }
            handle(.page(id: id, resourceVersion: page.resourceVersion, continueToken: page.continueToken))
            return .page(page)
        case .piece(let id, let piece, let producer):
            if let version = piece.resourceVersion { handle(.progress(id: id, resourceVersion: version)) }
            producer.resume(returning: true)
            return piece.isOnlyBookmark ? nil : .changes(piece)
        }
    }

    /// Ends everything under way.
    public func close() {
        isClosed = true
        alarm.cancel()
        ring = nil
        listing?.cancel()
        watching?.cancel()
        void()
        wake()
    }

    private func wake() {
        waiter?.resume()
        waiter = nil
        ring?()
    }

    /// What waits is not wanted any more.
    private func void() {
        for case .piece(_, _, let producer) in ready { producer.resume(returning: false) }
        ready = ready.filter { if case .output = $0 { true } else { false } }
    }

    private func handle(_ event: ListWatch.Event) {
        guard !isClosed else { return }
        let effects = machine.handle(event, now: SystemClock.now(), rng: &rng)
        for effect in effects { carryOut(effect) }
        alarm.set(for: machine.nextTick) { [weak self] due in Task { await self?.rang(due) } }
    }

    private func rang(_ due: Tick) {
        if alarm.hasRung(due) { handle(.tick) }
    }

    private func carryOut(_ effect: ListWatch.Effect) {
        switch effect {
        case .restarted:
            void()
            tell(.restarted)
        case .relisted:
            listing?.cancel()
            ready.removeAll { if case .page = $0 { true } else { false } }
            tell(.relisted)
        case .listed: tell(.listed)
        case .selectorUnknown:
            watching?.cancel()
            health.watchLeft(SystemClock.now())
            tell(.selectorUnknown)
        case .list(let id, let limit, let token, let usesSelector):
            var quest = ListQuest(resource, namespace: namespace)
            quest.limit = limit
            quest.continueToken = token
            quest.fieldSelector = usesSelector ? fieldSelector : nil
            listing = Task { [weak self, client] in
                do throws(APIFailure) {
                    let page = try await client.list(quest)
                    await self?.arrived(id, page)
                } catch {
                    await self?.listFailed(id, error)
                }
            }
        case .watch(let id, let version, let seconds, let usesSelector):
            var quest = WatchQuest(resource, namespace: namespace, resourceVersion: version)
            quest.seconds = seconds
            quest.fieldSelector = usesSelector ? fieldSelector : nil
            watching?.cancel()
            health.watchLeft(SystemClock.now())
            watching = Task { [weak self, client] in
                let failure = await Self.follow(client, quest) {
                    await self?.opened(id)
                } offer: {
                    await self?.offer(id, $0) ?? false
                }
                await self?.watchEnded(id, failure)
            }
        }
    }

    /// A piece of a watch takes several wake-ups, however small it is: after a small one, what comes is gathered for so long.
    private static let gatherMilliseconds = 100
    private static let smallBytes = 64 << 10

    /// Reads a watch to its end; nil if that came in good order.
    private static func follow(
        _ client: KubernetesClient, _ quest: WatchQuest, opened: () async -> Void,
        offer: (WatchPiece) async -> Bool
    ) async -> APIFailure? {
        do throws(APIFailure) {
            let stream = try await client.watch(quest)
            await opened()
            while var piece = try await stream.next() {
                let status = piece.status
                piece.status = nil
                if !piece.batch.entries.isEmpty || piece.batch.refused > 0 || piece.resourceVersion != nil {
                    guard await offer(piece) else { return nil }
                }
                if let status { return APIVerdict.failure(quest.call, status) }
                if piece.batch.bytes.count < Self.smallBytes {
                    stream.hold()
                    try? await Task.sleep(for: .milliseconds(Self.gatherMilliseconds))
                }
            }
            return nil
        } catch {
            return error
        }
    }

    private func tell(_ output: Output) {
        // Failures that nobody has come to hear of are one.
        if case .trouble = output {
            ready.removeAll { if case .output(.trouble) = $0 { true } else { false } }
        }
        ready.append(.output(output))
        wake()
    }

    private func arrived(_ id: UInt64, _ page: ObjectPage) {
        guard !isClosed, machine.isCurrentList(id) else { return }
        health.listed()
        ready.append(.page(id: id, page))
        wake()
    }

    private func listFailed(_ id: UInt64, _ failure: APIFailure) {
        guard !isClosed, machine.isCurrentList(id) else { return }
        health.listFailed(SystemClock.now())
        tell(.trouble(failure))
        handle(.listFailed(id: id, failure))
    }

    private func opened(_ id: UInt64) {
        if machine.isCurrentWatch(id) { health.watchOpened(SystemClock.now()) }
    }

    /// Returns when the reader has taken the piece; false if it never will.
    private func offer(_ id: UInt64, _ piece: WatchPiece) async -> Bool {
        guard !isClosed, machine.isCurrentWatch(id) else { return false }
        health.watchTold()
        return await withCheckedContinuation { continuation in
            ready.append(.piece(id: id, piece, continuation))
            wake()
        }
    }

    private func watchEnded(_ id: UInt64, _ failure: APIFailure?) {
        guard !isClosed, machine.isCurrentWatch(id) else { return }
        health.watchEnded(isFailure: failure != nil, SystemClock.now())
        if let failure { tell(.trouble(failure)) }
        handle(.watchEnded(id: id, failure))
    }
}
