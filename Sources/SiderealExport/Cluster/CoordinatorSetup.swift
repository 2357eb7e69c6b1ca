import Configuration
import Coordinator
import Crypto
import ExportCore
import Glibc
import Model
import PeerTransport

/// What a coordinator is to be, from the configuration and the command line. All mistakes are told at once.
struct CoordinatorSetup {
    let configuration: Configuration
    let name: String
    let home: ClusterHome
    let listen: NetworkAddress
    let security: PeerSecurity
    /// Where people and probes look; the first one is the page's.
    let endpoints: [NetworkAddress]
    let election: ElectionSettings
    private let timing: ClusterTiming
    private let advertise: NetworkAddress?

    init(_ options: CoordinatorProcess.Options) throws(SetupRefusal) {
        var mistakes: [String] = []
        let configuration = try Setup.configuration(options.member.config)
        let cluster = configuration.cluster
        self.configuration = configuration
        name = options.member.name(&mistakes)
        let home = ClusterHome(options.home, &mistakes)
        listen = MemberOptions.address(options.listen, "--listen", allowsAnyPort: true, &mistakes) ?? cluster.listen
        advertise = MemberOptions.address(options.advertise, "--advertise", &mistakes) ?? cluster.advertise
        if let advertise, advertise.isUnspecified {
            mistakes.append("--advertise: nobody can connect to \(advertise); give the name of this machine")
        }
        let (page, port) = (options.member.endpoint, cluster.metricsPort)
        if let place = MemberOptions.address(page, "--endpoint", port: port, allowsAnyPort: true, &mistakes) {
            endpoints = [place]
        } else {
            let ports =
                cluster.metricsPort == cluster.healthPort
                ? [cluster.metricsPort]
                : [
                    cluster.metricsPort, cluster.healthPort,
                ]
            endpoints = ports.map { NetworkAddress(host: cluster.endpointHost, port: $0) }
        }
        security = Self.security(options, configuration, listen, &mistakes)
        timing = Self.timing(cluster)
        if let problem = timing.problem { mistakes.append("cluster: \(problem)") }
        do throws(ElectionSettings.Mistake) {
            election = try ElectionSettings(
                lease: cluster.leaseDuration, renewDeadline: cluster.renewDeadline, retryPeriod: cluster.retryPeriod,
                requestTimeout: min(4_000, cluster.renewDeadline * 2 / 5))
        } catch {
            election = .standard
            mistakes.append("cluster.lease: \(error.description)")
        }
        if configuration.targets.count > 32 {
            mistakes.append(
                "export.targets: a cluster has at most 32 targets, and these are \(configuration.targets.count)")
        }
        if configuration.fips {
            do throws(CryptoError) { try FIPS.require() } catch { mistakes.append("\(error)") }
        }
        guard mistakes.isEmpty, let home else { throw SetupRefusal(lines: mistakes.map { "error: \($0)" }) }
        self.home = home
    }

    /// How connections of workers are protected, for the log.
    var protection: String {
        switch security {
        case .mutualTLS(let directory, _): "mutual TLS, certificates in \(directory)"
        case .loopbackOnly: "none, this machine only"
        }
    }

    /// What the shell of a coordinator gets that listens on `port` and shows itself at `endpoint`.
    func settings(port: Int, endpoint: String) -> CoordinatorSettings {
        let address =
            advertise ?? NetworkAddress(host: listen.isUnspecified ? MemberOptions.machine : listen.host, port: port)
        return CoordinatorSettings(
            name: name, identity: home.identity(of: name), address: "\(address)", endpoint: endpoint,
            program: ExporterVersion.current,
            cluster: configuration.clusterName, targets: configuration.targets,
            shardCount: Int(configuration.cluster.shards), election: election, timing: timing,
            gate: configuration.gate)
    }

    /// Patience with connections, in proportion to the workers' lease.
    var peers: PeerSettings {
        var settings = PeerSettings()
        settings.idleTimeout = max(2_000, timing.workerLeaseMilliseconds * 3)
        settings.writeTimeout = max(2_000, timing.workerLeaseMilliseconds * 2)
        // A frame that is sent and the next two. More would only be copies of what waits in the coordinator's window.
        settings.maxQueuedBytes = 2 << 20
        return settings
    }

    /// How people reach an endpoint.
    func url(of place: NetworkAddress) -> String {
        let host = place.isUnspecified ? advertise?.host ?? MemberOptions.machine : place.host
        return "http://\(NetworkAddress(host: host, port: place.port))"
    }

    private static func timing(_ cluster: ClusterSettings) -> ClusterTiming {
        var timing = ClusterTiming()
        // The lease as who gives it counts it, when the shards are free again: a worker acts for two thirds of it.
        timing.marginMilliseconds = cluster.workerLease / 3
        timing.workerLeaseMilliseconds = cluster.workerLease - timing.marginMilliseconds
        timing.releaseMilliseconds = cluster.releaseDeadline
        timing.debounceMilliseconds = min(300, cluster.workerLease / 8)
        return timing
    }

    private static func security(
        _ options: CoordinatorProcess.Options, _ configuration: Configuration, _ listen: NetworkAddress,
        _ mistakes: inout [String]
    ) -> PeerSecurity {
        let minimum: TLSVersion = configuration.fips ? .v12 : .v13
        switch PeerDirectory(option: options.member.peerCertificates, configuration.cluster) {
        case .at(let directory): return .mutualTLS(directory: directory, minimum: minimum)
        case .unreadable(let mistake): mistakes.append(mistake)
        case .none where ["127.0.0.1", "::1", "localhost"].contains(listen.host): break
        case .none:
            mistakes.append(
                "there are no certificates in \(configuration.cluster.peerCertificates), and without them only a loopback"
                    + " address is listened on: name a directory with --peer-certificates, or listen on 127.0.0.1")
        }
        return .loopbackOnly
    }
}
