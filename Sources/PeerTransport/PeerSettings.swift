public import Crypto
internal import Protocol
internal import Threading

/// How peers prove who they are.
public enum PeerSecurity: Sendable, Equatable {
    /// Not at all: for members on one machine. Only loopback addresses are served and called.
    case loopbackOnly
    /// By certificates of one authority, and by the role in them; see ``PeerIdentity``.
    ///
    /// `directory` holds `ca.crt`, `tls.crt` and `tls.key` in PEM, as Kubernetes mounts a secret, and `crl.pem` if
    /// certificates can be revoked. It is looked at for every new connection, so what was renewed serves from then on.
    /// `minimum` is the lowest version of TLS that is agreed to: 1.2 only where a FIPS module has no 1.3.
    case mutualTLS(directory: String, minimum: TLSVersion = .v13)
}

/// Bounds and patience of connections to peers. Times in milliseconds, sizes in bytes.
public struct PeerSettings: Sendable {
    /// Longest wait for TCP to connect, and longest handshake.
    public var handshakeTimeout: UInt64 = 10_000
    /// A peer of which nothing was heard for so long is given up; not while we do not read because our own consumer lags.
    public var idleTimeout: UInt64 = 30_000
    /// A peer that took nothing for so long, while there was something to send, is given up.
    public var writeTimeout: UInt64 = 30_000
    /// How long ``PeerConnection/close()`` waits for the peer to see the end.
    public var lingerTimeout: UInt64 = 2_000
    /// Highest value of the length field of a frame.
    public var maxFrameLength = Frame.maxLength
    /// The same of the first frame that a peer sends: all that it says before a version is agreed is short.
    public var maxFirstLength = Frame.maxHandshakeLength
    /// Frames that wait to be sent, per connection; ``PeerConnection/send(_:)`` suspends past it. A single frame may be
    /// longer.
    public var maxQueuedBytes = 8 << 20
    /// Urgent frames that wait to be sent, per connection; past it they are refused.
    public var maxUrgentBytes = 1 << 20
    /// Frames that arrived and were not received, per connection; past it nothing more is read from the network.
    public var maxUnreadBytes = 8 << 20
    /// Peers of a server, past their handshake or before it.
    public var maxPeers = 4_096
    /// Those of them before the end of the handshake.
    public var maxHandshakes = 512
    /// Threads of a server or client.
    public var threads = 1

    /// Seconds since 1970 by this machine's clock, which expiry is judged by; a test brings its own.
    var unixSeconds: @Sendable () -> Int64 = { SystemClock.unixMilliseconds() / 1_000 }

    /// The defaults.
    public init() {}

    /// - Throws: ``PeerError`` of kind `settings` that names what cannot be.
    func validate() throws(PeerError) {
        let checks: [(Bool, String)] = [
            (handshakeTimeout > 0, "handshakeTimeout must be above 0"),
            (idleTimeout > 0, "idleTimeout must be above 0"),
            (writeTimeout > 0, "writeTimeout must be above 0"),
            (lingerTimeout > 0, "lingerTimeout must be above 0"),
            (
                (64...Frame.maxLength).contains(maxFrameLength) && maxFirstLength >= 64,
                "maxFrameLength must be 64 to \(Frame.maxLength), and maxFirstLength 64 at least"
            ),
            (maxQueuedBytes > 0, "maxQueuedBytes must be above 0"),
            (maxUrgentBytes > 0, "maxUrgentBytes must be above 0"),
            (maxUnreadBytes > 0, "maxUnreadBytes must be above 0"),
            (maxPeers > 0 && maxHandshakes > 0, "maxPeers and maxHandshakes must be above 0"),
            (threads > 0 && threads <= 64, "threads must be 1 to 64"),
        ]
        for (isFine, words) in checks where !isFine {
            throw PeerError(.settings, "connections to peers: \(words); correct the setting")
        }
    }
}
