import Coordinator
import Foundation
import Model
import Protocol

/// A leader that reads more results of an API server than it could keep: ``ListWatch``, ``KubernetesResultsReading``, `ResultFeed`,
/// ``KubernetesResultsHands`` and `StatusRound` as they are, before a ``ResultServer``.
///
/// One of two targets has failed since the start, so nothing is exported until it takes something again, and then everything is.
/// Meanwhile lists and watches are answered with 410, results come, others change some, the server takes no patch of some (more
/// than are kept aside), a worker tells of records that nobody has handed out, and many that were given up are delivered after
/// all. Promised, and looked at here: each result is handed to each target exactly once, those without a taken patch at least once;
/// everything is exported in the end; and what is kept does not grow with the number of results.
public final class ManyResults {
    /// How many, and of what.
    public struct Settings: Sendable {
        /// Results in all; a tenth of them comes while the others are read.
        public var results: Int
        /// Bytes of each besides what is looked at.
        public var padding = 850
        /// Bytes that a target has in hand at most.
        public var windowBytes = 32 << 20
        /// What a target settles in a step of 50 ms.
        public var settlesOfStep = 4_096
        var turnsOfStep = 8
        var pagesOfStep = 16
        var roundsOfStep = 24
        /// Of these no patch is taken until the end.
        public var refusesEvery = 2_003
        /// These are given up by the first target, and delivered afterwards.
        public var givesUpEvery = 100
        /// These are changed by somebody else.
        public var touchesEvery = 10_007
        /// Results of which a worker tells that the other target had them before.
        public var hinted = KubernetesResultsReading.mostSought
        /// Whether so many are refused that not all can be kept aside.
        var fillsAside = false

        /// Results as they are, and a leader's own bounds.
        public init(results: Int) { self.results = results }

        /// Small ones in small windows, of which more are refused than there is room for aside, so that few of them meet every bound.
        ///
        /// - Parameter results: at least 100 000.
        public static func dense(results: Int) -> Settings {
            var dense = Settings(results: results)
            (dense.padding, dense.windowBytes, dense.settlesOfStep) = (0, 256 << 10, 2_048)
            (dense.refusesEvery, dense.fillsAside) = (20, true)
            (dense.touchesEvery, dense.hinted) = (101, 2_000)
            return dense
        }
    }

    /// What was found.
    public struct Found: Sendable {
        /// What is wrong; empty if nothing is.
        public var mistakes: [String] = []
        /// One line for each part of the play.
        public var lines: [String] = []
        /// The most that was kept of results, in numbers of them, by what it is kept for.
        public var most: [String: Int] = [:]
        /// The most that memory grew beyond the server's, in kilobytes.
        public var grownKilobytes = 0
    }

    private let settings: Settings
    private let server: ResultServer
    private var leader: ManyResultsLeader
    private let baseKilobytes: Int
    private var found = Found()
    private var steps = 0
    private let say: (String) -> Void

    /// - Parameter say: is told how it goes.
    public init(_ settings: Settings, say: @escaping (String) -> Void = { _ in }) {
        self.settings = settings
        self.say = say
        let made = ResultServer(
            most: settings.results, padding: settings.padding, refusesEvery: settings.refusesEvery)
        made.make(settings.results * 9 / 10)
        // One for each target: copies would share what is only filled later.
        let offered = (0..<2).map { _ in Array(repeating: UInt8(0), count: settings.results) }
        leader = ManyResultsLeader(
            made, settings, offered: offered, seed: 1, now: Tick(nanoseconds: 1_000_000_000))
        server = made
        baseKilobytes = Self.residentKilobytes
    }

    /// Runs everything.
    public func run() -> Found {
        catchUp()
        reviveAll()
        recover()
        mend()
        checkCounts()
        succeed()
        return found
    }

    // MARK: The play

    /// The steady target is handed everything that there is and comes; the lame one fills its window and fails.
    private func catchUp() {
        let all = settings.results
        let events: [(Int, (ManyResults) -> Void)] = [
            (3, { $0.server.pageFault = .gone }), (10, { $0.server.pageFault = .goneWithToken }),
            (20, { $0.leader.hint(Array($0.hinted.map(ResultServer.key))) }), (50, { $0.server.forgetsWatch = true }),
        ]
        var next = 0
        var hasFailed = false
        var lastMade = leader.now
        play("the steady target takes all", milliseconds: 50, settling: [settings.settlesOfStep, 0]) { play in
            let leader = play.leader
            if !hasFailed, leader.offeredCount[1] > 0, leader.offeredCount[0] > all / 100 {
                leader.failAll(1)
                hasFailed = true
            }
            while next < events.count, leader.offeredCount[0] >= all / 100 * events[next].0 {
                events[next].1(play)
                next += 1
            }
            if play.server.count < all, leader.offeredCount[0] > all / 10 {
                play.server.make(max(1, all / 4_000))
                lastMade = leader.now
            }
            return next == events.count && play.server.count == all && leader.isIdle(0)
                && (leader.passed[0].map { $0 > lastMade } ?? false) && leader.looked >= play.hinted.count
        }
        let (steady, lame) = (leader.backlog[0], leader.backlog[1])
        // What is not taken is not exported, and the gate has to know.
        let refused = settings.refusesEvery > 0 ? (all - 1) / settings.refusesEvery + 1 : 0
        expect(steady.records >= UInt64(refused), "\(steady.records) of the steady target wait, not \(refused)")
        expect(lame.records > UInt64(all / 2), "only \(lame.records) of the lame target are known to wait")
        expect(hasFailed && server.exported <= hinted.count, "\(server.exported) are exported")
        expect(leader.lists >= 3, "only \(leader.lists) lists were begun")
    }

    /// Of these the worker tells.
    private var hinted: Range<Int> {
        let first = settings.results * 4 / 10
        return first..<first + min(settings.hinted, settings.results / 10)
    }

    /// Everything that was given up is delivered by somebody, more at once than can be looked for.
    private func reviveAll() {
        let most = leader.most.strangers
        expect(most == 0, "\(most) are looked for that nobody told of")
        var waves = 0
        while case let dead = server.dead(at: 0), !dead.isEmpty, waves < 8 {
            waves += 1
            leader.tell(.delivered, 0, dead.map(ResultServer.key))
            play("wave \(waves) of what was given up", milliseconds: 500, settling: [settings.settlesOfStep, 0]) {
                play in
                play.leader.isIdle(0) && play.leader.kept.strangers == 0
            }
        }
        expect(waves > 0 || settings.givesUpEvery == 0, "nothing was given up")
        expect(server.dead(at: 0).isEmpty, "\(server.dead(at: 0).count) are called dead that were delivered")
    }

    /// The lame target takes everything.
    private func recover() {
        let (all, before) = (settings.results, leader.now)
        var hasLost = false
        play("the lame target takes all", milliseconds: 50, settling: [settings.settlesOfStep, settings.settlesOfStep])
        { play in
            let leader = play.leader
            if !hasLost, leader.offeredCount[1] > all / 2 {
                hasLost = true
                play.server.forgetsWatch = true
            }
            return leader.isIdle(0) && leader.isIdle(1) && (leader.passed[1].map { $0 > before } ?? false)
                && (leader.passed[0].map { $0 > before } ?? false)
        }
        let refused = settings.refusesEvery > 0 ? (all - 1) / settings.refusesEvery + 1 : 0
        expect(server.exported == all - refused, "\(server.exported) are exported, not \(all - refused)")
    }

    /// The server takes every patch again: what is aside is written.
    private func mend() {
        server.refusesEvery = 0
        play(
            "what was aside is written", milliseconds: 1_000,
            settling: [settings.settlesOfStep, settings.settlesOfStep]
        ) { $0.leader.kept.aside == 0 && $0.leader.isIdle(0) && $0.leader.isIdle(1) }
    }

    /// The next leader finds what there was no room for aside.
    private func succeed() {
        let left = settings.results - server.exported
        leader = ManyResultsLeader(server, settings, offered: leader.takeCounts(), seed: 2, now: leader.now)
        play("the next leader", milliseconds: 1_000, settling: [settings.settlesOfStep, settings.settlesOfStep]) {
            play in
            play.leader.passed.allSatisfy { $0 != nil } && play.leader.isIdle(0) && play.leader.isIdle(1)
        }
        expect(leader.offeredCount == [left, left], "\(leader.offeredCount) were handed over, and \(left) were left")
        expect(
            server.exported == settings.results, "\(settings.results - server.exported) are never exported")
    }

    /// Steps until something is so.
    private func play(
        _ name: String, milliseconds: UInt64, settling: [Int], until isSo: (ManyResults) -> Bool
    ) {
        let (time, pages, patches) = (Date(), server.counts.pages, server.counts.patches)
        let limit = steps + 20_000 + 20 * settings.results / settings.settlesOfStep
        var peak = 0
        while !isSo(self) {
            leader.step(milliseconds: milliseconds, settling: settling)
            steps += 1
            if steps % 32 == 0 { peak = max(peak, Self.residentKilobytes - baseKilobytes) }
            guard steps < limit, leader.mistakes.isEmpty else {
                expect(false, "never: \(name); \(leader.offeredCount) offered, \(leader.kept)")
                break
            }
        }
        peak = max(peak, Self.residentKilobytes - baseKilobytes)
        found.mistakes += leader.mistakes
        found.grownKilobytes = max(found.grownKilobytes, peak)
        for child in Mirror(reflecting: leader.most).children {
            if let name = child.label, let value = child.value as? Int {
                found.most[name] = max(found.most[name] ?? 0, value)
            }
        }
        let seconds = Int(Date().timeIntervalSince(time) * 10)
        let line =
            "\(name): handed over \(leader.offeredCount), exported \(server.exported), pages \(server.counts.pages - pages),"
            + " patches \(server.counts.patches - patches); memory +\(peak / 1_024) MB at most; \(seconds / 10).\(seconds % 10) s"
        found.lines.append(line)
        say(line)
    }

    // MARK: What is found

    private func expect(_ isSo: Bool, _ mistake: @autoclosure () -> String) {
        if !isSo { found.mistakes.append(mistake()) }
    }

    /// Once each; where no patch was taken, once for each list at most.
    private func checkCounts() {
        for target in 0..<2 {
            var wrong: [String] = []
            for index in 0..<settings.results where wrong.count < 5 {
                let times = Int(leader.offered[target][index])
                let isRefused = settings.refusesEvery > 0 && index % settings.refusesEvery == 0
                if times == 1 || isRefused && 1...leader.lists + 1 ~= times { continue }
                wrong.append("\(index) \(times) times")
            }
            expect(wrong.isEmpty, "handed to \(ResultServer.targets[target]): \(wrong.joined(separator: ", "))")
        }
        let bound = settings.mostInHand
        let most = leader.most
        expect(most.inHand <= bound, "\(most.inHand) in hand, at most \(bound)")
        expect(most.held <= bound, "\(most.held) held, at most \(bound)")
        expect(leader.mostInHandBytes <= settings.mostInHandBytes, "\(leader.mostInHandBytes) bytes in hand")
        let overlays = 2 << 16
        expect(most.overlaid <= overlays && most.remembered <= overlays, "\(most.overlaid), \(most.remembered) patches")
        expect(most.strangers <= 1 << 16 && most.sought <= 2 << 16, "\(most.strangers), \(most.sought) looked for")
        expect(most.aside <= 4_096, "\(most.aside) aside")
        // None of the bounds is kept for want of trying.
        expect(!settings.fillsAside || most.aside == 4_096, "only \(most.aside) aside")
        let revived = min(settings.results / 120, 60_000)
        expect(most.strangers > revived, "only \(most.strangers) were looked for that had been given up")
        expect(most.sought >= min(settings.hinted, settings.results / 10), "only \(most.sought) are looked for")
    }

    private static var residentKilobytes: Int {
        guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return 0 }
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return line?.split(separator: " ").compactMap { Int($0) }.first ?? 0
    }
}

extension ManyResults.Settings {
    /// Records that come in one turn.
    var turnBytes: Int { min(1 << 20, windowBytes) }

    /// Two windows and what one turn may add to each.
    var mostInHandBytes: Int { 2 * (windowBytes + turnBytes + padding + 1_024) }

    /// These in numbers, what is aside, what the worker told of, and what is settled and waits to be written.
    var mostInHand: Int {
        mostInHandBytes / (padding + 200) + 4_096 + min(hinted, results / 10) + (16 << 10) + settlesOfStep
    }

    /// Whether the first target gives it up.
    func isGivenUp(_ index: Int) -> Bool {
        guard givesUpEvery > 0, index % givesUpEvery == 1 else { return false }
        // What no patch is taken of is called dead by nobody.
        return refusesEvery == 0 || index % refusesEvery != 0
    }
}
