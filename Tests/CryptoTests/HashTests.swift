import Crypto
import Testing

@Suite struct HashTests {
    /// The examples that NIST publishes for FIPS 180-4, and the empty message.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func publishedDigests(message: String, digest: String) throws {
        #expect(try SHA256.hexadecimal(Array(message.utf8).span) == digest)
        #expect(try SHA256.hash(Array(message.utf8).span).count == 32)
    }

    @Test func publishedDigestOfAMillionLetters() throws {
        let message = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
        #expect(
            try SHA256.hexadecimal(message.span)
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    /// RFC 4648, section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func publishedBase64(plain: String, encoded: String) {
        #expect(Base64.encode(Array(plain.utf8)) == encoded)
    }

    @Test func base64UsesTheWholeAlphabet() {
        #expect(Base64.encode([0xfb, 0xef, 0xff, 0x00, 0x10, 0x83]) == "++//ABCD")
    }

    @Test func fipsIsEitherActiveOrExplained() {
        do {
            try FIPS.require()
            #expect(FIPS.isActive)
        } catch {
            #expect(!FIPS.isActive)
            #expect(error.kind == .fips)
            for part in ["OpenSSL 3", "default", "ossl-modules", "fipsinstall", "RHEL"] {
                #expect(error.description.contains(part))
            }
        }
    }
}
