import ArgumentParser
import Glibc
import ShardWorker

/// What a run did, per target.
struct RunSummary: Sendable {
    struct Row: Sendable {
        var name: String
        var status = LaneSums()
        var isComplete = true
        var lastFailure: String?
        /// Whether it was to get anything.
        var isInvolved: Bool
    }

    /// The figures that add up over sessions.
    struct LaneSums: Sendable {
        var taken = 0
        var delivered = 0
        var bytes = 0
        var batches = 0
        var retries = 0
        var dead = 0
        /// Dead letters of these inputs that the ledger has at the end, those of this run among them.
        var kept = 0
        /// Records that were sent again because their acknowledgement did not come.
        var unconfirmed = 0
        /// Records that earlier runs delivered of the same inputs.
        var earlier = 0
        /// From the start until the target's last acceptance.
        var milliseconds: UInt64 = 0

        /// Dead letters of these inputs that earlier runs left.
        var deadEarlier: Int { max(0, kept - dead) }
    }

    private(set) var rows: [Row]
    /// Records refused before any target saw them.
    var refused = 0
    /// Refused records of these inputs that the ledger has at the end, those of this run among them.
    private(set) var refusedKept = 0
    var inputs = 0
    var inputBytes: UInt64 = 0
    var milliseconds: UInt64 = 0
    /// Why the run ended early, if the input is to blame.
    var failure: String?

    /// Where the dead letters lie.
    private let state: String

    /// - Parameter areInvolved: whether all targets are to get something; else those of a session are.
    init(targets: [String], state: String, areInvolved: Bool = true) {
        rows = targets.map { Row(name: $0, isInvolved: areInvolved) }
        self.state = state
    }

    mutating func add(
        _ target: String, _ status: LaneStatus, isComplete: Bool, earlier: Int, milliseconds: UInt64
    ) {
        guard let index = rows.firstIndex(where: { $0.name == target }) else { return }
        rows[index].status.milliseconds = max(rows[index].status.milliseconds, milliseconds)
        rows[index].isInvolved = true
        rows[index].status.taken += status.taken
        rows[index].status.delivered += status.delivered
        rows[index].status.bytes += status.deliveredBytes
        rows[index].status.batches += status.batches
        rows[index].status.retries += status.retries
        rows[index].status.dead += status.dead
        rows[index].status.unconfirmed += status.unconfirmed
        rows[index].isComplete = rows[index].isComplete && isComplete
        rows[index].status.earlier += earlier
        if !isComplete { rows[index].lastFailure = status.lastFailure.map { "\($0)" } }
    }

    /// Adds the dead letters that the ledger has of a session's inputs.
    ///
    /// - Parameter target: empty for the intake.
    mutating func addKept(_ target: String, _ count: Int) {
        if target.isEmpty { return refusedKept += count }
        guard let index = rows.firstIndex(where: { $0.name == target }) else { return }
        rows[index].status.kept += count
    }

    /// Whether every target has, or has as a dead letter, everything that was read so far.
    var isAllDelivered: Bool { rows.allSatisfy(\.isComplete) && failure == nil }

    /// Records that became dead letters in this run.
    var dead: Int { rows.reduce(refused) { $0 + $1.status.dead } }

    private var refusedEarlier: Int { max(0, refusedKept - refused) }
    /// Dead letters of the same inputs from earlier runs: this one did not touch them, and no target has them.
    private var deadEarlier: Int { rows.reduce(refusedEarlier) { $0 + $1.status.deadEarlier } }
    private var hasDead: Bool { dead + deadEarlier > 0 }

    /// Nil for success.
    var exitCode: ExitCode? {
        if !isAllDelivered { return Exit.undelivered }
        return hasDead ? Exit.deadLetters : nil
    }

    /// The table and what there is to say about it.
    var text: String {
        if failure == nil, inputs == 0 || inputBytes == 0 { return "The input is empty: nothing to export." }
        var lines = table
        lines.append("")
        lines.append(
            "\(Human.bytes(Int(inputBytes))) of input in \(Human.duration(milliseconds: milliseconds))."
                + " \(verdict)")
        let earlier = rows.filter { $0.status.earlier > 0 }
        if !earlier.isEmpty {
            let counts = earlier.map { "\($0.name) \(Human.count($0.status.earlier))" }.joined(separator: ", ")
            lines.append("Not sent again, as earlier runs delivered them: \(counts).")
        }
        if refused > 0 {
            lines.append("\(Human.count(refused)) refused as no valid probe result; kept as dead letters.")
        }
        if deadEarlier > 0 {
            var counts = rows.filter { $0.status.deadEarlier > 0 }.map {
                "\($0.name) \(Human.count($0.status.deadEarlier))"
            }
            if refusedEarlier > 0 { counts.append("no valid probe result \(Human.count(refusedEarlier))") }
            lines.append(
                "Still among the dead letters from earlier runs of this input, and not tried again:"
                    + " \(counts.joined(separator: ", ")).")
        }
        if hasDead { lines.append("Dead letters: sidereal-export dead-letters list --state \(state.printable)") }
        return (lines + shortfalls).joined(separator: "\n")
    }

    /// What is not delivered, or perhaps twice, a line per target.
    var shortfalls: [String] {
        let doubtful = rows.filter { $0.status.unconfirmed > 0 }.map { row in
            "\(row.name): \(Human.count(row.status.unconfirmed)) records were taken but not acknowledged, and"
                + " sent again; they may be there twice."
        }
        return doubtful
            + rows.filter { !$0.isComplete }.map { row in
                "\(row.name): not everything delivered\(row.lastFailure.map { ": \($0.printable)" } ?? "")."
            }
    }

    /// The table of targets.
    var table: [String] {
        var table = Table(
            ["target", "records", "bytes", "batches", "retries", "dead letters", "rate"],
            rightAligned: [1, 2, 3, 4, 5, 6])
        for row in rows where row.isInvolved {
            let sums = row.status
            table.add([
                row.name, "\(Human.count(sums.delivered)) of \(Human.count(sums.taken))", Human.bytes(sums.bytes),
                Human.count(sums.batches), Human.count(sums.retries), Human.count(sums.dead),
                Human.rate(sums.delivered, milliseconds: sums.milliseconds),
            ])
        }
        return table.lines
    }

    private var verdict: String {
        if let failure { return "Ended early: \(failure.printable)" }
        guard rows.allSatisfy(\.isComplete) else {
            return "Not everything was delivered; the same command goes on where this one stopped."
        }
        return hasDead ? "Everything is delivered or among the dead letters." : "Everything is delivered."
    }

    /// The most memory the process had at once (proc_pid_status(5), `VmHWM`, in units of 1024 bytes); 0 if unknown.
    ///
    /// Not `ru_maxrss` of getrusage(2): that outlives execve(2), so it may be the size of the program that started us.
    private static var peakMemoryBytes: Int {
        let descriptor = unsafe open("/proc/self/status", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 8 << 10)
        let room = bytes.count
        let count = unsafe read(descriptor, &bytes, room)
        let lines = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self).split(separator: "\n")
        let words = lines.first { $0.hasPrefix("VmHWM:") }?.split(whereSeparator: \.isWhitespace) ?? []
        return words.count > 1 ? (Int(words[1]) ?? 0) * 1024 : 0
    }

    /// The targets as a JSON list.
    var targetsJSON: String {
        let targets = rows.filter(\.isInvolved).map { row in
            var object = JSONObject()
            object.add("name", row.name)
            object.add("taken", row.status.taken)
            object.add("delivered", row.status.delivered)
            object.add("deliveredEarlier", row.status.earlier)
            object.add("bytes", row.status.bytes)
            object.add("batches", row.status.batches)
            object.add("retries", row.status.retries)
            object.add("deadLetters", row.status.dead)
            object.add("deadLettersEarlier", row.status.deadEarlier)
            object.add("unconfirmed", row.status.unconfirmed)
            object.add("complete", raw: row.isComplete ? "true" : "false")
            if let failure = row.lastFailure { object.add("lastFailure", failure) }
            return object.text
        }
        return "[\(targets.joined(separator: ","))]"
    }

    /// The same as one JSON object.
    var json: String {
        var object = JSONObject()
        object.add("inputs", inputs)
        object.add("inputBytes", Int(inputBytes))
        object.add("refused", refused)
        object.add("refusedEarlier", refusedEarlier)
        object.add("milliseconds", Int(milliseconds))
        object.add("peakMemoryBytes", Self.peakMemoryBytes)
        object.add("delivered", raw: exitCode == nil ? "true" : "false")
        if let failure { object.add("failure", failure) }
        object.add("targets", raw: targetsJSON)
        return object.text
    }
}
