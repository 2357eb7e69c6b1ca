internal import Crypto
internal import NIOCore
internal import NIOPosix
internal import Threading

/// A worker's side: connects to coordinators.
public final class PeerClient: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let settings: PeerSettings
    private let credentials: PeerCredentials?

    /// Nothing is connected yet.
    /// - Throws: ``PeerError`` of kind `settings`, or `credentials` if what is there now cannot be used.
    public init(security: PeerSecurity, settings: PeerSettings = PeerSettings()) throws(PeerError) {
        try settings.validate()
        self.settings = settings
        switch security {
        case .loopbackOnly: credentials = nil
        case .mutualTLS(let directory, let minimum):
            let credentials = PeerCredentials(directory: directory, role: .worker, minimum: minimum)
            _ = try credentials.current()
            self.credentials = credentials
        }
        group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads)
    }

    /// When the own certificate ends, seconds since 1970; nil without TLS. Reads small files on the caller's thread.
    public func certificateExpiry() -> Int64? { credentials?.expiry() }

    /// Connects and returns when the coordinator is identified; takes at most twice ``PeerSettings/handshakeTimeout``.
    /// - Parameters:
    ///   - host: a name or an address, without brackets. It plays no part in the identification.
    ///   - port: TCP port.
    /// - Throws: ``PeerError``, which says what is to be mended.
    public func connect(host: String, port: Int) async throws(PeerError) -> PeerConnection {
        let place = PeerAddress.text(host: host, port: port)
        if credentials == nil { try Self.checkLoopback(host, place) }
        let material = try credentials?.current()
        let established = group.next().makePromise(of: PeerConnection.self)
        let settings = settings
        let bootstrap = ClientBootstrap(group: group)
            .connectTimeout(.milliseconds(Int64(settings.handshakeTimeout)))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.recvAllocator, value: PeerChannel.receiveAllocator)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try PeerChannel.configure(channel, settings, role: .worker, material: material) { result in
                        established.completeWith(result.mapError { $0 as any Error })
                    }
                }
            }
        let channel: any Channel
        do {
            channel = try await bootstrap.connect(host: host, port: port).get()
        } catch {
            let reason = PeerError(
                .connect, "no connection to \(place): \(Self.words(error)); is a coordinator listening there?")
            established.fail(reason)
            throw reason
        }
        // Nothing was sent before this: without TLS the worker speaks only when it has the connection.
        if credentials == nil, let address = channel.remoteAddress, !PeerAddress.isLoopback(address) {
            channel.close(promise: nil)
            _ = try? await established.futureResult.get()
            throw PeerAddress.refusal(PeerAddress.text(address))
        }
        do {
            return try await withTaskCancellationHandler {
                try await established.futureResult.get()
            } onCancel: {
                channel.close(promise: nil)
            }
        } catch let reason as PeerError {
            throw reason
        } catch {
            throw PeerError(.connect, "no connection to \(place): \(error)")
        }
    }

    /// The system's words for why nobody was reached.
    private static func words(_ error: any Error) -> String {
        guard let error = error as? NIOConnectionError else {
            if case ChannelError.connectTimeout(let limit)? = error as? ChannelError {
                return "no answer within \(limit.nanoseconds / 1_000_000) ms"
            }
            return "\(error)"
        }
        let refusals = error.connectionErrors.map { attempt in
            (attempt.error as? IOError).map { systemErrorText($0.errnoCode) } ?? "\(attempt.error)"
        }
        guard !refusals.isEmpty else { return "no address is known for \(error.host)" }
        var words: [String] = []
        for refusal in refusals where !words.contains(refusal) { words.append(refusal) }
        return words.joined(separator: ", ")
    }

    /// Refuses an address that leaves the machine before anything is sent there. A name is looked at once it is resolved.
    private static func checkLoopback(_ host: String, _ place: String) throws(PeerError) {
        guard let address = try? SocketAddress(ipAddress: host, port: 1) else { return }
        guard PeerAddress.isLoopback(address) else { throw PeerAddress.refusal(place) }
    }

    /// Closes all connections at once and ends the threads.
    public func shutdown() async {
        // Fails only when it was shut down before, and then there is nothing to do.
        try? await group.shutdownGracefully()
    }
}
