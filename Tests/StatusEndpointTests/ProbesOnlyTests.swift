import CoreMetrics
import HTTPClient
import Logging
import StatusEndpoint
import Synchronization
import Telemetry
import Testing

/// A worker's endpoint: whether it is well, and its metrics; there is no cluster to be shown.
@Suite struct ProbesOnlyTests {
    @Test func onlyProbesAndMetricsAreServed() async throws {
        let isReady = Mutex(false)
        let refreshed = Mutex(0)
        let registry = MetricRegistry()
        ExportMetrics.workerShards.meter(in: registry).set(7)
        var settings = StatusEndpointSettings()
        settings.port = 0
        let endpoint = StatusEndpoint(
            probesOnly: settings, metrics: registry, logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() },
            refresh: { refreshed.withLock { $0 += 1 } },
            health: { EndpointHealth(isAlive: true, isReady: isReady.withLock { $0 }, reason: "no shards") })
        let port = try await endpoint.start()
        #expect(try await get("/healthz", port).status == 200)
        #expect(try await get("/readyz", port).status == 503)
        isReady.withLock { $0 = true }
        #expect(try await get("/readyz", port).status == 200)
        let text = String(decoding: try await get("/metrics", port).body, as: UTF8.self)
        #expect(text.contains("sidereal_worker_shards 7") && !text.contains("sidereal_cluster_"))
        #expect(refreshed.withLock { $0 } == 1)
        for path in ["/", "/v1/status", "/v1/gate", "/v1/events", "/page.js"] {
            #expect(try await get(path, port).status == 404, "\(path)")
        }
        await endpoint.stop()
    }
}
