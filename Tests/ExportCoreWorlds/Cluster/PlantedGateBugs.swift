import ExportCore
import Model
import Protocol

/// Mistakes that the simulation has to find, each by the rule that its raw value names.
enum PlantedGateBug: String, CaseIterable {
    /// What a worker does that was cut off counts as an owner's failure.
    case countsOldOwners
    /// Successes do not end the row.
    case ignoresSuccess
    /// A new leader does not look for the running episode.
    case alertPerLeader
    /// Nobody needs to acknowledge.
    case opensUnacknowledged
    /// A service account may acknowledge.
    case trustsServiceAccounts
    /// An alert that is gone counts as acknowledged.
    case takesAbsenceForAcknowledgement
    /// Writes before the record and the alerts are known.
    case renewsBeforeItKnows
    /// Goes on when its lease is over.
    case ignoresItsLease
    /// The store lets an old version replace a newer one.
    case replacesBlindly
    /// One worker's failures are the target's.
    case blamesTheTarget
    /// Old records do not matter.
    case ignoresAge
    /// A fleet without workers does not matter.
    case ignoresMissingWorkers
    /// Takes every backlog for empty.
    case ignoresBacklog
    /// Never counts to the threshold.
    case neverFinds
    /// Nobody is shunned.
    case neverShuns
    /// The innocent are shunned, and the last.
    case shunsAnybody
    /// Goes on renewing what it has closed.
    case neverCloses
    /// Changes are not told.
    case staysSilent

    /// How the breach begins.
    var rules: [String] {
        switch self {
        case .countsOldOwners: ["refused", "shunned"]
        case .ignoresSuccess, .blamesTheTarget: ["refused"]
        case .alertPerLeader: ["secondAlert"]
        case .opensUnacknowledged, .trustsServiceAccounts, .takesAbsenceForAcknowledgement: ["unacknowledged"]
        case .renewsBeforeItKnows: ["unread"]
        case .ignoresItsLease: ["afterLease"]
        case .replacesBlindly: ["failing", "tooOld", "unacknowledged", "openedBroken", "secondAlert"]
        case .ignoresAge: ["tooOld"]
        case .ignoresMissingWorkers: ["noWorker"]
        case .ignoresBacklog: ["openedBroken", "failing", "openedBacklog"]
        case .neverFinds: ["failing"]
        case .neverShuns: ["keepsShards"]
        case .shunsAnybody: ["shunned"]
        case .neverCloses: ["failing", "tooOld"]
        case .staysSilent: ["untold"]
        }
    }

    func weaken(_ settings: inout ExportGateSettings) {
        switch self {
        case .blamesTheTarget: settings.evidence = 0
        case .ignoresMissingWorkers: settings.noWorkerLimit = 1_000_000_000
        case .ignoresAge: settings.ageLimit = 1_000_000_000
        case .neverFinds: settings.failureThreshold = 1_000_000_000
        default: break
        }
    }

    func distort(_ event: ExportGate.Event, _ gate: ExportGate) -> ExportGate.Event {
        switch (self, event) {
        case (.countsOldOwners, .worker(let name, let boot, .fenced)): return .worker(name, boot: boot, .serving)
        case (.ignoresSuccess, .health(let name, let health)):
            return .health(
                name,
                health.map { health in
                    var other = health
                    other.attempts -= health.successes
                    other.successes = 0
                    other.sinceSuccessMilliseconds = nil
                    return other
                })
        case (.alertPerLeader, .gateRead(let record)):
            var lost = record
            lost?.episode = nil
            return .gateRead(lost)
        case (.alertPerLeader, .alertsRead): return .alertsRead([])
        case (.opensUnacknowledged, .alertRead(let name, let alert)),
            (.trustsServiceAccounts, .alertRead(let name, let alert)),
            (.takesAbsenceForAcknowledgement, .alertRead(let name, let alert)):
            return .alertRead(name: name, acknowledged(name, alert))
        case (.ignoresBacklog, .backlog(let target, _, _, _)):
            return .backlog(target: target, records: 0, oldestMilliseconds: nil)
        default: return event
        }
    }

    private func acknowledged(_ name: String, _ alert: SystemAlert?) -> SystemAlert? {
        var other = alert ?? SystemAlert(name: name, message: "")
        switch self {
        case .trustsServiceAccounts:
            guard alert?.acknowledgedBy?.hasPrefix("system:") == true else { return alert }
        case .takesAbsenceForAcknowledgement:
            guard alert == nil else { return alert }
        default: break
        }
        other.acknowledged = true
        other.acknowledgedBy = "somebody"
        other.acknowledgedAt = "now"
        other.remediationAction = "none"
        return other
    }

    /// - Parameters:
    ///   - term: the gate's.
    ///   - workers: the names of those that the gate was told of.
    func distort(
        _ effects: [ExportGate.Effect], _ gate: ExportGate, term: UInt64, workers: some Sequence<String>, now: Tick
    ) -> [ExportGate.Effect] {
        var record = GateRecord(
            version: GateRecord.Version(term: term, sequence: 0), holder: "eager", durationSeconds: 9, state: .open,
            reason: "", since: 0)
        switch self {
        case .renewsBeforeItKnows where gate.state == .unknown && effects.contains(.readGate):
            return effects + [.writeGate(record, before: now.adding(milliseconds: 1_000))]
        case .neverShuns, .blamesTheTarget:
            return effects.filter { if case .shun = $0 { false } else { true } }
        case .shunsAnybody where gate.state == .open && gate.shunned.isEmpty:
            return effects + workers.sorted().prefix(1).map { .shun(worker: $0, target: "t0", reason: "") }
        case .neverCloses where gate.state == .halted && now.nanoseconds % 2_000_000_000 == 0:
            record.version.sequence = now.nanoseconds / 1_000_000
            record.state = .halted
            record.episode = gate.episode
            return effects + [.writeGate(record, before: now.adding(milliseconds: 1_000))]
        case .staysSilent:
            return effects.filter { if case .record = $0 { false } else { true } }
        default: return effects
        }
    }
}
