internal import COpenSSL
public import Model

/// One side of a TLS connection, without a socket: ciphertext is fed and taken as bytes.
///
/// For one thread at a time. After an error only ``takeCiphertext(_:)`` is of use, for the alert that tells the peer.
@safe public final class TLSConnection {
    // Not private, for tests: they provoke what this side never does by itself (key updates, renegotiation), and look at
    // what is kept.
    let connection: OpaquePointer
    // Owned by the connection: its ends, and what is kept for them when no memory is lent to them.
    private let source: OpaquePointer
    private let sink: OpaquePointer
    let incoming: OpaquePointer
    private let outgoing: OpaquePointer
    // Made once, never changed and never freed.
    nonisolated(unsafe) private static let pipe = unsafe sidereal_pipe_method()
    /// What the check of a peer's certificate brought; nil before it, and where ``init(peer:side:admit:)`` was not used.
    public private(set) var peerVerdict: PeerVerdict?
    private var admit: ((CertificateFacts) -> String?)?

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

    /// One side of a connection between members of one system, with a context made for that.
    ///
    /// The certificate's chain, dates and purpose are checked first, then `admit`; if either refuses, the handshake fails
    /// on both sides, and ``peerVerdict`` says why.
    /// - Parameter admit: why the holder of this certificate is not let in; nil if it is.
    /// - Throws: ``CryptoError`` of kind `tlsConfiguration`, only without memory.
    public convenience init(
        peer context: TLSContext, side: TLSSide, admit: @escaping (CertificateFacts) -> String?
    ) throws(CryptoError) {
        try self.init(context)
        self.admit = admit
        // Index 0 is the application's own (SSL_set_app_data). The callback runs inside SSL_do_handshake only, which is
        // called from this object's methods, so it lives.
        unsafe SSL_set_ex_data(connection, 0, Unmanaged.passUnretained(self).toOpaque())
        switch side {
        case .server: unsafe SSL_set_accept_state(connection)
        case .client: unsafe SSL_set_connect_state(connection)
        }
    }

    /// Judges the chain that the peer showed; a connection that was not made for peers admits nobody.
    @unsafe func judge(_ chain: OpaquePointer) -> Bool {
        let verdict = unsafe PeerCheck.verdict(on: chain, admit: admit ?? { _ in "nobody is admitted here" })
        peerVerdict = verdict
        guard case .admitted = verdict else { return false }
        return true
    }

    private init(_ context: TLSContext) throws(CryptoError) {
        OpenSSLErrorQueue.clear()
        let connection = unsafe context.makeSession()
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
        let (source, sink) = unsafe (sidereal_pipe_new(Self.pipe, incoming), sidereal_pipe_new(Self.pipe, outgoing))
        guard let source = unsafe source, let sink = unsafe sink else {
            unsafe SSL_free(connection)
            // Whichever was made has taken over what it spills to.
            _ = unsafe BIO_free(source ?? incoming)
            _ = unsafe BIO_free(sink ?? outgoing)
            throw CryptoError(.tlsConfiguration, "TLS: no memory for a connection")
        }
        unsafe SSL_set_bio(connection, source, sink)
        unsafe self.connection = connection
        unsafe self.source = source
        unsafe self.sink = sink
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

    /// Has the connection read `ciphertext` where it lies while `body` runs, instead of a copy; what it has not read then
    /// is kept, as by ``feed(_:)``.
    /// - Throws: what `body` throws, and ``CryptoError`` of kind `tlsProtocol` without memory.
    @unsafe public func reading(
        _ ciphertext: UnsafeRawBufferPointer, _ body: () throws(CryptoError) -> Void
    ) throws(CryptoError) {
        // It is only read from.
        unsafe sidereal_pipe_lend(source, UnsafeMutableRawPointer(mutating: ciphertext.baseAddress), ciphertext.count)
        let result: Result<Void, CryptoError>
        do throws(CryptoError) {
            try body()
            result = .success(())
        } catch {
            result = .failure(error)
        }
        let rest = unsafe UnsafeRawBufferPointer(rebasing: ciphertext[sidereal_pipe_take_back(source)...])
        try result.get()
        if unsafe !rest.isEmpty { try feed(unsafe Span(_unsafeElements: rest.bindMemory(to: UInt8.self))) }
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

    /// Decrypts into `room` as much as there is and goes in.
    /// - Throws: ``CryptoError`` of kind `tlsProtocol`: a damaged record, an alert.
    @unsafe public func read(into room: UnsafeMutableRawBufferPointer) throws(CryptoError) -> ReadResult {
        OpenSSLErrorQueue.clear()
        var filled = 0
        while filled < room.count {
            var count = 0
            let free = unsafe UnsafeMutableRawBufferPointer(rebasing: room[filled...])
            let code = unsafe SSL_read_ex(connection, free.baseAddress, free.count, &count)
            if code == 1 {
                filled += count
                continue
            }
            switch unsafe SSL_get_error(connection, code) {
            case SSL_ERROR_WANT_READ: return filled > 0 ? .bytes(filled) : .needsMore
            case SSL_ERROR_ZERO_RETURN: return filled > 0 ? .bytes(filled) : .closed
            default: throw failure("a record could not be read; the connection is of no further use")
            }
        }
        return .bytes(filled)
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

    /// Encrypts all of `plaintext` straight into `room`, as far as that goes; the rest is for ``takeCiphertext(into:)``.
    /// If something waits there already, it all goes behind that.
    /// - Returns: how many bytes of `room` were used.
    /// - Throws: as ``write(_:)``.
    @unsafe public func write(
        _ plaintext: borrowing Span<UInt8>, into room: UnsafeMutableRawBufferPointer
    ) throws(CryptoError) -> Int {
        unsafe sidereal_pipe_lend(sink, room.baseAddress, room.count)
        do throws(CryptoError) {
            try write(plaintext)
        } catch {
            _ = unsafe sidereal_pipe_take_back(sink)
            throw error
        }
        return unsafe sidereal_pipe_take_back(sink)
    }

    /// Bytes that records of TLS add to so much plaintext, at most: a header, a nonce and a tag to each 16 KiB
    /// (RFC 8446, 5.2; RFC 5288, 3).
    public static func overhead(of count: Int) -> Int { (count / (16 << 10) + 1) * 64 }

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

    /// How many bytes are to be sent.
    public var pendingCiphertext: Int { unsafe sidereal_BIO_pending(outgoing) }

    /// Moves bytes that are to be sent into `room`, as many as fit.
    /// - Returns: how many.
    @unsafe public func takeCiphertext(into room: UnsafeMutableRawBufferPointer) -> Int {
        var count = 0
        return unsafe BIO_read_ex(outgoing, room.baseAddress, room.count, &count) == 1 ? count : 0
    }

    /// The error for a peer that went away without close_notify.
    public static func truncated() -> CryptoError {
        CryptoError(
            .tlsTruncated, "TLS: the peer closed without close_notify; what it sent may be cut short", queue: [])
    }

    /// The error for a peer that makes this side say more than it takes: each request for new keys brings an answer.
    public static func askedTooOften() -> CryptoError {
        CryptoError(
            .tlsProtocol, "TLS: the peer asks for new keys over and over and takes no answer; it is out of order",
            queue: [])
    }

    private func failure(_ what: String) -> CryptoError { CryptoError(.tlsProtocol, "TLS: " + what) }
}
