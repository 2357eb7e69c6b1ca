public import Model

extension GateStatus {
    /// The gate as its leader knows it. Only what the store has confirmed, and what has not run out, counts as admitting:
    /// schedulers are told what the API server would tell them.
    public init(_ gate: ExportGate, now: Tick) {
        self.init()
        let isAdmitting = gate.isAdmitting(now: now)
        switch gate.state {
        case .unknown: state = .unknown
        case .open: state = isAdmitting ? .open : .unknown
        case .degraded: state = isAdmitting ? .degraded : .halted
        case .halted: state = .halted
        case .recovering, .awaitingAcknowledgement:
            state = gate.settings.failClosed || !isAdmitting ? .recovering : .degraded
        }
        reason = gate.reason
        if gate.state == .open, !isAdmitting {
            reason = "nothing fails, and the gate's record is not open: no worker can send yet, or a renewal is overdue"
        }
        if gate.state == .degraded, isAdmitting, gate.settings.failClosed {
            reason +=
                "; probing is to be halted, and the gate's record still admits probes until the store says that it is"
                + " closed, or it runs out"
        }
        if let flaw = gate.alert?.acknowledgementFlaw { reason += "; \(flaw)" }
        failClosed = gate.settings.failClosed
        ageLimitMilliseconds = gate.settings.ageLimit
        sinceMilliseconds = now.milliseconds(since: gate.since)
        episode = gate.episode.map { "\($0.id.term)-\($0.id.number)" }
        alert = gate.alertName
        needsAcknowledgement =
            gate.episode != nil && gate.settings.resumeOn == .acknowledgement && !gate.isAcknowledged
    }

    /// The gate as a standby reads it from the store.
    ///
    /// - Parameters:
    ///   - record: what is stored; nil if nothing is.
    ///   - isRenewed: whether its last renewal still counts.
    ///   - sinceMilliseconds: since when it says so.
    public init(_ record: GateRecord?, isRenewed: Bool, settings: ExportGateSettings, sinceMilliseconds: UInt64) {
        self.init()
        failClosed = settings.failClosed
        ageLimitMilliseconds = settings.ageLimit
        self.sinceMilliseconds = sinceMilliseconds
        guard let record else {
            state = .halted
            reason = "there is no record of the gate, so no probe is admitted"
            return
        }
        reason = record.reason
        episode = record.episode.map { "\($0.id.term)-\($0.id.number)" }
        if record.isOpen, !isRenewed {
            state = .halted
            reason = "nobody renews the gate's record, so no probe is admitted; look for the leader"
        } else if record.isOpen {
            state = record.state == .open ? .open : .degraded
            needsAcknowledgement = record.episode != nil && settings.resumeOn == .acknowledgement
        } else {
            let isBetter = record.state == .recovering || record.state == .awaitingAcknowledgement
            state = isBetter ? .recovering : .halted
            needsAcknowledgement = record.episode != nil && settings.resumeOn == .acknowledgement
        }
    }
}
