import ArgumentParser
import Glibc
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

    @OptionGroup var member: MemberOptions

    @Option(help: ArgumentHelp("Directory that the coordinators of this machine share.", valueName: "dir"))
    var standalone: String?

    @Option(
        help: ArgumentHelp("Where to take workers' connections. (default: cluster.listen)", valueName: "host:port"))
    var listen: String?

    @Option(
        help: ArgumentHelp(
            "Where workers reach this coordinator. (default: cluster.advertise)", valueName: "host:port"))
    var advertise: String?

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        Memory.keepFreedBatches()
        let console = Console()
        do {
            let process = try await CoordinatorProcess(
                options: CoordinatorProcess.Options(
                    member: member, standalone: standalone, listen: listen, advertise: advertise), console: console)
            if await process.run() != nil { throw ExitCode.failure }
        } catch let refusal as SetupRefusal {
            for line in refusal.lines { console.line(line) }
            throw Exit.badSetup
        }
    }
}
