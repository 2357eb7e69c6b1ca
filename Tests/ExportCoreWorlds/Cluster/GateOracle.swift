import ExportCore
import Model

/// Invariant 6, judged from outside: it knows the world as it is and what the API server admits, and nothing of how the
/// gate decides.
struct GateOracle {
    let settings: ExportGateSettings
    private(set) var breaches: [String] = []
    /// When the present leader came; nil while there is none.
    var leaderSince: UInt64?
    private var leaderlessSince: UInt64 = 0
    private var workerlessSince: UInt64?
    private var calmSince: UInt64?
    private var unendedAlert: String?
    private var wasOpen: Bool?
    private(set) var halts = 0
    private(set) var reopenings = 0
    private(set) var alertCount = 0

    init(settings: ExportGateSettings) { self.settings = settings }

    /// A renewal of the last moment, until it has run out.
    private var runOut: UInt64 { UInt64(settings.leaseSeconds) * 1_000 * 4 / 3 + 1_000 }
    /// Heartbeats that get lost, attempts until a new leader has seen the threshold, and the evidence of the idle.
    private var findOut: UInt64 {
        settings.suspicion + settings.evidence + 3_000 + (2_500 + 3_000) * settings.failureThreshold
    }

    mutating func breach(_ what: String, _ now: UInt64) {
        if breaches.count < 8 { breaches.append("\(now): \(what)") }
    }

    /// After every step.
    mutating func check(_ world: GateWorld) {
        let now = world.now
        let hasWorker = world.workers.contains { $0.hasSession && $0.runs }
        workerlessSince = hasWorker ? nil : workerlessSince ?? now
        if leaderSince != nil { leaderlessSince = now }
        mustBeClosed(world, now)
        mustBeOpen(world, now)
        changes(world, now)
    }

    private mutating func mustBeClosed(_ world: GateWorld, _ now: UInt64) {
        if now - leaderlessSince > runOut, world.admits { breach("deadMan: admitted without a leader", now) }
        guard let leaderSince else { return }
        func since(_ start: UInt64) -> UInt64 { now - max(start, leaderSince) }
        var whys: [String] = []
        for target in world.receivers.indices {
            if let broken = world.receivers[target].brokenSince, since(broken) > findOut + runOut {
                whys.append("failing: target \(target) has failed since \(broken)")
            }
            if let birth = world.oldest(target), now - birth > settings.ageLimit,
                since(birth + settings.ageLimit) > runOut + 3_000
            {
                whys.append("tooOld: a record for target \(target) waits since \(birth)")
            }
        }
        if let workerless = workerlessSince, since(workerless) > settings.noWorkerLimit + runOut {
            whys.append("noWorker: none since \(workerless)")
        }
        guard let why = whys.first else { return }
        if settings.failClosed, world.admits { breach("\(why), and probes are admitted", now) }
        if unendedAlert == nil { breach("\(why), and nobody was told", now) }
    }

    /// Everything works, but for one worker of several; whoever has to acknowledge has done so.
    private func isCalm(_ world: GateWorld) -> Bool {
        let fine = world.workers.filter { $0.hasSession && $0.runs && $0.links.allSatisfy { $0 } }
        let isEnough = !fine.isEmpty && fine.count + 1 >= world.workers.count
        let isTold = settings.resumeOn == .recovery || world.alerts.values.allSatisfy(\.isAcknowledgedByPerson)
        return leaderSince != nil && world.storeIsUp && isEnough && isTold && world.receivers.allSatisfy(\.isUp)
    }

    private mutating func mustBeOpen(_ world: GateWorld, _ now: UInt64) {
        calmSince = isCalm(world) ? calmSince ?? now : nil
        guard let calmSince, let leaderSince else { return }
        let bound = runOut + settings.evidence + settings.stability + 15_000
        if now - max(calmSince, leaderSince) > bound, !world.admits {
            breach("refused: everything works since \(calmSince), and probes are not admitted", now)
        }
    }

    private mutating func changes(_ world: GateWorld, _ now: UInt64) {
        guard let record = world.record else { return }
        if record.isOpen, record.episode == nil {
            if wasOpen == false {
                reopenings += 1
                if settings.failClosed { mayOpen(world, now) }
            }
        } else if !record.isOpen, wasOpen != false {
            halts += 1
            if let calmSince, let leaderSince, now - max(calmSince, leaderSince) > findOut + runOut {
                breach("refused: halted though everything but one worker works since \(calmSince)", now)
            }
        }
        if let alert = unendedAlert, let id = Episode.named(alert)?.id, let ended = record.ended, ended >= id {
            unendedAlert = nil
        }
        wasOpen = record.isOpen
    }

    private mutating func mayOpen(_ world: GateWorld, _ now: UInt64) {
        if settings.resumeOn == .acknowledgement, let alert = unendedAlert,
            world.alerts[alert]?.isAcknowledgedByPerson != true
        {
            breach("unacknowledged: opened without a person", now)
        }
        for target in world.receivers.indices {
            // What fails from the very moment on is not known yet.
            if let broken = world.receivers[target].brokenSince, now - broken > 6_000, !world.receivers[target].isUp {
                breach("openedBroken: target \(target) has failed since \(broken)", now)
            }
            if world.pending(target) > Int(settings.backlogMark), let birth = world.oldest(target),
                now - birth > settings.recoveryAge + 6_000
            {
                breach("openedBacklog: \(world.pending(target)) records wait at target \(target)", now)
            }
        }
    }

    /// Before the alert is created.
    mutating func raised(_ alert: SystemAlert, in world: GateWorld) {
        let ended = world.record?.ended
        if let unended = unendedAlert, let id = Episode.named(unended)?.id, unended != alert.name,
            ended.map({ $0 < id }) ?? true
        {
            breach("secondAlert: \(alert.name) while \(unended) is not over", world.now)
        }
        if world.alerts[alert.name] == nil { alertCount += 1 }
        unendedAlert = alert.name
    }

    /// Before the worker is shunned.
    mutating func shunned(_ index: Int, _ target: Int, in world: GateWorld) {
        let others = world.workers.indices.filter { $0 != index && world.workers[$0].serves }
        if others.isEmpty { breach("shunnedLast: nobody is left", world.now) }
        if world.workers[index].rows[target] == 0,
            world.workers[index].lastSuccess[target].map({ world.now - $0 > 3_000 }) == true
        {
            breach("shunnedInnocent: its last attempt succeeded", world.now)
        }
    }

    /// A worker that fails where all others succeed does not keep its records.
    mutating func brokenWorker(_ world: GateWorld, since: UInt64?, _ index: Int) {
        guard let since, let leaderSince, let calmSince else { return }
        let bound = findOut + settings.suspicion + 6_000
        guard world.now - max(since, leaderSince, calmSince) > bound, world.workers[index].serves else { return }
        for target in world.receivers.indices where !world.workers[index].links[target] {
            if let birth = world.workers[index].queues[target].first, world.now - birth > bound {
                breach("keepsShards: the broken \(world.workers[index].name) holds a record since \(birth)", world.now)
            }
        }
    }
}
