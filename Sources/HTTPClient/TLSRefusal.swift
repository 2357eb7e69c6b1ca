/// Why TLS failed, and what to do about it.
public struct TLSRefusal: Sendable {
    /// Which of the reasons.
    public let reason: HTTPFailure.TLSReason
    /// For people: what is wrong and what to do.
    public let words: String

    init(_ reason: HTTPFailure.TLSReason, _ words: String) {
        self.reason = reason
        self.words = words
    }

    /// From the result of the certificate's check, X509_V_ERR_* of openssl/x509_vfy.h. libcurl compares the name
    /// itself, after OpenSSL has found nothing wrong and before it stores OpenSSL's result: then it is still 1.
    public init(verifyResult: Int) {
        switch verifyResult {
        case 0, 1, 62, 64:
            self.init(
                .wrongName,
                "the server's certificate is for another name; correct the endpoint's host, or set tls.serverName to a"
                    + " name the certificate carries")
        case 9:
            self.init(
                .notYetValid,
                "the server's certificate is not yet valid; check this machine's clock and the certificate")
        case 10:
            self.init(
                .expired, "the server's certificate has expired; renew it on the server, or check this machine's clock")
        case 18:
            self.init(
                .selfSigned, "the server's certificate is self-signed; put that certificate into ca.crt to trust it")
        case 2, 19, 20, 21, 27:
            self.init(
                .unknownAuthority,
                "the server's certificate was issued by an unknown authority; put that authority's certificate into"
                    + " ca.crt, or have the server send its intermediate certificates")
        // UNABLE_TO_GET_CRL, CRL_SIGNATURE_FAILURE, CRL_NOT_YET_VALID, CRL_HAS_EXPIRED, its fields, issuer, usage, scope.
        case 3, 8, 11, 12, 15, 16, 33, 35, 44:
            self.init(
                .revocationList,
                "the revocation lists in crl.pem do not do for the server's certificate; put a current one of every"
                    + " authority of its chain there, or remove crl.pem")
        // EE_KEY_TOO_SMALL, CA_KEY_TOO_SMALL, CA_MD_TOO_WEAK.
        case 66...68:
            self.init(
                .weak,
                "a key or signature in the server's certificate chain is too weak; have it issued anew with RSA of"
                    + " at least 2048 bits or P-256, signed with SHA-256 or better")
        case 23:
            self.init(.revoked, "the server's certificate has been revoked; replace it on the server")
        default:
            self.init(
                .badCertificate, "the server's certificate cannot be trusted; have it issued anew as the reason demands"
            )
        }
    }

    /// From OpenSSL's error in libcurl's text, as in `error:0A00045C:SSL routines::…`; `nil` if the text has none, or
    /// one that only says that the connection ended.
    public init?(error text: String, hasClientCertificate: Bool) {
        guard let code = TLSRefusal.errorCode(text) else { return nil }
        // ERR_GET_LIB and ERR_GET_REASON of openssl/err.h; 20 is ERR_LIB_SSL.
        guard (code >> 23) & 0xFF == 20 else {
            self.init(.handshake, TLSRefusal.handshakeWords)
            return
        }
        switch code & 0x7F_FFFF {
        // SSL_R_UNEXPECTED_EOF_WHILE_READING
        case 294: return nil
        // SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_NO_PROTOCOLS_AVAILABLE, and the alert protocol_version.
        case 258, 191, 1070:
            self.init(
                .version, "no version of TLS in common; this side speaks 1.2 and 1.3, enable one of them on the server")
        // SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_PACKET_LENGTH_TOO_LONG: not a TLS record at all.
        case 267, 156, 198:
            self.init(.notTLS, "the server does not speak TLS on this port; check the port, and whether TLS is enabled")
        case 1116:
            self.init(.clientCertificateRequired, TLSRefusal.certificateWords)
        // SSL_AD_REASON_OFFSET and the alerts of RFC 8446 section 6.2 that speak of a certificate; an older server
        // has only handshake_failure to say that one is missing.
        case 1042...1046, 1048, 1049:
            if hasClientCertificate {
                self.init(
                    .clientCertificateRejected,
                    "the server rejects the client certificate; renew tls.crt and tls.key, or have the server trust"
                        + " their issuer")
            } else {
                self.init(.clientCertificateRequired, TLSRefusal.certificateWords)
            }
        default:
            self.init(.handshake, TLSRefusal.handshakeWords)
        }
    }

    private static let certificateWords =
        "the server demands a client certificate; put tls.crt and tls.key into the target's secret"
    private static let handshakeWords =
        "the two sides cannot agree; compare the server's ciphers and curves with this machine's, and see whether it"
        + " demands a client certificate"

    /// The eight hexadecimal digits after the last `error:`.
    private static func errorCode(_ text: String) -> UInt32? {
        let bytes = Array(text.utf8)
        let mark = Array("error:".utf8)
        var at = bytes.count - mark.count - 8
        while at >= 0 {
            if bytes[at..<(at + mark.count)].elementsEqual(mark) {
                let digits = bytes[(at + mark.count)..<(at + mark.count + 8)]
                return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
            }
            at -= 1
        }
        return nil
    }
}
