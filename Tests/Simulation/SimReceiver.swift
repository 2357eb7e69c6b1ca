import ExportCore
import Model
import Protocol

/// A SIEM with every kind of answer: it takes, refuses for now or for good, in part, or takes without saying so.
final class SimReceiver {
    private unowned let world: World
    let target: Int
    /// How often each record was taken.
    var accepted: [RecordKey: Int] = [:]
    var isDown: Bool
    /// Since when nothing was taken though something came, and how many attempts failed since.
    var downSince: UInt64?
    var failedAttempts = 0
    /// When as many attempts had failed as make a target broken.
    var brokenSince: UInt64?

    init(world: World, target: Int) {
        self.world = world
        self.target = target
        isDown = world.plan.deadTarget == target
        if isDown { downSince = world.now }
    }

    func goDown() {
        isDown = true
        downSince = world.now
        failedAttempts = 0
        brokenSince = nil
    }

    func heal() {
        isDown = false
        downSince = nil
        brokenSince = nil
    }

    /// A request under way: it is answered once, or cut off before.
    final class Request {
        fileprivate var isOver = false
        fileprivate var onCut: () -> Void = {}

        /// Its connection is closed by the sender.
        func cutOff() { if !isOver { onCut() } }
    }

    /// Takes a request some time after it left; the answer comes later, or not at all.
    ///
    /// - Parameter arrived: called when the receiver has done with it, whether the sender lives or not.
    func take(
        _ records: [(key: RecordKey, isPoison: Bool)], from node: SimNode, arrived: @escaping () -> Void,
        _ answer: @escaping (Verdict) -> Void
    ) -> Request {
        let start = world.now
        let limit = SimSettings.requestMilliseconds * World.millisecond
        let request = Request()
        // Now and then one is stuck on the way for as long as a request may take.
        let way =
            world.plan.isSluggish && world.chance(10) ? world.rng.below(limit) : world.delay(20 * World.millisecond)
        var hasArrived = false
        let boot = node.boot
        func finish(_ verdict: Verdict) {
            // A process that was started anew knows nothing of it.
            guard !request.isOver, node.boot == boot else { return }
            request.isOver = true
            answer(verdict)
        }
        request.onCut = {
            if !hasArrived { arrived() }
            hasArrived = true
            finish(Self.silence)
        }
        // It is stuck only as long as its sender runs, for one that does not can cut nothing off.
        func travel(_ rest: UInt64) {
            let step = min(rest, 100 * World.millisecond)
            world.after(step) {
                if rest > step, node.isUp, node.boot == boot, !node.isPaused { travel(rest - step) } else { arrive() }
            }
        }
        func arrive() {
            guard !hasArrived else { return }
            hasArrived = true
            let (verdict, isSilent) = self.judge(records)
            arrived()
            let elapsed = self.world.now - start
            let rest = limit > elapsed ? limit - elapsed : 0
            let wait = isSilent ? rest : min(rest, self.world.delay(20 * World.millisecond))
            node.later(wait) { finish(isSilent ? Self.silence : verdict) }
        }
        travel(min(way, limit))
        return request
    }

    private static let silence = Verdict.unknown(Reason(code: "timeout", message: "no answer"))
    private static let busy = Reason(code: "http-503", message: "busy")
    private static let bad = Reason(code: "hec-6", message: "invalid")
    private static let large = Reason(code: "http-413", message: "too large")
    private static let refused = Reason(code: "http-403", message: "forbidden")

    /// What a receiver asks for now and then along with a refusal.
    private func wish() -> UInt64? { world.rng.below(4) == 0 ? 100 + world.rng.below(1_500) : nil }

    private func judge(_ records: [(key: RecordKey, isPoison: Bool)]) -> (Verdict, isSilent: Bool) {
        if isDown {
            failedAttempts += 1
            if failedAttempts == 8 { brokenSince = world.now }
            return world.rng.below(3) == 0
                ? (Self.silence, true) : (.retry(Self.busy, retryAfterMilliseconds: nil), false)
        }
        if world.chance(6) { return (.retry(Self.busy, retryAfterMilliseconds: wish()), false) }
        if world.chance(3) { return (.configuration(Self.refused), false) }
        if world.chance(6), records.count > 1 { return (.tooLarge(Self.large), false) }
        if let culprit = records.firstIndex(where: \.isPoison) { return (refusal(records, culprit), false) }
        if world.chance(6), records.count > 1 {
            return (.items(someOf(records), retryAfterMilliseconds: wish()), false)
        }
        for record in records { accept(record.key) }
        return (.delivered(slowDown: world.chance(5)), world.chance(4))
    }

    /// A record that is never taken: the receiver says which one it is and stops there, says only that there is one, or
    /// speaks of each.
    private func refusal(_ records: [(key: RecordKey, isPoison: Bool)], _ culprit: Int) -> Verdict {
        switch world.rng.below(3) {
        case 0:
            for record in records[..<culprit] { accept(record.key) }
            return .poisonAt(delivered: culprit, Self.bad)
        case 1: return .poison(Self.bad)
        default: return .items(someOf(records), retryAfterMilliseconds: nil)
        }
    }

    private func someOf(_ records: [(key: RecordKey, isPoison: Bool)]) -> [ItemVerdict] {
        records.map { record in
            if record.isPoison { return .poison(Self.bad) }
            switch world.rng.below(6) {
            case 0, 1: return .retry(Self.busy)
            case 2: return .configuration(Self.refused)
            default:
                accept(record.key)
                return .delivered
            }
        }
    }

    func accept(_ key: RecordKey) { accepted[key, default: 0] += 1 }
}
