import ExportCore
import Model
import Protocol

/// Gathers what is to be said in one write, so that neighbours become one range and equals one line.
struct StatusDrafts {
    private struct Subject: Hashable {
        var source: UInt64
        var target: Int
        var kind: Outcomes.Kind
        var reason: String
    }

    private let term: UInt64
    private let targets: [String]
    private var places: [Subject: Int] = [:]
    private var order: [(subject: Subject, ranges: [Range<UInt64>])] = []
    private var finished: [UInt64] = []
    /// Where the record before went: mostly this one goes there as well.
    private var last: (subject: Subject, place: Int)?

    init(term: UInt64, targets: [String]) {
        self.term = term
        self.targets = targets
    }

    mutating func add(_ source: UInt64, _ range: Range<UInt64>, _ facts: Dispatch.Facts) {
        if let last, last.subject.source == source, last.subject.target == facts.target,
            last.subject.kind == facts.kind, last.subject.reason == facts.reason
        {
            return append(range, at: last.place)
        }
        let subject = Subject(source: source, target: facts.target, kind: facts.kind, reason: facts.reason)
        let place = places[subject] ?? order.count
        if place == order.count {
            places[subject] = place
            order.append((subject, []))
        }
        last = (subject, place)
        append(range, at: place)
    }

    private mutating func append(_ range: Range<UInt64>, at place: Int) {
        if let end = order[place].ranges.indices.last, order[place].ranges[end].upperBound == range.lowerBound {
            order[place].ranges[end] = order[place].ranges[end].lowerBound..<range.upperBound
        } else {
            order[place].ranges.append(range)
        }
    }

    mutating func finish(_ source: UInt64) { finished.append(source) }

    /// Facts first, then what they finished. Facts about a source that nobody can look at now name no file. Also sources that were
    /// finished and of which no file is known: nothing can be said of them, and all the rest must not wait for it.
    func lines(_ names: SourceNames) -> (lines: [StatusLine], strangers: Set<UInt64>) {
        var lines: [StatusLine] = []
        var strangers: Set<UInt64> = []
        for (subject, ranges) in order {
            let name = names[subject.source] ?? (file: "", size: StatusLine.unknownSize)
            let merged = PositionSet(ranges.sorted { $0.lowerBound < $1.lowerBound }).ranges
            for start in stride(from: 0, to: merged.count, by: StatusLine.maxRanges) {
                let some = Array(merged[start..<min(start + StatusLine.maxRanges, merged.count)])
                lines.append(
                    StatusLine(
                        term: term, file: name.file, source: subject.source, size: name.size,
                        body: .facts(target: targets[subject.target], subject.kind, some, reason: subject.reason)))
            }
        }
        for source in finished {
            guard let name = names[source] else {
                strangers.insert(source)
                continue
            }
            lines.append(
                StatusLine(
                    term: term, file: name.file, source: source, size: name.size, body: .finished(targets: targets)))
        }
        return (lines, strangers)
    }
}
