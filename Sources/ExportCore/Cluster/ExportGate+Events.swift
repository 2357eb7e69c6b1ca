public import Model
public import Protocol

extension ExportGate {
    /// What the gate is in.
    public enum State: String, Sendable, CaseIterable {
        /// The stored record and the alerts were not read yet; nothing is renewed.
        case unknown
        /// Exporting works; probes are admitted.
        case open
        /// Exporting does not work and the alert is raised. Fail-closed: the gate is being closed. If not: probes are
        /// admitted all the same.
        case degraded
        /// Exporting does not work, and for certain no probe is admitted.
        case halted
        /// Nothing fails any more; what was broken has to show that it works, and the backlog to become small.
        case recovering
        /// Everything works; a person has to acknowledge the alert.
        case awaitingAcknowledgement
    }

    /// Whether a worker can send.
    public enum Ability: Sendable, Equatable {
        /// Its session lives and it holds shards.
        case serving
        /// Its session lives, and it holds none.
        case idle
        /// Its session is lost or its lease over: it starts no request, or must not.
        case fenced
    }

    /// What happens to the gate.
    public enum Event: Sendable, Equatable {
        /// A worker, or what it can do, is new. `boot` tells processes of one name apart.
        case worker(String, boot: RecordKey, Ability)
        /// A worker is dead or has left.
        case workerGone(String)
        /// A worker's heartbeat of this session told its health, in the order of the targets.
        case health(String, [TargetHealth])
        /// What the coordinator knows of a target, by its place in the order: records not delivered there, and the age
        /// of the oldest in milliseconds. Zero records only if the feed says that nothing is left.
        /// Those of them that are `unwritten` are delivered, and nobody has to send them.
        case backlog(target: Int, records: UInt64, oldestMilliseconds: UInt64?, unwritten: UInt64 = 0)
        /// For how long the feed has told nothing of what it has not read, milliseconds. Before every tick.
        case feedSilent(milliseconds: UInt64)
        /// What keeps the coordinator itself from reading results, or from writing down what became of them: how often, and the
        /// last error. Empty if nothing does.
        case hindered(String)
        /// The answer to `readGate`; nil if there is no record.
        case gateRead(GateRecord?)
        /// `readGate` failed.
        case gateUnreadable
        /// A `writeGate` was carried out for good.
        case gateWritten(GateRecord.Version)
        /// A `writeGate` was not carried out, because this record is newer.
        case gateRefused(stored: GateRecord)
        /// A `writeGate` failed, was too late, or nobody knows what became of it.
        case gateUnwritten(GateRecord.Version)
        /// The answer to `readAlerts`.
        case alertsRead([SystemAlert])
        /// The answer to `raise` or `readAlert`, or news of it from a watch: what the store has under that name.
        case alertRead(name: String, SystemAlert?)
        /// `readAlerts`, `raise` or `readAlert` failed.
        case alertUnreadable
        /// Time has passed. Nothing may be done from `leadUntil` on. The clock is for names and for people.
        case tick(leadUntil: Tick, wallMilliseconds: UInt64)
    }

    /// What is to be done, in this order.
    public enum Effect: Sendable, Equatable {
        /// Read the gate's record as of now, not from a cache.
        case readGate
        /// List the alerts whose reason is ``SystemAlert/exportDegraded``.
        case readAlerts
        /// Write the record if it may replace what is stored; do not begin at `before` or later.
        case writeGate(GateRecord, before: Tick)
        /// Create the alert if there is none of this name, and answer with what is there.
        case raise(SystemAlert)
        /// Answer with the alert of this name.
        case readAlert(name: String)
        /// Move this worker's shards to others, and give it none: it fails at a target where others succeed.
        case shun(worker: String, target: String, reason: String)
        /// The worker may have shards again.
        case forgive(worker: String)
        /// Log, count and keep this.
        case record(Transition)
        /// The stored record is of this later term, so nothing can be written in ours: as when the lease was deleted and
        /// terms began anew. A term above it has to be led in; if it is not credible, a person has to delete the record.
        case outranked(by: UInt64, isCredible: Bool)
    }

    /// A change of state, or of what is wrong while the state stays, with its cause.
    public struct Transition: Sendable, Equatable, CustomStringConvertible {
        /// The state before.
        public var from: State
        /// The state from here on.
        public var to: State
        /// Why.
        public var cause: String
        /// What was found to be wrong, and was not told before; empty if the change is for the better.
        public var kinds: Set<Cause.Kind>
        /// The episode it belongs to.
        public var episode: Episode.ID?
        /// The leader's term.
        public var term: UInt64
        /// When, milliseconds since 1970 by the leader's clock.
        public var wallMilliseconds: UInt64

        /// Whether the state is what it was, and other things are wrong than were told.
        public var isNews: Bool { from == to }

        /// One line for people.
        public var description: String {
            if isNews { return "gate stays \(to.rawValue): \(cause)" }
            return from == .unknown
                ? "gate taken over as \(to.rawValue): \(cause)" : "gate \(from.rawValue) -> \(to.rawValue): \(cause)"
        }
    }

    /// What was last told to be wrong, and when.
    struct Told: Sendable {
        var keys: Set<Cause.Key>
        var at: Tick
    }

    struct Member: Sendable {
        var boot: RecordKey
        var ability: Ability
        /// Whether an earlier leader may have known it.
        var carries: Bool
    }

    /// A worker that was or is shunned.
    struct Suspicion: Sendable {
        var target: Int
        var length: UInt64
        /// Until when it is shunned.
        var until: Tick
        /// When it was forgiven; nil while it is shunned.
        var forgiven: Tick?
    }

    /// A request to the store that is made until it is answered.
    struct Request: Sendable {
        private var due = Tick(nanoseconds: 0)

        /// Whether to make it now.
        mutating func begin(_ settings: ExportGateSettings, _ now: Tick) -> Bool {
            guard now >= due else { return false }
            due = now.adding(milliseconds: settings.answer)
            return true
        }

        /// It was answered or failed: the next one may follow after a pause.
        mutating func rest(_ settings: ExportGateSettings, _ now: Tick) {
            due = now.adding(milliseconds: settings.retry)
        }
    }
}
