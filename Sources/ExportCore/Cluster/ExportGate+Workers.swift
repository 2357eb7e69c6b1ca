import Model
import Protocol

/// Which workers count, and which fail where others succeed.
extension ExportGate {
    /// More names than this are not remembered as departed; then nobody's past counts any more.
    private static let maxDeparted = 4_096

    mutating func changed(_ name: String, _ boot: RecordKey, _ ability: Ability, _ now: Tick) {
        let before = members[name]
        if let before, before.boot != boot { restarted(name) }
        let carries = before?.carries ?? (!departed.contains(name) && departed.count < Self.maxDeparted)
        members[name] = Member(
            boot: boot, ability: ability, carries: carries && (before.map { $0.boot == boot } ?? true))
        // What it did while it was cut off is not the deed of an owner.
        if ability == .fenced { for target in targets.indices { targets[target].distrust(name) } }
    }

    /// A new process may do well what the old one did not.
    private mutating func restarted(_ name: String) {
        for target in targets.indices { targets[target].forget(name) }
        guard let suspicion = suspects[name], suspicion.forgiven == nil else { return }
        suspects[name]?.until = Tick(nanoseconds: 0)
    }

    mutating func gone(_ name: String, _ now: Tick) {
        members[name] = nil
        if departed.count < Self.maxDeparted { departed.insert(name) }
        for target in targets.indices { targets[target].forget(name) }
        // Whoever places shards is told in the tick that follows, in case it comes back.
        if suspects[name]?.forgiven == nil { suspects[name]?.until = Tick(nanoseconds: 0) }
    }

    mutating func report(_ name: String, _ health: [TargetHealth], _ now: Tick) {
        guard let member = members[name] else { return }
        let counts = member.ability == .serving && !isShunned(name)
        for (target, health) in zip(targets.indices, health) {
            targets[target].report(
                name, health, counts: counts, isFenced: member.ability == .fenced, carries: member.carries, now: now)
        }
    }

    func isShunned(_ name: String) -> Bool { suspects[name].map { $0.forgiven == nil } ?? false }

    /// Workers that are able to send and not shunned.
    var trustedWorkers: Set<String> {
        Set(members.filter { $0.value.ability == .serving && !isShunned($0.key) }.keys)
    }

    /// Shuns and forgives; answers with the workers that are able to send and not shunned.
    mutating func judgeWorkers(_ now: Tick, _ effects: inout [Effect]) -> Set<String> {
        for (name, suspicion) in suspects.sorted(by: { $0.key < $1.key }) {
            review(name, suspicion, now, &effects)
        }
        var trusted = trustedWorkers
        for name in trusted.sorted() {
            for target in targets.indices {
                guard let reason = suspicion(name, target, trusted, now) else { continue }
                shun(name, target, now)
                trusted.remove(name)
                effects.append(.shun(worker: name, target: targets[target].name, reason: reason))
                break
            }
        }
        spareTheLast(now, &effects)
        if let able = trusted.min() {
            noWorkerSince = now
            lastAble = able
        }
        return trusted
    }

    /// What became of those that could send, and the last error that any of them had.
    func absence(now: Tick) -> String {
        let cutOff = members.values.filter { $0.ability == .fenced }.count
        let idle = members.values.filter { $0.ability == .idle }.count
        let shunned = members.keys.filter(isShunned).count
        var text =
            members.isEmpty
            ? "no worker is known"
            : "of \(members.count) workers \(cutOff) cut off, \(idle) without shards, \(shunned) shunned"
        if let lastAble {
            text += "; the last that could send was \(lastAble)" + (members[lastAble] == nil ? ", which is gone" : "")
        } else {
            text += "; none could since this leader began"
        }
        let failures = targets.compactMap { target in target.lastFailure(now: now).map { (target.name, $0) } }
        guard let (name, last) = failures.min(by: { $0.1.milliseconds < $1.1.milliseconds }) else { return text }
        return text + "; the last failed attempt, at \(name), \(last.milliseconds / 1_000) s ago: \(last.reason)"
    }

    /// Why `name` is suspect: it fails for long enough, by itself or with most of what makes the target suspect (its next
    /// attempt may be minutes away), and another one does not, as far as is known. How old that other
    /// one's success is does not matter: whoever fails alone loses its shards, and then is seen what others make of them.
    private func suspicion(_ name: String, _ target: Int, _ trusted: Set<String>, _ now: Tick) -> String? {
        let watch = targets[target]
        guard let view = watch.workers[name], !view.isStale,
            view.failures >= settings.failureThreshold || watch.isAtThreshold && 2 * view.failures > watch.failures,
            let since = view.failingSince, now >= since.adding(milliseconds: settings.suspicion)
        else { return nil }
        guard let other = trusted.filter({ $0 != name && watch.mayTakeOver($0, now: now) }).min() else { return nil }
        let last = watch.workers[other]?.lastSuccess.map { _ in "\(other) has succeeded" }
        return "\(view.failures) attempts in a row failed at \(watch.name), where "
            + (last ?? "\(other) has nothing to try")
    }

    private mutating func shun(_ name: String, _ target: Int, _ now: Tick) {
        let length = suspects[name].map { min($0.length * 2, settings.maxShun) } ?? settings.shun
        suspects[name] = Suspicion(target: target, length: length, until: now.adding(milliseconds: length))
    }

    private mutating func review(_ name: String, _ suspicion: Suspicion, _ now: Tick, _ effects: inout [Effect]) {
        if let forgiven = suspicion.forgiven {
            let success = targets[suspicion.target].workers[name]?.lastSuccess
            if members[name] == nil || success.map({ $0 > forgiven }) == true { suspects[name] = nil }
        } else if now >= suspicion.until || isHopeless(suspicion.target, now) {
            forgive(name, now, &effects)
        }
    }

    /// All others fail there too, so nothing shows that the shunned one is worse.
    private func isHopeless(_ target: Int, _ now: Tick) -> Bool {
        targets[target].isAtThreshold && !trustedWorkers.contains { targets[target].mayTakeOver($0, now: now) }
    }

    private mutating func forgive(_ name: String, _ now: Tick, _ effects: inout [Effect]) {
        suspects[name]?.forgiven = now
        for target in targets.indices { targets[target].pardon(name) }
        effects.append(.forgive(worker: name))
    }

    /// If only shunned workers live, the one whose time is up first has to do.
    private mutating func spareTheLast(_ now: Tick, _ effects: inout [Effect]) {
        let living = members.filter { $0.value.ability != .fenced }.keys
        guard !living.isEmpty, living.allSatisfy(isShunned) else { return }
        let first = living.min { a, b in
            (suspects[a]?.until ?? now, a) < (suspects[b]?.until ?? now, b)
        }
        if let first { forgive(first, now, &effects) }
    }
}
