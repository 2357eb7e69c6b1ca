import Configuration
import Coordinator
import Crypto
import Formats
import Ledger
import Model
import Synchronization
import Threading

/// Tries dead letters again: a session per so many, after those of the intake have become letters of targets.
final class Retry: Sendable {
    private let run: ExportRun
    private let filter: DeadLetterFilter
    private let person = Person.current

    /// Letters of one session at the most.
    private static let maxLetters = 20_000
    /// Their bytes, which lie on the disk a second time meanwhile: a few times what a target may queue.
    private var maxBytes: UInt64 { 4 * UInt64(run.configuration.limits.maxQueuedBytesPerTarget) }
    /// Letters that are looked up at a time.
    private static let page = 500

    init(run: ExportRun, filter: DeadLetterFilter) {
        self.run = run
        self.filter = filter
    }

    /// Runs to the end. The ledger is closed after.
    ///
    /// - Throws: `SetupRefusal` for a number that is no dead letter.
    func execute() async throws -> RetrySummary {
        let outcome = Mutex(RetrySummary.Outcome())
        let unknown = Mutex<[String]>([])
        let names = run.configuration.targets.map(\.name)
        let blank = RunSummary(targets: names, state: run.options.state, areInvolved: false)
        let summary = await run.execute(blank) { summary in
            let reader = try DeadLetterReader(directory: run.options.state)
            let desk = LetterDesk(state: run.options.state)
            var strangers: [String] = []
            for id in filter.ids where try reader.letter(id: id) == nil {
                strangers.append(try desk.unknown(id, reader))
            }
            guard strangers.isEmpty else { return unknown.withLock { [strangers] in $0 = strangers } }
            var found = RetrySummary.Outcome()
            do {
                try await work(reader, &found, &summary)
                outcome.withLock { [found] in $0 = found }
            } catch {
                outcome.withLock { [found] in $0 = found }
                throw error
            }
        }
        let strangers = unknown.withLock { $0 }
        guard strangers.isEmpty else {
            throw SetupRefusal(lines: strangers.map { "error: \($0)" } + ["Nothing was tried."])
        }
        return RetrySummary(run: summary, outcome: outcome.withLock { $0 }, state: run.options.state)
    }

    private func work(
        _ reader: DeadLetterReader, _ outcome: inout RetrySummary.Outcome, _ summary: inout RunSummary
    ) async throws {
        var chosen = filter
        // What an exporter adds meanwhile was not meant.
        chosen.through = try reader.lastID()
        outcome.selected = try reader.count(chosen).letters
        let readmitted = try await readmit(chosen, reader, &outcome)
        var sorter = RetrySorter(targets: run.configuration.targets, exporter: try await run.ledger.exporter())
        for filter in [chosen] + readmitted {
            var last: Int64 = 0
            while !run.stop.isSet {
                let file = try RetryFile(state: run.options.state)
                last = try fill(file, after: last, filter, reader, sorter, &outcome)
                guard !file.entries.isEmpty else { break }
                try await session(file, &summary)
                // One that took nothing for the whole deadline is not waited for again, and nobody waits for it.
                sorter.givenUp = Set(summary.rows.filter { !$0.isComplete }.map(\.name))
            }
        }
    }

    /// Looks at records that were no valid results; those that are by now become letters of every target. Returns what
    /// selects these.
    private func readmit(
        _ filter: DeadLetterFilter, _ reader: DeadLetterReader, _ outcome: inout RetrySummary.Outcome
    ) async throws -> [DeadLetterFilter] {
        guard filter.target ?? "" == "" else { return [] }
        var intake = filter
        intake.target = ""
        let targets = run.configuration.targets.map(\.name)
        var records = ProbeResultReader(limits: run.configuration.limits)
        let before = try reader.lastID()
        var last: Int64 = 0
        while !run.stop.isSet {
            let entries = try reader.entries(intake, after: last, limit: Self.page)
            guard let end = entries.last?.id else { break }
            last = end
            var changes: [LedgerChange] = []
            for entry in entries where !entry.isCut {
                guard let letter = try reader.letter(id: entry.id) else { continue }
                outcome.tried += 1
                let now = SystemClock.unixMilliseconds()
                do throws(RecordError) {
                    try records.read(letter.bytes.span, 0..<RetryFile.textLength(letter.bytes))
                    let uid = String(decoding: letter.bytes[records.record[.uid].range], as: UTF8.self)
                    let removal = DeadLetterRemoval(
                        id: letter.id, outcome: .readmitted, time: now, person: person, note: "",
                        digest: (try? SHA256.hash(letter.bytes.span)) ?? [])
                    changes.append(.deadLetterReadmitted(removal, uid: uid, targets: targets))
                    // Counted as letters of the targets from now on.
                    outcome.tried -= 1
                    outcome.selected += targets.count - 1
                } catch {
                    outcome.invalid += 1
                    changes.append(
                        .deadLetterRefusedAgain(
                            id: letter.id, reason: "\(error)", code: "invalid-record", lastAttempt: now, attempts: 1))
                }
            }
            try await run.ledger.commit(changes)
        }
        let after = try reader.lastID()
        guard after > before else { return [] }
        // Others than ours may have come in between, but none with this code.
        var made = DeadLetterFilter()
        made.reason = "readmitted"
        made.after = before
        made.through = after
        return [made]
    }

    /// Lays out the letters behind number `after` that can be tried, as many as a session takes; returns the last
    /// number looked at.
    private func fill(
        _ file: RetryFile, after: Int64, _ filter: DeadLetterFilter, _ reader: DeadLetterReader,
        _ sorter: RetrySorter, _ outcome: inout RetrySummary.Outcome
    ) throws -> Int64 {
        var last = after
        while file.entries.count < Self.maxLetters, file.size < maxBytes {
            let entries = try reader.entries(filter, after: last, limit: Self.page)
            guard !entries.isEmpty else { break }
            for entry in entries where file.entries.count < Self.maxLetters && file.size < maxBytes {
                last = entry.id
                // Those of the intake that are no letters of targets by now were counted when they were looked at.
                if entry.target.isEmpty, !entry.isCut { continue }
                if let why = sorter.obstacle(entry) {
                    outcome.kept[why, default: 0] += 1
                    continue
                }
                if sorter.givenUp.contains(entry.target) {
                    outcome.leftOut[entry.target, default: 0] += 1
                    continue
                }
                guard let letter = try reader.letter(id: entry.id) else { continue }
                try file.append(letter)
                outcome.tried += 1
            }
        }
        try file.finish()
        return last
    }

    private func session(_ file: RetryFile, _ summary: inout RunSummary) async throws {
        let revival = Revival(file.entries, by: person)
        let ledger = RetryLedger(run.ledger, revival, log: run.log, isQuiet: run.console.isTerminal)
        let names = Set(file.entries.map(\.target))
        let targets = run.configuration.targets.filter { names.contains($0.name) }
        let plan = RunSession.Plan(
            catalog: try file.open(), spool: nil, targets: targets,
            settled: targets.map { [Revival.source.rawValue: revival.settled(for: $0.name)] },
            delivered: targets.map { _ in 0 }, inFlight: targets.map { _ in [] }, ledger: ledger)
        let session = try await RunSession(run: run, plan: plan) { _, _ in ledger }
        try await run.execute(session, &summary)
    }
}

/// Says which letters cannot be tried.
struct RetrySorter {
    private let targets: [Target]
    /// The exporter that works beside us, if one does.
    private let exporter: Int32?
    /// Targets that gave nothing but silence or refusals until the deadline: their further letters are left for later.
    var givenUp: Set<String> = []

    init(targets: [Target], exporter: Int32?) {
        self.targets = targets
        self.exporter = exporter
    }

    /// Why a letter cannot be tried; nil if it can.
    func obstacle(_ entry: DeadLetterEntry) -> RetrySummary.Obstacle? {
        if entry.isCut { return .cut(target: entry.target, isEmpty: entry.size == 0) }
        guard let target = targets.first(where: { $0.name == entry.target }) else {
            return .noTarget(entry.target)
        }
        // A file has one writer: two would write into each other's lines.
        if target.backend == .file, let exporter { return .exporterWrites(target: target.name, pid: exporter) }
        return nil
    }
}
