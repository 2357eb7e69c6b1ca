internal import COpenSSL
public import Model

/// Certificates, key and rules that the connections of one server, or to one, share (OpenSSL `SSL_CTX`).
///
/// TLS 1.2 at least (NIST SP 800-52 rev. 2), no renegotiation, compression or resumption; suites are OpenSSL's own
/// choice, or those of ``TLSApproved`` in FIPS mode. Never changed after `init`, so any thread may use it.
@safe public final class TLSContext: Sendable {
    // OpenSSL counts references to it atomically, and nothing changes its settings after init.
    nonisolated(unsafe) fileprivate let handle: OpaquePointer

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
        try Self.check(count > 0, "TLS: tls.crt holds no usable certificates; expected PEM, the client's own first")
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

/// One side of a TLS connection, without a socket: ciphertext is fed and taken as bytes.
///
/// For one thread at a time. After an error only ``takeCiphertext(_:)`` is of use, for the alert that tells the peer.
@safe public final class TLSConnection {
    private let connection: OpaquePointer
    // Owned by the connection.
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer

    /// What reading gave.
    public enum ReadResult: Sendable, Equatable {
        /// So many bytes of plaintext were appended.
        case bytes(Int)
        /// Nothing until more ciphertext is fed.
        case needsMore
        /// The peer sent close_notify: all that it wrote has been read.
        case closed
    }

    /// A connection that waits for the client's first message.
    /// - Throws: ``CryptoError`` of kind `tlsConfiguration`, only without memory.
    public convenience init(server context: TLSContext) throws(CryptoError) {
        try self.init(context)
        unsafe SSL_set_accept_state(connection)
    }

    /// A connection that begins the handshake at the first ``handshake()``.
    /// - Parameter host: the name or address, without brackets, that must be among the certificate's alternative names.
    /// - Throws: ``CryptoError`` of kind `tlsConfiguration`: no memory, or a name that can be in no certificate.
    public convenience init(client context: TLSContext, host: String) throws(CryptoError) {
        try self.init(context)
        unsafe SSL_set_connect_state(connection)
        let flags = UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS) | UInt32(X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)
        unsafe SSL_set_hostflags(connection, flags)
        if unsafe X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), host) == 1 { return }
        OpenSSLErrorQueue.clear()
        guard unsafe SSL_set1_host(connection, host) == 1, unsafe sidereal_SSL_set_server_name(connection, host) == 1
        else { throw CryptoError(.tlsConfiguration, "TLS: \(host) cannot be the name of a server") }
    }

    private init(_ context: TLSContext) throws(CryptoError) {
        OpenSSLErrorQueue.clear()
        let connection = unsafe SSL_new(context.handle)
        let incoming = unsafe BIO_new(BIO_s_mem())
        let outgoing = unsafe BIO_new(BIO_s_mem())
        guard let connection = unsafe connection, let incoming = unsafe incoming, let outgoing = unsafe outgoing
        else {
            unsafe SSL_free(connection)
            _ = unsafe BIO_free(incoming)
            _ = unsafe BIO_free(outgoing)
            throw CryptoError(.tlsConfiguration, "TLS: no memory for a connection")
        }
        _ = unsafe sidereal_BIO_set_mem_eof_return(incoming, -1)
        _ = unsafe sidereal_BIO_set_mem_eof_return(outgoing, -1)
        unsafe SSL_set_bio(connection, incoming, outgoing)
        unsafe self.connection = connection
        unsafe self.incoming = incoming
        unsafe self.outgoing = outgoing
    }

    deinit {
        unsafe SSL_free(connection)
    }

    /// Whether the handshake is complete, so that plaintext can be written.
    public var isEstablished: Bool { unsafe SSL_is_init_finished(connection) == 1 }

    /// What the check of the peer's certificate brought: X509_V_ERR_* of openssl/x509_vfy.h, 0 if nothing was wrong.
    public var verifyResult: Int { unsafe SSL_get_verify_result(connection) }

    /// OpenSSL's words for a ``verifyResult``.
    public static func verifyText(_ result: Int) -> String {
        unsafe X509_verify_cert_error_string(result).map { unsafe String(cString: $0) } ?? "error \(result)"
    }

    /// The negotiated version, such as `TLSv1.3`.
    public var version: String {
        unsafe SSL_get_version(connection).map { unsafe String(cString: $0) } ?? "unknown"
    }

    /// Takes over what came from the peer. Read until ``ReadResult/needsMore`` after each call: what is fed and
    /// not read is kept in memory.
    /// - Throws: ``CryptoError`` of kind `tlsProtocol`, only without memory.
    public func feed(_ ciphertext: borrowing Span<UInt8>) throws(CryptoError) {
        OpenSSLErrorQueue.clear()
        var fed = 0
        while fed < ciphertext.count {
            let part = ciphertext.extracting(fed..<min(fed + 1 << 20, ciphertext.count))
            let written = unsafe part.withUnsafeBufferPointer { source in
                unsafe BIO_write(incoming, source.baseAddress, Int32(source.count))
            }
            guard written > 0 else {
                throw CryptoError(.tlsProtocol, "TLS: no memory for \(ciphertext.count) received bytes")
            }
            fed += Int(written)
        }
    }

    /// Goes on with the handshake as far as what was fed allows.
    /// - Returns: whether it is complete.
    /// - Throws: ``CryptoError`` of kind `tlsProtocol`.
    public func handshake() throws(CryptoError) -> Bool {
        OpenSSLErrorQueue.clear()
        let code = unsafe SSL_do_handshake(connection)
        if code == 1 { return true }
        guard unsafe SSL_get_error(connection, code) == SSL_ERROR_WANT_READ else {
            throw failure("the handshake failed; check versions, certificates and that the peer speaks TLS")
        }
        return false
    }

    /// Appends decrypted bytes to `plaintext`, at most about `limit`.
    /// - Throws: ``CryptoError`` of kind `tlsProtocol`: a damaged record, an alert.
    public func read(into plaintext: inout ByteWriter, limit: Int = 64 << 10) throws(CryptoError) -> ReadResult {
        OpenSSLErrorQueue.clear()
        let before = plaintext.count
        while plaintext.count - before < limit {
            var code: Int32 = 0
            // A record carries at most 16 KiB (RFC 8446, 5.1), and SSL_read gives no more than one.
            unsafe plaintext.append(room: 16 << 10) { free in
                var count = 0
                code = unsafe SSL_read_ex(connection, free.baseAddress, free.count, &count)
                return count
            }
            if code == 1 { continue }
            switch unsafe SSL_get_error(connection, code) {
            case SSL_ERROR_WANT_READ:
                return plaintext.count > before ? .bytes(plaintext.count - before) : .needsMore
            case SSL_ERROR_ZERO_RETURN:
                return plaintext.count > before ? .bytes(plaintext.count - before) : .closed
            default:
                throw failure("a record could not be read; the connection is of no further use")
            }
        }
        return .bytes(plaintext.count - before)
    }

    /// Encrypts all of `plaintext`; take the result with ``takeCiphertext(_:)``.
    /// - Throws: ``CryptoError`` of kind `tlsProtocol`, also before ``isEstablished``.
    public func write(_ plaintext: borrowing Span<UInt8>) throws(CryptoError) {
        OpenSSLErrorQueue.clear()
        var done = 0
        while done < plaintext.count {
            let rest = plaintext.extracting(done..<plaintext.count)
            var written = 0
            let code = unsafe rest.withUnsafeBufferPointer { source in
                unsafe SSL_write_ex(connection, source.baseAddress, source.count, &written)
            }
            guard code == 1 else { throw failure("a record could not be written") }
            done += written
        }
    }

    /// Announces that nothing more will be written (RFC 8446, 6.1). Harmless before the handshake and twice.
    public func closeNotify() {
        OpenSSLErrorQueue.clear()
        if isEstablished { _ = unsafe SSL_shutdown(connection) }
        OpenSSLErrorQueue.clear()
    }

    /// Whether the peer has announced that it writes nothing more.
    public var isClosedByPeer: Bool { unsafe SSL_get_shutdown(connection) & SSL_RECEIVED_SHUTDOWN != 0 }

    /// Moves all bytes that are to be sent to the end of `ciphertext`.
    /// - Returns: how many.
    @discardableResult
    public func takeCiphertext(_ ciphertext: inout ByteWriter) -> Int {
        let pending = unsafe sidereal_BIO_pending(outgoing)
        guard pending > 0 else { return 0 }
        let before = ciphertext.count
        unsafe ciphertext.append(room: pending) { free in
            var count = 0
            return unsafe BIO_read_ex(outgoing, free.baseAddress, free.count, &count) == 1 ? count : 0
        }
        return ciphertext.count - before
    }

    /// The error for a peer that went away without close_notify.
    public static func truncated() -> CryptoError {
        CryptoError(
            .tlsTruncated, "TLS: the peer closed without close_notify; what it sent may be cut short", queue: [])
    }

    private func failure(_ what: String) -> CryptoError { CryptoError(.tlsProtocol, "TLS: " + what) }
}
