/// What TLS may use where FIPS 140 binds: the choices of NIST SP 800-52 rev. 2 (sections 3.3 and 3.4, appendix) that the
/// FIPS providers of OpenSSL 3 all have, in OpenSSL's notation.
///
/// The provider alone would do for keeping other algorithms out. They are named here as well so that neither side is
/// offered what this one could not carry out, and so that the list does not change with the provider's version.
public enum TLSApproved {
    /// Suites of TLS 1.2: forward secret, authenticated encryption only.
    public static let suites12 = [
        "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ].joined(separator: ":")
    /// Suites of TLS 1.3.
    public static let suites13 = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"
    /// Groups for the exchange of keys (SP 800-186).
    public static let groups = "P-256:P-384:P-521"
    /// Algorithms of signatures (FIPS 186-5), in certificates too.
    public static let signatures = [
        "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512", "rsa_pss_rsae_sha256",
        "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512", "rsa_pss_pss_sha256", "rsa_pss_pss_sha384",
        "rsa_pss_pss_sha512", "rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512",
    ].joined(separator: ":")
}
