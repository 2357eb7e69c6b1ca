public import Model

/// The gate's record as somebody sees it who does not write it.
///
/// 1. An open record counts as open until its duration has passed since it was renewed, by this process's monotonic
///    clock: a renewal that is seen to happen counts from when it was seen.
/// 2. How old a record is that was there at the first look, wall clocks tell, its writer's and our own. One that says that it
///    was renewed in the future tells nothing: somebody's clock was set, and only a renewal before our eyes counts.
public struct GateSight: Sendable {
    /// What was seen last.
    public private(set) var record: GateRecord?
    /// Until when the renewal counts; nil if it is not known when that was.
    private var freshUntil: Tick?
    /// When its state was seen to be what it is.
    private var changedAt: Tick?
    private var lookedAt: Tick?

    /// Who looks less often than this does not see renewals happen, milliseconds.
    private static let gapMilliseconds: UInt64 = 5_000
    /// How far two clocks may be apart, milliseconds.
    private static let skewMilliseconds: UInt64 = 1_000

    /// Has seen nothing.
    public init() {}

    /// Takes what a look at the store brought; nil if there is no record, or no answer.
    public mutating func saw(_ record: GateRecord?, now: Tick, wallMilliseconds: UInt64) {
        let isWatching = lookedAt.map { now < $0.adding(milliseconds: Self.gapMilliseconds) } ?? false
        if changedAt == nil || self.record?.state != record?.state { changedAt = now }
        if let record, record.isOpen {
            let duration = UInt64(record.durationSeconds) * 1_000
            if !isWatching || self.record == nil {
                freshUntil = Self.age(of: record, wallMilliseconds).flatMap { age in
                    age < duration ? now.adding(milliseconds: duration - age) : nil
                }
            } else if self.record?.version != record.version {
                freshUntil = now.adding(milliseconds: duration)
            }
        } else {
            freshUntil = nil
        }
        lookedAt = now
        self.record = record
    }

    private static func age(of record: GateRecord, _ wall: UInt64) -> UInt64? {
        record.renewed.flatMap { $0 <= wall ? wall - $0 : $0 - wall <= skewMilliseconds ? 0 : nil }
    }

    /// What is known now, for people and schedulers.
    public func status(_ settings: ExportGateSettings, now: Tick) -> GateStatus {
        let since = changedAt.map { now.milliseconds(since: $0) } ?? 0
        let isFresh = freshUntil.map { now < $0 } ?? false
        var status = GateStatus(record, isRenewed: isFresh, settings: settings, sinceMilliseconds: since)
        guard let record, record.isOpen, freshUntil == nil else { return status }
        status.state = .unknown
        status.reason =
            "when the gate's record was renewed is not known: it was not yet seen, and its time is no recent one"
        return status
    }

    /// What a leader shows that has not written a record of its own yet: as long as the one it found counts, probes are
    /// admitted by it.
    public func status(before gate: ExportGate, now: Tick) -> GateStatus? {
        guard record != nil, !gate.isAdmitting(now: now) else { return nil }
        switch gate.state {
        case .unknown: return status(gate.settings, now: now)
        case .open:
            let seen = status(gate.settings, now: now)
            return seen.state.admits ? seen : nil
        case .degraded, .halted, .recovering, .awaitingAcknowledgement: return nil
        }
    }
}
