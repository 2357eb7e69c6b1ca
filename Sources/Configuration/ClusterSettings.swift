/// A host and a port, as members of a cluster find one another.
public struct NetworkAddress: Hashable, Sendable, CustomStringConvertible {
    /// The port that members of the cluster listen on unless another is given.
    public static let peerPort = 7_443

    /// A name in lower case, an IPv4 address, or an IPv6 address without brackets.
    public var host: String
    /// From 0, which has the system choose one where something listens, to 65535.
    public var port: Int

    /// Both parts.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `host`, `host:port` or `[address]:port`.
    ///
    /// - Parameters:
    ///   - port: the port unless one is given.
    ///   - allowsAnyPort: whether port 0 may be given.
    public init(
        _ text: String, port fallback: Int = peerPort, allowsAnyPort: Bool = false
    ) throws(AddressMistake) {
        let form = "expected `host:port`"
        guard !text.contains("@"), !text.contains("/"), !text.isEmpty else {
            throw AddressMistake(message: "is not an address; \(form)", hint: "leave out scheme, path and user")
        }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw AddressMistake(message: "holds a space or a character that is not ASCII; \(form)", hint: nil)
        }
        if allowsAnyPort, text.hasSuffix(":0") {
            (host, _) = try Address.hostAndPort(text.dropLast(2))
            port = 0
            return
        }
        let (host, port) = try Address.hostAndPort(text[...])
        self.host = host
        self.port = port ?? fallback
    }

    /// Whether it stands for every address of the machine, which one can listen on, but not connect to.
    public var isUnspecified: Bool {
        host == "0.0.0.0" || (host.contains(":") && host.allSatisfy { $0 == ":" || $0 == "0" })
    }

    /// `host:port`, with brackets around an IPv6 address.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// The section `cluster`. Times are in milliseconds.
public struct ClusterSettings: Sendable, Equatable {
    /// `shards`: virtual shards that results are divided into. The same for the cluster's whole life is best: changing it
    /// changes the owner of most records.
    public var shards: UInt16 = 256
    /// `coordinators`: what workers connect to, in this order. Empty: this machine's port 7443.
    public var coordinators = [NetworkAddress(host: "127.0.0.1", port: NetworkAddress.peerPort)]
    /// `listen`: where a coordinator takes connections of workers.
    public var listen = NetworkAddress(host: "0.0.0.0", port: NetworkAddress.peerPort)
    /// `advertise`: what a leader tells workers to connect to; nil: the machine's name and the port of ``listen``.
    public var advertise: NetworkAddress?
    /// `lease.duration`: how long a leader's lease counts for others.
    public var leaseDuration: UInt64 = 15_000
    /// `lease.renewDeadline`: how long a leader acts without having renewed it.
    public var renewDeadline: UInt64 = 10_000
    /// `lease.retryPeriod`: time between attempts to get or renew it.
    public var retryPeriod: UInt64 = 2_000
    /// `workerLease`: how long after the last word between leader and worker the worker's shards are given to others. It
    /// sends nothing any more from two thirds of that on.
    public var workerLease: UInt64 = 15_000
    /// `releaseDeadline`: how long a worker may take to give a shard back.
    public var releaseDeadline: UInt64 = 5_000
    /// `windowBytes`: records that a worker holds for one target before outcomes must come back, bytes.
    public var windowBytes = 16 << 20
    /// `endpoint.host`: the address that the status endpoint listens on.
    public var endpointHost = "0.0.0.0"
    /// `endpoint.metrics`: port of the page, `/v1/…` and `/metrics`.
    public var metricsPort = 8_080
    /// `endpoint.health`: port of `/healthz` and `/readyz`.
    public var healthPort = 8_081
    /// `peerCertificates`: directory with `ca.crt`, `tls.crt` and `tls.key` of this member.
    public var peerCertificates = "/etc/sidereal/peer"

    /// The defaults.
    public init() {}
}
