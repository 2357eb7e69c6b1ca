import ArgumentParser
import Configuration
import Glibc
import Model

/// `worker`: one of those that deliver, in a cluster.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Deliver what the cluster's leader sends, as one of its workers.",
        discussion: """
            Connects to any coordinator, finds the leader through it, takes shards and delivers their records. A worker that \
            is started again with the same --identity and --state goes on where it was, also after kill -9. Each has a \
            state directory of its own; file targets write to a directory named after the worker.

            SIGTERM: give the shards back, deliver what is in hand, exit within 25 s. A second one: at once.

            The endpoint serves /healthz, /readyz (ready with an accepted assignment) and /metrics.

            Examples:
              sidereal-export worker --config sidereal.yaml --coordinator coordinator-0:7443 --coordinator coordinator-1:7443
              sidereal-export worker --config sidereal.yaml --identity w0 --state ./w0 --endpoint 127.0.0.1:0 \\
                  --coordinator 127.0.0.1:7443

            Exit codes: 0 nothing was left in hand, 2 bad configuration, secrets or state, 4 records were left in hand: the \
            leader sends them again.
            """)

    @OptionGroup var member: MemberOptions

    @Option(help: ArgumentHelp("Where secrets lie as <secretRef>/<key>.", valueName: "dir"))
    var secrets = "/etc/sidereal/secrets"

    @Option(help: ArgumentHelp("Where this worker's ledger lies.", valueName: "dir"))
    var state = "/var/lib/sidereal-export"

    @Option(
        help: ArgumentHelp(
            "A coordinator; may be given again. Goes before cluster.coordinators.", valueName: "host:port"))
    var coordinator: [String] = []

    @Option(help: ArgumentHelp("Write metrics there too, every 5 s, as Prometheus text.", valueName: "file"))
    var metrics: String?

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        Memory.keepFreedBatches()
        let console = Console()
        do {
            let process = try await WorkerProcess(options: options(), console: console)
            guard try await process.execute() else { throw Exit.undelivered }
        } catch let refusal as SetupRefusal {
            for line in refusal.lines { console.line(line) }
            throw Exit.badSetup
        }
    }

    private func options() throws(SetupRefusal) -> WorkerProcess.Options {
        var mistakes: [String] = []
        let name = member.name(&mistakes)
        let coordinators = coordinator.compactMap { MemberOptions.address($0, "--coordinator", &mistakes) }
        let endpoint = MemberOptions.address(
            member.endpoint, "--endpoint", port: ClusterSettings().metricsPort, allowsAnyPort: true, &mistakes)
        guard mistakes.isEmpty else { throw SetupRefusal(lines: mistakes.map { "error: \($0)" }) }
        return WorkerProcess.Options(
            config: member.config, secrets: secrets, state: state, identity: name, coordinators: coordinators,
            certificates: member.peerCertificates, endpoint: endpoint, metrics: metrics, logLevel: member.log.level)
    }
}
