internal import COpenSSL

/// OpenSSL's FIPS 140 provider in this process.
public enum FIPS {
    /// Whether the provider `fips` is loaded **and** algorithms are fetched with `fips=yes` by default, so that
    /// hashing, TLS and every library on the same OpenSSL use validated code only.
    public static var isActive: Bool {
        unsafe OSSL_PROVIDER_available(nil, "fips") == 1 && EVP_default_properties_is_fips_enabled(nil) == 1
    }

    /// Names of the active providers, for diagnostics: `fips, base`.
    public static var activeProviders: String {
        let found = ["fips", "base", "default", "legacy"].compactMap { name -> String? in
            guard unsafe OSSL_PROVIDER_available(nil, name) == 1 else { return nil }
            return name
        }
        return found.isEmpty ? "none" : found.joined(separator: ", ")
    }

    /// Makes sure that the FIPS provider is active: accepts what `openssl.cnf` set up, else loads the providers
    /// `fips` and `base` and turns `fips=yes` on for the whole process, for good. Call it before anything else
    /// uses OpenSSL.
    /// - Throws: ``CryptoError`` of kind `fips`; the text says what was found and how to get a provider.
    public static func require() throws(CryptoError) {
        if isActive { return }
        OpenSSLErrorQueue.clear()
        // The providers are never unloaded: they serve until the process ends. The fallback to the default
        // provider stays (1), so that a failure here leaves OpenSSL as it was.
        let loaded =
            unsafe OSSL_PROVIDER_try_load(nil, "fips", 1) != nil
            && OSSL_PROVIDER_try_load(nil, "base", 1) != nil
            && EVP_default_properties_enable_fips(nil, 1) == 1
        guard loaded, isActive else {
            throw CryptoError(
                .fips,
                """
                FIPS mode is required (global.fips: true) but no FIPS provider is active. \
                Found \(version), active providers: \(activeProviders), modules in \(moduleDirectory). \
                RHEL 9 and UBI 9: boot with fips=1 (`fips-mode-setup --enable`) or set OPENSSL_FORCE_FIPS_MODE=1. \
                Debian 12 ships no fips.so: build the validated OpenSSL 3.0.x provider (`./Configure enable-fips`), \
                put fips.so there, run `openssl fipsinstall -out /etc/ssl/fipsmodule.cnf -module fips.so` and \
                include that file in openssl.cnf. Or set global.fips: false if FIPS 140 does not bind you
                """)
        }
    }

    private static var version: String {
        unsafe OpenSSL_version(OPENSSL_VERSION).map { unsafe String(cString: $0) } ?? "OpenSSL"
    }

    private static var moduleDirectory: String {
        unsafe OpenSSL_version(OPENSSL_MODULES_DIR).map { unsafe String(cString: $0) } ?? "an unknown directory"
    }
}
