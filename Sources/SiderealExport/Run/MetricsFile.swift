import Glibc
import Logging
import Telemetry

/// Writes metrics to a file again and again, each time whole: a reader sees the old text or the new one, never a part.
struct MetricsFile: Sendable {
    let path: String
    let registry: MetricRegistry
    let log: Logger

    private static let everySeconds = 5

    /// Writes what is known at the start; throws if no file can be written there. Never an empty text: a collector that
    /// comes just then would see a run without a single series.
    static func start(_ path: String, _ registry: MetricRegistry) throws(OutputFailure) {
        try replace(path, with: registry.render())
    }

    /// Writes until cancelled, and once more then. `refresh` brings up to date what is measured when somebody looks.
    func run(_ refresh: @Sendable () async -> Void) async {
        var wasWritten = true
        repeat {
            wasWritten = await write(refresh, complains: wasWritten)
        } while (try? await Task.sleep(for: .seconds(Self.everySeconds))) != nil
        _ = await write(refresh, complains: true)
    }

    private func write(_ refresh: @Sendable () async -> Void, complains: Bool) async -> Bool {
        await refresh()
        do throws(OutputFailure) {
            try Self.replace(path, with: registry.render())
            return true
        } catch {
            // The export goes on; what cannot be seen from outside is said here, once.
            if complains { log.warning("metrics: \(error.message)") }
            return false
        }
    }

    /// A name that does not end in .prom while it is written, or the collector would read it.
    private static func replace(_ path: String, with bytes: [UInt8]) throws(OutputFailure) {
        let draft = "\(path).\(getpid()).tmp"
        let sink = try OutputSink(path: draft)
        do throws(OutputFailure) {
            try sink.write(bytes.span)
            try sink.close()
        } catch {
            unsafe unlink(draft)
            throw error
        }
        guard unsafe rename(draft, path) != 0 else { return }
        let failure = OutputFailure("replace", path, errno)
        unsafe unlink(draft)
        throw failure
    }
}
