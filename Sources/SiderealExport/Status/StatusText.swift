import ExportCore

/// A status as people read it in a terminal.
struct StatusText {
    /// Workers shown unless all are asked for.
    static let few = 20

    /// Changes of the gate shown.
    static let changes = 5

    let lines: [String]

    /// - Parameter columns: characters in a line, where what is too long has to be wrapped; the terminal does it, or nobody,
    ///   without.
    init(_ answer: StatusAnswer, all: Bool, failure: StatusFailure? = nil, columns: Int? = nil) {
        let status = answer.status
        var lines: [String] = []
        if let failure { lines += ["STALE, as of \(status.time): \(failure.message)", ""] }
        if let note = answer.note { lines += [note, ""] }
        lines += Self.head(status, columns ?? .max)
        if !status.targets.isEmpty { lines += [""] + Self.targets(status) }
        if let history = status.history.map(StatusCharts.history), !history.isEmpty { lines += [""] + history }
        if !status.workers.isEmpty { lines += [""] + Self.workers(status, all: all) }
        if !status.shards.isEmpty { lines += [""] + StatusCharts.shards(status, all: all) }
        self.lines = lines.map(\.printable)
    }

    private static func head(_ status: ClusterStatus, _ columns: Int) -> [String] {
        let gate = status.gate
        var rows: [(String, String)] = [("cluster", status.cluster.isEmpty ? "without a name" : status.cluster)]
        let leader = status.leader.map {
            "\($0.name), term \($0.term), for \(span($0.sinceMilliseconds)), renewed \(span($0.renewedMilliseconds)) ago"
        }
        rows.append(("leader", leader ?? "none"))
        rows.append(
            ("gate", "\(gate.state.rawValue.uppercased()) for \(span(gate.sinceMilliseconds)): \(meaning(gate))"))
        if !gate.reason.isEmpty { rows.append(("", gate.reason)) }
        if let alert = gate.alert { rows.append(("alert", alert)) }
        if gate.needsAcknowledgement { rows.append(("to do", "a person has to acknowledge the alert")) }
        for (place, change) in (gate.changes ?? []).suffix(changes).reversed().enumerated() {
            let text = "\(change.time)  \(change.from) -> \(change.to), term \(change.term): \(change.cause)"
            rows.append((place == 0 ? "changes" : "", text))
        }
        if !status.shards.isEmpty { rows.append(("shards", shards(status))) }
        if status.coordinator.role == .leader || status.coordinator.role == .takingOver {
            let feed = status.feed
            rows.append(
                (
                    "in hand",
                    "\(Human.count(feed.records)) records, \(Human.bytes(feed.bytes)) of \(Human.bytes(feed.maxBytes)), of "
                        + "\(feed.files) inputs; \(feed.waitingFiles) more wait"
                ))
            if !feed.trouble.isEmpty {
                rows.append(("unread", "\(feed.unreadFiles) inputs; \(feed.trouble)"))
            }
            if feed.refusedStatuses > 0 {
                rows.append(("refused", "the status of \(feed.refusedStatuses) results; \(feed.statusTrouble)"))
            }
        }
        let width = rows.map(\.0.count).max() ?? 0
        return rows.flatMap { label, text in
            wrapped(text, max(20, columns == .max ? columns : columns - width - 2)).enumerated().map { place, line in
                (place == 0 ? label : "").padded(to: width) + "  " + line
            }
        }
    }

    /// The text in lines of at most so many characters, broken at spaces where there are any.
    private static func wrapped(_ text: String, _ width: Int) -> [String] {
        var lines: [String] = []
        var rest = text[...]
        while rest.count > width {
            let most = rest.prefix(width + 1)
            let end = most.lastIndex(of: " ").flatMap { $0 > rest.startIndex ? $0 : nil } ?? rest.prefix(width).endIndex
            lines.append(String(rest[..<end]))
            rest = rest[end...].drop { $0 == " " }
        }
        return lines + [String(rest)]
    }

    private static func meaning(_ gate: GateStatus) -> String {
        switch gate.state {
        case .open: "exporting works, probes are admitted"
        case .degraded where gate.failClosed:
            "exporting has failed; probes are admitted until the gate's record is closed"
        case .degraded: "exporting has failed; probes are admitted, as fail-closed is off"
        case .halted: "exporting has failed, no probe is admitted"
        case .recovering: "exporting works again, no probe is admitted yet"
        case .unknown: "nobody knows whether exporting works; take it for halted"
        }
    }

    private static func shards(_ status: ClusterStatus) -> String {
        let moving = status.shards.count { $0.state == .revoking }
        let unowned = status.shards.count { $0.state == .unowned }
        let lost = Set(status.workers.indices.filter { status.workers[$0].state == .lost })
        let orphaned = status.shards.count { $0.owner.map(lost.contains) ?? false }
        var parts = ["\(status.shards.count)"]
        parts.append(moving > 0 ? "\(moving) moving" : "none moving")
        if let longest = status.shards.lazy.compactMap(\.unownedMilliseconds).max() {
            parts.append("\(unowned) WITHOUT AN OWNER, the longest for \(span(longest))")
        } else {
            parts.append("all have an owner")
        }
        if orphaned > 0 { parts.append("\(orphaned) OF A LOST WORKER, which nobody serves") }
        return parts.joined(separator: ", ")
    }

    private static func targets(_ status: ClusterStatus) -> [String] {
        var table = Table(
            [
                "target", "breaker", "records/s", "bytes/s", "latency", "requests", "backlog", "oldest", "delivered",
                "dead", "failures",
            ], rightAligned: Set(2...10))
        for target in status.targets {
            table.add([
                target.name, breaker(target), target.recordsPerSecond.map { Human.count(Int($0)) } ?? "–",
                target.bytesPerSecond.map { Human.bytes(Int($0)) } ?? "–",
                target.latencyMicroseconds.map { span(UInt64(max($0, 0)) / 1_000) } ?? "–",
                "\(target.inFlight) of \(target.limit)", Human.count(target.backlog),
                target.oldestMilliseconds.map(span) ?? "–", Human.count(target.delivered), Human.count(target.dead),
                Human.count(target.failures),
            ])
        }
        return table.lines + status.targets.compactMap { target in target.failure.map { "\(target.name): \($0)" } }
    }

    private static func breaker(_ target: TargetStatus) -> String {
        if target.openBreakers > 0, target.openBreakers < target.reporting {
            return "open at \(target.openBreakers) of \(target.reporting)"
        }
        return target.reporting == 0 ? "–" : target.breaker.rawValue
    }

    private static func workers(_ status: ClusterStatus, all: Bool) -> [String] {
        var table = Table(
            ["worker", "state", "sign", "shards", "fair", "in hand", "heard", "trouble"], rightAligned: Set(3...6))
        let ranked = status.workers.enumerated().map { place, worker in
            (worker: worker, sign: StatusCharts.sign(ofWorker: place), trouble: trouble(worker, status.targets))
        }
        // The order of names within each half stays.
        let sorted = ranked.filter { !$0.trouble.isEmpty } + ranked.filter { $0.trouble.isEmpty }
        let shown = all ? sorted[...] : sorted.prefix(few)
        for (worker, sign, trouble) in shown {
            let tenths = Int((worker.fairShards * 10).rounded())
            table.add([
                worker.identity, worker.state.rawValue, String(sign), "\(worker.shards)",
                "\(tenths / 10).\(tenths % 10)",
                Human.bytes(worker.bytesInHand), "\(span(worker.heardMilliseconds)) ago", trouble,
            ])
        }
        let left = sorted.count - shown.count
        return table.lines + (left > 0 ? ["and \(left) more; --all shows them"] : [])
    }

    private static func trouble(_ worker: WorkerStatus, _ targets: [TargetStatus]) -> String {
        var parts = worker.state == .live ? [] : [worker.reason.isEmpty ? worker.state.rawValue : worker.reason]
        for (target, health) in zip(targets, worker.targets) where worker.state != .lost {
            if health.breaker != .closed {
                parts.append("\(target.name) \(health.breaker.rawValue)")
            } else if health.consecutiveFailures > 0 {
                parts.append("\(target.name) failing")
            }
        }
        return parts.joined(separator: ", ")
    }

    private static func span(_ milliseconds: UInt64) -> String {
        milliseconds < 3_600_000
            ? Human.duration(milliseconds: milliseconds)
            : "\(milliseconds / 3_600_000)h \(milliseconds / 60_000 % 60)m"
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
