import CCurl
import Model

extension EasyHandle {
    /// Prepares the handle, which must be fresh or reset, for one request.
    ///
    /// - Parameters:
    ///   - remaining: milliseconds left of the request's total time.
    ///   - approvedOnly: use nothing but ``TLSApproved``.
    ///   - isStream: the body is handed over in pieces, and may be paused.
    func configure(
        _ checked: CheckedRequest, pem: PEMContents, remaining: UInt64, approvedOnly: Bool, isStream: Bool
    ) {
        let request = checked.request
        set(CURLOPT_URL, checked.url)
        // Signatures cover the path as it stands.
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_FOLLOWLOCATION, 0)
        // A paused stream of HTTP/2 would hold up all others of its connection: libcurl stops reading that.
        let isAlone = isStream || request.sharing == .alone
        set(CURLOPT_HTTP_VERSION, Int(isAlone ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS))
        if request.sharing == .shared { set(CURLOPT_PIPEWAIT, 1) }
        // Signals and alarms are the process's, not a library's.
        set(CURLOPT_NOSIGNAL, 1)
        // Without this the end of a transfer waits for its name lookup, and all other transfers with it.
        set(CURLOPT_QUICK_EXIT, 1)
        set(CURLOPT_TCP_NODELAY, 1)
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_TCP_KEEPIDLE, 30)
        set(CURLOPT_TCP_KEEPINTVL, 10)
        set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        set(CURLOPT_CONNECTTIMEOUT_MS, EasyHandle.clamped(request.timeouts.connect))
        set(CURLOPT_TIMEOUT_MS, EasyHandle.clamped(remaining))
        configureProxy(checked.proxy)
        if let connectTo = checked.connectTo { set(CURLOPT_CONNECT_TO, list: [connectTo]) }
        configureTLS(pem, approvedOnly: approvedOnly)
        configureMethod(request)
        set(CURLOPT_HTTPHEADER, list: EasyHandle.lines(request))
    }

    /// libcurl never looks at the environment itself: it compares NO_PROXY with `serverName`, and has ideas of its own
    /// about some of its entries.
    private func configureProxy(_ proxy: ProxyPlan?) {
        set(CURLOPT_NOPROXY, "")
        set(CURLOPT_PROXY, proxy?.url ?? "")
        // Fields such as Authorization are for the server at the other end of the tunnel.
        set(CURLOPT_HEADEROPT, Int(CURLHEADER_SEPARATE))
        guard let credentials = proxy?.basicCredentials else { return }
        // Not by CURLOPT_PROXYUSERNAME and CURLOPT_PROXYPASSWORD: libcurl 7.88 percent-decodes what it is given there,
        // against its own manual, and a password that holds `%41` would arrive as another.
        set(CURLOPT_PROXYHEADER, list: ["Proxy-Authorization: Basic \(credentials.reveal())"])
    }

    private func configureTLS(_ pem: PEMContents, approvedOnly: Bool) {
        harden(approvedOnly: approvedOnly)
        if approvedOnly {
            for option in [CURLOPT_SSL_CIPHER_LIST, CURLOPT_PROXY_SSL_CIPHER_LIST] { set(option, TLSApproved.suites12) }
            for option in [CURLOPT_TLS13_CIPHERS, CURLOPT_PROXY_TLS13_CIPHERS] { set(option, TLSApproved.suites13) }
        }
        set(CURLOPT_SSL_VERIFYPEER, 1)
        set(CURLOPT_SSL_VERIFYHOST, 2)
        set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        set(CURLOPT_PROXY_SSL_VERIFYPEER, 1)
        set(CURLOPT_PROXY_SSL_VERIFYHOST, 2)
        set(CURLOPT_PROXY_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        set(CURLOPT_CA_CACHE_TIMEOUT, 0)
        // A resumed session would skip the certificate, which may have expired or lost its authority since.
        set(CURLOPT_SSL_SESSIONID_CACHE, 0)
        // Contents instead of paths: libcurl compares them when it looks for a connection to use again, so a
        // connection made with replaced files is not found any more. Of the key it compares nothing, but a new key
        // comes with a new certificate.
        if let authorities = pem.trusted {
            set(CURLOPT_CAINFO_BLOB, blob: authorities)
            // The distribution's default directory would stay trusted beside the given authorities.
            set(CURLOPT_CAPATH, nil)
        }
        // Its path alone is compared; the authorities name its version.
        if let list = pem.revocation?.file { set(CURLOPT_CRLFILE, list) }
        if let authorities = pem.proxyAuthorities {
            set(CURLOPT_PROXY_CAINFO_BLOB, blob: authorities)
            set(CURLOPT_PROXY_CAPATH, nil)
        }
        if let certificate = pem.certificate { set(CURLOPT_SSLCERT_BLOB, blob: certificate) }
        if let key = pem.key { set(CURLOPT_SSLKEY_BLOB, blob: key) }
    }

    private func configureMethod(_ request: HTTPRequest) {
        switch request.method {
        case .get: set(CURLOPT_HTTPGET, 1)
        case .head: set(CURLOPT_NOBODY, 1)
        case .delete:
            set(CURLOPT_HTTPGET, 1)
            set(CURLOPT_CUSTOMREQUEST, "DELETE")
        case .post, .put, .patch:
            set(CURLOPT_POST, 1)
            // A null pointer would mean standard input, so an absent body is an empty one.
            set(body: request.body ?? EasyHandle.emptyBody)
            // libcurl copies the body by pieces of this size, one for each call of the system: 64 KiB if nobody says more.
            if (request.body?.count ?? 0) > EasyHandle.pieceBytes {
                set(CURLOPT_UPLOAD_BUFFERSIZE, EasyHandle.pieceBytes)
            }
            // The body then travels the same way as with POST, without a read and a rewind callback.
            if request.method != .post { set(CURLOPT_CUSTOMREQUEST, request.method.rawValue) }
        }
    }

    private static let pieceBytes = 256 << 10
    private static let emptyBody = SealedBytes([])

    /// Header lines in libcurl's notation: `Name;` sends an empty value, `Name:` suppresses a field of libcurl's own.
    private static func lines(_ request: HTTPRequest) -> [String] {
        var lines: [String] = []
        lines.reserveCapacity(request.headers.count + 2)
        var hasType = false
        for header in request.headers {
            let value = header.wireValue
            lines.append(value.allSatisfy { $0 == " " || $0 == "\t" } ? "\(header.name);" : "\(header.name): \(value)")
            if header.name.lowercased() == "content-type" { hasType = true }
        }
        // A server that does not know `100-continue` would cost a second for each large request.
        lines.append("Expect:")
        // libcurl would call every body a form.
        if !hasType { lines.append("Content-Type:") }
        return lines
    }

    /// At least 1, as 0 means something else to libcurl.
    private static func clamped(_ milliseconds: UInt64) -> Int {
        Int(min(max(milliseconds, 1), UInt64(Int32.max)))
    }
}
