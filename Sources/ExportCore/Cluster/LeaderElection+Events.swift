import Model

extension LeaderElection {
    /// What happens to a candidate.
    public enum Event: Sendable, Equatable {
        /// Time passed; wanted at ``LeaderElection/nextTick``.
        case tick
        /// The store may have something new, so that a lease which was released is seen at once.
        case changed
        /// Request `id`, a reading, was answered.
        case read(id: UInt64, LeaseState)
        /// Request `id`, a write, was carried out.
        case wrote(id: UInt64, LeaseVersion)
        /// Request `id`, a write, was not carried out: the lease is not what it was.
        case conflict(id: UInt64)
        /// Request `id` was not answered, or with an error: a write may have been carried out all the same.
        case failed(id: UInt64)
        /// Where results and the gate are kept there is a trace of this term: ours, if it is lower, is over.
        case heard(term: UInt64)
        /// A worker says that it has served this term. The store decides: the lease is read at once, though not more often than
        /// every retry period however many say so. If that says that ours is the last, we lead anew beyond the worker's term,
        /// now and then.
        case told(term: UInt64)
        /// This leader can do nothing with its lease: give it back, and let others lead for the time of a lease.
        case resign
        /// The process ends: give the lease back.
        case shutDown
    }

    /// What is to be done, in order.
    public enum Effect: Sendable, Equatable {
        /// Read the lease; the answer must be as of now, not from a cache.
        case read(id: UInt64)
        /// Write the lease if it still has the version `replacing`; nil: if there is none.
        case write(id: UInt64, LeaseRecord, replacing: LeaseVersion?)
        /// We lead in `term`, which nobody led in before.
        case lead(term: UInt64)
        /// We do not lead any more. Whatever was begun under the term must not change anything now.
        case stepDown(term: UInt64, StepDownReason)
        /// Somebody else holds the lease, or nobody (nil): what standbys answer.
        case follow(Leader?)
        /// Everything of a shutdown is done; nothing comes any more.
        case finished
    }

    /// Who leads.
    public struct Leader: Sendable, Equatable {
        /// Its identity.
        public var identity: String
        /// Where it listens, `host:port`.
        public var address: String
        /// Where it shows the cluster's status; empty if that is not known.
        public var endpoint: String
        /// Its term.
        public var term: UInt64

        /// All parts.
        public init(identity: String, address: String, endpoint: String = "", term: UInt64) {
            self.identity = identity
            self.address = address
            self.endpoint = endpoint
            self.term = term
        }
    }

    /// Why a leader stopped.
    public enum StepDownReason: Sendable, Equatable, CustomStringConvertible {
        /// It could not renew in time: the store did not answer, or this process stood still.
        case renewDeadline
        /// The lease is somebody else's (their identity), or was emptied by somebody (empty).
        case lost(to: String)
        /// A higher term is known to exist.
        case outranked(by: UInt64)
        /// Workers have served a higher term, of which the store knows nothing; they follow nobody of a lower one.
        case outgrown(by: UInt64)
        /// It could do nothing with the lease and gave it back.
        case resigned
        /// The process ends.
        case shutdown

        /// What to tell people.
        public var description: String {
            switch self {
            case .renewDeadline:
                "the lease could not be renewed in time; look at the store's answers and at this machine's load"
            case .lost(""): "somebody emptied the lease"
            case .lost(let other): "\(other) holds the lease"
            case .outranked(let term): "the store knows of term \(term), so ours was not the last"
            case .outgrown(let term):
                "workers have served term \(term), which the store knows nothing of, and refuse an earlier one; "
                    + "this coordinator leads anew in a later term"
            case .resigned: "no worker reaches it, so another coordinator may try"
            case .shutdown: "this process ends"
            }
        }
    }

    /// A request that is not answered yet.
    struct Request: Sendable {
        var id: UInt64
        var begun: Tick
        /// What it writes; nil for a reading.
        var record: LeaseRecord?
    }

    /// What the store said last.
    struct Sight: Sendable {
        var state: LeaseState
        /// When we learned of the last change of the record. The change itself was earlier.
        var since: Tick
    }

    struct Leadership: Sendable {
        var term: UInt64
        /// From here on it is over, whatever the store says.
        var until: Tick
        /// Since when nobody else has led.
        var quietSince: Tick
    }
}
