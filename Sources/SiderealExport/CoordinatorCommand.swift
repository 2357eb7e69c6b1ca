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

            In a pod the cluster is Kubernetes, by the pod's service account; elsewhere by --kubeconfig. Results are \
            SiderealProbeResults of all namespaces, and what became of them is written into each. In the namespace of the \
            exporter lie the Leases sidereal-export-leader and sidereal-export-gate, and alerts, which people acknowledge. The \
            API server admits probes only while the gate's Lease is renewed. While the API server is away the coordinator \
            runs on and is not ready.

            --standalone keeps the cluster in a directory that all coordinators of this machine share: results come in as \
            whole files below results/, renamed into place; lease.json, status.log, gate.json and alerts/ are the cluster's.

            SIGTERM or Ctrl-C: give the lease back at once, send the workers to the next leader, exit. A second one: \
            exit at once.

            Examples:
              sidereal-export coordinator --config /etc/sidereal/config/sidereal.yaml
              sidereal-export coordinator --config sidereal.yaml --kubeconfig ~/.kube/config --context kind-dev \
            --namespace sidereal-system --listen 127.0.0.1:7443
              sidereal-export coordinator --config sidereal.yaml --standalone ./cluster --listen 127.0.0.1:7443
              sidereal-export coordinator --config sidereal.yaml --standalone ./cluster --listen 127.0.0.1:7444 \
            --endpoint 127.0.0.1:8082

            Exit codes: 0 stopped when asked to, 1 cannot go on, 2 bad configuration.
            """)

    @OptionGroup var member: MemberOptions

    @Option(
        help: ArgumentHelp(
            "Directory that the coordinators of this machine share, in place of Kubernetes.", valueName: "dir"))
    var standalone: String?

    @Option(
        help: ArgumentHelp(
            "How the API server is reached from outside of a pod. (default: the pod's service account)",
            valueName: "file"))
    var kubeconfig: String?

    @Option(
        help: ArgumentHelp("Context of the kubeconfig. (default: its current-context)", valueName: "name"))
    var context: String?

    @Option(
        help: ArgumentHelp(
            "Where the exporter's Leases and alerts lie. (default: the pod's, else sidereal-system)", valueName: "name")
    )
    var namespace: String?

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
                    member: member,
                    home: ClusterHome.Options(
                        standalone: standalone, kubeconfig: kubeconfig, context: context, namespace: namespace),
                    listen: listen, advertise: advertise), console: console)
            if await process.run() != nil { throw ExitCode.failure }
        } catch let refusal as SetupRefusal {
            for line in refusal.lines { console.line(line) }
            throw Exit.badSetup
        }
    }
}
