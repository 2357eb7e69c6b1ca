import ArgumentParser
import ExportCore
import Glibc
import HTTPClient

/// `status`: the cluster in a terminal.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show how the cluster fares: gate, leader, shards, workers, targets, backlog.",
        discussion: """
            Any coordinator can be asked: a standby says who leads, and that one is asked next. If the leader cannot be \
            reached from here, what the standby knows is shown.

            Examples:
              sidereal-export status --coordinator http://127.0.0.1:8080
              sidereal-export status --coordinator http://127.0.0.1:8080 --watch
              sidereal-export status --coordinator http://127.0.0.1:8080 --json | jq '.targets[] | {name, backlog}'
              sidereal-export status --coordinator http://127.0.0.1:8080 >/dev/null && start-probe

            Exit codes: 0 probes are admitted, 5 they are not (the gate is halted, recovering or unknown), 2 the address is \
            wrong, 6 nobody answers.
            """)

    @Option(help: ArgumentHelp("Endpoint of a coordinator, such as http://127.0.0.1:8080.", valueName: "url"))
    var coordinator: String

    @Option(help: ArgumentHelp("For https: trust the authorities in this PEM file only.", valueName: "file"))
    var ca: String?

    @Flag(help: "Print the document of /v1/status as it came; with --watch one line each time.")
    var json = false

    @Flag(help: "Show it again every two seconds, until Ctrl-C.")
    var watch = false

    @Flag(help: "Show every worker, not only twenty, those with trouble first.")
    var all = false

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let client = HTTPClient(maxConnections: 2, maxConnectionsPerHost: 1)
        var code: ExitCode?
        do throws(StatusFailure) {
            let source = try StatusSource(coordinator: coordinator, ca: ca, client: client)
            let answer = try await source.fetch()
            let admits = watch ? await follow(answer, source) : show(answer)
            if !admits { code = Exit.notAdmitted }
        } catch {
            Console().line("error: \(error.message)")
            code = error.exitCode
        }
        await client.shutdown()
        if let code { throw code }
    }

    /// Prints an answer; whether probes are admitted.
    private func show(_ answer: StatusAnswer) -> Bool {
        print(json ? answer.json : StatusText(answer, all: all).lines.joined(separator: "\n"))
        return answer.status.gate.letsAskersStart
    }

    /// Shows the status again and again until a signal; whether probes were admitted at the end.
    private func follow(_ first: StatusAnswer, _ source: StatusSource) async -> Bool {
        let signals = StopSignals([SIGINT, SIGTERM])
        let screen = isatty(STDOUT_FILENO) == 1 && !json ? Screen() : nil
        screen?.open()
        let loop = Task {
            var last = first
            var failure: StatusFailure?
            repeat {
                if let screen {
                    screen.draw { StatusText(last, all: all, failure: failure, columns: $0).lines }
                } else if let failure {
                    Console().line("error: \(failure.message)")
                } else {
                    _ = show(last)
                    fflush(nil)
                }
                guard (try? await Task.sleep(for: .seconds(2))) != nil else { break }
                do throws(StatusFailure) {
                    last = try await source.fetch()
                    failure = nil
                } catch {
                    failure = error
                }
            } while !Task.isCancelled
            // When nobody has answered lately, nobody has said that probes are admitted.
            return failure == nil && last.status.gate.letsAskersStart
        }
        await signals.first()
        loop.cancel()
        let admits = await loop.value
        screen?.close()
        return admits
    }
}

/// The terminal's second screen (xterm's private mode 1049), so that what was there before is there afterwards.
private struct Screen {
    func open() { write("\u{1B}[?1049h\u{1B}[?25l") }

    func close() { write("\u{1B}[?1049l\u{1B}[?25h") }

    /// As many of the lines for so many columns as fit, over what was there; one that is longer is cut, which a `…` says.
    func draw(_ lines: (Int) -> [String]) {
        var size = winsize()
        let isKnown = unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_row > 1
        let (rows, columns) = isKnown ? (Int(size.ws_row), Int(size.ws_col)) : (24, 80)
        let shown = lines(columns).prefix(rows - 1).map { line in
            (line.count > columns ? line.prefix(columns - 1) + "…" : line[...]) + "\u{1B}[K"
        }
        write("\u{1B}[H" + shown.joined(separator: "\r\n") + "\u{1B}[J")
    }

    private func write(_ text: String) {
        print(text, terminator: "")
        fflush(nil)
    }
}
