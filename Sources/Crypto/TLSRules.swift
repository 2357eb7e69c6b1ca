internal import COpenSSL
import Model

/// What every TLS context of the process keeps to, client or server.
enum TLSRules {
    /// TLS 1.2 at least, 112 bits of strength at least whatever the distribution's policy allows, and with
    /// `approvedOnly` nothing but ``TLSApproved``. Not thread-safe: before the context is used.
    /// - Returns: whether OpenSSL took all of it.
    static func apply(to context: OpaquePointer, approvedOnly: Bool) -> Bool {
        if unsafe SSL_CTX_get_security_level(context) < 2 { unsafe SSL_CTX_set_security_level(context, 2) }
        guard unsafe sidereal_SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 else { return false }
        guard approvedOnly else { return true }
        return unsafe SSL_CTX_set_cipher_list(context, TLSApproved.suites12) == 1
            && SSL_CTX_set_ciphersuites(context, TLSApproved.suites13) == 1
            && sidereal_SSL_CTX_set1_groups_list(context, TLSApproved.groups) == 1
            && sidereal_SSL_CTX_set1_sigalgs_list(context, TLSApproved.signatures) == 1
    }
}
