import Backends
import Configuration
import Coordinator
import CoreMetrics
import Crypto
import ExportCore
import Formats
import Glibc
import HTTPClient
import Ledger
import Logging
import Model
import Secrets
import Telemetry
import Threading

/// A whole run: what is set up once, and the sessions it consists of.
///
/// A file or directory is one session. A pipe is one session per segment of its spool, after one for what an earlier
/// run left behind there.
final class ExportRun: Sendable {
    /// What the command line says.
    struct Options: Sendable {
        var config: String
        /// What is exported; nil for dead letters that are tried again.
        var input: String?
        var secrets: String
        var state: String
        var deadlineMilliseconds: UInt64
        var metrics: String?
    }

    let options: Options
    let console: Console
    let log: Logger
    let configuration: Configuration
    let secrets: SecretDirectory
    let ledger: Ledger
    let client: HTTPClient
    let metrics = MetricRegistry()
    let stop = StopSignal()
    let startedAt = SystemClock.now()
    private let paths: [String]

    /// Checks and opens everything a run needs; what is wrong is thrown as `SetupRefusal`.
    init(options: Options, console: Console) async throws {
        self.options = options
        self.console = console
        log = Logger(label: "sidereal-export") { _ in ConsoleLogHandler(console: console) }
        configuration = try Setup.configuration(options.config)
        secrets = try Setup.secrets(options.secrets, for: configuration)
        do {
            if configuration.fips { try FIPS.require() }
            client = HTTPClient(for: configuration.targets, approvedOnly: configuration.fips)
            if let input = options.input {
                paths = input == "-" ? [] : try InputCatalog.paths(input)
                ledger = try await Ledger.open(directory: options.state, limits: configuration.limits)
            } else {
                paths = []
                ledger = try await Ledger.openForDeadLetters(
                    directory: options.state, limits: configuration.limits)
            }
        } catch {
            throw SetupRefusal(lines: ["error: \(error)"])
        }
        ExportMetrics.buildInfo.meter(ExporterVersion.current, in: metrics).set(1)
        guard let path = options.metrics else { return }
        do throws(OutputFailure) {
            try MetricsFile.start(path, metrics)
        } catch {
            throw SetupRefusal(lines: ["error: --metrics: \(error.message)"])
        }
    }

    /// Exports the inputs and says how it went. The ledger is closed after.
    func execute() async -> RunSummary {
        await execute(RunSummary(targets: configuration.targets.map(\.name), state: options.state)) { summary in
            if options.input == "-" {
                try await executePipe(&summary)
            } else {
                try await session(paths, spool: nil, &summary)
            }
        }
    }

    /// Does `work`, and what has to be done around it.
    func execute(
        _ summary: consuming RunSummary, _ work: (inout RunSummary) async throws -> Void
    ) async -> RunSummary {
        let signals = watchSignals()
        var summary = summary
        do {
            try await work(&summary)
        } catch {
            log.error("\(error)")
            summary.failure = "\(error)"
        }
        signals.cancel()
        await client.shutdown()
        do throws(LedgerError) {
            try await ledger.close()
        } catch {
            log.error("closing the ledger: \(error)")
        }
        summary.milliseconds = SystemClock.now().milliseconds(since: startedAt)
        return summary
    }

    private func executePipe(_ summary: inout RunSummary) async throws {
        let left = try StdinSpool.leftBehind(state: options.state)
        if !left.isEmpty {
            log.info("going on with what an earlier run took from its pipe", metadata: ["segments": "\(left.count)"])
            try await session(left, spool: nil, &summary)
            if summary.isAllDelivered { for path in left { StdinSpool.remove(path) } }
        }
        var hasMore = true
        while hasMore, !stop.isSet, summary.isAllDelivered {
            let spool = try StdinSpool.start(state: options.state)
            try await session([spool.path], spool: spool, &summary)
            let progress = spool.progress
            if let failure = progress.failure { throw failure }
            hasMore = progress.hasMore
            // Kept if anything of it is still owed: the next run finds it.
            if summary.isAllDelivered, progress.isFinal { StdinSpool.remove(spool.path) }
        }
    }

    private func session(_ paths: [String], spool: StdinSpool?, _ summary: inout RunSummary) async throws {
        let catalog = try await InputCatalog.open(paths, ledger: ledger, knownByPath: options.input == "-")
        let plan = try await RunSession.Plan(run: self, catalog: catalog, spool: spool)
        let (ledger, console, log) = (ledger, console, log)
        let deadline = options.deadlineMilliseconds
        let session = try await RunSession(run: self, plan: plan) { reader, stop in
            RefusalLog(
                ledger: ledger, reader: reader, console: console, log: log, stop: stop, deadlineMilliseconds: deadline)
        }
        let result: Result<Void, InputError>
        do throws(InputError) {
            try await execute(session, &summary)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        // What an earlier run gave up is settled, so that no lane speaks of it; it is not delivered for that.
        let sources = Set(catalog.entries.map(\.source))
        for target in configuration.targets.map(\.name) + [""] {
            summary.addKept(target, try await ledger.deadLetterCount(target: target, sources: sources))
        }
        try result.get()
    }

    /// Runs a session to its end, shows how it fares and adds it to the summary.
    func execute(_ session: RunSession, _ summary: inout RunSummary) async throws(InputError) {
        let display = RunDisplay(session: session, console: console, log: log, startedAt: startedAt)
        let showing = Task { await display.run() }
        let metricsFile = options.metrics.map { MetricsFile(path: $0, registry: metrics, log: log) }
        let reporting = Task { await metricsFile?.run(session.publishMetrics) }
        let result: Result<Void, InputError>
        do throws(InputError) {
            try await session.execute()
            result = .success(())
        } catch {
            result = .failure(error)
        }
        showing.cancel()
        await showing.value
        console.live([])
        reporting.cancel()
        await reporting.value
        session.report(into: &summary)
        try result.get()
    }

    /// The first signal asks to stop, the second ends the process at once: what was acknowledged is in the ledger.
    private func watchSignals() -> Task<Void, Never> {
        let signals = StopSignals([SIGINT, SIGTERM])
        return Task { [stop, console] in
            for await number in signals.arrivals {
                guard !stop.isSet else { _exit(128 + number) }
                stop.set()
                console.line("stopping: delivering what is in hand (again to stop at once)")
            }
        }
    }
}
