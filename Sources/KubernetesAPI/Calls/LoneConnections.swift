import HTTPClient
import Synchronization

/// Connections of HTTP/1.1, each of which one call has to itself, and each with a thread of its own.
///
/// One thread with all of them would ask each at every answer: at eight calls under way, that is a tenth of what a patch costs
/// its caller. The one that was used last is warm and goes first, so there are no more than calls at once.
///
/// A call that ends by its time takes its connection with it, so one that has fallen silent is left at once.
final class LoneConnections: Sendable {
    private struct State {
        var free: [HTTPClient] = []
        var all: [HTTPClient] = []
        var isShut = false
    }

    private let make: @Sendable () -> HTTPClient
    private let state = Mutex(State())

    /// - Parameter make: a client of one connection.
    init(_ make: @escaping @Sendable () -> HTTPClient) { self.make = make }

    /// As ``HTTPClient/send(_:)``. Callers bound how many are under way.
    func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPResponse {
        let (client, isLate) = state.withLock { state in
            if let warm = state.free.popLast() { return (warm, false) }
            let new = make()
            state.all.append(new)
            return (new, state.isShut)
        }
        // After the end, its answer is the one that an ended client gives.
        if isLate { await client.shutdown() }
        defer { state.withLock { $0.free.append(client) } }
        return try await client.send(request)
    }

    /// Ends everything that is under way.
    func shutdown() async {
        let all = state.withLock { state in
            state.isShut = true
            return state.all
        }
        for client in all { await client.shutdown() }
    }
}
