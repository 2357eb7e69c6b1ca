import ExportCore
import Model
import Protocol

/// An API server, somebody else who changes its objects, and leaders that come and go with other targets, around real
/// ``StatusRound``s.
struct StatusRoundWorld {
    private enum Mark: Int, Comparable {
        case failed, dead, delivered
        static func < (a: Mark, b: Mark) -> Bool { a.rawValue < b.rawValue }
    }

    private struct Object {
        var version = 1
        var state = ResultStatus.State.pending
        /// The annotation, by the names of targets.
        var marks: [String: Mark] = [:]
        var label = 0
    }

    private static let names = ["a", "b", "c", "d"]
    private var rng: PRNG
    private var objects: [UInt64: Object] = [:]
    private var versions = 1
    private var targets: [String] = []
    /// What became of results, whether or not anybody has written it: the truth.
    private var truth: [UInt64: [String: Mark]] = [:]
    /// Told to this leader, and not written.
    private var entries: [(number: UInt64, name: String, mark: Mark)] = []
    /// What this leader saw of each.
    private var seen: [UInt64: StatusRound.Seen] = [:]
    private var trouble: String?

    init(seed: UInt64) { rng = PRNG(seed: seed) }

    mutating func run() -> String? {
        for number in 0..<8 as Range<UInt64> { objects[number] = Object() }
        for _ in 0..<6 where trouble == nil {
            beginTerm()
            for _ in 0..<20 where trouble == nil {
                tell()
                if rng.below(2) == 0 { write(faults: true) }
            }
        }
        beginTerm()
        for (number, marks) in truth { for (name, mark) in marks { entries.append((number, name, mark)) } }
        var rounds = 0
        while trouble == nil, !entries.isEmpty, rounds < 100 {
            write(faults: false)
            rounds += 1
        }
        if !entries.isEmpty { trouble = trouble ?? "nothing comes to an end" }
        checkEnd()
        return trouble
    }

    private mutating func beginTerm() {
        targets = Self.names.filter { _ in rng.below(3) > 0 }
        if targets.isEmpty { targets = ["a"] }
        (entries, seen) = ([], [:])
        // A list shows a state of a moment ago.
        for number in objects.keys where rng.below(4) > 0 { seen[number] = look(number) }
    }

    private mutating func tell() {
        let (number, name) = (rng.below(8), targets[Int(rng.below(UInt64(targets.count)))])
        guard let mark = Mark(rawValue: Int(rng.below(3))) else { return }
        truth[number, default: [:]][name] = max(truth[number]?[name] ?? .failed, mark)
        entries.append((number, name, mark))
    }

    private func look(_ number: UInt64) -> StatusRound.Seen? {
        guard let object = objects[number] else { return nil }
        var word = ResultStatus.Word()
        for (target, name) in targets.enumerated() {
            guard let mark = object.marks[name] else { continue }
            word = word.adding(Self.word(target, mark))
        }
        let others = object.marks.filter { !targets.contains($0.key) }.map { "\($0.key)\($0.value.rawValue)" }
        return StatusRound.Seen(
            version: "\(object.version)", status: ResultStatus(word: word, state: object.state),
            others: others.sorted().joined())
    }

    private static func word(_ target: Int, _ mark: Mark) -> ResultStatus.Word {
        var word = ResultStatus.Word()
        switch mark {
        case .failed: word.failed = TargetMask(target)
        case .dead: word.dead = TargetMask(target)
        case .delivered: word.delivered = TargetMask(target)
        }
        return word
    }

    private mutating func write(faults: Bool) {
        var round = StatusRound(targets: TargetMask(first: targets.count))
        for entry in entries {
            guard let target = targets.firstIndex(of: entry.name) else { continue }
            // Nobody has shown it to this leader: the first patch meets a conflict.
            let known = seen[entry.number] ?? StatusRound.Seen(version: "0", status: ResultStatus())
            round.add(RecordKey(high: entry.number, low: 0), Self.word(target, entry.mark), known)
        }
        var open: [StatusRound.Step] = []
        while true {
            var ended: [(RecordKey, StatusRound.End)] = []
            if open.count < 3, rng.below(3) > 0, let step = round.next(&ended) { open.append(step) }
            if open.isEmpty {
                guard let step = round.next(&ended) else { break }
                open.append(step)
            }
            if faults, rng.below(6) == 0 { disturb() }
            if rng.below(2) == 0 { answer(open.remove(at: Int(rng.below(UInt64(open.count)))), &round, faults) }
        }
        if round.isComplete { entries = [] }
    }

    private mutating func answer(_ step: StatusRound.Step, _ round: inout StatusRound, _ faults: Bool) {
        let (key, answer) = serve(step, faults)
        guard let end = round.answer(key, answer) else { return }
        if case .written(let now?) = end { seen[key.high] = now }
    }

    private mutating func serve(_ step: StatusRound.Step, _ faults: Bool) -> (RecordKey, StatusRound.Answer) {
        let isLost = faults && rng.below(20) == 0
        switch step {
        case .read(let key):
            if isLost { return (key, .failed) }
            return (key, look(key.high).map { .found($0) } ?? .gone)
        case .patch(let key, let wanted):
            if isLost, rng.below(2) == 0 { return (key, .failed) }
            guard objects[key.high] != nil else { return (key, .gone) }
            guard "\(objects[key.high]?.version ?? 0)" == wanted.version else { return (key, .conflict) }
            carryOut(key.high, wanted)
            // Nobody looks for the version of what is exported.
            let isFinal = wanted.status.state == .exported && rng.below(2) == 0
            return (key, isLost ? .failed : .written(version: isFinal ? nil : "\(versions)"))
        }
    }

    private mutating func carryOut(_ number: UInt64, _ wanted: StatusRound.Seen) {
        guard var object = objects[number], let before = look(number) else { return }
        if before.status.state == .exported { trouble = "\(number) is exported, and written to" }
        if wanted.status.state < object.state { trouble = "\(number) goes back to \(wanted.status.state)" }
        if wanted.others != before.others { trouble = "what others say of \(number) is lost" }
        if wanted.status == before.status { trouble = "\(number) is written for nothing" }
        for (target, name) in targets.enumerated() {
            let word = wanted.status.word
            let mark: Mark? =
                word.delivered.contains(target)
                ? .delivered : word.dead.contains(target) ? .dead : word.failed.contains(target) ? .failed : nil
            if let old = object.marks[name], mark.map({ $0 < old }) ?? true { trouble = "\(name) goes back" }
            object.marks[name] = mark
            if mark == .delivered, truth[number]?[name] != .delivered { trouble = "\(number) was not delivered" }
        }
        let all = targets.allSatisfy { object.marks[$0] == .delivered }
        if (wanted.status.state == .exported) != all { trouble = "\(number) is \(wanted.status.state)" }
        object.state = wanted.status.state
        versions += 1
        object.version = versions
        objects[number] = object
    }

    private mutating func disturb() {
        let number = rng.below(8)
        if rng.below(12) == 0 { objects[number] = nil }
        versions += 1
        objects[number]?.version = versions
        objects[number]?.label += 1
    }

    /// Everything that became of what is there is written, but of what was exported before it was said.
    private mutating func checkEnd() {
        for (number, object) in objects where object.state != .exported {
            for (name, mark) in truth[number] ?? [:] where targets.contains(name) && object.marks[name] != mark {
                trouble = trouble ?? "\(number) is \(mark) at \(name), and nobody says so"
            }
        }
    }
}
