import ExportCore
import HTTPClient
import Model
import Secrets

extension HTTPRequest {
    /// How `target` is reached, and how long it is waited for: certificates, proxy and the proxy's credentials lie beside the target's own credentials
    /// and are looked up anew for each request, as they may come and go.
    ///
    /// - Parameter place: how messages name the target.
    mutating func connect(to target: Target, secrets: SecretDirectory, place: String) throws(Refusal) {
        timeouts = HTTPTimeouts(
            connect: min(timeouts.connect, target.timeoutMilliseconds), firstByte: target.timeoutMilliseconds,
            total: 2 * target.timeoutMilliseconds)
        proxy = target.proxy
        tls = TLSSettings(serverName: target.tlsServerName)
        guard let ref = target.secretRef else { return }
        func refusal(_ message: String) -> Refusal {
            Refusal(verdict: .configuration(Reason(code: "secret", message: "\(place): \(message)")))
        }
        do throws(SecretError) {
            tls.caFile = try secrets.path(ref, key: "ca.crt")
            tls.revocationFile = try secrets.path(ref, key: "crl.pem")
            tls.certificateFile = try secrets.path(ref, key: "tls.crt")
            tls.keyFile = try secrets.path(ref, key: "tls.key")
            tls.proxyCAFile = try secrets.path(ref, key: "proxy-ca.crt")
            proxyUser = try secrets.read(ref, key: "proxyUsername")
            proxyPassword = try secrets.read(ref, key: "proxyPassword")
        } catch {
            throw refusal("\(error)")
        }
        if (proxyUser == nil) != (proxyPassword == nil) {
            throw refusal("the secret \(ref) must hold both proxyUsername and proxyPassword, or neither")
        }
        if tls.revocationFile != nil, tls.caFile == nil {
            throw refusal("the secret \(ref) holds crl.pem without the authorities it belongs to, ca.crt")
        }
    }
}

extension HTTPClient {
    /// Sends `message` the way `target` is reached.
    ///
    /// 407 may only mean that the proxy's credentials were rotated a moment ago. They are read again past every cache;
    /// if that brings others, the request is sent once more at once. A proxy that refuses CONNECT has passed nothing on
    /// (RFC 9110, section 9.3.6), so nothing can arrive twice by that.
    ///
    /// - Parameter place: how messages name the target.
    func send(
        _ message: HTTPRequest, to target: Target, secrets: SecretDirectory, place: String
    ) async throws(Refusal) -> HTTPResponse {
        var request = message
        try request.connect(to: target, secrets: secrets, place: place)
        do throws(HTTPFailure) {
            return try await send(request)
        } catch {
            let refused = Refusal(verdict: HTTPVerdict.of(error), failure: error)
            guard error.kind == .proxy(status: 407), let ref = target.secretRef else { throw refused }
            secrets.invalidate(ref)
            let (user, password) = (request.proxyUser, request.proxyPassword)
            // A secret that has become unreadable meanwhile says nothing about the refusal that is at hand.
            guard (try? request.connect(to: target, secrets: secrets, place: place)) != nil,
                request.proxyUser != user || request.proxyPassword != password
            else { throw refused }
        }
        do throws(HTTPFailure) {
            return try await send(request)
        } catch {
            throw Refusal(verdict: HTTPVerdict.of(error), failure: error)
        }
    }
}
