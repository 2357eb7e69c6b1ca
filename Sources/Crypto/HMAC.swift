internal import COpenSSL

/// HMAC-SHA-256 (RFC 2104, FIPS 198-1) by OpenSSL's EVP_MAC, hence by its FIPS provider where that is active.
public enum HMAC {
    /// The code of `bytes` under `key`: 32 bytes.
    /// - Throws: ``CryptoError`` if no provider of OpenSSL offers HMAC with SHA-256.
    public static func sha256(key: [UInt8], _ bytes: [UInt8]) throws(CryptoError) -> [UInt8] {
        OpenSSLErrorQueue.clear()
        var code = [UInt8](repeating: 0, count: 32)
        var length = 0
        // OpenSSL takes an absent key for an error, though an empty one is allowed; a zero byte is the same key, as
        // keys are filled up with zeros (RFC 2104, section 2).
        let padded = key.isEmpty ? [0] : key
        let done = unsafe EVP_Q_mac(
            nil, "HMAC", nil, "SHA256", nil, padded, padded.count, bytes, bytes.count, &code, code.count, &length)
        guard unsafe done != nil, length == 32 else {
            throw CryptoError(
                .digest,
                "HMAC-SHA-256 is not available from OpenSSL; check the providers with `openssl list -providers`")
        }
        return code
    }
}
