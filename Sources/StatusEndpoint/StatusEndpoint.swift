public import ExportCore
public import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization
public import Telemetry
internal import Threading

/// What a coordinator shows: JSON for programs, metrics for Prometheus, a page for people. docs/endpoint.md has the
/// paths and fields.
///
/// Promises:
/// 1. Read only: nothing that arrives changes anything. Nothing secret is shown.
/// 2. Bounded: connections, listeners, bytes and time of a request, time that a client may take nothing, and how often
///    the coordinator is asked, however many ask (``StatusEndpointSettings``).
/// 3. `/v1/gate` answers 200 only if probes are admitted as far as this coordinator knows now; when it does not know,
///    or does not answer, the answer is not 200.
/// 4. A browser runs none of what the status says: names and reasons come from others.
///
/// Not promised: privacy. It speaks plain HTTP and asks nobody who they are; it listens on this machine unless told
/// otherwise, and beyond that a network policy or a proxy with TLS stands before it.
public final class StatusEndpoint: Sendable {
    private struct Running {
        var group: MultiThreadedEventLoopGroup
        var server: any Channel
        var pulse: Task<Void, Never>
    }

    private let settings: StatusEndpointSettings
    private let feed: StatusFeed
    private let connections: Connections
    private let connection: Connection
    private let running = Mutex<Running?>(nil)

    /// - Parameters:
    ///   - metrics: served at `/metrics`; the cluster's are kept there too.
    ///   - status: how the cluster fares; has to be cheap, and is asked about once a second, four times at the most.
    ///   - health: whether the process is well, for `/healthz` and `/readyz`.
    public init(
        settings: StatusEndpointSettings = StatusEndpointSettings(), metrics: MetricRegistry, logger: Logger,
        status: @escaping @Sendable () async -> ClusterStatus, health: @escaping @Sendable () async -> EndpointHealth
    ) {
        self.settings = settings
        let cluster = ClusterMetrics(in: metrics)
        feed = StatusFeed(settings: settings, metrics: cluster, source: status)
        connections = Connections(limit: settings.maxConnections)
        let routes = Routes(
            feed: feed, registry: metrics, refresh: { cluster.publish(now: SystemClock.now()) }, showsCluster: true,
            health: health, isLocal: Self.isLocal(settings))
        connection = Connection(routes: routes, feed: feed, log: logger)
    }

    /// For a process that has no cluster to show: `/healthz`, `/readyz` and `/metrics`, and nothing else.
    ///
    /// - Parameters:
    ///   - refresh: brings up to date what is measured when somebody looks.
    ///   - health: whether the process is well.
    public init(
        probesOnly settings: StatusEndpointSettings, metrics: MetricRegistry, logger: Logger,
        refresh: @escaping @Sendable () async -> Void, health: @escaping @Sendable () async -> EndpointHealth
    ) {
        self.settings = settings
        feed = StatusFeed(settings: settings)
        connections = Connections(limit: settings.maxConnections)
        let routes = Routes(
            feed: feed, registry: metrics, refresh: refresh, showsCluster: false, health: health,
            isLocal: Self.isLocal(settings))
        connection = Connection(routes: routes, feed: feed, log: logger)
    }

    private static func isLocal(_ settings: StatusEndpointSettings) -> Bool {
        ["127.0.0.1", "::1", "localhost"].contains(settings.host)
    }

    /// Listens, on a thread of its own, and returns the port.
    public func start() async throws(StatusEndpointError) -> Int {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let server = try await bootstrap(group).bind(host: settings.host, port: settings.port).get()
            let feed = feed
            let pulse = Task { await feed.pulse() }
            running.withLock { $0 = Running(group: group, server: server, pulse: pulse) }
            return server.localAddress?.port ?? settings.port
        } catch {
            try? await group.shutdownGracefully()
            let reason = (error as? IOError).map { systemErrorText($0.errnoCode) } ?? "\(error)"
            throw StatusEndpointError(
                description: "The status endpoint cannot listen on \(settings.host):\(settings.port): \(reason). "
                    + "Choose another address or port in the configuration, or end what listens there.")
        }
    }

    /// Ends all streams and connections, and the thread.
    public func stop() async {
        guard let running = running.withLock({ $0.take() }) else { return }
        try? await running.server.close().get()
        running.pulse.cancel()
        await running.pulse.value
        await connections.close()
        try? await running.group.shutdownGracefully()
    }

    private func bootstrap(_ group: MultiThreadedEventLoopGroup) -> ServerBootstrap {
        let (settings, connections, connection) = (settings, connections, connection)
        return ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard connections.add(channel) else { throw ChannelError.operationUnsupported }
                    channel.closeFuture.whenComplete { _ in connections.remove(channel) }
                    let pipeline = channel.pipeline.syncOperations
                    let bytes = ByteBound(limit: settings.maxRequestBytes)
                    try pipeline.addHandler(bytes)
                    var bounds = NIOHTTPDecoderLimitConfiguration()
                    bounds.maxHeaderFieldSize = settings.maxRequestBytes
                    bounds.maxHeaderListSize = settings.maxRequestBytes
                    bounds.maxHeaderFieldCount = 100
                    try pipeline.configureHTTPServerPipeline(
                        withEncoderConfiguration: HTTPResponseEncoder.Configuration(),
                        withDecoderLimitConfiguration: bounds)
                    try pipeline.addHandler(ConnectionGuard(settings, connections, bytes))
                    let wrapped = try EndpointChannel(wrappingChannelSynchronously: channel)
                    Task { await connection.serve(wrapped) }
                }
            }
    }
}
