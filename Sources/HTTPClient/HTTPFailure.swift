/// Why there is no answer. An answer with a bad status is not a failure.
public struct HTTPFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// What broke.
    public enum Kind: Sendable, Equatable {
        /// No address for the host's (or the proxy's) name.
        case resolve
        /// No TCP connection to the server, or to the proxy.
        case connect
        /// The proxy did not make the connection: the status it answered CONNECT with, or `nil` if its address is
        /// unusable.
        case proxy(status: Int?)
        /// TLS was refused by one of the two sides.
        case tls(reason: TLSReason)
        /// It took too long.
        case timeout(phase: TimeoutPhase)
        /// The connection ended before the answer was complete.
        case connectionLost
        /// ``HTTPRequest/needsOpenConnection``, and there is none. Nothing was sent.
        case noOpenConnection
        /// The answer exceeds ``HTTPRequest/maxResponseBytes``, or its header ``HTTPClient/maxHeaderBytes``.
        case responseTooLarge
        /// The task was cancelled.
        case cancelled
        /// The client was shut down.
        case shutDown
        /// Anything else: the CURLcode (curl/curl.h). 43 is a request that is not sent as it is malformed, 89 one
        /// that exceeds ``HTTPClient/maxOutstanding``, 2 a client that could not be started.
        case other(code: Int)
    }

    /// Why TLS was refused.
    public enum TLSReason: String, Sendable {
        /// The server's certificate, or one of its chain, is past its end.
        case expired
        /// The server's certificate, or one of its chain, is not yet valid.
        case notYetValid
        /// The certificate is for another name.
        case wrongName
        /// The certificate is its own issuer.
        case selfSigned
        /// The issuer is not among the trusted authorities.
        case unknownAuthority
        /// The certificate was revoked.
        case revoked
        /// The revocation list is out of date, or does not cover every authority of the chain.
        case revocationList
        /// A key or signature in the chain is too weak.
        case weak
        /// The certificate cannot be trusted for another reason: purpose, key size, signature.
        case badCertificate
        /// The server wants a client certificate, and there is none.
        case clientCertificateRequired
        /// The server does not accept the client certificate.
        case clientCertificateRejected
        /// A file of ``TLSSettings`` cannot be read, or does not hold what it should.
        case localFile
        /// No version of TLS in common; this side wants 1.2 or later.
        case version
        /// The server does not speak TLS on this port.
        case notTLS
        /// No agreement for another reason.
        case handshake

        /// Whether it is the server's word on the client certificate: with TLS 1.3 that comes after the handshake (RFC
        /// 8446, section 4.4.2.4), and refuses whatever was sent until then. Every other fault of a connection that is
        /// established already says nothing of what became of what was sent.
        public var isOfClientCertificate: Bool {
            self == .clientCertificateRequired || self == .clientCertificateRejected
        }
    }

    /// Which bound of ``HTTPTimeouts`` was reached.
    public enum TimeoutPhase: String, Sendable {
        /// ``HTTPTimeouts/connect``.
        case connect
        /// ``HTTPTimeouts/firstByte``.
        case firstByte
        /// ``HTTPTimeouts/total``.
        case total
        /// ``StreamBounds/silence``.
        case silence
    }

    /// What broke.
    public let kind: Kind
    /// What was tried, where, why it failed and what to do; without credentials.
    public let message: String
    /// False only when it is certain that no byte of the request was handed to a connection. If true, the server
    /// may have carried the request out, or not: the outcome is unknown.
    public let mayHaveReachedServer: Bool

    /// A failure, complete.
    public init(kind: Kind, message: String, mayHaveReachedServer: Bool) {
        self.kind = kind
        self.message = message
        self.mayHaveReachedServer = mayHaveReachedServer
    }

    /// The message.
    public var description: String { message }
}
