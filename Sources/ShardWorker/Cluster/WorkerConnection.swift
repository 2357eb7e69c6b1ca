public import Model

/// A connection to a coordinator as a worker uses it. Frames go in and out whole, length included.
public protocol WorkerConnection: Sendable {
    /// Queues a frame; returns when it is queued, and waits while too much is.
    func send(_ frame: SealedBytes) async throws

    /// Queues a frame that overtakes all others; false if that cannot be done now.
    func sendUrgently(_ frame: SealedBytes) -> Bool

    /// The next frame; nil when the connection was closed in order. By one task at a time.
    func receive() async throws -> SealedBytes?

    /// Sends what is queued, for a bounded time, and ends.
    func close() async

    /// Ends at once.
    func abort()

    /// Where tasks that send and receive run best; nil if that is all the same.
    var executor: (any TaskExecutor)? { get }
}

/// Connects to `host:port`.
public typealias WorkerDial = @Sendable (_ address: String) async throws -> any WorkerConnection
