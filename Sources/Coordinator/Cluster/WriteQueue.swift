import ExportCore
package import Model
import Protocol

/// What waits to be written down about results, in order. Pure.
///
/// A store whose writes take long for each record is given a part at a time: what is written counts as soon as it is, and what
/// comes meanwhile need not wait for all that was there before.
package struct WriteQueue: Sendable {
    private struct Piece: Sendable {
        var entry: StatusEntry
        /// The number of the write that it belongs to.
        var number: UInt64
        /// Nothing of that write comes after it.
        var isLast: Bool
    }

    private var pieces: [Piece] = []
    /// The number of the last write of which everything was written.
    private var done: UInt64 = 0
    /// The number of the last write that came.
    package private(set) var through: UInt64 = 0
    /// About how many records it speaks of.
    package private(set) var records = 0
    package var isWriting = false
    /// When the first of those came that came since something was begun to be written.
    var since: Tick?
    /// Nothing is written before; after a failure.
    package private(set) var pausedUntil: Tick?
    /// Since when every write has failed; nil: the last one did not. What is delivered and not written is not exported.
    package private(set) var stuckSince: Tick?
    /// How often in a row it failed, and the last error.
    private(set) var failures: (count: UInt64, last: String) = (0, "")

    /// Nothing waits to be written.
    package init() {}

    /// Nothing waits.
    package var isEmpty: Bool { pieces.isEmpty }

    /// Entries of a write, cut into pieces of at most `most` records.
    package mutating func add(_ entries: [StatusEntry], number: UInt64, most: Int) {
        through = number
        for entry in entries {
            for part in Self.cut(entry, most) {
                pieces.append(Piece(entry: part, number: number, isLast: false))
                records += Self.records(part)
            }
        }
        if !entries.isEmpty { pieces[pieces.count - 1].isLast = true }
    }

    /// What is written next: about `most` records, at least one entry.
    package func first(_ most: Int) -> [StatusEntry] {
        var sum = 0
        var entries: [StatusEntry] = []
        for piece in pieces {
            let records = Self.records(piece.entry)
            if !entries.isEmpty, records > most - sum { break }
            sum += records
            entries.append(piece.entry)
        }
        return entries
    }

    /// A write failed; another one is due after a pause.
    package mutating func failed(_ why: String = "", now: Tick, pause milliseconds: UInt64) {
        isWriting = false
        failures = (failures.count + 1, why)
        stuckSince = stuckSince ?? now
        pausedUntil = now.adding(milliseconds: milliseconds)
    }

    /// The first `count` entries are written. The number of the last write of which everything is.
    package mutating func wrote(_ count: Int) -> UInt64 {
        (isWriting, stuckSince, pausedUntil) = (false, nil, nil)
        failures = (0, "")
        for piece in pieces.prefix(count) {
            records -= Self.records(piece.entry)
            if piece.isLast { done = piece.number }
        }
        pieces.removeFirst(count)
        return done
    }

    private static func records(_ entry: StatusEntry) -> Int {
        if case .facts(let facts) = entry { facts.keys.count } else { 1 }
    }

    private static func cut(_ entry: StatusEntry, _ most: Int) -> [StatusEntry] {
        guard case .facts(let facts) = entry, facts.keys.count > most else { return [entry] }
        return stride(from: 0, to: facts.keys.count, by: most).map { start in
            let range = start..<min(start + most, facts.keys.count)
            var part = facts
            part.keys = Array(facts.keys[range])
            part.lengths = Array(facts.lengths[range])
            return .facts(part)
        }
    }
}
