/// Where the endpoint listens, and its bounds.
public struct StatusEndpointSettings: Sendable, Equatable {
    /// Address or name of the interface. What is served is no secret, but it is nobody else's business either: beyond
    /// this machine it belongs behind a network policy.
    public var host = "127.0.0.1"
    /// TCP port; 0 for one of the kernel's choice.
    public var port = 8080
    /// Connections at once. One that is idle makes room for a new one.
    public var maxConnections = 256
    /// Listeners at once to `/v1/events`; more get 503.
    public var maxListeners = 32
    /// Bytes of one request, its head and any body together; more close the connection.
    public var maxRequestBytes = 32 << 10
    /// Milliseconds in which a request has to arrive, counted from the opening or the answer before.
    public var requestMilliseconds: Int64 = 15_000
    /// Milliseconds that a client may take nothing of what waits for it.
    public var writeMilliseconds: Int64 = 10_000
    /// Milliseconds that a request waits for the coordinator.
    public var answerMilliseconds: UInt64 = 3_000
    /// Age up to which a status that was already taken is an answer, milliseconds: however often somebody asks, the
    /// coordinator is not asked more often than that.
    public var freshMilliseconds: UInt64 = 250

    /// The documented ones.
    public init() {}
}

/// Whether the process is well, for the probes of an orchestrator.
public struct EndpointHealth: Sendable, Equatable {
    /// False only if a restart is the remedy.
    public var isAlive: Bool
    /// Whether it does its part: leads, or knows who does.
    public var isReady: Bool
    /// What is wrong; empty if nothing is.
    public var reason: String

    /// All parts.
    public init(isAlive: Bool, isReady: Bool, reason: String = "") {
        self.isAlive = isAlive
        self.isReady = isReady
        self.reason = reason
    }
}

/// Why the endpoint does not listen.
public struct StatusEndpointError: Error, Sendable, CustomStringConvertible {
    /// What was tried, why it failed and what to do.
    public let description: String
}
