import Compression
import ExportCore
import HTTPClient
import Model
import Secrets
import Threading

/// Compresses request bodies of one target: the compressor's tables are large and are kept.
actor BodyCompressor {
    private var compressor: Gzip.Compressor?
    /// What was compressed beforehand, one body at the most.
    private var prepared: (body: SealedBytes, packed: SealedBytes)?
    /// Bodies compressed so far.
    private(set) var count = 0
    private let executor = ThreadExecutor()

    /// Compressing takes milliseconds, for which other targets' short steps would wait on the threads that tasks share.
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    deinit { executor.stop() }

    /// Compresses a body that ``compress(_:)`` will probably be asked for next. What goes wrong is told then.
    func prepare(_ body: SealedBytes) {
        guard prepared?.body !== body, let packed = try? pack(body) else { return }
        prepared = (body, packed)
    }

    func compress(_ body: SealedBytes) throws(CompressionError) -> SealedBytes {
        if let found = prepared, found.body === body {
            prepared = nil
            return found.packed
        }
        return try pack(body)
    }

    private func pack(_ body: SealedBytes) throws(CompressionError) -> SealedBytes {
        count += 1
        if compressor == nil { compressor = try Gzip.Compressor() }
        guard let packed = try compressor?.compress(body.span) else {
            return try Gzip.compress(body.span)
        }
        return packed
    }
}

/// What the backends that speak HTTP share: TLS material, compression, and how a request is sent.
struct HTTPSender: Sendable {
    /// Finds the request's credentials; nil if the secret lacks the files.
    typealias Access = @Sendable () throws(SecretError) -> [HTTPHeader]?

    let target: Target
    let access: Access
    /// Which files the secret must hold, for the message.
    let needs: String
    private let client: HTTPClient
    private let secrets: SecretDirectory
    private let compressor: BodyCompressor?
    /// How messages name the target.
    let place: String

    init(
        target: Target, client: HTTPClient, secrets: SecretDirectory, needs: String, access: @escaping Access
    ) {
        self.target = target
        self.client = client
        self.secrets = secrets
        self.needs = needs
        self.access = access
        compressor = target.compression == .gzip ? BodyCompressor() : nil
        place = "\(target.name) (\(target.endpoint.base))"
    }

    /// Sends the records in one request and has `verdict` read the answer.
    func deliver(
        _ parcel: Parcel, to url: String, contentType: String, verdict: (HTTPResponse) -> Verdict
    ) async -> DeliveryAnswer {
        switch await post(parcel, to: url, [HTTPHeader("Content-Type", contentType)]) {
        case .success(let response): return DeliveryAnswer(verdict(response))
        case .failure(let refusal): return DeliveryAnswer(refusal.verdict)
        }
    }

    /// Sends the records in one request.
    ///
    /// - Parameter pinned: only over the connection of the earlier requests.
    func post(
        _ parcel: Parcel, to url: String, _ given: [HTTPHeader], pinned: Bool = false
    ) async -> Result<HTTPResponse, Refusal> {
        var headers = given
        var body = parcel.body()
        if let compressor {
            do throws(CompressionError) {
                body = try await compressor.compress(body)
            } catch {
                let reason = Reason(code: "gzip", message: "\(place): \(error)")
                return .failure(Refusal(verdict: .retry(reason, retryAfterMilliseconds: nil)))
            }
            headers.append(HTTPHeader("Content-Encoding", "gzip"))
            if let upcoming = parcel.upcoming { Task { await compressor.prepare(upcoming) } }
        }
        return await send(.post, url, headers, body, pinned: pinned)
    }

    /// Sends with credentials and returns the answer, or the verdict if there was none.
    ///
    /// 401 and 403 may only mean that the credentials were rotated a moment ago. They are read again past every cache;
    /// if that brings others, the request is sent once more at once, and only the second answer counts. A refused
    /// request was not carried out (RFC 9110, sections 15.5.2 and 15.5.4), so nothing can arrive twice by that.
    func send(
        _ method: HTTPMethod, _ url: String, _ headers: [HTTPHeader] = [], _ body: SealedBytes? = nil,
        pinned: Bool = false
    ) async -> Result<HTTPResponse, Refusal> {
        var request = HTTPRequest(method: method, url: url, headers: headers, body: body)
        request.needsOpenConnection = pinned
        do throws(Refusal) {
            let refused = try currentCredentials()
            let response = try await attempt(&request, headers, refused)
            guard response.status == 401 || response.status == 403, let ref = target.secretRef else {
                return .success(response)
            }
            secrets.invalidate(ref)
            // A secret that has become unreadable meanwhile says nothing about the answer that is at hand.
            guard let fresh = try? currentCredentials(), fresh != refused else { return .success(response) }
            var second = try await attempt(&request, headers, fresh)
            second.openedConnection = second.openedConnection || response.openedConnection
            return .success(second)
        } catch {
            return .failure(error)
        }
    }

    private func attempt(
        _ request: inout HTTPRequest, _ headers: [HTTPHeader], _ credentials: [HTTPHeader]
    ) async throws(Refusal) -> HTTPResponse {
        request.headers = credentials + headers
        return try await client.send(request, to: target, secrets: secrets, place: place)
    }

    private func currentCredentials() throws(Refusal) -> [HTTPHeader] {
        do throws(SecretError) {
            if let credentials = try access() { return credentials }
        } catch {
            throw refusal("\(error)")
        }
        guard let ref = target.secretRef else {
            throw refusal("it has no secretRef; name a secret that holds \(needs)")
        }
        throw refusal("the secret \(ref) lacks \(needs); put it there")
    }

    private func refusal(_ message: String) -> Refusal {
        Refusal(verdict: .configuration(Reason(code: "secret", message: "\(place): \(message)")))
    }
}

/// A request without an answer to read.
struct Refusal: Error {
    var verdict: Verdict
    /// What became of the connection; nil if the request never came to one.
    var failure: HTTPFailure?

    /// Why, for a probe; nil if it is no refusal at all.
    var reason: Reason? {
        switch verdict {
        case .retry(let reason, _), .configuration(let reason), .unknown(let reason), .poison(let reason),
            .tooLarge(let reason), .poisonAt(_, let reason):
            reason
        case .delivered, .items: nil
        }
    }
}
