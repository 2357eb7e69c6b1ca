internal import Crypto

/// Why there is no connection to a peer, or none any more.
public struct PeerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What happened, for code that has to decide and for the label of a metric.
    public enum Kind: String, Sendable, Equatable, CaseIterable {
        /// A setting that cannot be, such as a limit below its minimum.
        case settings
        /// Without mutual TLS only loopback addresses are served and called.
        case notLoopback
        /// The address cannot be listened on.
        case bind
        /// Nobody was reached: no such name, refused, no route, no answer in time.
        case connect
        /// Our own certificate, key or authorities cannot be used.
        case credentials
        /// What came is not TLS.
        case notTLS
        /// No version, suite or group in common, or a damaged record.
        case tls
        /// The peer's certificate does not lead to our authority, is expired, revoked or for another purpose.
        case untrusted
        /// The peer's certificate is good, but is not one of the role that belongs on the other side.
        case wrongRole
        /// The peer showed no certificate.
        case noCertificate
        /// The peer does not accept our certificate.
        case refusedByPeer
        /// The handshake took too long.
        case handshakeTimeout
        /// The peer's certificate has expired since the connection was made.
        case expired
        /// A frame longer than the limit, or one of ours whose length field does not tell its length.
        case badFrame
        /// The peer went away in the middle of a frame or without saying so; what it sent may be cut short.
        case truncated
        /// The connection broke.
        case broken
        /// Nothing was heard from the peer for too long.
        case idle
        /// The peer took nothing for too long.
        case writeTimeout
        /// No room for a further peer.
        case tooManyPeers
        /// Closed in order, by the peer or by us.
        case closed
        /// The waiting task was cancelled.
        case cancelled
    }

    /// What happened.
    public let kind: Kind
    /// What, where, why, and what to do.
    public let message: String

    /// An error with its words.
    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The message.
    public var description: String { message }
}

extension PeerError {
    /// The failure of a TLS connection in the words of somebody who has to mend it.
    static func tls(_ error: CryptoError, verdict: PeerVerdict?, role: PeerRole, at place: String) -> PeerError {
        let expected = role.other
        switch verdict {
        case .turnedAway(let facts, let why):
            return PeerError(
                .wrongRole,
                "\(place): its certificate (\(named(facts)), serial \(facts.serial)) is not let in: \(why). "
                    + "A \(role) speaks only to a \(expected); issue it a certificate for that role")
        case .badChain(let facts, _, let words):
            return PeerError(
                .untrusted,
                "\(place): its certificate (\(named(facts)), serial \(facts.serial)) is not trusted: \(words). "
                    + "Compare its issuer, dates and purpose with our ca.crt")
        case .admitted, nil: break
        }
        let queue = error.queue.joined(separator: "; ")
        if queue.contains("peer did not return a certificate") {
            return PeerError(
                .noCertificate,
                "\(place): it showed no certificate; a \(expected) needs tls.crt and tls.key of our authority")
        }
        if queue.contains("http request") || queue.contains("wrong version number") {
            return PeerError(
                .notTLS, "\(place): what it sent is not TLS (\(queue)); is it set up without mutual TLS, or a stranger?"
            )
        }
        if queue.contains("alert protocol version") || queue.contains("unsupported protocol") {
            return PeerError(
                .tls, "\(place): no version of TLS in common (\(queue)); set the same minimum version on both sides")
        }
        let certificateAlerts = [
            "alert certificate", "alert bad certificate", "alert unknown ca", "alert unsupported certificate",
        ]
        if certificateAlerts.contains(where: queue.contains) {
            return PeerError(
                .refusedByPeer,
                "\(place): the \(expected) refuses our certificate (\(queue)); its log says why. Our tls.crt must be of "
                    + "its authority, valid now, and for the role \(role)")
        }
        return PeerError(.tls, "\(place): \(error.description)")
    }

    private static func named(_ facts: CertificateFacts) -> String {
        quoted(facts.uris.first ?? facts.dnsNames.first ?? facts.subject)
    }

    /// Text that a stranger chose, fit for a log line.
    static func quoted(_ text: String) -> String {
        let safe = text.unicodeScalars.prefix(160).map { scalar in
            scalar.value >= 0x20 && scalar.value < 0x7F && scalar != "'" ? Character(scalar) : "?"
        }
        return "'" + String(safe) + (text.unicodeScalars.count > 160 ? "…'" : "'")
    }
}
