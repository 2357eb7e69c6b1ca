/// A connection between a worker and a coordinator. Numbers are given by the shell and never used twice in a process.
public struct SessionID: Hashable, Sendable, Comparable {
    /// The number.
    public var number: UInt64

    /// Session `number`.
    @inlinable public init(_ number: UInt64) { self.number = number }

    /// Orders by age, oldest first.
    @inlinable public static func < (a: SessionID, b: SessionID) -> Bool { a.number < b.number }
}

/// A worker within one term, whichever session it speaks through. ``Membership`` gives the numbers, one for each
/// identity, and gives none twice in a term.
public struct WorkerID: Hashable, Sendable, Comparable {
    /// The number.
    public var number: UInt32

    /// Worker `number`.
    @inlinable public init(_ number: UInt32) { self.number = number }

    /// Orders as the workers joined.
    @inlinable public static func < (a: WorkerID, b: WorkerID) -> Bool { a.number < b.number }
}

/// The times on which leader and workers agree. Milliseconds, by monotonic clocks.
public struct ClusterTiming: Sendable, Equatable {
    /// How long a worker may act after it sent the last heartbeat that was echoed.
    public var workerLeaseMilliseconds: UInt64 = 10_000
    /// What is added before a silent worker is taken for dead: the longest that a request of its may still be under way
    /// when its lease ends, and the difference in speed of two clocks.
    public var marginMilliseconds: UInt64 = 5_000
    /// The longest that a worker may hold a shard after it was revoked.
    public var releaseMilliseconds: UInt64 = 5_000
    /// How long changes are gathered before shards are placed anew.
    public var debounceMilliseconds: UInt64 = 300

    /// The documented ones.
    public init() {}

    /// From the last sign of life, or from a take-over, until a worker that was not heard since can do nothing more.
    public var deathMilliseconds: UInt64 { workerLeaseMilliseconds + marginMilliseconds }
    /// From revoking a shard until the worker that did not release it is told to go: what it may take, and the way there
    /// and back.
    public var expelMilliseconds: UInt64 { releaseMilliseconds + workerLeaseMilliseconds / 2 }
    /// The part of the margin in which it is certain that a worker whose lease is over was not taken for dead, and in which its
    /// requests have to end: the rest is for clocks that run apart.
    public var certainMilliseconds: UInt64 { Self.certain(of: marginMilliseconds) }
    static func certain(of margin: UInt64) -> UInt64 { margin - margin / 4 }
    /// How often a worker sends a heartbeat.
    public var heartbeatMilliseconds: UInt64 { max(1, workerLeaseMilliseconds / 4) }

    /// What is wrong with the relations between these times; nil if nothing is.
    public var problem: String? {
        if workerLeaseMilliseconds < 4 { return "the worker lease must be at least 4 ms" }
        if marginMilliseconds == 0 { return "the margin must be above 0: requests are under way when a lease ends" }
        if releaseMilliseconds == 0 { return "the time to release a shard must be above 0" }
        if debounceMilliseconds >= workerLeaseMilliseconds {
            return "changes must be gathered for less time than the worker lease"
        }
        return nil
    }
}
