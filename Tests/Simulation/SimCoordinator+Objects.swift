import Coordinator
import ExportCore
import KubernetesAPI
import Model
import Protocol

/// What a leader has of results that are objects: who reads them, and what it knows of those in its hand.
final class SimResults {
    let hands: KubernetesResultsHands
    let objects: SimObjectFeed
    var reading: KubernetesResultsReading
    var writes = WriteQueue()
    /// How many hints the leader had when it last had records looked for.
    var hintsHeard: UInt64? = 0
    /// What was put aside is being tried.
    var isRetrying = false
    let began: UInt64
    private let sleptBefore: UInt64
    private let node: SimCoordinator

    init(world: World, node: SimCoordinator) {
        hands = KubernetesResultsHands(targets: (0..<world.plan.targetCount).map { "t\($0)" })
        objects = SimObjectFeed(world: world, node: node)
        reading = KubernetesResultsReading(hands, shardCount: UInt16(SimSettings.shardCount), now: node.tick)
        self.node = node
        began = world.now
        sleptBefore = node.slept
    }

    var asleep: UInt64 { node.slept - sleptBefore }
}

extension SimCoordinator {
    // MARK: Feed

    /// Reads on as the coordinator's shell does, and writes what has gathered meanwhile.
    func feedObjects(_ results: SimResults) {
        for _ in 0..<8 {
            guard let core, isLeading, self.results === results else { return }
            var hasRoom = core.dispatch.hasRoom
            if results.writes.records > Self.mostUnwritten { hasRoom = hasRoom.map { _ in false } }
            if world.plant == .waitForAllTargets, hasRoom.contains(false) { hasRoom = hasRoom.map { _ in false } }
            if world.plant == .feedWithoutRoom { hasRoom = hasRoom.map { _ in true } }
            let events = next(results, hasRoom)
            for event in events { take(event, results) }
            if events.isEmpty { break }
        }
        guard self.results === results, isLeading else { return }
        handle(.fed)
        tellBacklog(results)
        seek(results)
        writeObjects(results)
        retryObjects(results)
    }

    private func seek(_ results: SimResults) {
        guard let heard = core?.dispatch.hintsHeard, heard != results.hintsHeard, world.plant != .neverSeek else {
            return
        }
        results.hintsHeard = heard
        results.reading.seek(core?.dispatch.sought(most: 20) ?? [:])
    }

    private func next(_ results: SimResults, _ hasRoom: [Bool]) -> [ResultEvent] {
        var turn = results.reading.begin(
            hasRoom: hasRoom, bytes: Self.turnBytes, now: tick, unixMilliseconds: Int64(wall))
        while let ask = results.reading.next(&turn) {
            switch ask {
            case .relist: results.objects.relist()
            case .poll(let pages): results.reading.took(results.objects.poll(pages: pages), &turn)
            }
        }
        return (try? results.reading.end(turn, results.objects.standing)) ?? []
    }

    private static let turnBytes = 1_500

    private func take(_ event: ResultEvent, _ results: SimResults) {
        guard self.results === results, core != nil else { return }
        switch event {
        case .page(let page): handle(.page(shortened(page)))
        case .passed(let target): handle(.passed(target: target))
        case .looked(let records):
            results.hintsHeard = nil
            handle(.looked(records))
        case .settled(let source): write([.finished(source: source)], results.writes.through, results)
        case .gone(let source): handle(.gone(source: source))
        case .note(let text): world.note("\(identity): \(text)")
        }
    }

    /// The bounds of the simulated cluster are of short lines.
    private func shortened(_ page: FeedPage) -> FeedPage {
        guard let record = page.records.first, let source = world.sources.first(where: { $0.id == page.source }),
            let length = source.records.first?.length
        else { return page }
        var bytes = ByteWriter()
        let key = RecordKey(high: page.source, low: record.position)
        bytes.append(SimSource.line(of: key, length: length).span)
        var short = FeedPage(
            targets: page.targets, source: page.source, range: page.range, sourceSize: page.sourceSize,
            ageMilliseconds: page.ageMilliseconds, bytes: bytes.seal())
        short.settled = page.settled
        short.append(position: record.position, shard: record.shard, start: 0, length: length)
        return short
    }

    private func tellBacklog(_ results: SimResults) {
        let failing = results.objects.standing.failingSince
        let rests = results.reading.backlog(failing: failing, now: tick, unixMilliseconds: Int64(wall))
        let stuck = results.writes.stuckSince.map { tick.milliseconds(since: $0) }
        for (target, known) in rests.enumerated() {
            var rest = known.held(by: stuck)
            if world.plant == .forgetWhatIsAside, results.hands.asideCount > 0, failing == nil {
                rest = SourceBacklog(records: 0, oldestMilliseconds: nil)
            }
            let inHand = core?.dispatch.oldestMilliseconds(of: target, now: tick) ?? 0
            world.checks.oldest(
                target, told: max(inHand, rest.oldestMilliseconds ?? 0), led: world.now - results.began,
                asleep: results.asleep, world)
            handle(
                .backlog(
                    target: target, records: rest.records, oldestMilliseconds: rest.oldestMilliseconds,
                    unwritten: rest.unwritten))
        }
    }

    // MARK: Status

    /// What became of results is to be written.
    func write(_ entries: [StatusEntry], _ number: UInt64, _ results: SimResults) {
        results.hands.foresee(entries)
        results.writes.add(entries, number: number, most: Self.mostAtOnce)
    }

    fileprivate static let mostAtOnce = 6
    private static let mostUnwritten = 24

    /// One round at a time: when it is certain that the lease is ours, a patch for each result of which there is news.
    private func writeObjects(_ results: SimResults) {
        guard !results.writes.isWriting, !results.writes.isEmpty, let term = core?.term else { return }
        results.writes.isWriting = true
        let identity = identity
        world.store.request(
            self, isOnce: true, { $0.lease.stored?.record.isLed(by: identity, term) == true ? .done(()) : .refused }
        ) {
            answer in
            guard self.results === results, self.core?.term == term else { return }
            switch answer {
            case .done:
                let entries = results.writes.first(Self.mostAtOnce)
                let writing = results.hands.writing(entries)
                SimRound(self, results, term, writing) { self.finishObjects(results, $0, count: entries.count) }.goOn()
            case .refused:
                self.elect(.changed)
                results.writes.failed(now: self.tick, pause: 0)
            case .unknown: results.writes.failed(now: self.tick, pause: 0)
            }
        }
    }

    /// A round is over.
    private func finishObjects(_ results: SimResults, _ round: SimRound, count: Int) {
        guard self.results === results, results.hands.finish(round.writing, round.round, now: tick).isDone else {
            return results.writes.failed(now: tick, pause: 0)
        }
        handle(.written(through: results.writes.wrote(count)))
        writeObjects(results)
    }

    /// What was put aside is tried beside everything else.
    private func retryObjects(_ results: SimResults) {
        guard !results.isRetrying, let term = core?.term, let writing = results.hands.writingAside(now: tick) else {
            return
        }
        results.isRetrying = true
        SimRound(self, results, term, writing) {
            results.isRetrying = false
            results.hands.finishAside(writing, $0.round, now: self.tick)
        }.goOn()
    }
}

extension LeaseRecord {
    fileprivate func isLed(by identity: String, _ term: UInt64) -> Bool { holder == identity && self.term == term }
}

/// Carries out one ``StatusRound``, some requests at a time.
final class SimRound {
    private let node: SimCoordinator
    private let results: SimResults
    private let term: UInt64
    private(set) var round: StatusRound
    private var underWay = 0
    let writing: KubernetesResultsHands.Writing
    private let end: (SimRound) -> Void

    init(
        _ node: SimCoordinator, _ results: SimResults, _ term: UInt64, _ writing: KubernetesResultsHands.Writing,
        end: @escaping (SimRound) -> Void
    ) {
        self.node = node
        self.results = results
        self.term = term
        self.writing = writing
        self.end = end
        round = writing.round
    }

    func goOn() {
        while underWay < 4 {
            var ended: [(RecordKey, StatusRound.End)] = []
            guard let step = round.next(&ended, besides: results.hands.foretold) else { break }
            underWay += 1
            switch step {
            case .read(let key):
                node.world.store.request(node, isOnce: true, { .done($0.objects.look(at: key)) }) { answer in
                    guard case .done(let seen) = answer else { return self.answer(key, .unanswered) }
                    if let seen { self.results.hands.saw(key, seen, UInt64(seen.version) ?? 0) }
                    self.answer(key, seen.map { .found($0) } ?? .gone)
                }
            case .patch(let key, var seen):
                if node.world.plant == .exportedTooEarly, !seen.status.word.delivered.isEmpty {
                    seen.status.state = .exported
                }
                let (term, asked) = (term, node.tick)
                node.world.store.request(
                    node, isOnce: true, { [seen] in .done($0.objects.patch(key, to: seen, term: term)) }
                ) {
                    switch $0 {
                    case .done(.written) where seen.status.state == .exported:
                        self.results.hands.exported(key, seen.status, asked: asked)
                        self.answer(key, .written(version: nil))
                    case .done(.written(let version, let revision)):
                        self.answer(key, .written(version: version), revision)
                    case .done(.conflict): self.answer(key, .conflict)
                    case .done(.gone): self.answer(key, .gone)
                    case .done(.refused): self.answer(key, .refused)
                    case .done(.broken):
                        self.answer(key, self.node.world.plant == .neverPutAside ? .failed : .troubled)
                    case .unknown: self.answer(key, .unanswered)
                    case .refused: self.answer(key, .failed)
                    }
                }
            }
        }
        if underWay == 0 { end(self) }
    }

    private func answer(_ key: RecordKey, _ answer: StatusRound.Answer, _ revision: UInt64 = 0) {
        underWay -= 1
        if let end = round.answer(key, answer) { results.hands.ended(key, end, revision: revision) }
        goOn()
    }
}
