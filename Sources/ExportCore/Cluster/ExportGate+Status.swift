public import Model

extension ExportGate {
    /// How one target stands with the gate.
    public enum TargetState: String, Sendable, CaseIterable {
        /// It works.
        case working
        /// It is broken by the threshold or the age limit.
        case broken
        /// It was broken, or may have been, and has to show that it works.
        case recovering
    }

    /// What the gate knows of one target.
    public struct TargetStatus: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// How it stands.
        public var state: TargetState
        /// What is wrong; empty if nothing is.
        public var reason: String
        /// Failures in a row, by all workers together.
        public var failures: UInt64
        /// Milliseconds since somebody succeeded; nil if nobody did.
        public var sinceSuccessMilliseconds: UInt64?
        /// Age of the oldest undelivered record in milliseconds; nil if there is none.
        public var oldestMilliseconds: UInt64?
    }

    /// Whether the store's record, and not only our wish, admits probes.
    public func isAdmitting(now: Tick) -> Bool { keeper.isOpen(now: now) }

    /// Workers that are shunned, in the order of their names, with the target at which each fails.
    public var shunned: [(worker: String, target: String)] {
        suspects.filter { $0.value.forgiven == nil }.sorted { $0.key < $1.key }
            .map { (worker: $0.key, target: targets[$0.value.target].name) }
    }

    /// All targets in their order.
    public func targetStatus(now: Tick) -> [TargetStatus] {
        let trusted = trustedWorkers
        return targets.map { target in
            let cause = target.trouble(trusted, hindrance: hindrance, now: now)
            let rest: TargetState = target.isProven ? .working : .recovering
            return TargetStatus(
                name: target.name, state: cause == nil ? rest : .broken, reason: cause.map { "\($0)" } ?? "",
                failures: target.failures,
                sinceSuccessMilliseconds: target.lastSuccess.map { now.milliseconds(since: $0) },
                oldestMilliseconds: target.oldestAge(trusted, now: now))
        }
    }
}
