import ArgumentParser

/// How trying dead letters again went.
struct RetrySummary: Sendable {
    /// Why a letter was not tried.
    enum Obstacle: Sendable, Hashable {
        /// Its target is no longer configured.
        case noTarget(String)
        /// The ledger has less than the record was, or nothing.
        case cut(target: String, isEmpty: Bool)
        /// The target's file belongs to the exporter that runs.
        case exporterWrites(target: String, pid: Int32)

        /// A sentence for so many letters.
        func text(_ count: Int) -> String {
            let letters = LetterText.count(count)
            switch self {
            case .noTarget(let name):
                return "\(letters) of \(name): the configuration has no such target. Add it, or discard them:"
                    + " dead-letters discard --target \(name)"
            case .cut(let target, true):
                return "\(letters) of \(LetterText.target(target)): the record could not be kept; export it again from"
                    + " its source"
            case .cut(let target, false):
                return "\(letters) of \(LetterText.target(target)): over the limits, so the record was not kept whole."
                    + " Raise limits.maxRecordBytes and export it again from its source"
            case .exporterWrites(let target, let pid):
                return "\(letters) of \(target): its files are written by the exporter that runs, pid \(pid). Stop it"
                    + " first"
            }
        }

        /// For programs.
        var code: String {
            switch self {
            case .noTarget: "no-such-target"
            case .cut(_, let isEmpty): isEmpty ? "not-kept" : "cut"
            case .exporterWrites: "exporter-writes-file"
            }
        }

        /// The target's name; empty for the intake.
        var target: String {
            switch self {
            case .noTarget(let name), .cut(let name, _), .exporterWrites(let name, _): name
            }
        }
    }

    /// What was counted on the way.
    struct Outcome: Sendable {
        /// Letters that were meant. One of the intake that is valid by now counts once for each target.
        var selected = 0
        /// Letters that were tried.
        var tried = 0
        /// Letters of the intake that are still no valid results.
        var invalid = 0
        /// Letters that could not be tried.
        var kept: [Obstacle: Int] = [:]
        /// Letters of targets that were given up before their turn came.
        var leftOut: [String: Int] = [:]
    }

    var run: RunSummary
    var outcome: Outcome
    var state: String

    private var delivered: Int { run.rows.reduce(0) { $0 + $1.status.delivered } }
    private var refusedAgain: Int { run.dead + outcome.invalid }
    private var keptCount: Int { outcome.kept.values.reduce(0, +) }
    /// Tried or not, but neither delivered nor refused: a stop or the deadline came before.
    private var open: Int { max(0, outcome.selected - delivered - refusedAgain - keptCount) }
    private var obstacles: [(Obstacle, Int)] { outcome.kept.sorted { $0.key.text($0.value) < $1.key.text($1.value) } }

    /// Nil for success.
    var exitCode: ExitCode? {
        if run.failure != nil || open > 0 { return Exit.undelivered }
        return refusedAgain + keptCount > 0 ? Exit.deadLetters : nil
    }

    /// The table and what there is to say about it.
    var text: String {
        if run.failure == nil, outcome.selected == 0 { return "No dead letter matches; nothing was tried." }
        var lines = outcome.tried > outcome.invalid ? run.table + [""] : []
        var parts = ["\(Human.count(delivered)) delivered"]
        if refusedAgain > 0 { parts.append("\(Human.count(refusedAgain)) refused again") }
        if keptCount > 0 { parts.append("\(Human.count(keptCount)) not tried") }
        if open > 0 { parts.append("\(Human.count(open)) still to be delivered") }
        lines.append(
            "\(LetterText.count(outcome.selected)) in \(Human.duration(milliseconds: run.milliseconds)):"
                + " \(parts.joined(separator: ", ")).")
        if let failure = run.failure { lines.append("Ended early: \(failure.printable)") }
        lines += obstacles.map { "Not tried: \($0.0.text($0.1)).".printable }
        lines += run.shortfalls
        lines += outcome.leftOut.sorted { $0.key < $1.key }.map { name, count in
            "\(name): \(LetterText.count(count)) not tried any more, as it was given up at the deadline."
        }
        if refusedAgain + keptCount + open > 0 {
            lines.append("What is left: sidereal-export dead-letters list --state \(state.printable)")
        }
        return lines.joined(separator: "\n")
    }

    /// The same as one JSON object.
    var json: String {
        let kept = obstacles.map { obstacle, count in
            var object = JSONObject()
            object.add("code", obstacle.code)
            if !obstacle.target.isEmpty { object.add("target", obstacle.target) }
            object.add("count", count)
            object.add("reason", obstacle.text(count))
            return object.text
        }
        var object = JSONObject()
        object.add("selected", outcome.selected)
        object.add("delivered", delivered)
        object.add("refusedAgain", refusedAgain)
        object.add("undelivered", open)
        object.add("notTried", raw: "[\(kept.joined(separator: ","))]")
        object.add("milliseconds", Int(run.milliseconds))
        if let failure = run.failure { object.add("failure", failure) }
        object.add("targets", raw: run.targetsJSON)
        return object.text
    }
}
