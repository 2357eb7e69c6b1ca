import ArgumentParser
import Configuration
import Glibc
import Logging
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

    @Option(help: ArgumentHelp("Configuration: the Helm values.", valueName: "file"))
    var config: String

    @Option(help: ArgumentHelp("Where secrets lie as <secretRef>/<key>.", valueName: "dir"))
    var secrets = "/etc/sidereal/secrets"

    @Option(help: ArgumentHelp("Where this worker's ledger lies.", valueName: "dir"))
    var state = "/var/lib/sidereal-export"

    @Option(
        help: ArgumentHelp(
            "Name of the worker, as in its certificate; the host's name unless given. Stable over restarts.",
            valueName: "name"))
    var identity: String?

    @Option(
        help: ArgumentHelp(
            "A coordinator; may be given again. Goes before cluster.coordinators.", valueName: "host:port"))
    var coordinator: [String] = []

    @Option(
        help: ArgumentHelp(
            "Directory with ca.crt, tls.crt and tls.key. Goes before cluster.peerCertificates. Without certificates only coordinators on this machine are connected to.",
            valueName: "dir"))
    var peerCertificates: String?

    @Option(
        help: ArgumentHelp(
            "Address of the endpoint, port 0 for a free one. Goes before cluster.endpoint.", valueName: "host:port"))
    var endpoint: String?

    @Option(help: ArgumentHelp("Write metrics there too, every 5 s, as Prometheus text.", valueName: "file"))
    var metrics: String?

    @Option(help: ArgumentHelp("Least severe log lines to write.", valueName: "level"))
    var log = LogLevelArgument(level: .info)

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
        var lines: [String] = []
        let name = identity ?? Self.hostName
        if let mistake = Self.mistake(inName: name) { lines.append("error: --identity \(name): \(mistake)") }
        let coordinators = coordinator.compactMap { Self.address($0, "--coordinator", &lines) }
        let port = ClusterSettings().metricsPort
        let endpoint = endpoint.flatMap { Self.address($0, "--endpoint", port: port, allowsAnyPort: true, &lines) }
        guard lines.isEmpty else { throw SetupRefusal(lines: lines) }
        return WorkerProcess.Options(
            config: config, secrets: secrets, state: state, identity: name, coordinators: coordinators,
            certificates: peerCertificates, endpoint: endpoint, metrics: metrics, logLevel: log.level)
    }

    private static func address(
        _ text: String, _ option: String, port: Int = NetworkAddress.peerPort, allowsAnyPort: Bool = false,
        _ lines: inout [String]
    ) -> NetworkAddress? {
        do throws(AddressMistake) {
            return try NetworkAddress(text, port: port, allowsAnyPort: allowsAnyPort)
        } catch {
            lines.append("error: \(option) \(text): \(error.message)\(error.hint.map { " (\($0))" } ?? "")")
            return nil
        }
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard unsafe gethostname(&name, name.count - 1) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// What is wrong with a name that stands in a certificate and names a directory; nil if nothing is.
    private static func mistake(inName name: String) -> String? {
        let isPlain = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || byte == 0x2D || byte == 0x2E || byte == 0x5F
        }
        guard isPlain, (1...253).contains(name.utf8.count), name.first != "." else {
            return "a name has 1 to 253 letters, digits, '-', '_' and '.', and begins with none of the last"
        }
        return nil
    }
}
