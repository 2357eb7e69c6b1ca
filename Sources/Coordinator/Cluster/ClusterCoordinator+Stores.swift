import ExportCore
import Logging
import Model
import Protocol
import Threading

/// Results come in, what became of them is written down.
extension ClusterCoordinator {
    /// So many bytes of results are read at a time, if there is room for them.
    private static let turnBytes = 1 << 20
    /// So many records are looked for at a time.
    private static let mostSought = KubernetesResultsReading.mostSought
    /// How often the feed tells its backlog, milliseconds.
    private static let backlogMilliseconds: UInt64 = 250

    // MARK: Status

    func write(_ entries: [StatusEntry], _ number: UInt64) {
        stores.status.foresee(entries)
        writes.add(entries, number: number, most: stores.status.manner.mostAtOnce)
        if writes.since == nil { writes.since = SystemClock.now() }
        startWriting()
    }

    /// Whether there may soon be more to say about what waits, and time for it.
    private var isLingering: Bool {
        let manner = stores.status.manner
        guard manner.lingerMilliseconds > 0, let since = writes.since else { return false }
        return SystemClock.now() < since.adding(milliseconds: manner.lingerMilliseconds)
            && writes.records < manner.mostUnwritten / 4
    }

    /// Writes what waits, as much as goes at once, unless that is being done.
    func startWriting() {
        guard let term, !writes.isWriting, !writes.isEmpty, election.isLeading(now: SystemClock.now()) else {
            return
        }
        if let pause = writes.pausedUntil, SystemClock.now() < pause { return }
        if isLingering { return }
        writes.isWriting = true
        writes.since = nil
        let batch = writes.first(stores.status.manner.mostAtOnce)
        term.adopt { await self.write(batch, term) }
    }

    private func write(_ batch: [StatusEntry], _ term: LedTerm) async {
        do throws(StoreError) {
            try await stores.status.write(batch, fence: term.fence)
            guard isCurrent(term) else { return }
            finishWrite(batch)
        } catch {
            guard isCurrent(term) else { return }
            writes.failed(error.description, now: SystemClock.now(), pause: settings.beatMilliseconds)
            refused("outcomes cannot be written, and are kept until they can", error, term)
        }
    }

    private func finishWrite(_ batch: [StatusEntry]) {
        let through = writes.wrote(batch.count)
        for case .finished(let source) in batch { finishedSources.append(source) }
        handle(.written(through: through))
        startWriting()
    }

    /// Tries once more what the store has put aside, unless that is being done.
    func retryWrites(now: Tick) {
        guard let term, now >= retryAt else { return }
        retryAt = Tick(nanoseconds: .max)
        term.adopt {
            await self.stores.status.retry(fence: term.fence)
            await self.retried(term)
        }
    }

    private func retried(_ term: LedTerm) {
        if isCurrent(term) { retryAt = SystemClock.now().adding(milliseconds: Self.retryMilliseconds) }
    }

    private static let retryMilliseconds: UInt64 = 1_000

    // MARK: Feed

    /// Reads what there is room for, until the term ends.
    func feed(_ term: LedTerm, _ source: any ResultSource) async {
        var toldAt: Tick?
        var hintsHeard: UInt64? = 0
        await source.setAlarm { term.feedSignal.signal() }
        while isCurrent(term) {
            let isFull = writes.records > stores.status.manner.mostUnwritten
            // The machine itself must not be held here: it would be copied with the next change.
            guard let hasRoom = core?.dispatch.hasRoom, let bytes = core?.dispatch.roomBytes else { break }
            let room = isFull ? hasRoom.map { _ in false } : hasRoom
            var isIdle = true
            do throws(StoreError) {
                for event in try await source.next(hasRoom: room, bytes: min(bytes, Self.turnBytes)) {
                    isIdle = false
                    // Before what is left counts as settled long ago.
                    if case .passed = event { await tellReadable(term, source) }
                    take(event, term)
                    // There may be more of them than are looked for at a time.
                    if case .looked = event { hintsHeard = nil }
                }
                readFailure = ""
            } catch {
                readFailure = error.description
                complain("results cannot be read: \(error.description)")
            }
            // What is finished by now may be another term's, whose feed has to hear of it.
            guard isCurrent(term) else { break }
            for number in takeFinishedSources() { await source.finished(source: number) }
            let now = SystemClock.now()
            if toldAt.map({ now.milliseconds(since: $0) >= Self.backlogMilliseconds }) ?? true {
                toldAt = now
                await tellBacklog(term, source)
                await tellReadable(term, source)
                if isCurrent(term), let heard = core?.dispatch.hintsHeard, heard != hintsHeard,
                    let sought = core?.dispatch.sought(most: Self.mostSought)
                {
                    hintsHeard = heard
                    await source.seek(sought)
                }
            }
            guard isIdle, isCurrent(term) else { continue }
            handle(.fed)
            guard isCurrent(term) else { break }
            roomAwaited = room
            await term.feedSignal.wait()
            roomAwaited = nil
        }
        // Only here is it asked anything, so nobody asks after this.
        await source.close()
    }

    private func takeFinishedSources() -> [UInt64] {
        defer { finishedSources = [] }
        return finishedSources
    }

    private func take(_ event: ResultEvent, _ term: LedTerm) {
        guard isCurrent(term) else { return }
        switch event {
        case .page(let page): handle(.page(page))
        case .passed(let target): handle(.passed(target: target))
        case .looked(let records): handle(.looked(records))
        case .settled(let source): write([.finished(source: source)], writes.through)
        case .gone(let source): handle(.gone(source: source))
        case .note(let text): log.warning("\(text)")
        }
    }

    /// Has nobody wait for pages that do not come.
    private func tellReadable(_ term: LedTerm, _ source: any ResultSource) async {
        guard isCurrent(term), core?.dispatch.hasHints ?? false, let readable = await source.readable(),
            isCurrent(term)
        else { return }
        handle(.readable(readable))
    }

    private func tellBacklog(_ term: LedTerm, _ source: any ResultSource) async {
        let (backlog, read) = (await source.backlog(), await source.inputs())
        guard isCurrent(term) else { return }
        let stuck = writes.stuckSince.map { SystemClock.now().milliseconds(since: $0) }
        self.backlog = backlog.map { $0.held(by: stuck) }
        inputs = read
        handle(.hindered(hindrance))
        for (target, rest) in self.backlog.enumerated() {
            handle(
                .backlog(
                    target: target, records: rest.records, oldestMilliseconds: rest.oldestMilliseconds,
                    unwritten: rest.unwritten))
        }
    }

    /// What keeps this process from reading results and from writing down what became of them, with the last errors.
    private var hindrance: String {
        var parts: [String] = []
        let unread = readFailure.isEmpty ? inputs.trouble : readFailure
        if !unread.isEmpty {
            parts.append((inputs.unread > 0 ? "\(inputs.unread) " : "") + "results cannot be read: \(unread)")
        }
        if writes.failures.count > 0 {
            parts.append(
                "outcomes cannot be written, \(writes.failures.count) times in a row: \(writes.failures.last)")
        }
        let refused = stores.status.refusals
        if refused.count > 0 {
            parts.append("the status of \(refused.count) results is not taken, the last answer: \(refused.last)")
        }
        return parts.joined(separator: "; ")
    }

    /// Lets the feed go on if there is more room than when it last looked.
    func wakeFeed() {
        guard let roomAwaited, let hasRoom = core?.dispatch.hasRoom, let term else { return }
        for (now, before) in zip(hasRoom, roomAwaited) where now && !before {
            return term.feedSignal.signal()
        }
    }
}
