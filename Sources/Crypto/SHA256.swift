internal import COpenSSL

/// SHA-256 (FIPS 180-4) by OpenSSL, hence by its FIPS provider where that is active.
public enum SHA256 {
    /// The digest of `bytes`: 32 bytes.
    /// - Throws: ``CryptoError`` if no provider of OpenSSL offers SHA-256.
    public static func hash(_ bytes: borrowing Span<UInt8>) throws(CryptoError) -> [UInt8] {
        OpenSSLErrorQueue.clear()
        var digest = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 0
        let done = unsafe bytes.withUnsafeBufferPointer { source in
            unsafe digest.withUnsafeMutableBufferPointer { target in
                unsafe EVP_Digest(
                    source.baseAddress, source.count, target.baseAddress, &length, EVP_sha256(), nil)
            }
        }
        guard done == 1, length == 32 else {
            throw CryptoError(
                .digest, "SHA-256 is not available from OpenSSL; check the providers with `openssl list -providers`")
        }
        return digest
    }

    /// The digest of `bytes` as 64 lower-case hexadecimal digits.
    /// - Throws: ``CryptoError`` if no provider of OpenSSL offers SHA-256.
    public static func hexadecimal(_ bytes: borrowing Span<UInt8>) throws(CryptoError) -> String {
        Hexadecimal.encode(try hash(bytes))
    }
}

/// Base 16 (RFC 4648, section 8), lower case.
public enum Hexadecimal {
    /// Two digits per byte.
    public static func encode(_ bytes: [UInt8]) -> String {
        let digits: [UInt8] = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count * 2)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
