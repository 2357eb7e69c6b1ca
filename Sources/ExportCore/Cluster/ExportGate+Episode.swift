import Model

/// The course of an episode.
extension ExportGate {
    /// The name of the running episode's alert.
    public var alertName: String? { episode?.alertName(cluster: cluster) }

    /// Whether the alert was acknowledged, as far as that is asked for.
    public var isAcknowledged: Bool {
        settings.resumeOn == .recovery || alert?.isAcknowledgedByPerson == true
    }

    /// What the store is to say. Its version is the keeper's affair.
    var wanted: GateRecord {
        let isOpen = state == .open || (state != .unknown && !settings.failClosed)
        return GateRecord(
            version: GateRecord.Version(term: term, sequence: 0), holder: isOpen ? keeper.identity : "",
            durationSeconds: keeper.durationSeconds, state: state, reason: why, since: sinceWall, episode: episode,
            ended: ended)
    }

    /// Reads what the leader before us left, and goes on with it. Of an episode on record only its own alert matters, which is
    /// asked for by name later: what else lies among the alerts keeps nobody from going on.
    mutating func learn(_ wall: UInt64, _ now: Tick, _ effects: inout [Effect]) {
        if !keeper.hasRead, gateRequest.begin(settings, now) { effects.append(.readGate) }
        let known = keeper.stored?.episode
        if known == nil, alerts == nil, alertRequest.begin(settings, now) { effects.append(.readAlerts) }
        guard keeper.hasRead, known != nil || alerts != nil else { return }
        ended = keeper.stored?.ended
        let found = alerts ?? []
        episode = known ?? untoldEpisode(found)
        alerts = []
        alertRequest = Request()
        guard let episode else { return enter(.open, "a new leader found no running episode", [], wall, now, &effects) }
        alert = found.first { $0.name == alertName }
        hasSoughtAlert = alert != nil
        begun = now
        if episode.id.term == term { episodesOfTerm = max(episodesOfTerm, episode.id.number) }
        // Which targets were broken is not known, so all of them have to show that they work.
        for target in targets.indices { targets[target].demandProof() }
        let next: State = settings.failClosed && keeper.stored?.isOpen == false ? .halted : .degraded
        enter(next, "a new leader goes on with the episode that began with: \(episode.cause)", [], wall, now, &effects)
        told = nil
    }

    /// The latest episode of which only its alert tells, because the gate's record was lost or never written.
    private func untoldEpisode(_ alerts: [SystemAlert]) -> Episode? {
        let ours = alerts.compactMap { alert in Episode.named(alert.name).map { (episode: $0, alert: alert) } }
            .filter { $0.alert.name == $0.episode.alertName(cluster: cluster) }
        guard let last = ours.max(by: { $0.episode.id < $1.episode.id }), !last.alert.isAcknowledgedByPerson,
            ended.map({ $0 < last.episode.id }) ?? true
        else { return nil }
        return last.episode
    }

    /// Everything that is wrong.
    mutating func troubles(_ trusted: Set<String>, _ now: Tick) -> [Cause] {
        var causes: [Cause] = []
        let idle = now.milliseconds(since: noWorkerSince)
        if trusted.isEmpty, idle >= settings.noWorkerLimit {
            causes.append(.noWorker(milliseconds: idle, targets: targets.map(\.name), about: absence(now: now)))
        }
        if feedSilence >= settings.feedSilence {
            causes.append(
                .backlogUnknown(milliseconds: feedSilence, targets: targets.map(\.name), reason: hindrance))
        }
        for target in targets.indices {
            guard let cause = targets[target].trouble(trusted, hindrance: hindrance, now: now) else { continue }
            targets[target].demandProof()
            causes.append(cause)
        }
        return causes
    }

    /// Goes from state to state as far as it can.
    mutating func advance(
        _ causes: [Cause], _ trusted: Set<String>, _ wall: UInt64, _ now: Tick, _ effects: inout [Effect]
    ) {
        let isWell =
            causes.isEmpty && !trusted.isEmpty && targets.allSatisfy { $0.isProven && $0.isCalm(trusted, now: now) }
        calmSince = isWell ? calmSince ?? now : nil
        let isStable = calmSince.map { now >= $0.adding(milliseconds: settings.stability) } ?? false
        // No state is entered twice in one tick, so this ends.
        for _ in State.allCases {
            guard let (next, why, found) = step(causes, isStable, wall, now) else { break }
            enter(next, why, found, wall, now, &effects)
        }
        follow(causes, wall, now, &effects)
    }

    private mutating func step(
        _ causes: [Cause], _ isStable: Bool, _ wall: UInt64, _ now: Tick
    ) -> (State, String, [Cause])? {
        switch state {
        case .unknown: return nil
        case .open:
            guard !causes.isEmpty else { return nil }
            begin(causes, wall, now)
            return (.degraded, Cause.words(causes), causes)
        case .degraded:
            if settings.failClosed {
                guard keeper.isClosed(now: now) else { return nil }
                let rest = isTold(causes) ? why : Cause.words(causes)
                return (.halted, "no probe is admitted any more" + (causes.isEmpty ? "" : ": \(rest)"), causes)
            }
            return causes.isEmpty ? (.recovering, "nothing fails any more", []) : nil
        case .halted: return causes.isEmpty ? (.recovering, "nothing fails any more", []) : nil
        case .recovering, .awaitingAcknowledgement:
            if !causes.isEmpty { return (settings.failClosed ? .halted : .degraded, Cause.words(causes), causes) }
            if !isStable {
                return state == .recovering ? nil : (.recovering, "a backlog has grown, or a worker is missing", [])
            }
            // An episode that nobody was told of does not end.
            if alert != nil, isAcknowledged {
                end()
                let by = alert?.acknowledgedBy.map { "; acknowledged by \($0)" } ?? ""
                return (.open, "every target works and the backlog is small" + by, [])
            }
            return state == .awaitingAcknowledgement
                ? nil
                : (.awaitingAcknowledgement, "everything works; the alert waits for a person's acknowledgement", [])
        }
    }

    private func isTold(_ causes: [Cause]) -> Bool { told?.keys == Set(causes.map(\.key)) }

    /// While exporting does not work, says what is wrong now if that is not what was told: a target that breaks behind another
    /// one, and one that is mended before it. Not with every change, or one that comes and goes would fill the log.
    private mutating func follow(_ causes: [Cause], _ wall: UInt64, _ now: Tick, _ effects: inout [Effect]) {
        guard state == .degraded || state == .halted, !isTold(causes),
            told.map({ now >= $0.at.adding(milliseconds: settings.suspicion) }) ?? true
        else { return }
        why = causes.isEmpty ? "nothing fails any more" : Cause.words(causes)
        note(state, why, causes, wall, now, &effects)
    }

    private mutating func begin(_ causes: [Cause], _ wall: UInt64, _ now: Tick) {
        episodesOfTerm += 1
        let id = Episode.ID(term: term, number: episodesOfTerm)
        episode = Episode(id: id, since: wall, cause: Cause.words(causes))
        begun = now
        alert = nil
        hasSoughtAlert = true
        alertRequest = Request()
    }

    private mutating func end() {
        ended = episode?.id
        for target in targets.indices { targets[target].acquit() }
    }

    private mutating func enter(
        _ next: State, _ cause: String, _ causes: [Cause], _ wall: UInt64, _ now: Tick, _ effects: inout [Effect]
    ) {
        note(next, cause, causes, wall, now, &effects)
        entered[next, default: 0] += 1
        if next == .open { episode = nil }
        state = next
        why = next == .open ? "" : cause
        since = now
        sinceWall = wall
    }

    /// Tells of a change, with what of its causes is new.
    private mutating func note(
        _ next: State, _ cause: String, _ causes: [Cause], _ wall: UInt64, _ now: Tick, _ effects: inout [Effect]
    ) {
        let known = told?.keys ?? []
        let kinds = Set(causes.filter { !known.contains($0.key) }.map(\.kind))
        told = Told(keys: Set(causes.map(\.key)), at: now)
        effects.append(
            .record(
                Transition(
                    from: state, to: next, cause: cause, kinds: kinds, episode: episode?.id, term: term,
                    wallMilliseconds: wall)))
    }

    /// Looks for the alert of an earlier leader's episode; raises it once the episode is on record, or cannot be put there in
    /// time; then looks whether somebody has acknowledged it.
    mutating func askAboutAlert(_ now: Tick, _ effects: inout [Effect]) {
        guard let episode, let name = alertName, let begun else { return }
        guard let alert else {
            guard hasSoughtAlert else {
                if alertRequest.begin(settings, now) { effects.append(.readAlert(name: name)) }
                return
            }
            let late = begun.adding(milliseconds: UInt64(settings.leaseSeconds) * 1_000)
            guard keeper.stored?.episode == episode || now >= late else { return }
            if alertRequest.begin(settings, now) {
                effects.append(.raise(SystemAlert(name: name, message: message(episode))))
            }
            return
        }
        guard settings.resumeOn == .acknowledgement, !alert.isAcknowledgedByPerson else { return }
        if alertRequest.begin(settings, now) { effects.append(.readAlert(name: name)) }
    }

    private func message(_ episode: Episode) -> String {
        let probing = settings.failClosed ? "Probing is halted." : "Probing goes on: fail-closed is off."
        let resume =
            settings.resumeOn == .acknowledgement
            ? " Mend it, then set acknowledged, acknowledgedBy, acknowledgedAt and remediationAction of this alert;"
                + " the episode ends when every target works and the backlog is small."
            : " Mend it; the episode ends when every target works and the backlog is small."
        return "Export to the SIEM does not work: \(episode.cause). \(probing)\(resume)"
            + " What does not work by now, the gate's reason says."
    }
}
