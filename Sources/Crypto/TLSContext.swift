internal import COpenSSL
public import Model

/// Certificates, key and rules that the connections of one server, or to one, share (OpenSSL `SSL_CTX`).
///
/// TLS 1.2 at least (NIST SP 800-52 rev. 2), no renegotiation, compression or resumption; suites are OpenSSL's own
/// choice, or those of ``TLSApproved`` in FIPS mode. Never changed after `init`, so any thread may use it.
@safe public final class TLSContext: Sendable {
    // OpenSSL counts references to it atomically, and nothing changes its settings after init.
    nonisolated(unsafe) private let handle: OpaquePointer

    /// Settings of a server.
    /// - Parameters:
    ///   - certificateChainFile: PEM, the server's own certificate first.
    ///   - privateKeyFile: PEM, the key of that certificate.
    ///   - clientAuthorityFile: PEM certificates of the authorities whose clients are let in; with it every client
    ///     must show a certificate, without it none is asked for.
    /// - Throws: ``CryptoError`` of kind `tlsConfiguration` that names the file.
    public init(
        certificateChainFile: String, privateKeyFile: String, clientAuthorityFile: String? = nil
    ) throws(CryptoError) {
        OpenSSLErrorQueue.clear()
        guard let handle = unsafe SSL_CTX_new(TLS_server_method()) else {
            throw CryptoError(.tlsConfiguration, "TLS: OpenSSL cannot create a context; is there enough memory?")
        }
        unsafe self.handle = handle
        try unsafe Self.check(
            sidereal_SSL_CTX_set_min_proto_version(handle, TLS1_2_VERSION) == 1,
            "TLS: this OpenSSL does not offer TLS 1.2 or later; check MaxProtocol in openssl.cnf")
        unsafe sidereal_SSL_CTX_restrict_server(handle)
        try unsafe Self.check(
            TLSRules.apply(to: handle, approvedOnly: FIPS.isActive),
            "TLS: this OpenSSL lacks the algorithms that FIPS 140 approves; look at the provider")
        try unsafe Self.check(
            SSL_CTX_use_certificate_chain_file(handle, certificateChainFile) == 1,
            "TLS: cannot use the certificates in \(certificateChainFile); expected PEM, the server's own first")
        try unsafe Self.check(
            SSL_CTX_use_PrivateKey_file(handle, privateKeyFile, SSL_FILETYPE_PEM) == 1,
            "TLS: cannot use the private key in \(privateKeyFile); expected PEM without a passphrase that belongs "
                + "to the first certificate of \(certificateChainFile)")
        if let clientAuthorityFile {
            try unsafe Self.check(
                SSL_CTX_load_verify_file(handle, clientAuthorityFile) == 1,
                "TLS: cannot use the client authorities in \(clientAuthorityFile); expected PEM certificates")
            unsafe SSL_CTX_set_client_CA_list(handle, SSL_load_client_CA_file(clientAuthorityFile))
            unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        }
    }

    /// Settings of a client: the server's certificate is always checked, its name by SAN alone (RFC 9525).
    /// - Parameters:
    ///   - authorities: PEM certificates to trust **instead of** the system's; nil: the system's. A certificate in it is
    ///     trusted as it stands, whether it is a root or not; with `revocations` a chain must end at a root.
    ///   - revocations: PEM revocation lists. With them a chain is good only if there is a current one of every authority
    ///     in it (RFC 5280, section 6.3).
    ///   - certificateChain: PEM, the client's own certificate first; nil: none is shown.
    ///   - privateKey: PEM, the key of that certificate, without a passphrase.
    /// - Throws: ``CryptoError`` of kind `tlsConfiguration` that says which of them is unusable.
    public init(
        client authorities: SealedBytes?, revocations: SealedBytes? = nil, certificateChain: SealedBytes?,
        privateKey: SealedBytes?
    ) throws(CryptoError) {
        OpenSSLErrorQueue.clear()
        guard let handle = unsafe SSL_CTX_new(TLS_client_method()) else {
            throw CryptoError(.tlsConfiguration, "TLS: OpenSSL cannot create a context; is there enough memory?")
        }
        unsafe self.handle = handle
        try unsafe Self.check(
            sidereal_SSL_CTX_set_min_proto_version(handle, TLS1_2_VERSION) == 1,
            "TLS: this OpenSSL does not offer TLS 1.2 or later; check MaxProtocol in openssl.cnf")
        unsafe sidereal_SSL_CTX_restrict_client(handle)
        try unsafe Self.check(
            TLSRules.apply(to: handle, approvedOnly: FIPS.isActive),
            "TLS: this OpenSSL lacks the algorithms that FIPS 140 approves; look at the provider")
        unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_PEER, nil)
        if let authorities {
            try trust(authorities, wholeChains: revocations != nil)
            if let revocations { try checkRevocation(revocations) }
        } else {
            try unsafe Self.check(
                SSL_CTX_set_default_verify_paths(handle) == 1, "TLS: the system's authorities cannot be found")
        }
        guard certificateChain != nil || privateKey != nil else { return }
        guard let certificateChain, let privateKey else {
            throw CryptoError(
                .tlsConfiguration, "TLS: a client certificate needs both tls.crt and tls.key", queue: [])
        }
        try present(certificateChain, privateKey)
    }

    /// Settings of one side of a connection between members of one system, where both show a certificate and each decides
    /// by ``TLSConnection/init(peer:side:admit:)`` whom it admits. Names of hosts play no part.
    /// - Parameters:
    ///   - side: which side of the handshake.
    ///   - authorities: PEM certificates to trust, and nothing else.
    ///   - revocations: PEM revocation lists, as for a client; nil: none are looked at.
    ///   - certificateChain: PEM, the own certificate first.
    ///   - privateKey: PEM, the key of that certificate, without a passphrase.
    ///   - minimum: the lowest version that is agreed to.
    /// - Throws: ``CryptoError`` of kind `tlsConfiguration` that says which of them is unusable.
    public init(
        peer side: TLSSide, authorities: SealedBytes, revocations: SealedBytes?, certificateChain: SealedBytes,
        privateKey: SealedBytes, minimum: TLSVersion
    ) throws(CryptoError) {
        OpenSSLErrorQueue.clear()
        guard let handle = unsafe SSL_CTX_new(side == .server ? TLS_server_method() : TLS_client_method()) else {
            throw CryptoError(.tlsConfiguration, "TLS: OpenSSL cannot create a context; is there enough memory?")
        }
        unsafe self.handle = handle
        switch side {
        case .server: unsafe sidereal_SSL_CTX_restrict_server(handle)
        case .client: unsafe sidereal_SSL_CTX_restrict_client(handle)
        }
        try unsafe Self.check(
            TLSRules.apply(to: handle, approvedOnly: FIPS.isActive),
            "TLS: this OpenSSL lacks the algorithms that FIPS 140 approves; look at the provider")
        try unsafe Self.check(
            minimum == .v12 || sidereal_SSL_CTX_set_min_proto_version(handle, TLS1_3_VERSION) == 1,
            "TLS: this OpenSSL does not offer TLS 1.3; check MaxProtocol in openssl.cnf")
        unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
        unsafe SSL_CTX_set_cert_verify_callback(handle, PeerCheck.callback, nil)
        try trust(authorities, wholeChains: revocations != nil)
        if let revocations { try checkRevocation(revocations) }
        try present(certificateChain, privateKey)
    }

    /// What the own certificate says; nil if there is none.
    public var ownCertificate: CertificateFacts? {
        unsafe SSL_CTX_get0_certificate(handle).map { unsafe CertificateFacts($0) }
    }

    /// An `SSL` with these settings, which the caller frees; nil without memory.
    @unsafe func makeSession() -> OpaquePointer? { unsafe SSL_new(handle) }

    private func trust(_ authorities: SealedBytes, wholeChains: Bool) throws(CryptoError) {
        let store = unsafe SSL_CTX_get_cert_store(handle)
        // A chain that ends at a trusted intermediate lacks the issuer of that one's own list, and is refused with it.
        if !wholeChains { unsafe X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN)) }
        let count = unsafe Self.certificates(authorities) { unsafe X509_STORE_add_cert(store, $0) == 1 }
        try Self.check(count > 0, "TLS: ca.crt holds no usable certificates; expected PEM")
    }

    private func checkRevocation(_ lists: SealedBytes) throws(CryptoError) {
        let store = unsafe SSL_CTX_get_cert_store(handle)
        let source = unsafe lists.withUnsafeBytes { bytes in
            unsafe BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count))
        }
        defer { unsafe BIO_free(source) }
        var count = 0
        while let list = unsafe sidereal_read_revocation_list(source) {
            let isAdded = unsafe X509_STORE_add_crl(store, list) == 1
            unsafe X509_CRL_free(list)
            try Self.check(isAdded, "TLS: a revocation list in crl.pem cannot be used")
            count += 1
        }
        try Self.check(
            count > 0 && Self.isEndOfPEM,
            "TLS: crl.pem holds no revocation list, or one that is damaged; expected PEM")
        OpenSSLErrorQueue.clear()
        unsafe X509_STORE_set_flags(store, UInt(X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL))
    }

    private func present(_ chain: SealedBytes, _ key: SealedBytes) throws(CryptoError) {
        var isFirst = true
        let count = unsafe Self.certificates(chain) { certificate in
            defer { isFirst = false }
            return unsafe isFirst
                ? SSL_CTX_use_certificate(handle, certificate) == 1
                : sidereal_SSL_CTX_add1_chain_cert(handle, certificate) == 1
        }
        try Self.check(count > 0, "TLS: tls.crt holds no usable certificates; expected PEM, its holder's own first")
        let isUsed = unsafe key.withUnsafeBytes { bytes in
            let source = unsafe BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count))
            let parsed = unsafe sidereal_read_private_key(source)
            defer {
                unsafe EVP_PKEY_free(parsed)
                unsafe BIO_free(source)
            }
            return unsafe parsed != nil && SSL_CTX_use_PrivateKey(handle, parsed) == 1
        }
        try Self.check(
            isUsed,
            "TLS: tls.key cannot be used; expected PEM without a passphrase that belongs to the first certificate of"
                + " tls.crt")
    }

    /// Calls `use` with each certificate of `pem`. Returns how many there were, 0 if one could not be read or used.
    @unsafe private static func certificates(_ pem: SealedBytes, _ use: (OpaquePointer) -> Bool) -> Int {
        let source = unsafe pem.withUnsafeBytes { bytes in
            unsafe BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count))
        }
        defer { unsafe BIO_free(source) }
        var count = 0
        while let certificate = unsafe sidereal_read_certificate(source) {
            let isUsed = unsafe use(certificate)
            unsafe X509_free(certificate)
            guard isUsed else { return 0 }
            count += 1
        }
        guard isEndOfPEM, count > 0 else { return 0 }
        OpenSSLErrorQueue.clear()
        return count
    }

    /// Whether reading ended with the error "no start line", which is the end of the file; any other is of something
    /// that is damaged.
    private static var isEndOfPEM: Bool {
        let last = ERR_peek_last_error()
        return (last >> 23) & 0xFF == UInt(ERR_LIB_PEM) && last & 0x7F_FFFF == UInt(PEM_R_NO_START_LINE)
    }

    private static func check(_ isFine: Bool, _ message: String) throws(CryptoError) {
        if !isFine { throw CryptoError(.tlsConfiguration, message) }
    }

    deinit {
        unsafe SSL_CTX_free(handle)
    }
}
