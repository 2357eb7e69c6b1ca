import ArgumentParser
import Configuration
import Glibc
import Model

/// `run`: everything in one process.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Export NDJSON of probe results to every configured target.",
        discussion: """
            Goes on where the last run with the same --state stopped: nothing is sent to a target that has it. \
            A directory means its .ndjson, .jsonl and .json files by name. What comes through a pipe is kept below \
            --state until every target has it.

            SIGTERM or Ctrl-C: stop reading, deliver what is in hand, exit within 25 s. A second one: at once.

            Examples:
              sidereal-export run --config sidereal.yaml --input results.ndjson
              sidereal-export run --config sidereal.yaml --input /var/spool/results --state /var/lib/sidereal-export
              kubectl get spr -A -o json | jq -c '.items[]' | sidereal-export run --config sidereal.yaml --input -

            Exit codes: 0 all delivered, 2 bad configuration or input, 3 dead letters, of this run or of an earlier one of \
            the same input, 4 undelivered at the deadline.
            """)

    @Option(help: ArgumentHelp("Configuration: the Helm values.", valueName: "file"))
    var config: String

    @Option(help: ArgumentHelp("File, directory, or - for standard input.", valueName: "path"))
    var input = "-"

    @Option(help: ArgumentHelp("Where secrets lie as <secretRef>/<key>.", valueName: "dir"))
    var secrets = "/etc/sidereal/secrets"

    @Option(help: ArgumentHelp("Where the ledger of what was delivered lies.", valueName: "dir"))
    var state = "/var/lib/sidereal-export"

    @Option(help: "Give up on a target that has accepted nothing for this long, and exit 4.")
    var deadline = DurationArgument(milliseconds: 900_000)

    @Option(
        help: ArgumentHelp(
            "Write metrics there every 5 s and at the end, as Prometheus text for node_exporter's textfile collector, which reads only names that end in .prom.",
            valueName: "file"))
    var metrics: String?

    @Flag(help: "Print the summary as JSON.")
    var json = false

    func run() async throws {
        // A receiver or reader that closes its end is an error where we write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        Memory.keepFreedBatches()
        let console = Console()
        if input == "-", isatty(STDIN_FILENO) == 1 {
            console.line("error: --input is - but standard input is a terminal; name a file or pipe records in")
            throw Exit.badSetup
        }
        do {
            let run = try await ExportRun(
                options: ExportRun.Options(
                    config: config, input: input, secrets: secrets, state: state,
                    deadlineMilliseconds: deadline.milliseconds, metrics: metrics), console: console)
            let summary = await run.execute()
            print(json ? summary.json : summary.text)
            if let code = summary.exitCode { throw code }
        } catch let refusal as SetupRefusal {
            for line in refusal.lines { console.line(line) }
            throw Exit.badSetup
        }
    }
}
