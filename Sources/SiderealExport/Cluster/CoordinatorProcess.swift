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
import Telemetry
import Threading

/// The process of `coordinator`: opens what it needs, and runs until it is asked to stop.
final class CoordinatorProcess: Sendable {
    /// What the command line says.
    struct Options: Sendable {
        var config: String
        var standalone: String?
        var identity: String?
        var listen: String?
        var advertise: String?
        var endpoint: String?
        var peerCertificates: String?
        var logLevel: Logger.Level
    }

    private let log: Logger
    private let console: Console
    private let store: FileClusterStore
    private let server: PeerServer
    private let coordinator: ClusterCoordinator
    private let endpoints: [StatusEndpoint]
    private let metrics = MetricRegistry()

    /// Checks and opens everything; what is wrong is thrown as `SetupRefusal`, all of it at once.
    init(options: Options, console: Console) async throws(SetupRefusal) {
        let setup = try CoordinatorSetup(options)
        self.console = console
        var log = Logger(label: "sidereal-export") { _ in ConsoleLogHandler(console: console) }
        log.logLevel = options.logLevel
        log[metadataKey: "coordinator"] = "\(setup.name)"
        self.log = log
        store = try Self.open(setup.standalone)
        server = try await Self.listen(setup, log)
        let settings = setup.settings(port: server.port)
        let store = store
        let (shards, limits) = (setup.configuration.cluster.shards, setup.configuration.limits)
        let stores = CoordinatorStores(lease: store, gate: store, alerts: store, status: store) { settled in
            store.results(settled: settled, shardCount: shards, limits: limits)
        }
        var seeds = SystemRandomNumberGenerator()
        let coordinator = ClusterCoordinator(settings: settings, stores: stores, log: log, seed: seeds.next())
        self.coordinator = coordinator
        ExportMetrics.buildInfo.meter(ExporterVersion.current, in: metrics).set(1)
        var endpoints: [StatusEndpoint] = []
        for (number, place) in setup.endpoints.enumerated() {
            // Beside the page's, what is measured is measured once.
            let registry = number == 0 ? metrics : MetricRegistry()
            endpoints.append(Self.endpoint(place, registry, log, coordinator))
        }
        self.endpoints = endpoints
        do throws(StatusEndpointError) {
            for (number, endpoint) in endpoints.enumerated() {
                let port = try await endpoint.start()
                let place = NetworkAddress(host: setup.endpoints[number].host, port: port)
                if number == 0 { await coordinator.announce(endpoint: setup.url(of: place)) }
                log.info("status endpoint ready", metadata: ["url": "http://\(place)/"])
            }
        } catch {
            await server.shutdown()
            throw SetupRefusal(lines: ["error: \(error.description)"])
        }
        log.notice(
            "coordinator ready", metadata: ["listen": "\(server.address)", "advertise": "\(settings.address)"])
    }

    private static func open(_ directory: String) throws(SetupRefusal) -> FileClusterStore {
        do throws(StoreError) {
            return try FileClusterStore(directory: directory)
        } catch {
            throw SetupRefusal(lines: ["error: --standalone: \(error.description)"])
        }
    }

    private static func listen(_ setup: CoordinatorSetup, _ log: Logger) async throws(SetupRefusal) -> PeerServer {
        do throws(PeerError) {
            return try await PeerServer.start(
                host: setup.listen.host, port: setup.listen.port, security: setup.security, settings: setup.peers
            ) { reason in
                log.warning("a connection was refused", metadata: ["kind": "\(reason.kind)", "cause": "\(reason)"])
            }
        } catch {
            throw SetupRefusal(lines: ["error: --listen: \(error.description)"])
        }
    }

    private static func endpoint(
        _ place: NetworkAddress, _ registry: MetricRegistry, _ log: Logger, _ coordinator: ClusterCoordinator
    ) -> StatusEndpoint {
        var settings = StatusEndpointSettings()
        settings.host = place.host
        settings.port = place.port
        return StatusEndpoint(
            settings: settings, metrics: registry, logger: log,
            status: { await coordinator.status() },
            health: {
                let health = await coordinator.health()
                return EndpointHealth(isAlive: true, isReady: health.isReady, reason: health.reason)
            })
    }

    /// Takes part in the cluster until asked to stop; returns why it could not go on, nil if it was asked.
    func run() async -> String? {
        let signals = watchSignals()
        let failure = await coordinator.run(server.connections)
        signals.cancel()
        for endpoint in endpoints { await endpoint.stop() }
        await server.shutdown()
        await store.close()
        log.notice("coordinator ended")
        return failure
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
