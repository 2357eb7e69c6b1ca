import ExportCore
import HTTPClient
import Model
import Secrets

/// Asks the source for credentials that expire.
struct CredentialFetcher: Sendable {
    let source: CredentialSource
    let client: HTTPClient
    let target: Target
    let secrets: SecretDirectory
    /// How messages name the target.
    let place: String
    /// Milliseconds since 1970.
    let wall: @Sendable () -> Int64

    private static let timeouts = HTTPTimeouts(connect: 5_000, firstByte: 10_000, total: 15_000)
    private static let maxAnswerBytes = 64 << 10

    /// Sends one or more requests and reads the answer.
    func fetch() async throws(Refusal) -> FetchedCredentials {
        switch source {
        case .secret: throw refusal("a secret is read, not fetched")
        case .irsa(let request): return try await assumeRole(request)
        case .podIdentity(let url, let tokenFile): return try await podIdentity(url, tokenFile)
        case .imds(let base): return try await imds(base)
        }
    }

    private func assumeRole(_ request: STSRequest) async throws(Refusal) -> FetchedCredentials {
        let token = try token(request.tokenFile, "AWS_WEB_IDENTITY_TOKEN_FILE")
        let body = SealedBytes(Array(request.form(token: token).utf8))
        let header = HTTPHeader("Content-Type", "application/x-www-form-urlencoded")
        var message = HTTPRequest(method: .post, url: request.endpoint, headers: [header], body: body)
        try message.connect(to: target, secrets: secrets, place: place)
        // STS is reached as the target is, but its certificate is Amazon's own, and ours is not for it.
        (message.tls.caFile, message.tls.revocationFile, message.tls.serverName) = (nil, nil, nil)
        (message.tls.certificateFile, message.tls.keyFile) = (nil, nil)
        // Plain http is allowed on this machine alone, and no proxy tunnels it: the token would be open to the proxy.
        if !request.endpoint.hasPrefix("https://") {
            (message.proxy, message.proxyUser, message.proxyPassword, message.tls.proxyCAFile) = ("", nil, nil, nil)
        }
        let response = try await send(message)
        return try CredentialAnswer.sts(response, now: wall(), at: "\(place): STS (\(request.endpoint))").get()
    }

    private func podIdentity(_ url: String, _ tokenFile: String?) async throws(Refusal) -> FetchedCredentials {
        var headers: [HTTPHeader] = []
        if let tokenFile {
            let token = try token(tokenFile, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
            headers.append(HTTPHeader("Authorization", secret: token))
        }
        let response = try await ask(.get, url, headers)
        return try CredentialAnswer.json(response, now: wall(), at: "\(place): EKS Pod Identity").get()
    }

    /// "Use IMDSv2" (Amazon EC2 User Guide): a session token first, then the role's name, then its credentials.
    private func imds(_ base: String) async throws(Refusal) -> FetchedCredentials {
        let source = "\(place): the instance metadata service"
        let ttl = HTTPHeader("X-aws-ec2-metadata-token-ttl-seconds", "300")
        let session = try await ask(.put, base + "/latest/api/token", [ttl])
        guard session.status == 200, let token = Self.line(session.body) else {
            throw refusal(
                "\(source) gave no session token (\(session.status)); allow IMDSv2 with a hop limit of 2 for pods, or use"
                    + " IRSA or Pod Identity")
        }
        let header = HTTPHeader("X-aws-ec2-metadata-token", secret: Secret(token))
        let roles = base + "/latest/meta-data/iam/security-credentials/"
        let list = try await ask(.get, roles, [header])
        guard list.status == 200, let role = Self.line(list.body), Self.isRoleName(role) else {
            throw refusal("\(source) knows no role of this node (\(list.status)); attach an instance profile")
        }
        let response = try await ask(.get, roles + role, [header])
        return try CredentialAnswer.json(response, now: wall(), at: source).get()
    }

    private func token(_ path: String, _ variable: String) throws(Refusal) -> Secret {
        do throws(SecretError) {
            if let token = try SecretFile.read(path: path) { return token }
        } catch {
            throw refusal("\(place): \(variable): \(error)")
        }
        throw refusal("\(place): \(variable) names \(path), which is not there; is the token mounted into the pod?")
    }

    /// Asks an agent on the node: never through a proxy.
    private func ask(_ method: HTTPMethod, _ url: String, _ headers: [HTTPHeader]) async throws(Refusal) -> HTTPResponse
    {
        try await send(HTTPRequest(method: method, url: url, headers: headers, proxy: ""))
    }

    private func send(_ message: HTTPRequest) async throws(Refusal) -> HTTPResponse {
        var request = message
        request.timeouts = Self.timeouts
        request.maxResponseBytes = Self.maxAnswerBytes
        do throws(HTTPFailure) {
            return try await client.send(request)
        } catch {
            // Whatever became of it, no record was sent: asking again harms nothing.
            let failed = Refusal(verdict: HTTPVerdict.of(error))
            guard case .unknown(let reason) = failed.verdict else { throw failed }
            throw Refusal(verdict: .retry(reason, retryAfterMilliseconds: nil))
        }
    }

    private func refusal(_ message: String) -> Refusal {
        Refusal(verdict: .configuration(Reason(code: "credentials", message: message)))
    }

    /// The first line of a short text.
    private static func line(_ body: [UInt8]) -> String? {
        let first = body.prefix { $0 != 0x0A && $0 != 0x0D }
        guard !first.isEmpty, first.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        return String(decoding: first, as: UTF8.self)
    }

    /// The characters that IAM allows in a role's name.
    private static func isRoleName(_ name: String) -> Bool {
        name.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2B, 0x3D, 0x2C, 0x2E, 0x40, 0x2D, 0x5F: true
            default: false
            }
        }
    }
}
