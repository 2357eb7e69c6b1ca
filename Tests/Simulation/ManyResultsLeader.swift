import Coordinator
import ExportCore
import Formats
import KubernetesAPI
import Model
import Protocol

/// What a leader has of an API server's results: who reads them, what is known of those in hand, and what is to be written.
/// Targets settle what they were handed, as many at a time as they are told to.
final class ManyResultsLeader {
    private struct InHand {
        var key: RecordKey
        var bytes: SealedBytes
    }

    private let settings: ManyResults.Settings
    private let server: ResultServer
    private let hands = KubernetesResultsHands(targets: ResultServer.targets)
    private var reading: KubernetesResultsReading
    private var feed: ResultServerFeed
    private var writes = WriteQueue()
    private var queues: [[InHand]] = [[], []]
    /// Bytes of them.
    private var bytes = [0, 0]
    private var retriedAt = Tick(nanoseconds: 0)
    private var wroteNumber: UInt64 = 0
    private(set) var now: Tick
    /// How often each result was handed to each target.
    private(set) var offered: [[UInt8]]
    private(set) var offeredCount = [0, 0]
    /// When a target was last told to have been shown everything.
    private(set) var passed: [Tick?] = [nil, nil]
    private(set) var most = KubernetesResultsReading.Kept()
    private(set) var mostInHandBytes = 0
    private(set) var looked = 0
    /// Those that the lame target has, as its worker tells.
    private var hinted: Set<RecordKey> = []
    private(set) var mistakes: [String] = []

    /// - Parameter offered: counts to go on with.
    init(_ server: ResultServer, _ settings: ManyResults.Settings, offered: [[UInt8]], seed: UInt64, now: Tick) {
        self.server = server
        self.settings = settings
        self.now = now
        reading = KubernetesResultsReading(hands, shardCount: 256, now: now)
        feed = ResultServerFeed(server, seed: seed, now: now)
        self.offered = offered
    }

    var lists: Int { feed.lists }
    var kept: KubernetesResultsReading.Kept { reading.kept }
    /// What was handed to a target is settled, and written down.
    func isIdle(_ target: Int) -> Bool { queues[target].isEmpty && writes.isEmpty }
    private var wall: Int64 { ResultServer.made + Int64(now.nanoseconds / 1_000_000) }

    /// What the source says waits for each target.
    var backlog: [SourceBacklog] {
        reading.backlog(failing: feed.failingSince, now: now, unixMilliseconds: wall)
    }

    // MARK: A step

    /// Reads, has each target settle so many, and writes.
    func step(milliseconds: UInt64, settling counts: [Int]) {
        now = now.adding(milliseconds: milliseconds)
        feed.begin(pages: settings.pagesOfStep, now: now)
        for _ in 0..<settings.turnsOfStep {
            if read() == 0 { break }
        }
        for (target, count) in counts.enumerated() where count > 0 { settle(target, count) }
        most = most.highest(reading.kept)
        mostInHandBytes = max(mostInHandBytes, bytes.reduce(0, +))
        write()
        if now.milliseconds(since: retriedAt) >= 1_000 { retry() }
    }

    /// One turn; how much came of it.
    private func read() -> Int {
        var room = bytes.map { $0 < settings.windowBytes }
        if writes.records > 16 << 10 { room = [false, false] }
        var turn = reading.begin(hasRoom: room, bytes: settings.turnBytes, now: now, unixMilliseconds: wall)
        while let ask = reading.next(&turn) {
            switch ask {
            case .relist: feed.relist(now: now)
            case .poll(let pages):
                do throws(APIObjectFault) {
                    reading.took(try feed.poll(pages: pages, now: now), &turn)
                } catch {
                    mistakes.append("what the server said cannot be read: \(error)")
                    reading.took(nil, &turn)
                }
            }
        }
        let events = (try? reading.end(turn, feed.standing)) ?? []
        for event in events { take(event) }
        return events.count
    }

    private func take(_ event: ResultEvent) {
        switch event {
        case .page(let page): take(page)
        case .passed(let target): passed[target] = now
        case .looked(let records): looked += records.count
        case .settled(let source): tell([.finished(source: source)])
        case .gone, .note: break
        }
    }

    private func take(_ page: FeedPage) {
        let index = Int(page.source) - 1
        let key = ResultServer.key(index)
        for target in 0..<2 where page.targets.contains(target) {
            offered[target][index] += offered[target][index] < .max ? 1 : 0
            offeredCount[target] += 1
            if page.settled.contains(target) { mistakes.append("\(index) is settled at \(target) and handed to it") }
            // The leader knows already what became of it there: it is in no window.
            if target == 1, hinted.contains(key) {
                tell(.delivered, 1, [key])
                continue
            }
            queues[target].append(InHand(key: key, bytes: page.bytes))
            bytes[target] += page.bytes.count
        }
        if settings.touchesEvery > 0, index % settings.touchesEvery == 0 { server.touch(index) }
    }

    private func settle(_ target: Int, _ most: Int) {
        let part = queues[target].prefix(most)
        guard !part.isEmpty else { return }
        var (delivered, dead): ([RecordKey], [RecordKey]) = ([], [])
        for record in part {
            bytes[target] -= record.bytes.count
            let isDead = target == 0 && settings.isGivenUp(ResultServer.index(record.key))
            if isDead { dead.append(record.key) } else { delivered.append(record.key) }
        }
        queues[target].removeFirst(part.count)
        tell(.delivered, target, delivered)
        tell(.dead, target, dead)
    }

    // MARK: What is told

    /// Workers tell what became of records, in hand or not.
    func tell(_ kind: Outcomes.Kind, _ target: Int, _ keys: [RecordKey]) {
        guard !keys.isEmpty else { return }
        let lengths = keys.map { _ in UInt32(1) }
        tell([.facts(Dispatch.Facts(target: target, kind: kind, reason: "", keys: keys, lengths: lengths))])
    }

    /// How often each was handed over, for who goes on.
    func takeCounts() -> [[UInt8]] {
        defer { offered = [] }
        return offered
    }

    /// Attempts fail with all that a target has in hand.
    func failAll(_ target: Int) { tell(.failed, target, queues[target].map(\.key)) }

    /// A worker tells of results that the lame target took in an earlier term.
    func hint(_ keys: [RecordKey]) {
        hinted = Set(keys)
        reading.seek(Dictionary(keys.map { ($0, SoughtRecord(targets: TargetMask(1))) }, uniquingKeysWith: { $1 }))
    }

    private func tell(_ entries: [StatusEntry]) {
        wroteNumber += 1
        hands.foresee(entries)
        writes.add(entries, number: wroteNumber, most: Self.mostAtOnce)
    }

    private static let mostAtOnce = 1 << 10

    private func write() {
        for _ in 0..<settings.roundsOfStep where !writes.isEmpty {
            let entries = writes.first(Self.mostAtOnce)
            let writing = hands.writing(entries)
            guard hands.finish(writing, carryOut(writing), now: now).isDone else {
                return writes.failed(now: now, pause: 0)
            }
            _ = writes.wrote(entries.count)
        }
    }

    private func retry() {
        retriedAt = now
        guard let writing = hands.writingAside(now: now) else { return }
        hands.finishAside(writing, carryOut(writing), now: now)
    }

    private func carryOut(_ writing: KubernetesResultsHands.Writing) -> StatusRound {
        var round = writing.round
        var ended: [(RecordKey, StatusRound.End)] = []
        while let step = round.next(&ended, besides: hands.foretold) {
            let answer: StatusRound.Answer
            let key: RecordKey
            switch step {
            case .read(let asked):
                let seen = server.look(at: asked)
                hands.saw(asked, seen, UInt64(seen.version) ?? 0)
                (key, answer) = (asked, .found(seen))
            case .patch(let asked, let seen):
                (key, answer) = (asked, server.patch(asked, to: seen))
                if case .written = answer, seen.status.state == .exported {
                    hands.exported(asked, seen.status, asked: now)
                }
            }
            guard let end = round.answer(key, answer) else { continue }
            hands.ended(key, end, revision: server.revision)
        }
        return round
    }
}
