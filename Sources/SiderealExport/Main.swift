import ArgumentParser
import Model

/// `sidereal-export`: one executable for every role.
@main
struct SiderealExport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sidereal-export",
        abstract: "Exports every Sidereal probe result to Splunk, Elasticsearch, S3, syslog and files, and loses none.",
        discussion: """
            Try it on this machine, with a look-alike of Elasticsearch; in a file try.yaml
              tls: {required: false}
              export:
                targets:
                  - {name: search, backend: elasticsearch, endpoint: "http://127.0.0.1:9200"}
            and then
              sidereal-export sandbox --elasticsearch-port 9200 &
              sidereal-export generate --count 1000 > results.ndjson
              sidereal-export validate --config try.yaml --connect
              sidereal-export run --config try.yaml --input results.ndjson --state ./state
              kill %1

            Exit codes: 0 all delivered, 2 bad configuration or input, 3 dead letters, 4 undelivered at the deadline or when
            it was stopped, 64 no such command, option or value. Other codes are in the help of their commands.
            """,
        version: ExporterVersion.current,
        subcommands: [
            RunCommand.self, CoordinatorCommand.self, WorkerCommand.self, ValidateCommand.self, EncodeCommand.self,
            GenerateCommand.self, SandboxCommand.self, DeadLettersCommand.self, StatusCommand.self,
        ])
}

/// What the process tells its caller (fixed by the command line's design).
enum Exit {
    /// Configuration, secrets, input or state directory cannot be used.
    static let badSetup = ExitCode(2)
    /// Some records were refused for good; they are in the dead letters.
    static let deadLetters = ExitCode(3)
    /// Some records were not delivered in time; they are kept for the next run.
    static let undelivered = ExitCode(4)
    /// No probe is admitted.
    static let notAdmitted = ExitCode(5)
    /// No coordinator answers.
    static let noAnswer = ExitCode(6)
}
