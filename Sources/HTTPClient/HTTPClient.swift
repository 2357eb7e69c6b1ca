import CCurl
import Glibc
import Model
import Synchronization
import Threading

/// HTTP/1.1 and HTTP/2 over libcurl, on one thread of its own.
///
/// Promises:
/// 1. Certificate and name of the server are checked on every connection; TLS 1.2 and keys of 112 bits of strength
///    (RSA of 2048) are the least. No setting of this client or of a request changes that.
/// 2. An answer is returned only when its header and all that its framing promised are there; one that was cut short is
///    a failure, except where its framing hides that (``HTTPResponse/isBodyDelimited``).
/// 3. ``HTTPFailure/mayHaveReachedServer`` is false only if no byte of the request was handed to a connection.
/// 4. A request that is not idempotent is handed to a connection at most once. libcurl sends again by itself when a
///    kept-alive connection closes before any byte of an answer; that is allowed for idempotent requests only.
/// 5. A body is sent from where it lies, and is not touched any more once ``send(_:)`` has returned.
/// 6. At most ``maxOutstanding`` requests, `maxConnections` transfers at once, `maxConnectionsPerHost` to one host and
///    port; an answer's header and body are bounded. Callers are expected to limit themselves to far less.
/// 7. A body that is handed over in pieces (``stream(_:_:)``) waits in a bounded buffer; a reader that does not keep up slows
///    the server down and nobody else.
/// 8. Redirects are returned, not followed; cookies, `.netrc`, HSTS and Alt-Svc are off; only http and https are
///    spoken.
///
/// Not promised: that a cancelled request did not reach the server; that two requests arrive in the order they were
/// sent. Call ``shutdown()`` before the process exits, so that
/// OpenSSL's end does not meet a handshake.
public final class HTTPClient: Sendable {
    /// Requests that may be under way or waiting at once; more are refused.
    public static let maxOutstanding = 1024
    /// Longest header of an answer, interim answers and trailers included, bytes.
    public static let maxHeaderBytes = 64 << 10

    private let mailbox: Mailbox?
    private let environment: ProxyEnvironment
    private let approvedOnly: Bool
    /// Taken by whoever ends the thread.
    private let thread: Mutex<pthread_t?>

    /// Starts the thread. If that fails (no memory), every request fails with `.other(code: 2)`.
    ///
    /// - Parameters:
    ///   - maxConnections: transfers at once, and connections kept for later use; at least 1.
    ///   - maxConnectionsPerHost: transfers at once to one host and port, so that one slow target leaves room for the
    ///     others; at least 1.
    ///   - environment: proxies for requests that name none themselves.
    ///   - approvedOnly: offer and take only what ``TLSApproved`` names, for processes that FIPS 140 binds.
    public init(
        maxConnections: Int = 64, maxConnectionsPerHost: Int = 16, environment: ProxyEnvironment = .current(),
        approvedOnly: Bool = false
    ) {
        self.environment = environment
        self.approvedOnly = approvedOnly
        let total = min(max(maxConnections, 1), HTTPClient.maxOutstanding)
        guard let multi = MultiHandle(maxConnections: total) else {
            mailbox = nil
            thread = Mutex(nil)
            return
        }
        let mailbox = Mailbox(multi: multi)
        let perHost = min(max(maxConnectionsPerHost, 1), total)
        let started = try? SystemThread.start {
            TransferLoop(
                multi: multi, mailbox: mailbox, maxConnections: total, maxConnectionsPerHost: perHost,
                approvedOnly: approvedOnly
            ).run()
        }.get()
        self.mailbox = started == nil ? nil : mailbox
        thread = Mutex(started)
    }

    deinit {
        mailbox?.stop()
        // Nobody is inside `send`, so the thread has nothing to finish; waiting for it here could block the caller.
        if let started = thread.withLock({ $0.take() }) { pthread_detach(started) }
    }

    /// Another client under the same rules, with one connection: its requests go one after another, all over that one as
    /// long as it lasts.
    public func ofOneConnection() -> HTTPClient {
        HTTPClient(
            maxConnections: 1, maxConnectionsPerHost: 1, environment: environment, approvedOnly: approvedOnly)
    }

    /// Sends a request and waits for the complete answer, whatever its status.
    ///
    /// Cancelling the task ends the transfer; its connection is closed.
    public func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPResponse {
        let checked = try CheckedRequest(request, environment: environment)
        guard let mailbox else { throw checked.cannotStart(CURLE_FAILED_INIT) }
        let id = mailbox.newID()
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                mailbox.submit(
                    Submission(
                        id: id, checked: checked, submittedAt: SystemClock.now(), receiver: .whole(continuation)))
            }
        } onCancel: {
            mailbox.cancel(id)
        }
        return try outcome.get()
    }

    /// Sends a request and waits for the answer's header, whatever its status; the body comes piece by piece.
    ///
    /// It goes over HTTP/1.1, over a connection that no other request has at the same time. Of
    /// ``HTTPRequest/maxResponseBytes`` nothing applies; ``HTTPTimeouts/total`` bounds all of it, until the last piece.
    public func stream(
        _ request: HTTPRequest, _ bounds: StreamBounds = StreamBounds()
    ) async throws(HTTPFailure) -> HTTPStream {
        let checked = try CheckedRequest(request, environment: environment)
        guard let mailbox else { throw checked.cannotStart(CURLE_FAILED_INIT) }
        let core = StreamCore(id: mailbox.newID(), bounds: bounds, mailbox: mailbox)
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                core.awaitHead(continuation)
                mailbox.submit(
                    Submission(id: core.id, checked: checked, submittedAt: SystemClock.now(), receiver: .stream(core)))
            }
        } onCancel: {
            mailbox.cancel(core.id)
        }
        return HTTPStream(head: try outcome.get(), core: core, client: self)
    }

    /// Ends all requests with `.shutDown`, closes all connections and returns when the thread is gone. Later requests
    /// fail with `.shutDown`.
    public func shutdown() async {
        guard let mailbox else { return }
        await withCheckedContinuation { mailbox.stop($0) }
        // The loop has left its last statement or is about to, so joining does not block noticeably.
        if let started = thread.withLock({ $0.take() }) { pthread_join(started, nil) }
    }
}
