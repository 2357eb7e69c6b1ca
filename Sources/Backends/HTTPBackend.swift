import Compression
import ExportCore
import HTTPClient
import Model
import Secrets

/// Compresses request bodies of one target: the compressor's tables are large and are kept.
actor BodyCompressor {
    private var compressor: Gzip.Compressor?

    func compress(_ body: SealedBytes) throws(CompressionError) -> SealedBytes {
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
        var headers = [HTTPHeader("Content-Type", contentType)]
        var body = parcel.body()
        if let compressor {
            do throws(CompressionError) {
                body = try await compressor.compress(body)
            } catch {
                let reason = Reason(code: "gzip", message: "\(place): \(error)")
                return DeliveryAnswer(.retry(reason, retryAfterMilliseconds: nil))
            }
            headers.append(HTTPHeader("Content-Encoding", "gzip"))
        }
        switch await send(.post, url, headers, body) {
        case .success(let response): return DeliveryAnswer(verdict(response))
        case .failure(let refusal): return DeliveryAnswer(refusal.verdict)
        }
    }

    /// Sends with credentials and returns the answer, or the verdict if there was none.
    func send(
        _ method: HTTPMethod, _ url: String, _ headers: [HTTPHeader] = [], _ body: SealedBytes? = nil
    ) async -> Result<HTTPResponse, Refusal> {
        let request: HTTPRequest
        do throws(SecretError) {
            guard let credentials = try access() else {
                guard let ref = target.secretRef else {
                    return .failure(refusal("it has no secretRef; name a secret that holds \(needs)"))
                }
                return .failure(refusal("the secret \(ref) lacks \(needs); put it there"))
            }
            request = HTTPRequest(
                method: method, url: url, headers: credentials + headers, body: body, tls: tls(),
                proxy: target.proxy)
        } catch {
            return .failure(refusal("\(error)"))
        }
        do throws(HTTPFailure) {
            let response = try await client.send(request)
            // After a refusal the credentials are read again: they may have been rotated a moment ago.
            if response.status == 401 || response.status == 403, let ref = target.secretRef { secrets.invalidate(ref) }
            return .success(response)
        } catch {
            return .failure(Refusal(verdict: HTTPVerdict.of(error)))
        }
    }

    private func refusal(_ message: String) -> Refusal {
        Refusal(verdict: .configuration(Reason(code: "secret", message: "\(place): \(message)")))
    }

    /// Certificates lie beside the credentials; they are looked up anew for each request, as they may come and go.
    private func tls() -> TLSSettings {
        guard let ref = target.secretRef else { return TLSSettings(serverName: target.tlsServerName) }
        return TLSSettings(
            caFile: secrets.path(ref, key: "ca.crt"), certificateFile: secrets.path(ref, key: "tls.crt"),
            keyFile: secrets.path(ref, key: "tls.key"), serverName: target.tlsServerName)
    }
}

/// A request without an answer to read.
struct Refusal: Error {
    var verdict: Verdict

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
