internal import Crypto
internal import NIOCore
internal import NIOPosix
internal import Synchronization
internal import Threading

/// A coordinator's side: listens for workers.
///
/// 1. A peer is handed out only when it is identified. All others are refused, each with a reason.
/// 2. Peers before the end of their handshake are bounded apart from all, and each has only so long: strangers cannot keep
///    workers out for long.
/// 3. Certificates are looked at for every peer.
public final class PeerServer: Sendable {
    /// Where it listens, such as `0.0.0.0:7443`.
    public let address: String
    /// The port, which is of interest if 0 was asked for.
    public let port: Int
    /// The peers, as they are identified. For one task. Ends with ``shutdown()``.
    public let connections: AsyncStream<PeerConnection>

    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel
    private let credentials: PeerCredentials?
    private let accepted: AsyncStream<PeerConnection>.Continuation

    /// Begins to listen.
    /// - Parameters:
    ///   - host: address or name to listen on, such as `0.0.0.0`; without mutual TLS a loopback address.
    ///   - port: TCP port; 0: one that is free.
    ///   - refused: is told why a peer was not let in, for the log. Called on a thread of the server: it must not wait.
    /// - Throws: ``PeerError`` of kind `settings`, `credentials`, `notLoopback` or `bind`.
    public static func start(
        host: String, port: Int, security: PeerSecurity, settings: PeerSettings = PeerSettings(),
        refused: @escaping @Sendable (PeerError) -> Void
    ) async throws(PeerError) -> PeerServer {
        try settings.validate()
        var credentials: PeerCredentials?
        if case .mutualTLS(let directory, let minimum) = security {
            let made = PeerCredentials(directory: directory, role: .coordinator, minimum: minimum)
            _ = try made.current()
            credentials = made
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads)
        let (connections, accepted) = AsyncStream.makeStream(
            of: PeerConnection.self, bufferingPolicy: .bufferingOldest(settings.maxPeers))
        let reception = Reception(settings, credentials, accepted, refused)
        do {
            let channel = try await listen(host, port, reception, group)
            return PeerServer(channel, credentials, connections, accepted, group)
        } catch {
            try? await group.shutdownGracefully()
            if let error = error as? PeerError { throw error }
            let place = PeerAddress.text(host: host, port: port)
            let reason = (error as? IOError).map { systemErrorText($0.errnoCode) } ?? "\(error)"
            throw PeerError(.bind, "cannot listen on \(place): \(reason); choose another address or port")
        }
    }

    private init(
        _ channel: any Channel, _ credentials: PeerCredentials?, _ connections: AsyncStream<PeerConnection>,
        _ accepted: AsyncStream<PeerConnection>.Continuation, _ group: MultiThreadedEventLoopGroup
    ) {
        self.channel = channel
        self.credentials = credentials
        self.connections = connections
        self.accepted = accepted
        self.group = group
        address = PeerAddress.text(channel.localAddress)
        port = channel.localAddress?.port ?? 0
    }

    private static func listen(
        _ host: String, _ port: Int, _ reception: Reception, _ group: MultiThreadedEventLoopGroup
    ) async throws -> any Channel {
        // On a thread of our own, as looking up a name may take a while.
        let address = try await group.next().submit {
            try SocketAddress.makeAddressResolvingHost(host, port: port)
        }.get()
        guard reception.hasTLS || PeerAddress.isLoopback(address) else {
            throw PeerAddress.refusal(PeerAddress.text(address))
        }
        return try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.recvAllocator, value: PeerChannel.receiveAllocator)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try reception.welcome(channel) }
            }
            .bind(to: address).get()
    }

    /// When the own certificate ends, seconds since 1970; nil without TLS. Reads small files on the caller's thread.
    public func certificateExpiry() -> Int64? { credentials?.expiry() }

    /// Closes the port and all connections at once, and ends the threads.
    public func shutdown() async {
        accepted.finish()
        // Fails only when it was shut down before, and then there is nothing to do.
        try? await group.shutdownGracefully()
    }
}

/// Lets peers in or refuses them. Used from all threads of the server.
private final class Reception: Sendable {
    private struct Counts {
        var peers = 0
        var handshakes = 0
    }

    private let settings: PeerSettings
    private let credentials: PeerCredentials?
    private let accepted: AsyncStream<PeerConnection>.Continuation
    private let refused: @Sendable (PeerError) -> Void
    private let counts = Mutex(Counts())

    init(
        _ settings: PeerSettings, _ credentials: PeerCredentials?,
        _ accepted: AsyncStream<PeerConnection>.Continuation, _ refused: @escaping @Sendable (PeerError) -> Void
    ) {
        self.settings = settings
        self.credentials = credentials
        self.accepted = accepted
        self.refused = refused
    }

    var hasTLS: Bool { credentials != nil }

    /// Prepares a new channel; throws, after telling the reason, if there is no room or nothing to prove ourselves with.
    func welcome(_ channel: any Channel) throws {
        let place = "worker at \(PeerAddress.text(channel.remoteAddress))"
        do throws(PeerError) {
            guard hasTLS || PeerAddress.isLoopback(channel.remoteAddress) else { throw PeerAddress.refusal(place) }
            let material = try credentials?.current()
            try enter(place)
            channel.closeFuture.whenComplete { _ in self.counts.withLock { $0.peers -= 1 } }
            try configure(channel, material, place)
        } catch {
            refused(error)
            throw error
        }
    }

    private func enter(_ place: String) throws(PeerError) {
        let words: String? = counts.withLock { counts in
            guard counts.peers < settings.maxPeers else { return "there are \(counts.peers) connections already" }
            guard counts.handshakes < settings.maxHandshakes else {
                return "\(counts.handshakes) others have not completed their handshakes"
            }
            counts.peers += 1
            counts.handshakes += 1
            return nil
        }
        if let words { throw PeerError(.tooManyPeers, "\(place): no room, \(words)") }
    }

    private func configure(
        _ channel: any Channel, _ material: PeerCredentials.Material?, _ place: String
    ) throws(PeerError) {
        do {
            try PeerChannel.configure(channel, settings, role: .coordinator, material: material) {
                self.conclude($0, place)
            }
        } catch {
            counts.withLock { $0.handshakes -= 1 }
            throw PeerError(.broken, "\(place): \(error)")
        }
    }

    private func conclude(_ result: Result<PeerConnection, PeerError>, _ place: String) {
        counts.withLock { $0.handshakes -= 1 }
        switch result {
        case .failure(let reason): refused(reason)
        case .success(let connection):
            switch accepted.yield(connection) {
            case .enqueued: break
            case .dropped, .terminated:
                connection.abort()
                refused(PeerError(.tooManyPeers, "\(place): nobody takes new connections at present"))
            @unknown default: connection.abort()
            }
        }
    }
}
