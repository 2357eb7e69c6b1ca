import Coordinator
import ExportCore
import KubernetesAPI
import Model
import Protocol

/// Results as objects of the API server: with versions, lists in pages that show one moment, watches, and a past that is
/// compacted away, after which both are answered with 410.
///
/// Bodies are text as a server writes it; who reads them is the product's own reader.
final class SimObjects {
    struct Object {
        var key: RecordKey
        var createdAt: Int64
        var revision: UInt64 = 0
        var status = ResultStatus()
        var name: String { "r-\(key.high)" }
    }

    struct Change {
        var revision: UInt64
        var kind: ObjectChange
        var object: Object
    }

    /// What became of a patch.
    enum Patched {
        case written(version: String, revision: UInt64)
        case conflict
        case gone
        /// The server fails, for this object's sake.
        case broken
        case refused
    }

    /// What is wrong with patches of one object.
    struct Curse {
        var answer: Patched
        var until: UInt64
    }

    private unowned let world: World
    private(set) var objects: [RecordKey: Object] = [:]
    /// Everything that happened, the latest last.
    private(set) var changes: [Change] = []
    private(set) var revision: UInt64 = 1
    /// What happened up to here is forgotten.
    private(set) var compacted: UInt64 = 0
    var watches: [SimWatch] = []
    /// Lists work, and watches do not, as behind a proxy that swallows streams.
    private(set) var watchesFailUntil: UInt64 = 0
    private var curses: [RecordKey: Curse] = [:]
    /// Those of which a patch was not taken for its own sake.
    private var troubled: Set<RecordKey> = []

    init(world: World) { self.world = world }

    private var targets: [String] { (0..<world.plan.targetCount).map { "t\($0)" } }

    // MARK: Objects come, change and go

    func create(_ key: RecordKey) {
        let wall = 1_700_000_000_000 + Int64(world.now / World.millisecond)
        put(Object(key: key, createdAt: wall), .added)
    }

    /// Somebody deletes one; what was not delivered of it is nobody's to deliver any more.
    func deleteOne() {
        let all = objects.keys.sorted { $0.high < $1.high }
        guard !all.isEmpty, var object = objects[all[Int(world.rng.below(UInt64(all.count)))]] else { return }
        revision += 1
        object.revision = revision
        objects[object.key] = nil
        world.forget(object.key)
        tell(Change(revision: revision, kind: .deleted, object: object))
    }

    /// The past up to a moment, mostly now, is forgotten.
    func compact() {
        compacted = revision - min(revision, world.rng.below(3) == 0 ? world.rng.below(6) : 0)
        world.note("compacted up to \(compacted) of \(revision)")
    }

    func failWatches() {
        watchesFailUntil = max(watchesFailUntil, world.now + world.rng.below(12 * World.second))
        for watch in watches { watch.end(APIFailure(.noAnswer, "the connection is lost")) }
    }

    /// From here on one object takes no patch, for a while or until somebody mends it.
    func curseOne() {
        let all = objects.keys.sorted { $0.high < $1.high }
        guard !all.isEmpty else { return }
        let key = all[Int(world.rng.below(UInt64(all.count)))]
        let answers: [Patched] = [.broken, .broken, .refused, .conflict]
        let until = world.rng.below(2) == 0 ? .max : world.now + world.rng.below(60 * World.second)
        curses[key] = Curse(answer: answers[Int(world.rng.below(4))], until: until)
        world.note("patches of \(key) are answered with \(answers)")
    }

    /// Somebody mends what is wrong with single objects.
    func mend() { curses = [:] }

    private func curse(of key: RecordKey) -> Curse? { curses[key].flatMap { world.now < $0.until ? $0 : nil } }

    /// Whether it will not take a patch until somebody mends it.
    func isCursed(_ key: RecordKey) -> Bool { curse(of: key) != nil }
    var hasCurses: Bool { curses.keys.contains { isCursed($0) && objects[$0] != nil } }

    /// Whether patches of it fail for its own sake, so that a leader may go on without it.
    func isHopeless(_ key: RecordKey) -> Bool { troubled.contains(key) }

    private func put(_ changed: Object, _ kind: ObjectChange) {
        revision += 1
        var object = changed
        object.revision = revision
        objects[object.key] = object
        tell(Change(revision: revision, kind: kind, object: object))
    }

    private func tell(_ change: Change) {
        changes.append(change)
        for watch in watches { watch.wake() }
    }

    /// A patch of the leader of `term`.
    func patch(_ key: RecordKey, to seen: StatusRound.Seen, term: UInt64) -> Patched {
        guard var object = objects[key] else { return .gone }
        if let curse = curse(of: key) {
            troubled.insert(key)
            return curse.answer
        }
        guard "\(object.revision)" == seen.version || world.plant == .patchOverConflicts else { return .conflict }
        world.checks.patched(key, from: object.status, to: seen.status, term, world)
        for target in 0..<world.plan.targetCount {
            if seen.status.word.delivered.contains(target) { world.store.facts[target][key] = .delivered }
            if seen.status.word.dead.contains(target) { world.store.facts[target][key] = .dead }
        }
        object.status = seen.status
        put(object, .modified)
        return .written(version: "\(revision)", revision: revision)
    }

    func look(at key: RecordKey) -> StatusRound.Seen? {
        objects[key].map { StatusRound.Seen(version: "\($0.revision)", status: $0.status) }
    }

    /// Each object whose status is not what its marks say, or that somebody still owes something.
    var unsettled: String? {
        let all = TargetMask(first: world.plan.targetCount)
        for object in objects.values
        where !isCursed(object.key)
            && (object.status.word.settled != all || !object.status.isConsistent(targets: all))
        {
            return "object \(object.name): \(object.status)"
        }
        return nil
    }

    // MARK: What is asked

    /// One page of a list; with a token, of the moment of the page before.
    func page(limit: Int, token: String?, usesSelector: Bool) -> Result<[UInt8], APIFailure> {
        if usesSelector, !world.plan.hasSelector { return .failure(APIFailure(.rejected, "no such field")) }
        let parts = token?.split(separator: "+").compactMap { UInt64($0) } ?? []
        let (moment, after) = parts.count == 2 ? (parts[0], parts[1]) : (revision, 0)
        if parts.count == 2, moment < compacted {
            let goesOn = world.rng.below(2) == 0
            return .failure(APIFailure(.expired(continueToken: goesOn ? "\(revision)+\(after)" : nil), "410 Gone"))
        }
        let there = shown(at: moment).filter { $0.key.high > after && !(usesSelector && $0.status.state == .exported) }
        let size = min(limit, Self.pageSize)
        let rest = there.count > size ? there[size - 1].key.high : nil
        var body = "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"\(moment)\""
        if let rest { body += ",\"continue\":\"\(moment)+\(rest)\"" }
        body += "},\"items\":[" + there.prefix(size).map(text).joined(separator: ",") + "]}"
        return .success(Array(body.utf8))
    }

    private static let pageSize = 4

    /// Objects as they were at a moment, in the order of their names.
    private func shown(at moment: UInt64) -> [Object] {
        if moment >= revision { return objects.values.sorted { $0.key.high < $1.key.high } }
        var then: [RecordKey: Object] = [:]
        for change in changes where change.revision <= moment {
            then[change.object.key] = change.kind == .deleted ? nil : change.object
        }
        return then.values.sorted { $0.key.high < $1.key.high }
    }

    /// A change as a watch says it; nil: not to those who have chosen.
    func event(_ change: Change, usesSelector: Bool) -> String? {
        var kind = change.kind
        if usesSelector, change.object.status.state == .exported {
            // It leaves what was chosen. It entered it as it was made.
            let before = changes.last { $0.object.key == change.object.key && $0.revision < change.revision }
            guard before?.object.status.state != .exported, kind != .added else { return nil }
            kind = .deleted
        }
        return "{\"type\":\"\("\(kind)".uppercased())\",\"object\":\(text(change.object))}"
    }

    private func text(_ object: Object) -> String {
        let seen = StatusRound.Seen(version: "", status: object.status)
        let marks = KubernetesStatusText.marks(seen, targets: targets).replacing("\"", with: "\\\"")
        let state = object.status.state == .pending ? "Pending" : object.status.state == .failed ? "Failed" : "Exported"
        return """
            {"metadata":{"name":"\(object.name)","namespace":"probes","uid":"\(KubernetesStatusText.uid(object.key))",\
            "resourceVersion":"\(object.revision)","creationTimestamp":"\(StoreText.time(object.createdAt))",\
            "annotations":{"\(KubernetesStatusText.annotation)":"\(marks)",\
            "\(KubernetesStatusText.owner)":"\(KubernetesStatusText.uid(object.key))"}},"spec":{"audit":{"exportStatus":"\(state)"}}}
            """
    }
}

/// A watch, as the server has it: sends what changes, a piece at a time, each after the one before was taken.
final class SimWatch {
    private unowned let world: World
    private let node: SimNode
    private let usesSelector: Bool
    private let endsAt: UInt64
    private var at: UInt64
    private var isSending = false
    private(set) var isOver = false
    /// Takes a piece in, and calls back when it wants another.
    var take: (_ piece: [UInt8], _ taken: @escaping () -> Void) -> Void = { _, _ in }
    /// nil: in good order.
    var ended: (APIFailure?) -> Void = { _ in }

    init(world: World, node: SimNode, from version: UInt64, seconds: Int, usesSelector: Bool) {
        self.world = world
        self.node = node
        self.usesSelector = usesSelector
        at = version
        endsAt = world.now + UInt64(seconds) * World.second
        world.store.objects.watches.append(self)
        world.after(endsAt - world.now) { self.end(nil) }
        wake()
    }

    /// Nobody wants it any more.
    func close() {
        isOver = true
        world.store.objects.watches.removeAll { $0 === self }
    }

    func end(_ failure: APIFailure?) {
        guard !isOver else { return }
        close()
        node.later(world.delay(5 * World.millisecond)) { self.ended(failure) }
    }

    /// Something has changed, or it is time to look.
    func wake() {
        guard !isOver, !isSending else { return }
        isSending = true
        world.after(world.delay(5 * World.millisecond)) { self.send() }
    }

    private func send() {
        isSending = false
        guard !isOver else { return }
        let objects = world.store.objects
        if world.isBlocked("store", node.name) || world.now < world.store.outageUntil
            || world.now < world.feedFailsUntil
        {
            return end(APIFailure(.noAnswer, "the connection is lost"))
        }
        // A watcher that is too slow for what the server keeps is dropped, and finds out with the next request.
        guard at >= objects.compacted || at == objects.revision else { return end(nil) }
        let news = objects.changes.drop { $0.revision <= at }.prefix(3)
        guard let last = news.last else { return }
        at = last.revision
        var body = news.compactMap { objects.event($0, usesSelector: usesSelector) }.joined()
        if body.isEmpty || world.rng.below(4) == 0 {
            body += "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"\(at)\"}}}"
        }
        isSending = true
        node.later(world.delay(5 * World.millisecond)) {
            guard !self.isOver else { return }
            self.take(Array(body.utf8)) {
                self.isSending = false
                self.wake()
            }
        }
    }
}
