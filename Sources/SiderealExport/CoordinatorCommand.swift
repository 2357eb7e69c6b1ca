import ArgumentParser
import Glibc
import Logging
import Model

/// `coordinator`: leads a cluster of workers, or stands by.
struct CoordinatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator",
        abstract: "Lead a cluster of workers, or stand by until the leader is gone.",
        discussion: """
            Of all coordinators of a cluster one leads: it reads the results, hands them to the workers, writes down what \
            became of them, and halts probing while exporting does not work. The others answer workers with the leader's \
            address, and one of them takes over when its lease is over.

            --standalone keeps the cluster in a directory that all coordinators of this machine share: results come in as \
            whole files below results/, renamed into place; lease.json, status.log, gate.json and alerts/ are the cluster's.

            SIGTERM or Ctrl-C: give the lease back at once, send the workers to the next leader, exit. A second one: \
            exit at once.

            Examples:
              sidereal-export coordinator --config sidereal.yaml --standalone ./cluster --listen 127.0.0.1:7443
              sidereal-export coordinator --config sidereal.yaml --standalone ./cluster --listen 127.0.0.1:7444 \
            --endpoint 127.0.0.1:8082

            Exit codes: 0 stopped when asked to, 1 cannot go on, 2 bad configuration.
            """)

    @Option(help: ArgumentHelp("Configuration: the Helm values.", valueName: "file"))
    var config: String

    @Option(help: ArgumentHelp("Directory that the coordinators of this machine share.", valueName: "dir"))
    var standalone: String?

    @Option(help: ArgumentHelp("Name of this coordinator. (default: the machine's name)", valueName: "name"))
    var identity: String?

    @Option(
        help: ArgumentHelp("Where to take workers' connections. (default: cluster.listen)", valueName: "host:port"))
    var listen: String?

    @Option(
        help: ArgumentHelp(
            "Where workers reach this coordinator. (default: cluster.advertise)", valueName: "host:port"))
    var advertise: String?

    @Option(
        help: ArgumentHelp(
            "Where the page, /v1/..., /metrics, /healthz and /readyz are. (default: cluster.endpoint)",
            valueName: "host:port"))
    var endpoint: String?

    @Option(
        help: ArgumentHelp(
            "Directory with ca.crt, tls.crt and tls.key. (default: cluster.peerCertificates)", valueName: "dir"))
    var peerCertificates: String?

    @Option(help: ArgumentHelp("Least severe log lines to write.", valueName: "level"))
    var log = LogLevelArgument(level: .info)

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        Memory.keepFreedBatches()
        let console = Console()
        do {
            let process = try await CoordinatorProcess(
                options: CoordinatorProcess.Options(
                    config: config, standalone: standalone, identity: identity, listen: listen, advertise: advertise,
                    endpoint: endpoint, peerCertificates: peerCertificates, logLevel: log.level), console: console)
            if await process.run() != nil { throw ExitCode.failure }
        } catch let refusal as SetupRefusal {
            for line in refusal.lines { console.line(line) }
            throw Exit.badSetup
        }
    }
}

/// A level of severity on the command line.
struct LogLevelArgument: ExpressibleByArgument, Sendable {
    var level: Logger.Level

    init(level: Logger.Level) { self.level = level }

    init?(argument: String) {
        guard let level = Logger.Level(rawValue: argument) else { return nil }
        self.level = level
    }

    static var allValueStrings: [String] { Logger.Level.allCases.map(\.rawValue) }
    var defaultValueDescription: String { level.rawValue }
}
