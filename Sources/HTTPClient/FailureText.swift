import CCurl

extension CheckedRequest {
    /// Method and place, for messages.
    var place: String {
        let name = connectTo == nil ? nil : request.tls.serverName
        let way = proxy.map { " by the proxy \($0.shown)" } ?? ""
        return "\(request.method.rawValue) \(authority)\(name.map { " (as \($0))" } ?? "")\(way)"
    }

    func failure(_ kind: HTTPFailure.Kind, _ why: String, mayHaveReachedServer: Bool) -> HTTPFailure {
        // What only asks has nothing carried out.
        let asks = [HTTPMethod.get, .head].contains(request.method)
        let outcome = mayHaveReachedServer && !asks ? "; the server may have carried the request out" : ""
        return HTTPFailure(
            kind: kind, message: "\(place): \(why)\(outcome)", mayHaveReachedServer: mayHaveReachedServer)
    }

    /// The request never came to libcurl.
    func notSent(_ kind: HTTPFailure.Kind, _ why: String) -> HTTPFailure {
        failure(kind, "not sent: \(why)", mayHaveReachedServer: false)
    }

    /// Ended by this side.
    func givenUp(_ kind: HTTPFailure.Kind, _ why: String, _ transfer: Transfer) -> HTTPFailure {
        failure(kind, why, mayHaveReachedServer: transfer.attempts > 0)
    }

    func silent(_ transfer: Transfer) -> HTTPFailure {
        givenUp(
            .timeout(phase: .firstByte), "no answer within \(request.timeouts.firstByte) ms after the request was sent",
            transfer)
    }

    func stalled(_ transfer: Transfer, milliseconds: UInt64) -> HTTPFailure {
        givenUp(
            .timeout(phase: .silence), "nothing came for \(milliseconds) ms in the middle of the answer's body",
            transfer)
    }

    var waitedTooLong: HTTPFailure {
        notSent(
            .timeout(phase: .total),
            "no connection became free within \(request.timeouts.total) ms; other requests to this host hold them all")
    }

    var tooManyOutstanding: HTTPFailure {
        notSent(
            .other(code: Int(CURLE_NO_CONNECTION_AVAILABLE.rawValue)),
            "\(HTTPClient.maxOutstanding) requests are outstanding already; callers must limit their concurrency")
    }

    func unreadable(_ file: PEMFiles.Unreadable) -> HTTPFailure {
        notSent(
            .tls(reason: .localFile),
            "cannot read \(file.path): \(file.why). Check that the secret has this key and is mounted")
    }

    func cannotStart(_ code: CURLcode) -> HTTPFailure {
        let text = unsafe String(cString: curl_easy_strerror(code))
        return notSent(.other(code: Int(code.rawValue)), "libcurl cannot prepare the request: \(text)")
    }
}

/// What is known of a transfer that failed; from it the failure follows, without I/O.
struct Trouble {
    let code: CURLcode
    /// libcurl's own words.
    let reason: String
    /// X509_V_ERR_* of the server's certificate, 0 if there was nothing to object to.
    let verifyResult: Int
    /// The same of an https proxy's certificate.
    let proxyVerifyResult: Int
    /// What a proxy answered to CONNECT, 0 if nothing.
    let connectStatus: Int
    let attempts: Int
    let tooLarge: Bool
    let resendRefused: Bool
    let elapsedMilliseconds: UInt64

    /// Every transfer is announced by CURLOPT_PREREQFUNCTION before its first byte is handed to a connection that
    /// is complete (TCP, proxy, TLS). Without that call no byte has left; after it nothing is certain.
    private var sent: Bool { attempts > 0 }

    func failure(of checked: CheckedRequest) -> HTTPFailure {
        var (kind, words) = verdict(checked)
        if sent, case .tls(let why) = kind, !why.isOfClientCertificate {
            (kind, words) = (.connectionLost, "TLS broke before the answer was complete (\(reason))")
        }
        return checked.failure(kind, words, mayHaveReachedServer: sent)
    }

    private func verdict(_ checked: CheckedRequest) -> (kind: HTTPFailure.Kind, words: String) {
        let request = checked.request
        if let proxy = checked.proxy, !sent, connectStatus != 0, !(200..<300 ~= connectStatus) {
            return (.proxy(status: connectStatus), proxy.refusal(status: connectStatus))
        }
        if tooLarge {
            return (
                .responseTooLarge,
                "the answer exceeds \(request.maxResponseBytes) bytes (or its header \(HTTPClient.maxHeaderBytes))"
            )
        }
        if resendRefused {
            return (
                .connectionLost,
                "the kept-alive connection was closed before any answer, and a \(request.method.rawValue) is not sent"
                    + " twice unless it is declared idempotent"
            )
        }
        switch code {
        case CURLE_COULDNT_RESOLVE_PROXY:
            // libcurl's own words may quote the whole of what it took for the proxy's name.
            return (.resolve, "the proxy's name cannot be resolved. Check the name and this machine's DNS")
        case CURLE_COULDNT_RESOLVE_HOST:
            return (.resolve, "\(reason). Check the host's name and this machine's DNS")
        case CURLE_COULDNT_CONNECT:
            return (.connect, "\(reason). Check that the server listens on this port and no firewall is between")
        case CURLE_OPERATION_TIMEDOUT:
            return timeout(request)
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CACERT_BADFILE,
            CURLE_SSL_CRL_BADFILE, CURLE_SSL_CIPHER, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CLIENTCERT:
            return handshake(checked)
        case CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE, CURLE_HTTP2,
            CURLE_HTTP2_STREAM, CURLE_PROXY, CURLE_SEND_FAIL_REWIND:
            // With TLS 1.3 the server's word on the client certificate comes after the handshake.
            if let refusal = TLSRefusal(error: reason, hasClientCertificate: request.tls.hasClientCertificate) {
                return (.tls(reason: refusal.reason), "TLS: \(refusal.words) (\(reason))")
            }
            return sent
                ? (.connectionLost, "the connection ended before the answer was complete (\(reason))")
                : (.connect, "no connection through the proxy (\(reason)). Check the proxy's address and its rules")
        default:
            return (.other(code: Int(code.rawValue)), "\(reason) (libcurl error \(code.rawValue))")
        }
    }

    private func timeout(_ request: HTTPRequest) -> (kind: HTTPFailure.Kind, words: String) {
        if sent || elapsedMilliseconds >= request.timeouts.total {
            return (.timeout(phase: .total), "not complete within \(request.timeouts.total) ms (\(reason))")
        }
        return (
            .timeout(phase: .connect),
            "no connection within \(request.timeouts.connect) ms (\(reason)). Check DNS, route and firewall"
        )
    }

    private func handshake(_ checked: CheckedRequest) -> (kind: HTTPFailure.Kind, words: String) {
        let hasCertificate = checked.request.tls.hasClientCertificate
        // Before CONNECT was answered, it is the proxy that TLS is spoken with.
        let withProxy = connectStatus == 0 && checked.proxy?.isTLS == true
        let place = withProxy ? "TLS with the proxy, whose authority belongs into proxy-ca.crt" : "TLS"
        let refusal: TLSRefusal
        switch code {
        case CURLE_SSL_CRL_BADFILE:
            refusal = TLSRefusal(.localFile, "crl.pem holds no revocation list, or one that is damaged; it must be PEM")
        case CURLE_SSL_CACERT_BADFILE:
            refusal = TLSRefusal(
                .localFile, "\(withProxy ? "proxy-ca.crt" : "ca.crt") holds no usable certificates; it must be PEM")
        case CURLE_SSL_CERTPROBLEM:
            refusal = TLSRefusal(
                .localFile,
                "the client certificate of the target's secret is unusable; tls.crt must hold a PEM chain and tls.key its"
                    + " key without a passphrase")
        case CURLE_PEER_FAILED_VERIFICATION:
            refusal = TLSRefusal(verifyResult: withProxy ? proxyVerifyResult : verifyResult)
        default:
            guard let known = TLSRefusal(error: reason, hasClientCertificate: hasCertificate) else {
                return (.connectionLost, "the connection ended within the TLS handshake (\(reason))")
            }
            refusal = known
        }
        return (.tls(reason: refusal.reason), "\(place): \(refusal.words) (\(reason))")
    }
}
