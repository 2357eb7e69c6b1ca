public import HTTPClient
import Model
import Synchronization
import Threading

/// A client of one API server, for one user.
///
/// Promises:
/// 1. At most `concurrency` calls are under way, and two more if they are urgent; they share few connections (one, where the
///    server speaks HTTP/2), but for patches that are not urgent (``APICall/goesAlone``). What comes beyond waits here, in order,
///    and for a credential, both no longer than the call may take.
/// 2. 429 is obeyed: the call waits as long as the server says, as long as its time lasts. Nothing else is sent again, except
///    once with a fresh credential when one was refused.
/// 3. An error says whether the server may have done what it was asked for (``APIFailure/mayHaveHappened``); false is certain.
/// 4. A connection that has fallen silent is left: the call over it ends by its time, the next one goes over a new connection.
/// 5. No error and no description holds any part of a credential.
public final class KubernetesClient: Sendable {
    /// Where and as whom.
    public let access: ClusterAccess
    private let route: Route
    private let patches: LoneConnections
    private let streams: HTTPClient
    private let turnstile: Turnstile
    private let credentials: Credentials
    private let rng: Mutex<PRNG>

    /// - Parameters:
    ///   - concurrency: calls under way at once, watches apart.
    ///   - approvedOnly: as ``HTTPClient``'s.
    ///   - seed: for the jitter of waits.
    public init(
        _ access: ClusterAccess, concurrency: Int = 8, environment: ProxyEnvironment = .current(),
        approvedOnly: Bool = false, seed: UInt64
    ) {
        self.access = access
        // Many requests that wait for one another in the server are what priority and fairness cuts off first.
        let places = min(max(concurrency, 1), 64)
        @Sendable func connections(_ most: Int) -> HTTPClient {
            HTTPClient(
                maxConnections: most, maxConnectionsPerHost: most, environment: environment, approvedOnly: approvedOnly)
        }
        route = Route { connections(places + 2) }
        patches = LoneConnections { connections(1) }
        streams = HTTPClient(
            maxConnections: 8, maxConnectionsPerHost: 8, environment: environment, approvedOnly: approvedOnly)
        turnstile = Turnstile(places: places, reserved: 2)
        credentials = Credentials(access.user)
        rng = Mutex(PRNG(seed: seed))
    }

    /// Ends everything under way and closes all connections.
    public func shutdown() async {
        await route.shutdown()
        await patches.shutdown()
        await streams.shutdown()
    }

    /// Sends a call and gives the body of its answer.
    public func send(_ call: APICall) async throws(APIFailure) -> [UInt8] {
        var effort = Effort(call, now: SystemClock.now())
        switch await turnstile.enter(isUrgent: call.isUrgent, within: call.milliseconds) {
        case .inside: break
        case .late:
            throw APIFailure(
                .notSent,
                "\(call): not sent: its \(call.milliseconds) ms passed before there was a place for it; \(turnstile.waiting) more"
                    + " calls wait, and the API server is slow to answer those before them")
        case .cancelled: throw APIFailure(.cancelled, "\(call): not sent: the task was cancelled")
        case .full:
            throw APIFailure(
                .notSent,
                "\(call): not sent: \(turnstile.waiting) calls wait already; callers must limit their concurrency")
        }
        defer { turnstile.leave() }
        while true {
            let left = try Self.left(effort, call, before: "there was a place for it")
            let (unlimited, issue) = try await prepared(call, within: left)
            var request = unlimited
            request.timeouts = Self.timeouts(try Self.left(effort, call, before: "there was a credential for it"))
            let response: HTTPResponse
            do throws(HTTPFailure) {
                response = try await (call.goesAlone ? patches.send(request) : route.send(request))
            } catch {
                throw APIVerdict.failure(call, error)
            }
            let step = rng.withLock { effort.took(response, now: SystemClock.now(), rng: &$0) }
            switch step {
            case .done: return response.body
            case .fail(let failure): throw failure
            case .renew(let failure):
                guard await credentials.wasRefused(issue) else { throw failure }
            case .wait(let milliseconds):
                guard (try? await Task.sleep(for: .milliseconds(milliseconds))) != nil else {
                    throw APIFailure(
                        .cancelled, "\(call): the task was cancelled while the server wanted to be left alone")
                }
            }
        }
    }

    private static func left(_ effort: Effort, _ call: APICall, before what: String) throws(APIFailure) -> UInt64 {
        let left = effort.left(now: SystemClock.now())
        guard left > 0 else {
            throw APIFailure(.notSent, "\(call): not sent: its \(call.milliseconds) ms passed before \(what)")
        }
        return left
    }

    private static func timeouts(_ milliseconds: UInt64) -> HTTPTimeouts {
        HTTPTimeouts(connect: min(5_000, milliseconds), firstByte: milliseconds, total: milliseconds)
    }

    /// Opens a stream; the answer's status is 2xx.
    func open(
        _ call: APICall, _ bounds: StreamBounds, total: UInt64
    ) async throws(APIFailure) -> HTTPStream {
        var mayRenew = true
        while true {
            let (prepared, issue) = try await prepared(call, within: call.milliseconds)
            var request = prepared
            request.timeouts.total = total
            let stream: HTTPStream
            do throws(HTTPFailure) {
                stream = try await streams.stream(request, bounds)
            } catch {
                throw APIVerdict.failure(call, error)
            }
            if (200..<300).contains(stream.head.status) { return stream }
            let refusal = await Self.refusal(call, stream)
            guard refusal.kind == .unauthorized, mayRenew, await credentials.wasRefused(issue) else { throw refusal }
            mayRenew = false
        }
    }

    /// What a bad status says, by as much of its body as comes.
    private static func refusal(_ call: APICall, _ stream: HTTPStream) async -> APIFailure {
        var body: [UInt8] = []
        while body.count < 64 << 10, let piece = (try? await stream.next()) ?? nil { body += piece }
        let whole = HTTPResponse(
            status: stream.head.status, headers: stream.head.headers("Retry-After").map { ("Retry-After", $0) },
            body: body)
        return APIVerdict.failure(call, whole) ?? APIFailure(.unreadable, "\(call): an answer without a meaning")
    }

    private func prepared(
        _ call: APICall, within milliseconds: UInt64
    ) async throws(APIFailure) -> (request: HTTPRequest, issue: UInt64) {
        guard let target = call.target else {
            throw APIFailure(
                .notSent,
                "\(call): not sent: the namespace or the name is none (RFC 1123: lower-case letters, digits, - and .), or one"
                    + " of them is missing")
        }
        let issue: Credentials.Issue
        do throws(AccessError) {
            issue = try await credentials.current(within: milliseconds)
        } catch {
            switch error.kind {
            case .late: throw APIFailure(.notSent, "\(call): not sent: \(error)")
            case .cancelled: throw APIFailure(.cancelled, "\(call): not sent: \(error)")
            default: throw APIFailure(.noCredential, "\(call): not sent: \(error)")
            }
        }
        var headers = [
            HTTPHeader("Accept", "application/json"),
            HTTPHeader("User-Agent", "sidereal-export/\(ExporterVersion.current)"),
        ]
        if call.body != nil { headers.append(HTTPHeader("Content-Type", call.contentType)) }
        if let token = issue.credential.token {
            headers.append(HTTPHeader("Authorization", secret: token, prefix: "Bearer "))
        }
        headers += access.impersonation?.headers ?? []
        var request = HTTPRequest(
            method: call.method, url: access.server + target, headers: headers, body: call.body,
            timeouts: Self.timeouts(call.milliseconds),
            tls: access.tls, proxy: access.proxy, maxResponseBytes: call.maxBytes)
        if let certificate = issue.credential.certificate {
            request.tls.inMemory.certificate = certificate
            request.tls.inMemory.key = issue.credential.key
        }
        request.sharing = call.goesAlone ? .alone : .shared
        return (request, issue.number)
    }
}
