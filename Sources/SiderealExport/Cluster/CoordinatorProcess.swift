import Configuration
import Coordinator
import CoreMetrics
import Crypto
import ExportCore
import Glibc
import Logging
import Model
import PeerTransport
import StatusEndpoint
import Synchronization
import Telemetry
import Threading

/// The process of `coordinator`: opens what it needs, and runs until it is asked to stop.
final class CoordinatorProcess: Sendable {
    /// What the command line says.
    struct Options: Sendable {
        var member: MemberOptions
        var home: ClusterHome.Options
        var listen: String?
        var advertise: String?
    }

    private let log: Logger
    private let place: CoordinatorPlace
    private let server: PeerServer
    private let coordinator: ClusterCoordinator
    private let endpoints: [StatusEndpoint]
    private let metrics: MetricRegistry

    /// A certificate is renewed days before its end.
    private static let certificateLook = Duration.seconds(30)

    /// Checks and opens everything; what is wrong is thrown as `SetupRefusal`, as much of it at once as can be.
    init(options: Options, console: Console) async throws(SetupRefusal) {
        let setup = try CoordinatorSetup(options)
        var log = Logger(label: "sidereal-export") { _ in ConsoleLogHandler(console: console) }
        log.logLevel = options.member.log.level
        log[metadataKey: "coordinator"] = "\(setup.name)"
        self.log = log
        var seeds = SystemRandomNumberGenerator()
        let metrics = MetricRegistry()
        self.metrics = metrics
        let place = try CoordinatorPlace(setup, log, metrics, seed: seeds.next())
        self.place = place
        let refusals = PeerRefusals(log: log, metrics: metrics)
        server = try await Self.listen(setup, refusals)
        ExportMetrics.buildInfo.meter(ExporterVersion.current, in: metrics).set(1)
        // The endpoint's port stands in the lease, so it is opened before there is anything to show.
        let stage = Stage(setup.name)
        var url = ""
        (endpoints, url) = try await Self.endpoints(setup, metrics, log, stage, server)
        let settings = setup.settings(port: server.port, endpoint: url)
        coordinator = ClusterCoordinator(
            settings: settings, stores: place.stores, log: log, metrics: metrics, refusals: refusals, seed: seeds.next()
        )
        stage.enter(coordinator)
        log.notice(
            "coordinator ready",
            metadata: [
                "listen": "\(server.address)", "security": "\(setup.protection)", "advertise": "\(settings.address)",
                "endpoint": "\(url)", "cluster": "\(place.description)",
            ])
    }

    private static func listen(
        _ setup: CoordinatorSetup, _ refusals: PeerRefusals
    ) async throws(SetupRefusal) -> PeerServer {
        do throws(PeerError) {
            return try await PeerServer.start(
                host: setup.listen.host, port: setup.listen.port, security: setup.security, settings: setup.peers
            ) { reason in
                refusals.tell(reason.kind.rawValue, "a connection was refused", ["cause": "\(reason)"])
            }
        } catch {
            throw SetupRefusal(lines: ["error: taking workers' connections: \(error.description)"])
        }
    }

    /// Opens the endpoints; also says how people reach the first one.
    private static func endpoints(
        _ setup: CoordinatorSetup, _ metrics: MetricRegistry, _ log: Logger, _ stage: Stage, _ server: PeerServer
    ) async throws(SetupRefusal) -> ([StatusEndpoint], String) {
        var made: [StatusEndpoint] = []
        var url = ""
        do throws(StatusEndpointError) {
            for place in setup.endpoints {
                var settings = StatusEndpointSettings()
                (settings.host, settings.port) = (place.host, place.port)
                // Beside the page's, what is measured is measured once.
                let endpoint = StatusEndpoint(
                    settings: settings, metrics: made.isEmpty ? metrics : MetricRegistry(), logger: log,
                    status: { await stage.status() }, health: { await stage.health() })
                let port = try await endpoint.start()
                if made.isEmpty { url = setup.url(of: NetworkAddress(host: place.host, port: port)) }
                made.append(endpoint)
            }
        } catch {
            for endpoint in made { await endpoint.stop() }
            await server.shutdown()
            throw SetupRefusal(lines: ["error: \(error.description)"])
        }
        return (made, url)
    }

    /// Takes part in the cluster until asked to stop; returns why it could not go on, nil if it was asked.
    func run() async -> String? {
        let signals = watchSignals()
        let certificate = watchCertificate()
        let failure = await coordinator.run(server.connections)
        signals.cancel()
        certificate.cancel()
        for endpoint in endpoints { await endpoint.stop() }
        await server.shutdown()
        await place.close()
        log.notice("coordinator ended")
        return failure
    }

    /// Says again and again when the certificate ends: a mounted Secret is renewed while the process runs.
    private func watchCertificate() -> Task<Void, Never> {
        Task { [server, metrics] in
            let meter = ExportMetrics.clusterCertificate.meter(in: metrics)
            repeat {
                guard let ends = server.certificateExpiry() else { return }
                meter.set(Double(ends))
                try? await Task.sleep(for: Self.certificateLook)
            } while !Task.isCancelled
        }
    }

    /// The first signal asks to stop, the second ends the process at once: what was told as kept is kept.
    private func watchSignals() -> Task<Void, Never> {
        let signals = StopSignals([SIGINT, SIGTERM])
        return Task { [coordinator] in
            var isStopping = false
            for await number in signals.arrivals {
                guard !isStopping else { _exit(128 + number) }
                isStopping = true
                await coordinator.stop()
            }
        }
    }
}

/// Where the endpoint looks for the coordinator, which comes a moment later.
private final class Stage: Sendable {
    private let name: String
    private let coordinator = Mutex<ClusterCoordinator?>(nil)

    init(_ name: String) { self.name = name }

    func enter(_ coordinator: ClusterCoordinator) { self.coordinator.withLock { $0 = coordinator } }

    func status() async -> ClusterStatus {
        if let coordinator = coordinator.withLock({ $0 }) { return await coordinator.status() }
        return ClusterStatus(
            coordinator: ClusterStatus.Coordinator(
                name: name, address: "", role: .starting, program: ExporterVersion.current, upMilliseconds: 0))
    }

    func health() async -> EndpointHealth {
        guard let coordinator = coordinator.withLock({ $0 }) else {
            return EndpointHealth(isAlive: true, isReady: false, reason: "this coordinator is starting")
        }
        let health = await coordinator.health()
        return EndpointHealth(isAlive: true, isReady: health.isReady, reason: health.reason)
    }
}
