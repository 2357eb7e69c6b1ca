import ExportCore
import Model

/// What this process has seen that shows who leads. Pure.
///
/// A lease that we wrote is ours for its whole duration from the moment at which the write began: everybody else waits it out
/// from when they learn of the write, which is later. A lease that we read was ours then and perhaps a moment later is not:
/// that lets one request through, and no second one.
struct LeaderProof: Sendable {
    private struct Written {
        var holder: String
        var term: UInt64
        var begun: Tick
    }

    private let lastsMilliseconds: UInt64
    private var written: Written?
    /// The latest term that was let through. A request may come late, and somebody may have set the lease back to the term in
    /// which it was made.
    private var newestTerm: UInt64 = 0

    /// - Parameter lastsMilliseconds: how long a write of the lease proves that it is ours.
    init(lastsMilliseconds: UInt64) { self.lastsMilliseconds = lastsMilliseconds }

    /// The lease was written, by a request that began then.
    mutating func wrote(_ record: LeaseRecord, begun: Tick) {
        if let written, begun < written.begun { return }
        written = record.isHeld ? Written(holder: record.holder, term: record.term, begun: begun) : nil
    }

    /// The lease was read, by a request that began then; nil: there was none.
    mutating func saw(_ record: LeaseRecord?, begun: Tick) {
        guard let written, begun >= written.begun else { return }
        if record?.holder != written.holder || record?.term != written.term { self.written = nil }
    }

    /// Whether `fence` leads for certain, by a write of late.
    mutating func holds(_ fence: Fence, now: Tick) -> Bool {
        guard let written, written.holder == fence.holder, written.term == fence.term,
            now < written.begun.adding(milliseconds: lastsMilliseconds)
        else { return false }
        return letsThrough(fence)
    }

    /// Whether `fence` leads by what was read a moment ago.
    mutating func admits(_ fence: Fence, _ record: LeaseRecord?) -> Bool {
        guard let record, record.isHeld, record.holder == fence.holder, record.term == fence.term else { return false }
        return letsThrough(fence)
    }

    private mutating func letsThrough(_ fence: Fence) -> Bool {
        guard fence.term >= newestTerm else { return false }
        newestTerm = fence.term
        return true
    }
}
