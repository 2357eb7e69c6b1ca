public import Model
public import Protocol

extension CoordinatorCore {
    /// What happens to it.
    public enum Event: Sendable {
        /// Some time has passed: at least every quarter of the shortest lease. The leader may act until `leadUntil`; the
        /// wall clock is for what people read.
        case tick(leadUntil: Tick, wallMilliseconds: UInt64)
        /// Somebody connected; the name is its certificate's.
        case connected(SessionID, name: String?)
        /// The connection is gone.
        case closed(SessionID)
        /// A message came.
        case received(SessionID, Message)
        /// The feed read a page.
        case page(FeedPage)
        /// The feed has no more now, or no room: what waits for company is sent.
        case fed
        /// The feed has shown `target` everything that there was.
        case passed(target: Int)
        /// The feed has looked for records everywhere, as ``Dispatch/sought(most:)`` has them.
        case looked([RecordKey: SoughtRecord])
        /// The feed knows of which sources pages are still to come.
        case readable(ReadableSources)
        /// A source that is settled is not there any more, and nothing of it will come.
        case gone(source: UInt64)
        /// What of each target the feed has not read: records, if it knows, and how long the oldest has waited. Some of them may
        /// be delivered, and only not be written down.
        case backlog(target: Int, records: UInt64, oldestMilliseconds: UInt64?, unwritten: UInt64 = 0)
        /// What keeps the shell from reading results or from writing down what became of them; empty if nothing does. For people.
        case hindered(String)
        /// Writes up to this one are kept for good.
        case written(through: UInt64)
        /// An answer of the gate's or the alerts' store.
        case gate(ExportGate.Event)
    }

    /// What is to be done, in this order.
    public enum Effect: Sendable {
        /// A message is to be sent.
        case send(SessionID, Message)
        /// The fault is to be sent, and the connection closed.
        case close(SessionID, PeerFault)
        /// Facts are to be written down for good, in the order of their numbers.
        case write(number: UInt64, [Dispatch.Facts])
        /// A source is settled for all targets; to be written like facts.
        case finished(source: UInt64, number: UInt64)
        /// Something of the gate.
        case gate(ExportGate.Effect)
        /// The store knows of a later term: this one is over.
        case superseded(term: UInt64)
        /// A worker speaks of a later term: the lease is to be looked at.
        case told(term: UInt64)
        /// No worker reaches this leader: the lease is to be left to another.
        case resign
        /// The feed gave pages that cross one another: this leader cannot go on.
        case broken(String)
        /// So many workers share the shards, which are too few for even loads; told again when twice as many do.
        case crowded(workers: Int)
        /// For the log.
        case note(String)
    }
}
