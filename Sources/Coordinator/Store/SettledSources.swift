public import ExportCore
import Model
import Protocol

/// What a status journal says, source by source: what is settled where.
public struct SettledSources: Sendable, Equatable {
    /// How one source stands at one target.
    struct AtTarget: Sendable, Equatable {
        var delivered = PositionSet()
        /// Given up, by reason.
        var dead: [String: PositionSet] = [:]
        /// An attempt failed; attempts go on.
        var failed = PositionSet()

        /// Accepted or given up.
        var settled: PositionSet {
            var all = delivered
            for set in dead.values { for range in set.ranges { all.insert(range) } }
            return all
        }
    }

    struct Source: Sendable, Equatable {
        /// Empty until somebody could look at it.
        var file: String
        var size: UInt64
        /// Targets at which everything of it is settled.
        var finished: Set<String> = []
        var targets: [String: AtTarget] = [:]

        /// What of it is settled at `target`.
        func settled(at target: String) -> PositionSet {
            finished.contains(target) ? PositionSet([0..<size]) : targets[target]?.settled ?? PositionSet()
        }
    }

    /// Names of the targets, in the session's order.
    public let targets: [String]
    var sources: [UInt64: Source] = [:]
    /// The highest term in which something was written.
    var highestTerm: UInt64 = 0
    /// Lines that could not be read. What they said is told again, by whoever delivered it or by delivering it again.
    public internal(set) var damagedLines = 0

    /// Reasons for giving up that are kept apart, for one source at one target.
    static let maxReasons = 64

    /// Nothing is settled.
    public init(targets: [String]) { self.targets = targets }

    /// For the leader's machine.
    public var index: SettledIndex {
        var index = SettledIndex(targetCount: targets.count)
        for (number, source) in sources {
            if source.finished.isSuperset(of: targets) {
                index.finish(number)
                continue
            }
            for (target, name) in targets.enumerated() {
                for range in source.settled(at: name).ranges { index.insert(range, of: number, target: target) }
            }
        }
        return index
    }

    /// Sources of which everything is settled at all targets and nobody said so: their leader ended in between.
    public var untold: [UInt64] {
        sources.filter { _, source in
            !source.finished.isSuperset(of: targets)
                && targets.allSatisfy { source.settled(at: $0).covers(0..<source.size) }
        }.keys.sorted()
    }

    /// Whether everything of `source` is settled at all targets.
    func isFinished(_ source: UInt64) -> Bool { sources[source]?.finished.isSuperset(of: targets) ?? false }

    // MARK: Reading a journal

    /// Takes in a whole journal. A last line without an end is one that was being written.
    mutating func read(_ bytes: Span<UInt8>) {
        var start = 0
        while start < bytes.count {
            let end = PageCut.firstLineEnd(bytes, from: start)
            if let end, let line = StatusLine(bytes, start..<end - 1) {
                apply(line)
            } else if (end ?? bytes.count + 1) - 1 > start {
                damagedLines += 1
            }
            start = end ?? bytes.count
        }
    }

    mutating func apply(_ line: StatusLine) {
        highestTerm = max(highestTerm, line.term)
        var source = sources[line.source] ?? Source(file: line.file, size: line.size)
        sources[line.source] = nil
        // It could not be looked at before.
        if source.file.isEmpty { (source.file, source.size) = (line.file, line.size) }
        switch line.body {
        case .finished(let targets): source.finished.formUnion(targets)
        case .facts(let target, let kind, let ranges, let reason):
            var state = source.targets[target] ?? AtTarget()
            source.targets[target] = nil
            for range in ranges {
                switch kind {
                case .delivered: state.delivered.insert(range)
                case .dead:
                    let isKnown = state.dead[reason] != nil || state.dead.count < Self.maxReasons
                    state.dead[isKnown ? reason : "several reasons", default: PositionSet()].insert(range)
                case .failed: state.failed.insert(range)
                }
            }
            source.targets[target] = state
        }
        sources[line.source] = source
    }

    // MARK: Compaction

    /// The same knowledge in as few lines as there can be: of what is finished, one line and the records given up.
    ///
    /// - Parameter isPresent: whether a file is still there. Of a finished one that is gone, nothing needs to be known.
    func compacted(term: UInt64, isPresent: (String) -> Bool) -> [StatusLine] {
        var lines: [StatusLine] = []
        for (number, source) in sources.sorted(by: { ($0.value.file, $0.key) < ($1.value.file, $1.key) }) {
            if !source.finished.isEmpty, !isPresent(source.file) { continue }
            var line = StatusLine(
                term: term, file: source.file, source: number, size: source.size,
                body: .finished(targets: source.finished.sorted()))
            if !source.finished.isEmpty { lines.append(line) }
            for (target, state) in source.targets.sorted(by: { $0.key < $1.key }) {
                let isFinished = source.finished.contains(target)
                func add(_ kind: Outcomes.Kind, _ set: PositionSet, _ reason: String = "") {
                    for start in stride(from: 0, to: set.ranges.count, by: StatusLine.maxRanges) {
                        let ranges = Array(set.ranges[start..<min(start + StatusLine.maxRanges, set.ranges.count)])
                        line.body = .facts(target: target, kind, ranges, reason: reason)
                        lines.append(line)
                    }
                }
                if !isFinished { add(.delivered, state.delivered) }
                for (reason, set) in state.dead.sorted(by: { $0.key < $1.key }) {
                    add(.dead, set.subtracting(state.delivered), reason)
                }
                if !isFinished { add(.failed, state.failed.subtracting(state.settled)) }
            }
        }
        return lines
    }
}
