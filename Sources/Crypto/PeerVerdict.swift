internal import COpenSSL
import Glibc

/// Which side of a handshake.
public enum TLSSide: Sendable {
    /// The side that was connected to.
    case server
    /// The side that connected.
    case client
}

/// The versions of TLS that are in use at all.
public enum TLSVersion: Sendable {
    /// RFC 5246.
    case v12
    /// RFC 8446.
    case v13
}

/// What a certificate says, as far as it matters for letting its holder in. The text is the holder's: take it apart
/// strictly and quote it with care.
public struct CertificateFacts: Sendable, Equatable {
    /// The subject in OpenSSL's one-line form, cut to 256 bytes; what is not printable is escaped.
    public let subject: String
    /// Serial number in hexadecimal.
    public let serial: String
    /// End of its validity, seconds since 1970-01-01T00:00:00Z.
    public let notAfter: Int64
    /// Alternative names that are URIs (RFC 5280, 4.2.1.6).
    public let uris: [String]
    /// Alternative names that are host names.
    public let dnsNames: [String]

    /// Reads an `X509`, which stays the caller's.
    @unsafe init(_ certificate: OpaquePointer) {
        subject = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 257) { buffer in
            guard let start = buffer.baseAddress,
                unsafe X509_NAME_oneline(X509_get_subject_name(certificate), start, 257) != nil
            else { return "" }
            return unsafe String(cString: start)
        }
        serial = unsafe Self.hexadecimal(X509_get0_serialNumber(certificate))
        var time = unsafe tm()
        unsafe ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time)
        notAfter = unsafe Int64(timegm(&time))
        var uris: [String] = []
        var dnsNames: [String] = []
        // Nil also for a certificate that has the extension twice: it names nobody.
        let names = unsafe sidereal_alternative_names(certificate)
        let count = unsafe sidereal_name_count(names)
        for index in 0..<count {
            var length: Int32 = 0
            if let start = unsafe sidereal_name(names, index, GEN_URI, &length) {
                uris.append(unsafe Self.text(start, length))
            } else if let start = unsafe sidereal_name(names, index, GEN_DNS, &length) {
                dnsNames.append(unsafe Self.text(start, length))
            }
        }
        unsafe sidereal_names_free(names)
        self.uris = uris
        self.dnsNames = dnsNames
    }

    /// All bytes, so that a NUL in the middle cannot hide the rest.
    @unsafe private static func text(_ start: UnsafePointer<UInt8>, _ length: Int32) -> String {
        unsafe String(decoding: UnsafeBufferPointer(start: start, count: Int(length)), as: UTF8.self)
    }

    @unsafe private static func hexadecimal(_ number: UnsafePointer<ASN1_INTEGER>?) -> String {
        guard let number = unsafe number, let start = unsafe ASN1_STRING_get0_data(number) else { return "" }
        let bytes = unsafe UnsafeBufferPointer(start: start, count: Int(ASN1_STRING_length(number)))
        return unsafe bytes.prefix(20).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

/// What became of a peer's certificate.
public enum PeerVerdict: Sendable, Equatable {
    /// Chain and holder are accepted.
    case admitted(CertificateFacts)
    /// The chain is not good: one of X509_V_ERR_*, and OpenSSL's words for it.
    case badChain(CertificateFacts, code: Int, words: String)
    /// The chain is good, but the holder is not let in, for this reason.
    case turnedAway(CertificateFacts, why: String)
}

/// How OpenSSL asks about a peer's chain.
enum PeerCheck {
    static let callback: @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> Int32 = { chain, _ in
        guard let chain = unsafe chain,
            let session = unsafe X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()),
            let data = unsafe SSL_get_ex_data(OpaquePointer(session), 0)
        else { return 0 }
        let connection = unsafe Unmanaged<TLSConnection>.fromOpaque(data).takeUnretainedValue()
        return unsafe connection.judge(chain) ? 1 : 0
    }

    /// Judges the chain in an `X509_STORE_CTX` and leaves there what decides the alert: bad_certificate if the holder is
    /// turned away.
    @unsafe static func verdict(on chain: OpaquePointer, admit: (CertificateFacts) -> String?) -> PeerVerdict {
        let isGood = unsafe X509_verify_cert(chain) == 1
        guard let certificate = unsafe X509_STORE_CTX_get0_cert(chain) else {
            let none = CertificateFacts()
            return .turnedAway(none, why: "it shows no certificate")
        }
        let facts = unsafe CertificateFacts(certificate)
        guard isGood else {
            let code = Int(unsafe X509_STORE_CTX_get_error(chain))
            return .badChain(facts, code: code, words: TLSConnection.verifyText(code))
        }
        if let why = admit(facts) {
            unsafe X509_STORE_CTX_set_error(chain, X509_V_ERR_CERT_REJECTED)
            return .turnedAway(facts, why: why)
        }
        return .admitted(facts)
    }
}

extension CertificateFacts {
    /// Of a certificate that is not there.
    fileprivate init() { self.init(subject: "", serial: "", notAfter: 0, uris: [], dnsNames: []) }

    /// Facts put together by hand, for those who judge them.
    public init(subject: String, serial: String, notAfter: Int64, uris: [String], dnsNames: [String]) {
        self.subject = subject
        self.serial = serial
        self.notAfter = notAfter
        self.uris = uris
        self.dnsNames = dnsNames
    }
}
