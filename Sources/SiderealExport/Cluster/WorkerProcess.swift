import Backends
import Configuration
import CoreMetrics
import Crypto
import ExportCore
import Formats
import Glibc
import HTTPClient
import Ledger
import Logging
import Model
import PeerTransport
import Protocol
import Secrets
import ShardWorker
import StatusEndpoint
import Telemetry
import Threading

/// A worker's process: what it needs around `ClusterWorker`, from its start to its end.
final class WorkerProcess: Sendable {
    /// What the command line says.
    struct Options: Sendable {
        var config: String
        var secrets: String
        var state: String
        var identity: String
        var coordinators: [NetworkAddress]
        var certificates: String?
        var endpoint: NetworkAddress?
        var metrics: String?
        var logLevel: Logger.Level
    }

    /// What remains of the grace period for closing receivers, connections and the ledger.
    private static let closingMilliseconds: UInt64 = 3_000

    private let options: Options
    private let configuration: Configuration
    private let log: Logger
    private let ledger: Ledger
    private let client: HTTPClient
    /// Of this member; nil without TLS, on one machine.
    private let certificates: String?
    private let dial: PeerDial
    private let metrics = MetricRegistry()
    private let worker: ClusterWorker

    /// Checks and opens everything; what is wrong is thrown as `SetupRefusal`.
    init(options: Options, console: Console) async throws {
        self.options = options
        var named = Logger(label: "sidereal-export") { _ in ConsoleLogHandler(console: console) }
        named.logLevel = options.logLevel
        named[metadataKey: "worker"] = "\(options.identity)"
        let log = named
        self.log = log
        configuration = try Setup.configuration(options.config)
        let secrets = try Setup.secrets(options.secrets, for: configuration)
        let addresses = options.coordinators.isEmpty ? configuration.cluster.coordinators : options.coordinators
        do {
            if configuration.fips { try FIPS.require() }
            certificates = try Self.certificates(options, configuration, addresses)
            dial = try PeerDial(certificates: certificates, minimum: configuration.fips ? .v12 : .v13)
            client = HTTPClient(for: configuration.targets, approvedOnly: configuration.fips)
            ledger = try await Ledger.open(directory: options.state, limits: configuration.limits)
        } catch let refusal as SetupRefusal {
            throw refusal
        } catch {
            throw SetupRefusal(lines: ["error: \(error)"])
        }
        ExportMetrics.buildInfo.meter(ExporterVersion.current, in: metrics).set(1)
        if let path = options.metrics {
            do throws(OutputFailure) {
                try MetricsFile.start(path, metrics)
            } catch {
                throw SetupRefusal(lines: ["error: --metrics: \(error.message)"])
            }
        }
        let stamp = ExportStamp(version: ExporterVersion.current, cluster: configuration.clusterName)
        let factory = BackendFactory(client: client, secrets: secrets, stamp: stamp) { target, reason in
            log.warning("\(reason.message)", metadata: ["target": "\(target)", "code": "\(reason.code)"])
        }
        var plans: [LanePlan] = []
        for target in configuration.targets {
            plans.append(try await RunSession.lane(Self.own(target, options.identity), factory, ledger, []))
        }
        let cores = max(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 1)
        worker = try await ClusterWorker(
            Self.settings(options, configuration, cores), coordinators: addresses.map(\.description), plans: plans,
            parts: ClusterWorker.Parts(
                ledger: ledger, log: log, limits: configuration.limits, metrics: metrics,
                encoders: min(cores, Self.maxEncoders), dial: { [dial] in try await dial.connect($0) }))
    }

    private static func settings(
        _ options: Options, _ configuration: Configuration, _ cores: Int
    ) -> WorkerCore.Settings {
        var random = SystemRandomNumberGenerator()
        return WorkerCore.Settings(
            identity: options.identity, boot: RecordKey(high: random.next(), low: random.next()),
            capacity: UInt16(clamping: cores), windowBytes: UInt64(configuration.cluster.windowBytes),
            targets: configuration.targets.map(\.name))
    }

    /// More of them than this wait for the leader's frames.
    private static let maxEncoders = 8

    /// Where certificates are; nil if there are none and none are needed.
    private static func certificates(
        _ options: Options, _ configuration: Configuration, _ addresses: [NetworkAddress]
    ) throws(SetupRefusal) -> String? {
        switch PeerDirectory(option: options.certificates, configuration.cluster) {
        case .at(let directory): return directory
        case .unreadable(let mistake): throw SetupRefusal(lines: ["error: \(mistake)"])
        case .none: break
        }
        guard let far = addresses.first(where: { !["127.0.0.1", "::1", "localhost"].contains($0.host) }) else {
            return nil
        }
        throw SetupRefusal(lines: [
            "error: there are no certificates in \(configuration.cluster.peerCertificates), and without them only"
                + " coordinators on this machine are connected to, not \(far): name a directory with --peer-certificates"
        ])
    }

    /// Workers on one machine, or on one volume, do not write to one another's files.
    private static func own(_ target: Target, _ identity: String) -> Target {
        guard target.backend == .file else { return target }
        var target = target
        target.endpoint.path += "/\(identity)"
        return target
    }

    /// Works until a signal. True if nothing was left in hand.
    func execute() async throws -> Bool {
        let endpoints = try await listen()
        let signals = watchSignals()
        let worker = worker
        let file = options.metrics.map { MetricsFile(path: $0, registry: metrics, log: log) }
        let reporting = Task { await file?.run { await self.publish() } }
        log.info(
            "worker starts",
            metadata: [
                "identity": "\(options.identity)", "state": "\(options.state)",
                "security": "\(certificates.map { "mutual TLS, certificates in \($0)" } ?? "none, this machine only")",
                "targets": "\(configuration.targets.map(\.name).joined(separator: ", "))",
            ])
        let isClean = await worker.run()
        let unsettled = worker.unsettledRows
        signals.cancel()
        reporting.cancel()
        await reporting.value
        for endpoint in endpoints { await endpoint.stop() }
        await client.shutdown()
        await dial.shutdown()
        do throws(LedgerError) {
            try await ledger.close()
        } catch {
            log.error("closing the ledger: \(error)")
        }
        if isClean, unsettled > 0 {
            log.warning(
                "worker ends before all that it told is written down; the next process with its state tells it again",
                metadata: ["rows": "\(unsettled)"])
        } else if isClean {
            log.info("worker ends with nothing in hand")
        } else {
            log.warning("worker ends with records in hand; the leader sends them again, to whom they belong then")
        }
        return isClean
    }

    @Sendable private func publish() async {
        worker.publish()
        if let ends = dial.certificateExpiry() { ExportMetrics.workerCertificate.meter(in: metrics).set(ends) }
        // A ledger that cannot be read is reported where it is needed; a figure that is unknown stays as it was.
        if let kept = try? await ledger.deadLetterCount() { ExportMetrics.deadLettersKept.meter(in: metrics).set(kept) }
    }

    /// One listener where the command line says, or one each for metrics and probes as the configuration has it.
    private func listen() async throws(SetupRefusal) -> [StatusEndpoint] {
        let cluster = configuration.cluster
        let places =
            options.endpoint.map { [$0] }
            ?? [cluster.metricsPort, cluster.healthPort].map { NetworkAddress(host: cluster.endpointHost, port: $0) }
        var endpoints: [StatusEndpoint] = []
        for place in places {
            var settings = StatusEndpointSettings()
            settings.host = place.host
            settings.port = place.port
            let endpoint = StatusEndpoint(
                probesOnly: settings, metrics: metrics, logger: log, refresh: { await self.publish() },
                health: { [worker] in
                    let isReady = worker.isReady
                    return EndpointHealth(
                        isAlive: true, isReady: isReady,
                        reason: isReady ? "" : "no leader has given this worker shards yet")
                })
            do throws(StatusEndpointError) {
                let port = try await endpoint.start()
                log.info("endpoint", metadata: ["address": "\(NetworkAddress(host: place.host, port: port))"])
            } catch {
                for endpoint in endpoints { await endpoint.stop() }
                throw SetupRefusal(lines: ["error: \(error)"])
            }
            endpoints.append(endpoint)
        }
        return endpoints
    }

    /// The first signal asks to stop, the second ends the process at once: what was told is in the ledger.
    private func watchSignals() -> Task<Void, Never> {
        let signals = StopSignals([SIGINT, SIGTERM])
        let grace = configuration.limits.stopMilliseconds
        return Task { [worker, log] in
            var isStopping = false
            for await number in signals.arrivals {
                guard !isStopping else { _exit(128 + number) }
                isStopping = true
                log.notice("stopping: shards go back, what is in hand is delivered (again to stop at once)")
                worker.stop(graceMilliseconds: grace - min(grace, Self.closingMilliseconds))
            }
        }
    }
}
