import ArgumentParser
import Configuration
import Glibc
import Model

/// `dead-letters retry`.
struct DeadLetterRetry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry",
        abstract: "Try dead letters again, once what was wrong is mended.",
        discussion: """
            Their records go to their targets once more, as `run` sends them. What is delivered leaves the dead letters in \
            the same step of the ledger; what is refused again stays, with the new reason. Records that were no valid \
            probe results are looked at anew, which helps after an upgrade: valid ones go to every target. Nothing is lost \
            if this is interrupted; a letter may then arrive twice where the receiver cannot recognise it.

            Works while an exporter uses the same --state directory, but for targets of backend file: their files have \
            one writer.

            Examples:
              sidereal-export dead-letters retry --config sidereal.yaml
              sidereal-export dead-letters retry --config sidereal.yaml --target splunk --since 24h
              sidereal-export dead-letters retry --config sidereal.yaml 17 18

            Exit codes: 0 all delivered, or none matched; 2 bad configuration or no such dead letter; 3 some were refused \
            again or could not be tried; 4 undelivered at the deadline, and still dead letters.
            """)

    @OptionGroup var place: StateArgument
    @OptionGroup(title: "Which ones (default: all)") var letters: LetterArguments

    @Option(help: ArgumentHelp("Configuration: the Helm values.", valueName: "file"))
    var config: String

    @Option(help: ArgumentHelp("Where secrets lie as <secretRef>/<key>.", valueName: "dir"))
    var secrets = "/etc/sidereal/secrets"

    @Option(help: "Give up on a target that has accepted nothing for this long, and exit 4.")
    var deadline = DurationArgument(milliseconds: 900_000)

    @Option(help: ArgumentHelp("Write metrics there, as run does.", valueName: "file"))
    var metrics: String?

    @Flag(help: "Print the summary as JSON.")
    var json = false

    func run() async throws {
        // A receiver or reader that closes its end is an error where we write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        let console = Console()
        do {
            let run = try await ExportRun(
                options: ExportRun.Options(
                    config: config, input: nil, secrets: secrets, state: place.state,
                    deadlineMilliseconds: deadline.milliseconds, metrics: metrics), console: console)
            let names = run.configuration.targets.map(\.name)
            let summary = try await Retry(run: run, filter: letters.filter).execute()
            print(json ? summary.json : summary.text)
            if let code = summary.exitCode { throw code }
            // It may be that of a target that is gone, of which letters are left; but there are none.
            if let name = letters.target, summary.outcome.selected == 0, !names.contains(name) {
                console.line(
                    "error: --target: no target of \(config) is called \(name.printable); there are "
                        + names.map(\.printable).joined(separator: ", "))
                throw Exit.badSetup
            }
        } catch let refusal as SetupRefusal {
            for line in refusal.lines { console.line(line) }
            throw Exit.badSetup
        }
    }
}
