import Protocol

/// Of which sources pages are still to come.
public struct ReadableSources: Sendable, Equatable {
    /// Those of which not everything was settled when they were found, and that can be read.
    public var sources: Set<UInt64>
    /// There are no others: nothing is there that cannot be read.
    public var isComplete: Bool

    /// Both parts.
    public init(sources: Set<UInt64>, isComplete: Bool) {
        self.sources = sources
        self.isComplete = isComplete
    }
}

extension Dispatch {
    /// Whether something was told of records that no page had.
    public var hasHints: Bool { !hints.isEmpty }

    /// Pages come of these sources alone. What was told of records of others waits no longer, for rows are settled in their order, and
    /// one that waits keeps every later row of its worker.
    ///
    /// What may lie in what cannot be read is written as it was told, and not sent again should it be read one day. Nobody knows how
    /// far such a record reaches, so it is called one byte long: where a record begins is all that is ever asked. The rest was settled before,
    /// or is gone. Of what nobody could keep nothing is known; that is sent again, as it would have been in any case.
    public mutating func readable(_ readable: ReadableSources) -> [Effect] {
        var late: [Facts] = []
        let strange = hints.keys.filter { !readable.sources.contains($0.high) }.sorted()
        for target in 0..<targetCount where hintCounts[target] > 0 {
            for key in strange {
                if readable.isComplete { resolve(key, target, &late) } else { settleUnread(key, target, &late) }
            }
        }
        let effects = write(late)
        if !readable.isComplete {
            for worker in workers.indices {
                for target in 0..<targetCount {
                    workers[worker].rows.resolveUnkept(of: target, barrier: lastWrite)
                }
            }
        }
        return effects + settledRows()
    }

    private mutating func settleUnread(_ key: RecordKey, _ target: Int, _ late: inout [Facts]) {
        guard key.low < .max, let hint = takeHints(key, target) else { return }
        count(hint.kind, target, 1)
        index.insert(key.low..<key.low + 1, of: key.high, target: target)
        late.add(key, 1, target, hint.kind, hint.reason)
    }

    /// A source that was finished is not there any more: nothing is remembered of it.
    public mutating func forget(_ source: UInt64) {
        guard index.isFinished(source) else { return }
        index.forget(source)
    }
}
