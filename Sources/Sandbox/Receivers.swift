internal import Crypto
internal import Model
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import PeerTransport
internal import Threading

/// What stands behind the ports.
struct Receivers {
    let hec: any LookAlike
    let elasticsearch: any LookAlike
    /// Only for measuring.
    let s3: (any LookAlike)?
    /// Where the syslog receiver counts; only for measuring.
    let syslog: TargetLog?
    let maxBodyBytes: Int
    let control: ControlRoutes

    init(_ options: SandboxOptions) {
        let now = Tick(nanoseconds: NIODeadline.now().uptimeNanoseconds)
        let hecLog = TargetLog(options, now: now, seed: options.seed)
        let elasticLog = TargetLog(options, now: now, seed: ~options.seed)
        let hec = SplunkHEC(options, log: hecLog)
        let elasticsearch = Elasticsearch(options, log: elasticLog)
        let logs: [SandboxTarget: TargetLog] = [.hec: hecLog, .elasticsearch: elasticLog]
        maxBodyBytes = options.maxBodyBytes
        guard options.null else {
            (self.hec, self.elasticsearch, s3, syslog) = (hec, elasticsearch, nil, nil)
            control = ControlRoutes(logs: logs)
            return
        }
        let bucket = NullBucket(
            log: TargetLog(options, now: now, seed: options.seed &+ 1), maxBodyBytes: options.maxBodyBytes)
        let messages = TargetLog(options, now: now, seed: options.seed &+ 2)
        self.hec = NullSink(options, .hec, real: hec)
        self.elasticsearch = NullSink(options, .bulk, real: elasticsearch)
        s3 = NullSink(options, .s3, real: bucket)
        syslog = messages
        control = ControlRoutes(logs: logs, sinks: ["s3": bucket.log, "syslog": messages])
    }
}

/// Opens ports.
struct Door {
    let host: String
    let tls: TLSContext?
    let group: MultiThreadedEventLoopGroup
    let control: ControlRoutes

    /// Serves HTTP; returns the port, which the kernel chooses for 0.
    func listen(_ port: Int, _ lookAlike: any LookAlike) async throws(SandboxError) -> Int {
        let control = control
        return try await open(port) { channel in
            try channel.pipeline.syncOperations.configureHTTPServerPipeline()
            try channel.pipeline.syncOperations.addHandler(HTTPHandler(lookAlike, control: control))
        }
    }

    /// Serves HTTP at a port of the kernel's choice, if there is somebody to serve.
    func listen(_ lookAlike: (any LookAlike)?) async throws(SandboxError) -> Int? {
        guard let lookAlike else { return nil }
        return try await listen(0, lookAlike)
    }

    /// Takes syslog at a port of the kernel's choice, if somebody counts it.
    func listen(syslog receivers: Receivers) async throws(SandboxError) -> Int? {
        guard let log = receivers.syslog else { return nil }
        let limit = receivers.maxBodyBytes
        return try await open(0) { channel in
            try channel.pipeline.syncOperations.addHandler(NullSyslog(log, maxMessageBytes: limit))
        }
    }

    private func open(
        _ port: Int, _ handlers: @escaping @Sendable (any Channel) throws -> Void
    ) async throws(SandboxError) -> Int {
        let tls = tls
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
                    if let tls { try channel.pipeline.syncOperations.addHandler(TLSHandler(server: tls)) }
                    try handlers(channel)
                }
            }
        do {
            let channel = try await bootstrap.bind(host: host, port: port).get()
            return channel.localAddress?.port ?? port
        } catch {
            let reason = (error as? IOError).map { systemErrorText($0.errnoCode) } ?? "\(error)"
            throw SandboxError("cannot listen on \(host):\(port): \(reason); choose another port, or 0 for a free one")
        }
    }
}
