import ArgumentParser
import Ledger

/// `dead-letters list`.
struct DeadLetterList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List dead letters, or those that are gone.",
        discussion: """
            Works while an exporter uses the same --state directory, and changes nothing.

            Examples:
              sidereal-export dead-letters list
              sidereal-export dead-letters list --target splunk --since 24h
              sidereal-export dead-letters list --reason mapper_parsing --json | jq '.deadLetters[].uid'
              sidereal-export dead-letters list --removed --since 7d
                  what was discarded or delivered after all: who, when, why, and the SHA-256 of the record

            Exit codes: 0, also if there are none; 2 the ledger cannot be read.
            """)

    @OptionGroup var place: StateArgument
    @OptionGroup(title: "Which ones") var letters: LetterArguments

    @Flag(
        help: "Those that are gone instead: discarded, delivered by a retry, or readmitted. --since is when they went.")
    var removed = false

    @Option(help: "How many to show at the most.")
    var limit = 100

    @Option(help: ArgumentHelp("Go on after this number.", valueName: "id"))
    var after: Int64 = 0

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if limit < 1 { throw ValidationError("--limit must be at least 1, and it is \(limit).") }
    }

    func run() async throws {
        let desk = LetterDesk(state: place.state)
        try desk.reading { reader throws(LedgerError) in
            if removed { try listRemoved(reader) } else { try list(reader) }
        }
    }

    private func list(_ reader: DeadLetterReader) throws(LedgerError) {
        let filter = letters.filter
        let total = try reader.count(filter)
        let entries = try reader.entries(filter, after: after, limit: limit)
        let next = entries.last.map(\.id)
        let hasMore = try next.map { id throws(LedgerError) in try !reader.entries(filter, after: id, limit: 1).isEmpty
        }
        if json {
            var object = JSONObject()
            object.add("total", total.letters)
            object.add("bytes", total.bytes)
            if hasMore == true, let next { object.add("next", Int(next)) }
            object.add("deadLetters", raw: "[\(entries.map { LetterText.object($0).text }.joined(separator: ","))]")
            return print(object.text)
        }
        if !entries.isEmpty { printTable(LetterText.table(entries)) }
        var line = "\(LetterText.count(total.letters))\(total.letters > 0 ? ", \(Human.bytes(total.bytes))" : "")."
        if total.letters == 0 {
            line = letters.meansAll ? "No dead letters." : "No dead letter matches."
            let others = try reader.targets().map(LetterText.target)
            if let name = letters.target, !others.contains(name), !others.isEmpty {
                line += " None is of \(name.printable); there are some of: \(others.joined(separator: ", "))."
            }
        }
        print(line + rest(shown: entries.count, of: total.letters, hasMore == true ? next : nil))
    }

    private func listRemoved(_ reader: DeadLetterReader) throws(LedgerError) {
        let filter = letters.filter
        let total = try reader.countRemoved(filter)
        let found = try reader.removed(filter, after: after, limit: limit)
        let next = found.last.map(\.id)
        let hasMore = try next.map { id throws(LedgerError) in try !reader.removed(filter, after: id, limit: 1).isEmpty
        }
        if json {
            var object = JSONObject()
            object.add("total", total)
            if hasMore == true, let next { object.add("next", Int(next)) }
            object.add("removed", raw: "[\(found.map { LetterText.object($0).text }.joined(separator: ","))]")
            return print(object.text)
        }
        if !found.isEmpty { printTable(LetterText.table(found)) }
        print(
            "\(LetterText.count(total)) gone."
                + rest(shown: found.count, of: total, hasMore == true ? next : nil))
    }

    private func rest(shown: Int, of total: Int, _ next: Int64?) -> String {
        guard let next else { return "" }
        return " Shown: \(Human.count(shown)); go on with --after \(next), or raise --limit."
    }

    /// On a terminal a row is one line: what does not fit is shown by `show`.
    private func printTable(_ lines: [String]) {
        let width = OutputWidth.current
        for line in lines {
            print(width.map { line.count > $0 ? line.prefix($0 - 1) + "…" : line[...] } ?? line[...])
        }
        print("")
    }
}
