internal import Crypto
internal import Model
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import PeerTransport

/// Look-alikes of Splunk HEC and of Elasticsearch, for tests and demonstrations.
///
/// Promises:
/// 1. They listen on 127.0.0.1 only, unless told otherwise, and then over TLS.
/// 2. They refuse what the real receivers refuse, as far as the exporter's requests touch it, with the same codes.
/// 3. They remember each identity they accepted and how often, in bounded memory, and say so when the bound is hit.
/// 4. Faults are drawn from a seed.
///
/// What they do not promise: to index, to search, to survive a restart. Several may run in one process.
public final class SandboxServer: Sendable {
    /// Port of the HEC look-alike.
    public let hecPort: Int
    /// Port of the Elasticsearch look-alike.
    public let elasticsearchPort: Int
    private let scheme: String
    private let host: String
    private let group: MultiThreadedEventLoopGroup
    private let control: ControlRoutes

    /// Starts both and returns once they listen.
    /// - Throws: ``SandboxError`` for a bad option, a certificate that cannot be used or a port that is taken.
    public static func start(_ options: SandboxOptions = SandboxOptions()) async throws(SandboxError) -> SandboxServer {
        try options.validate()
        let now = Tick(nanoseconds: NIODeadline.now().uptimeNanoseconds)
        let hecLog = TargetLog(options, now: now, seed: options.seed)
        let elasticLog = TargetLog(options, now: now, seed: ~options.seed)
        var hec: any LookAlike = SplunkHEC(options, log: hecLog)
        var elastic: any LookAlike = Elasticsearch(options, log: elasticLog)
        if options.null {
            hec = NullSink(options, real: hec, isBulk: false)
            elastic = NullSink(options, real: elastic, isBulk: true)
        }
        let control = ControlRoutes(logs: [.hec: hecLog, .elasticsearch: elasticLog])
        var tls: TLSContext?
        if let files = options.tls {
            do throws(CryptoError) {
                tls = try TLSContext(certificateChainFile: files.certificateFile, privateKeyFile: files.keyFile)
            } catch {
                throw SandboxError(error.description)
            }
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: options.threads)
        do {
            let hecPort = try await listen((options.host, options.hecPort), hec, control, tls, group)
            let elasticPort = try await listen(
                (options.host, options.elasticsearchPort), elastic, control, tls, group)
            return SandboxServer(
                hecPort: hecPort, elasticsearchPort: elasticPort, scheme: tls == nil ? "http" : "https",
                host: options.host,
                group, control)
        } catch {
            try? await group.shutdownGracefully()
            throw SandboxError("\(error)")
        }
    }

    private init(
        hecPort: Int, elasticsearchPort: Int, scheme: String, host: String, _ group: MultiThreadedEventLoopGroup,
        _ control: ControlRoutes
    ) {
        self.hecPort = hecPort
        self.elasticsearchPort = elasticsearchPort
        self.scheme = scheme
        self.host = host
        self.group = group
        self.control = control
    }

    private static func listen(
        _ place: (host: String, port: Int), _ lookAlike: any LookAlike, _ control: ControlRoutes, _ tls: TLSContext?,
        _ group: MultiThreadedEventLoopGroup
    ) async throws -> Int {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 64 << 10, maximum: 1 << 20)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(TLSHandler(server: tls)) }
                    try pipeline.configureHTTPServerPipeline()
                    try pipeline.addHandler(HTTPHandler(lookAlike, control: control))
                }
            }
        do {
            let channel = try await bootstrap.bind(host: place.host, port: place.port).get()
            return channel.localAddress?.port ?? place.port
        } catch {
            throw SandboxError(
                "cannot listen on \(place.host):\(place.port): \(error); choose another port, or 0 for a free one")
        }
    }

    /// Where the HEC look-alike is reached, such as `http://127.0.0.1:8088`.
    public var hecURL: String { "\(scheme)://\(host):\(hecPort)" }

    /// Where the Elasticsearch look-alike is reached, such as `http://127.0.0.1:9200`.
    public var elasticsearchURL: String { "\(scheme)://\(host):\(elasticsearchPort)" }

    /// What both have seen so far.
    public func stats() -> SandboxStats { control.stats }

    /// Every identity that `target` remembers, in no particular order.
    public func identities(of target: SandboxTarget) -> [SandboxIdentity] { Array(control.entries(of: target)) }

    /// Replaces the faults of `target`; the times of an outage count from now.
    /// - Throws: ``SandboxError`` for a value outside its range.
    public func setFaults(_ faults: SandboxFaults, of target: SandboxTarget) throws(SandboxError) {
        if let mistake = faults.mistake { throw SandboxError(mistake) }
        let now = Tick(nanoseconds: NIODeadline.now().uptimeNanoseconds)
        control.logs[target]?.update { $0.plan.apply(faults, restartsOutage: true, now: now) }
    }

    /// Closes all connections and ends the threads. What was seen can still be asked for.
    public func stop() async {
        do {
            try await group.shutdownGracefully()
        } catch {
            // Only a second stop gets here, and the first has done it all.
            return
        }
    }
}
