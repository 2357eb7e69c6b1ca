internal import Model

/// Decides which requests misbehave. Without clock or randomness of its own: the same seed, times and order of
/// requests give the same decisions.
struct FaultPlan: Sendable {
    enum Decision: Equatable {
        case serve
        case refuse
        case reset
        case commitThenReset
    }

    private(set) var faults: SandboxFaults
    private var outage: (start: Tick, end: Tick)?
    private var rng: PRNG

    init(_ faults: SandboxFaults, seed: UInt64, now: Tick) {
        self.faults = faults
        rng = PRNG(seed: seed)
        planOutage(now: now)
    }

    /// Replaces the rates.
    /// - Parameter restartsOutage: whether the outage's times count anew from `now`; else a running one goes on.
    mutating func apply(_ faults: SandboxFaults, restartsOutage: Bool, now: Tick) {
        self.faults = faults
        if restartsOutage { planOutage(now: now) }
    }

    private mutating func planOutage(now: Tick) {
        guard faults.outageMilliseconds > 0 else {
            outage = nil
            return
        }
        let start = now.adding(milliseconds: faults.outageAfterMilliseconds)
        outage = (start, start.adding(milliseconds: faults.outageMilliseconds))
    }

    private mutating func draws(_ rate: Double) -> Bool {
        rate > 0 && Double(rng.next() >> 11) * 0x1p-53 < rate
    }

    /// - Parameters:
    ///   - carriesRecords: others, such as health checks, only suffer from outages.
    ///   - isPoll: asks for acknowledgements.
    mutating func decide(carriesRecords: Bool, isPoll: Bool = false, now: Tick) -> Decision {
        if let outage, outage.start <= now, now < outage.end { return .refuse }
        if isPoll, draws(faults.ackLoseRate) { return .commitThenReset }
        guard carriesRecords else { return .serve }
        if draws(faults.resetRate) { return .reset }
        if draws(faults.failRate) { return .refuse }
        if draws(faults.commitThenResetRate) { return .commitThenReset }
        return .serve
    }

    mutating func refusesPoll() -> Bool { draws(faults.ackRefuseRate) }

    /// When a request that is taken now can be called true; nil if never.
    mutating func acknowledgedAt(_ now: Tick) -> Tick? {
        draws(faults.ackFalseRate) ? nil : now.adding(milliseconds: faults.ackDelayMilliseconds)
    }

    mutating func failsItem() -> Bool { draws(faults.itemFailRate) }
}
