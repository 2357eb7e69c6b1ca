import ArgumentParser
import Crypto
import Ledger
import Model

/// `dead-letters show`.
struct DeadLetterShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show dead letters whole: the record and everything known about it.",
        discussion: """
            Of one that is gone, what became of it. Works while an exporter uses the same --state directory, and \
            changes nothing.

            Examples:
              sidereal-export dead-letters show 17
              sidereal-export dead-letters show 17 --json | jq -r .sha256
              sidereal-export dead-letters show 17 18 --raw > records.ndjson
                  the records' own bytes, to mend them and export the file

            Exit codes: 0, 2 the ledger cannot be read or there is no such dead letter.
            """)

    @OptionGroup var place: StateArgument

    @Argument(help: ArgumentHelp("Numbers of dead letters, as `list` shows them.", valueName: "id"))
    var ids: [Int64]

    @Flag(help: "Print a JSON object per dead letter.")
    var json = false

    @Flag(help: "Print the records' bytes as they are, a line each, and nothing else.")
    var raw = false

    func validate() throws {
        if json, raw { throw ValidationError("--json and --raw exclude each other.") }
    }

    func run() async throws {
        let desk = LetterDesk(state: place.state)
        var isMissing = false
        try desk.reading { reader throws(LedgerError) in
            for id in ids {
                var filter = DeadLetterFilter()
                filter.ids = [id]
                if let entry = try reader.entries(filter, limit: 1).first, let letter = try reader.letter(id: id) {
                    show(entry, letter)
                } else if !raw, let removed = try reader.removed(filter, limit: 1).first {
                    show(removed)
                } else {
                    desk.console.line("error: \(try desk.unknown(id, reader))")
                    isMissing = true
                }
            }
        }
        if isMissing { throw Exit.badSetup }
    }

    private func show(_ entry: DeadLetterEntry, _ letter: DeadLetter) {
        if raw {
            var end = letter.bytes.count
            while end > 0, letter.bytes[end - 1] == 0x0A || letter.bytes[end - 1] == 0x0D { end -= 1 }
            var out = ByteWriter(capacity: end + 1)
            out.append(letter.bytes.span, 0..<end)
            out.append(0x0A)
            // Whoever reads it may have seen enough.
            try? OutputSink(path: "-").write(out.span)
            return
        }
        let digest = (try? SHA256.hash(letter.bytes.span)) ?? []
        if json {
            var object = LetterText.object(entry)
            object.add("sha256", Hexadecimal.encode(digest))
            if let text = String(validating: letter.bytes, as: UTF8.self) {
                object.add("record", text)
            } else {
                object.add("recordBase64", Base64.encode(letter.bytes))
            }
            return print(object.text)
        }
        print("Dead letter \(entry.id)")
        for line in LetterText.lines(LetterText.facts(entry, digest: digest)) { print(line) }
        print("")
        for line in RecordText.lines(letter.bytes) { print("  \(line)") }
        print("")
    }

    private func show(_ removed: RemovedLetter) {
        if json { return print(LetterText.object(removed).text) }
        let removal = removed.removal
        print("Dead letter \(removed.id) is gone: \(removal.outcome.rawValue)")
        var facts: [(name: String, value: String)] = [
            ("when", SystemTime.rfc3339(removal.time)), ("by", removal.person),
        ]
        if !removal.note.isEmpty { facts.append(("note", removal.note)) }
        facts += LetterText.facts(removed.letter, digest: removal.digest)
        for line in LetterText.lines(facts) { print(line) }
        print("")
    }
}
