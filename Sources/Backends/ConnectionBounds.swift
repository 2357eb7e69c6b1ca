public import HTTPClient
public import Model

/// How many requests a client must be able to carry at once, so that `concurrency.max` is what bounds a target and never
/// the client: a request that waits inside the client has its whole time running.
public struct ConnectionBounds: Sendable, Equatable {
    /// To one host and port: what all targets there may have in flight.
    public let perHost: Int
    /// To all of them.
    public let total: Int

    /// For what is no delivery: fetching credentials, installing a template, probing.
    static let spare = 4
    /// What a client has room for at the least.
    static let least = (perHost: 16, total: 64)

    /// The bounds for `targets`. Those that speak no HTTP, or over a client of their own, do not count.
    public init(_ targets: [Target]) {
        var hosts: [String: Int] = [:]
        for target in targets where !target.acknowledge {
            switch target.backend {
            case .splunk, .elasticsearch, .s3:
                let authority = "\(target.endpoint.host.lowercased()):\(target.endpoint.port)"
                hosts[authority, default: Self.spare] += target.maxConcurrency
            case .syslog, .file: break
            }
        }
        perHost = max(Self.least.perHost, hosts.values.max() ?? 0)
        total = max(Self.least.total, hosts.values.reduce(0, +))
    }
}

extension HTTPClient {
    /// A client with room for all that `targets` may have in flight.
    public convenience init(for targets: [Target], approvedOnly: Bool) {
        let bounds = ConnectionBounds(targets)
        self.init(
            maxConnections: bounds.total, maxConnectionsPerHost: bounds.perHost, approvedOnly: approvedOnly)
    }
}
