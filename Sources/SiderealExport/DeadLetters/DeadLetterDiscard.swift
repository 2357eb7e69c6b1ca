import ArgumentParser
import Crypto
import Glibc
import Ledger
import Logging
import Threading

/// `dead-letters discard`.
struct DeadLetterDiscard: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "discard",
        abstract: "Give dead letters up for good.",
        discussion: """
            Their records are deleted from the ledger and will never reach the target. What remains, for whoever has to \
            prove it: number, uid, target, reason, SHA-256 of the record, who discarded it, when and with which note \
            (`dead-letters list --removed`). Safe while an exporter uses the same --state directory.

            Asks before it does so; without a terminal it wants --yes.

            Examples:
              sidereal-export dead-letters discard 17 --note 'test record, CHG-4711'
              sidereal-export dead-letters discard --target old-splunk --since 24h --yes

            Exit codes: 0 done, or none matched; 1 not confirmed; 2 the ledger cannot be used, there is no such dead \
            letter, or --yes is missing.
            """)

    @OptionGroup var place: StateArgument
    @OptionGroup(title: "Which ones") var letters: LetterArguments

    @Flag(help: "Every dead letter there is.")
    var all = false

    @Flag(help: "Do not ask.")
    var yes = false

    @Option(help: ArgumentHelp("Why, for the record of removals.", valueName: "text"))
    var note = ""

    @Flag(help: "Print one JSON object of what was discarded.")
    var json = false

    /// Shown before the question.
    private static let shown = 20
    /// Removed in one transaction.
    private static let page = 500
    private static let maxNoteBytes = 1_024

    func validate() throws {
        if letters.meansAll != all {
            throw ValidationError(
                all
                    ? "--all means every dead letter; leave out what restricts it, or --all."
                    : "Say which: numbers, --target, --intake, --since, --reason, or --all.")
        }
        if note.utf8.count > Self.maxNoteBytes {
            throw ValidationError("--note is longer than \(Self.maxNoteBytes) bytes.")
        }
    }

    func run() async throws {
        let desk = LetterDesk(state: place.state)
        do {
            // Held from here on, so that no retry delivers what is about to be discarded.
            let ledger = try await Ledger.openForDeadLetters(directory: place.state)
            let result: Result<Void, any Error>
            do {
                result = .success(try await discard(desk, ledger))
            } catch {
                result = .failure(error)
            }
            try? await ledger.close()
            try result.get()
        } catch let error as LedgerError {
            throw desk.refuse("\(error)")
        }
    }

    private func discard(_ desk: LetterDesk, _ ledger: Ledger) async throws {
        let reader = try DeadLetterReader(directory: place.state)
        for id in letters.ids where try reader.letter(id: id) == nil {
            throw desk.refuse("\(try desk.unknown(id, reader)). Nothing was discarded")
        }
        var filter = letters.filter
        // Nobody was asked about what an exporter adds from now on.
        filter.through = try reader.lastID()
        let total = try reader.count(filter)
        guard total.letters > 0 else {
            if json { print(#"{"discarded":[]}"#) } else { print("No dead letter matches; nothing was discarded.") }
            return
        }
        if !yes { try confirm(desk, try reader.entries(filter, limit: Self.shown), total) }
        var discarded: [String] = []
        let person = Person.current
        let log = Logger(label: "sidereal-export") { _ in ConsoleLogHandler(console: desk.console) }
        var last: Int64 = 0
        while true {
            let entries = try reader.entries(filter, after: last, limit: Self.page)
            guard let end = entries.last?.id else { break }
            last = end
            let now = SystemClock.unixMilliseconds()
            var gone: [RemovedLetter] = []
            for entry in entries {
                guard let letter = try reader.letter(id: entry.id) else { continue }
                let removal = DeadLetterRemoval(
                    id: entry.id, outcome: .discarded, time: now, person: person, note: note,
                    digest: try SHA256.hash(letter.bytes.span))
                gone.append(RemovedLetter(letter: entry, removal: removal))
            }
            try await ledger.commit(gone.map { .deadLetterRemoved($0.removal) })
            for removed in gone { report(removed, log) }
            discarded += gone.map { LetterText.object($0).text }
        }
        if json { return print("{\"discarded\":[\(discarded.joined(separator: ","))]}") }
        print(
            "Discarded \(LetterText.count(discarded.count)). `dead-letters list --removed` shows what remains known of"
                + " \(discarded.count == 1 ? "it" : "them").")
    }

    private func confirm(
        _ desk: LetterDesk, _ entries: [DeadLetterEntry], _ total: (letters: Int, bytes: Int)
    ) throws {
        for line in LetterText.table(entries) { desk.console.line(line) }
        if total.letters > entries.count {
            desk.console.line("and \(Human.count(total.letters - entries.count)) more")
        }
        desk.console.line(
            "\(LetterText.count(total.letters)), \(Human.bytes(total.bytes)): deleted for good, and never delivered to"
                + " their targets.")
        guard isatty(STDIN_FILENO) == 1 else {
            throw desk.refuse("nobody can be asked here. Nothing was discarded; say --yes if this is what you want")
        }
        desk.console.line("Discard \(total.letters == 1 ? "it" : "all of them")? Type yes:")
        guard readLine() == "yes" else {
            desk.console.line("Nothing was discarded.")
            throw ExitCode(1)
        }
    }

    private func report(_ removed: RemovedLetter, _ log: Logger) {
        let (letter, removal) = (removed.letter, removed.removal)
        log.notice(
            "dead letter discarded",
            metadata: [
                "id": "\(letter.id)", "target": "\(LetterText.target(letter.target))", "uid": "\(letter.uid)",
                "code": "\(letter.code)", "reason": "\(letter.reason)", "attempts": "\(letter.attempts)",
                "sha256": "\(Hexadecimal.encode(removal.digest))", "by": "\(removal.person)",
                "note": "\(removal.note)", "state": "\(place.state)",
            ])
    }
}
