import Model
import Testing

@testable import KubernetesAPI

@Suite struct ListWatchTests {
    private static func failure(_ kind: APIFailure.Kind, retryAfter: UInt64? = nil) -> APIFailure {
        APIFailure(kind, "because", retryAfter: retryAfter)
    }

    /// A machine with a clock.
    private struct Bench {
        var machine: ListWatch
        var now = Tick(nanoseconds: 0)
        var rng = PRNG(seed: 1)

        init(usesSelector: Bool = false) { machine = ListWatch(usesSelector: usesSelector, now: now) }

        mutating func handle(_ event: ListWatch.Event) -> [ListWatch.Effect] {
            machine.handle(event, now: now, rng: &rng)
        }

        /// Lets time pass until something is due; how long that was, and what came of it.
        mutating func wait() -> (milliseconds: UInt64, effects: [ListWatch.Effect]) {
            guard let due = machine.nextTick else { return (0, []) }
            let waited = due.milliseconds(since: now)
            now = max(now, due)
            return (waited, handle(.tick))
        }
    }

    private static func list(_ id: UInt64, _ token: String? = nil, limit: Int = 500, selector: Bool = false)
        -> ListWatch.Effect
    { .list(id: id, limit: limit, continueToken: token, usesSelector: selector) }

    @Test func watchOpensBesideTheList() {
        var bench = Bench()
        #expect(bench.handle(.tick) == [.restarted, Self.list(1)])
        #expect(bench.machine.nextTick == nil)
        let effects = bench.handle(.page(id: 1, resourceVersion: "10", continueToken: "t1"))
        #expect(effects.first == Self.list(2, "t1"))
        guard case .watch(3, "10", let seconds, false)? = effects.last else {
            Issue.record("\(effects)")
            return
        }
        #expect(300..<600 ~= seconds)
        #expect(bench.handle(.progress(id: 3, resourceVersion: "12")) == [])
        #expect(bench.handle(.page(id: 2, resourceVersion: "10", continueToken: nil)) == [.listed])
        bench.now = bench.now.adding(milliseconds: 400_000)
        guard case .watch(4, "12", _, false)? = bench.handle(.watchEnded(id: 3, nil)).first else {
            Issue.record("the watch does not go on where it was")
            return
        }
        // Bookmarks count like events.
        #expect(bench.handle(.progress(id: 4, resourceVersion: "90")) == [])
        #expect(bench.handle(.watchEnded(id: 4, Self.failure(.noAnswer))) == [])
        let (waited, next) = bench.wait()
        #expect(1...1_001 ~= waited)
        guard case .watch(5, "90", _, false)? = next.first else {
            Issue.record("\(next)")
            return
        }
        #expect(
            bench.handle(.watchEnded(id: 5, Self.failure(.expired(continueToken: nil)))) == [.restarted, Self.list(6)])
    }

    @Test func expiredListGoesOnWithTheTokenThatItIsGiven() {
        var bench = Bench()
        _ = bench.handle(.tick)
        _ = bench.handle(.page(id: 1, resourceVersion: "10", continueToken: "t1"))
        let gone = Self.failure(.expired(continueToken: "t2"))
        #expect(bench.handle(.listFailed(id: 2, gone)) == [Self.list(4, "t2")])
        #expect(bench.handle(.page(id: 4, resourceVersion: "70", continueToken: nil)) == [.listed])
        // The watch is still the one that began with the first page.
        #expect(bench.machine.isCurrentWatch(3))
    }

    @Test func expiredListWithoutATokenBeginsAgain() {
        var bench = Bench()
        _ = bench.handle(.tick)
        _ = bench.handle(.page(id: 1, resourceVersion: "10", continueToken: "t1"))
        #expect(
            bench.handle(.listFailed(id: 2, Self.failure(.expired(continueToken: nil)))) == [.restarted, Self.list(4)])
        #expect(bench.machine.isCurrentWatch(3))
        // Again and again: not at once.
        #expect(bench.handle(.listFailed(id: 4, Self.failure(.expired(continueToken: nil)))) == [])
        let (waited, effects) = bench.wait()
        #expect(waited >= 1 && effects == [.restarted, Self.list(5)])
    }

    /// The watch that vouched for what a list leaves out is gone, so the list that runs on is of no use.
    @Test func expiredWatchRestartsTheListToo() {
        var bench = Bench()
        _ = bench.handle(.tick)
        _ = bench.handle(.page(id: 1, resourceVersion: "10", continueToken: "t1"))
        #expect(
            bench.handle(.watchEnded(id: 3, Self.failure(.expired(continueToken: nil)))) == [.restarted, Self.list(4)])
        #expect(bench.handle(.page(id: 2, resourceVersion: "10", continueToken: nil)) == [], "its answer is void")
        guard case .watch(5, "80", _, _)? = bench.handle(.page(id: 4, resourceVersion: "80", continueToken: nil)).last
        else {
            Issue.record("no watch")
            return
        }
        #expect(bench.handle(.watchEnded(id: 5, Self.failure(.expired(continueToken: nil)))) == [])
        #expect(bench.wait().effects == [.restarted, Self.list(6)])
    }

    @Test func everythingIsShownOnceMoreAndTheWatchGoesOn() {
        var bench = Bench()
        #expect(bench.handle(.relist) == [.restarted, Self.list(1)], "there is nothing to repeat")
        _ = bench.handle(.page(id: 1, resourceVersion: "10", continueToken: "t1"))
        #expect(bench.handle(.relist) == [.relisted, Self.list(4)], "in the middle")
        #expect(bench.handle(.page(id: 2, resourceVersion: "10", continueToken: nil)) == [], "its answer is void")
        #expect(bench.handle(.page(id: 4, resourceVersion: "20", continueToken: nil)) == [.listed])
        #expect(bench.handle(.relist) == [.relisted, Self.list(5)])
        #expect(bench.handle(.page(id: 5, resourceVersion: "30", continueToken: nil)) == [.listed])
        #expect(bench.machine.isCurrentWatch(3))
        #expect(bench.handle(.relist) == [.relisted, Self.list(6)])
        #expect(
            bench.handle(.watchEnded(id: 3, Self.failure(.expired(continueToken: nil)))) == [.restarted, Self.list(7)],
            "then it is more than once more")
    }

    @Test func aServerThatWantsToBeLeftAloneIs() {
        var bench = Bench()
        _ = bench.handle(.tick)
        _ = bench.handle(.page(id: 1, resourceVersion: "10", continueToken: "t1"))
        #expect(bench.handle(.listFailed(id: 2, Self.failure(.throttled, retryAfter: 5_000))) == [])
        #expect(bench.handle(.relist) == [])
        let (waited, effects) = bench.wait()
        #expect(waited > 5_000 && effects == [.relisted, Self.list(4)])
    }

    @Test func tooLargePagesAreHalved() {
        var bench = Bench()
        _ = bench.handle(.tick)
        _ = bench.handle(.page(id: 1, resourceVersion: "10", continueToken: "t1"))
        var (id, limit): (UInt64, Int) = (2, 500)
        for next in [250, 125, 62, 31, 15, 7, 3, 1] {
            let effects = bench.handle(.listFailed(id: id, Self.failure(.tooLarge)))
            (id, limit) = (id == 2 ? 4 : id + 1, next)
            #expect(effects == [Self.list(id, "t1", limit: limit)])
        }
        #expect(bench.handle(.listFailed(id: id, Self.failure(.tooLarge))) == [], "one object is as small as it gets")
        #expect(bench.wait().effects == [Self.list(id + 1, "t1", limit: 1)])
    }

    @Test func unknownSelectorIsGivenUp() {
        var bench = Bench(usesSelector: true)
        #expect(bench.handle(.tick) == [.restarted, Self.list(1, selector: true)])
        #expect(
            bench.handle(.listFailed(id: 1, Self.failure(.rejected))) == [.selectorUnknown, .restarted, Self.list(2)])
        #expect(bench.handle(.listFailed(id: 2, Self.failure(.rejected))) == [])
        #expect(bench.wait().effects == [Self.list(3)])
        #expect(!bench.machine.usesSelector)
    }

    @Test func pausesGrowAndAreBounded() {
        var bench = Bench()
        _ = bench.handle(.tick)
        var id: UInt64 = 1
        var longest: [UInt64] = []
        for _ in 0..<40 {
            _ = bench.handle(.listFailed(id: id, Self.failure(.notSent)))
            let (waited, effects) = bench.wait()
            id += 1
            #expect(effects == [Self.list(id)])
            longest.append(waited)
        }
        #expect(longest.max().map { $0 <= 30_001 && $0 > 15_000 } == true && longest[0] <= 1_001)
        _ = bench.handle(.listFailed(id: id, Self.failure(.throttled, retryAfter: 60_000)))
        #expect(bench.wait().milliseconds > 60_000)
    }

    @Test func watchThatEndsAtOnceIsAFailure() {
        var bench = Bench()
        _ = bench.handle(.tick)
        var watch = bench.handle(.page(id: 1, resourceVersion: "10", continueToken: nil))
        #expect(watch.count == 2)
        for id in 2..<20 {
            #expect(bench.handle(.watchEnded(id: UInt64(id), nil)) == [])
            let (waited, effects) = bench.wait()
            #expect(waited >= 1)
            watch = effects
        }
        #expect(watch.count == 1)
    }

    /// 600 histories with failures of every kind; when they end, the reader knows exactly what there is.
    @Test func readerKnowsWhatThereIs() {
        for seed in 0..<600 {
            var world = FakeWorld(seed: UInt64(seed))
            for _ in 0..<400 { world.step(faults: true) }
            var steps = 0
            repeat {
                world.step(faults: false)
                steps += 1
            } while !world.isSettled && steps < 5_000
            #expect(world.isSettled, "seed \(seed) does not come to rest")
            #expect(world.reader.known == world.server.objects, "seed \(seed)")
            #expect(world.mostWaiting <= 1, "more than one request of a kind at once")
        }
    }
}

/// A server's store with its history.
struct FakeServer {
    struct Change {
        var revision: Int
        var name: Int
        var isDeletion: Bool
    }

    var revision = 10
    var compacted = 0
    var objects: [Int: Int] = [:]
    var history: [Change] = []

    mutating func change(_ rng: inout PRNG) {
        revision += 1
        let name = Int(rng.below(40))
        let deletes = objects[name] != nil && rng.below(3) == 0
        objects[name] = deletes ? nil : revision
        history.append(Change(revision: revision, name: name, isDeletion: deletes))
    }

    func state(at revision: Int) -> [Int: Int] {
        var state: [Int: Int] = [:]
        for change in history where change.revision <= revision {
            state[change.name] = change.isDeletion ? nil : change.revision
        }
        return state
    }
}

/// What a reader makes of what it is told.
struct FakeReader {
    var known: [Int: Int] = [:]
    private var gone: [Int: Int] = [:]
    private var shown: Set<Int> = []

    mutating func restarted() { shown = [] }

    mutating func listed() {
        known = known.filter { shown.contains($0.key) }
        gone = [:]
    }

    mutating func saw(_ name: Int, _ revision: Int, isDeletion: Bool = false) {
        guard revision > max(known[name] ?? 0, gone[name] ?? 0) else {
            if known[name] != nil { shown.insert(name) }
            return
        }
        known[name] = isDeletion ? nil : revision
        if isDeletion { gone[name] = revision } else { shown.insert(name) }
    }
}

/// Server, machine and reader, and what goes wrong between them.
struct FakeWorld {
    var server = FakeServer()
    var reader = FakeReader()
    var machine: ListWatch
    var rng: PRNG
    var now = Tick(nanoseconds: 0)
    var mostWaiting = 0
    private var list: (id: UInt64, limit: Int, token: String?)?
    private var watch: (id: UInt64, revision: Int)?
    private var isListed = false

    init(seed: UInt64) {
        rng = PRNG(seed: seed)
        machine = ListWatch(usesSelector: false, now: now)
    }

    var isSettled: Bool {
        guard isListed, list == nil, let watch else { return false }
        return !server.history.contains { $0.revision > watch.revision }
    }

    mutating func step(faults: Bool) {
        switch rng.below(8) {
        case 0, 1: if faults { server.change(&rng) }
        case 2: if faults, rng.below(4) == 0 { server.compacted = server.revision - Int(rng.below(8)) }
        case 3:
            now = now.adding(milliseconds: 500 + rng.below(3_000))
            if faults, rng.below(4) == 0 { handle(.relist) }
        case 4, 5: answerList(faults)
        default: moveWatch(faults)
        }
        handle(.tick)
    }

    private mutating func handle(_ event: ListWatch.Event) {
        for effect in machine.handle(event, now: now, rng: &rng) {
            switch effect {
            case .restarted, .relisted:
                reader.restarted()
                isListed = false
                list = nil
            case .listed:
                reader.listed()
                isListed = true
            case .list(let id, let limit, let token, _):
                if list != nil { mostWaiting = 2 }
                mostWaiting = max(mostWaiting, 1)
                list = (id, limit, token)
            case .watch(let id, let version, _, _): watch = (id, Int(version) ?? 0)
            case .selectorUnknown: Issue.record("no selector was used")
            }
        }
    }

    private mutating func answerList(_ faults: Bool) {
        guard let (id, limit, token) = list else { return }
        list = nil
        if faults, rng.below(6) == 0 {
            let kinds: [APIFailure.Kind] = [.notSent, .noAnswer, .serverError, .throttled, .tooLarge, .unreadable]
            handle(.listFailed(id: id, APIFailure(kinds[Int(rng.below(6))], "fault")))
            return
        }
        let parts = token?.split(separator: "/").compactMap { Int($0) }
        var (revision, from) = (parts?[0] ?? server.revision, parts?[1] ?? 0)
        if revision == -1 { revision = server.revision }
        if revision < server.compacted {
            let fresh = rng.below(4) > 0 ? "-1/\(from)" : nil
            handle(.listFailed(id: id, APIFailure(.expired(continueToken: fresh), "compacted")))
            return
        }
        let state = server.state(at: revision)
        let names = state.keys.filter { $0 >= from }.sorted().prefix(min(limit, 7))
        for name in names { reader.saw(name, state[name] ?? 0) }
        from = (names.last ?? 1_000) + 1
        let isLast = !state.keys.contains { $0 >= from }
        handle(
            .page(id: id, resourceVersion: "\(revision)", continueToken: isLast ? nil : "\(revision)/\(from)"))
    }

    private mutating func moveWatch(_ faults: Bool) {
        guard let (id, revision) = watch, machine.isCurrentWatch(id) else { return }
        if revision < server.compacted, rng.below(2) == 0 {
            watch = nil
            handle(.watchEnded(id: id, APIFailure(.expired(continueToken: nil), "compacted")))
            return
        }
        if faults, rng.below(8) == 0 {
            watch = nil
            handle(.watchEnded(id: id, rng.below(2) == 0 ? nil : APIFailure(.noAnswer, "fault")))
            return
        }
        guard let change = server.history.first(where: { $0.revision > revision }) else { return }
        reader.saw(change.name, change.revision, isDeletion: change.isDeletion)
        watch = (id, change.revision)
        handle(.progress(id: id, resourceVersion: "\(change.revision)"))
    }
}
