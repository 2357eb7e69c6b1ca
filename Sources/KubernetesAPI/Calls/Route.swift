import HTTPClient
import Model
import Synchronization
import Threading

/// The connections to a server, left for new ones when they have fallen silent.
///
/// Most calls share a connection of HTTP/2. When the network forgets it (a load balancer that died, a rule that changed), TCP
/// notices after minutes, and until then libcurl would give it every next call, a leader's lease among them. So a call that ends
/// by its time, on connections over which no answer has come since it began, is the last that went over them. One that ends by its
/// time while others are answered was only slow.
final class Route: Sendable {
    private struct State {
        var client: HTTPClient
        var answered = Tick(nanoseconds: 0)
        var isShut = false
    }

    private let make: @Sendable () -> HTTPClient
    private let state: Mutex<State>

    init(_ make: @escaping @Sendable () -> HTTPClient) {
        self.make = make
        state = Mutex(State(client: make()))
    }

    /// As ``HTTPClient/send(_:)``.
    func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPResponse {
        let began = SystemClock.now()
        let client = state.withLock { $0.client }
        do throws(HTTPFailure) {
            let response = try await client.send(request)
            state.withLock { if $0.client === client { $0.answered = SystemClock.now() } }
            return response
        } catch {
            if case .timeout(let phase) = error.kind, phase != .connect, error.mayHaveReachedServer {
                leave(client, silentSince: began)
            }
            throw error
        }
    }

    /// What is under way over the old ones ends there; with the last of it they are closed.
    private func leave(_ client: HTTPClient, silentSince began: Tick) {
        state.withLock { state in
            guard state.client === client, state.answered < began, !state.isShut else { return }
            state.client = make()
        }
    }

    /// Ends everything that is under way over the current connections.
    func shutdown() async {
        let client = state.withLock { state in
            state.isShut = true
            return state.client
        }
        await client.shutdown()
    }
}
