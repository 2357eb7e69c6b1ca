import Crypto
import HTTPClient
import Threading

/// Why a connection ended or never came to be.
struct SyslogFailure: Error, Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        /// No address for the host's name.
        case resolve
        /// No TCP connection.
        case connect
        /// TLS was refused by one of the two sides.
        case tls(HTTPFailure.TLSReason)
        /// It took too long.
        case timeout(String)
        /// The connection ended.
        case connectionLost
        /// The receiver talks, and syslog receivers do not.
        case babble
        /// The exporter ends.
        case stopped
    }

    var kind: Kind
    /// What happened and what to do, without the place.
    var words: String

    static let stopped = SyslogFailure(kind: .stopped, words: "the exporter is ending")
    static let cutOff = SyslogFailure(kind: .stopped, words: "the sending was cut off")
    static let closed = SyslogFailure(kind: .connectionLost, words: "the receiver closed the connection")

    static func timeout(_ step: SyslogStep, _ milliseconds: UInt64) -> SyslogFailure {
        let advice =
            switch step {
            case .resolve: "no address for the host; check its name and this machine's DNS"
            case .connect: "no TCP connection; check that the receiver listens on this port and no firewall is between"
            case .handshake: "no TLS handshake; check that the receiver speaks TLS on this port"
            }
        return SyslogFailure(kind: .timeout(step.rawValue), words: "within \(milliseconds) ms \(advice)")
    }

    /// TLS failed before the connection was established. `error` is OpenSSL's, `verifyResult` its X509_V_ERR_*.
    static func handshake(_ error: String, verifyResult: Int, hasClientCertificate: Bool) -> SyslogFailure {
        if verifyResult != 0 {
            let refusal = TLSRefusal(verifyResult: verifyResult)
            return SyslogFailure(
                kind: .tls(refusal.reason), words: "TLS: \(refusal.words) (\(TLSConnection.verifyText(verifyResult)))")
        }
        guard let refusal = TLSRefusal(error: error, hasClientCertificate: hasClientCertificate) else {
            return broken(error)
        }
        return SyslogFailure(kind: .tls(refusal.reason), words: "TLS: \(refusal.words) (\(error))")
    }

    /// TLS failed after the connection was established: a refusal only if it is about the client certificate, which with
    /// TLS 1.3 is looked at late. An alert of a dying receiver says nothing of the settings.
    static func established(_ error: String, hasClientCertificate: Bool) -> SyslogFailure {
        guard let refusal = TLSRefusal(error: error, hasClientCertificate: hasClientCertificate),
            refusal.reason.isOfClientCertificate
        else { return broken(error) }
        return SyslogFailure(kind: .tls(refusal.reason), words: "TLS: \(refusal.words) (\(error))")
    }

    private static func broken(_ error: String) -> SyslogFailure {
        SyslogFailure(kind: .connectionLost, words: "the TLS connection broke (\(error))")
    }

    /// Bytes are on the way and the receiver's TCP takes none.
    static func stalled(_ milliseconds: UInt64) -> SyslogFailure {
        SyslogFailure(
            kind: .timeout("write"),
            words: "the receiver has taken nothing for \(milliseconds) ms; check that it runs and has room")
    }

    /// It takes them too slowly.
    static func slow(_ milliseconds: UInt64) -> SyslogFailure {
        SyslogFailure(
            kind: .timeout("parcel"),
            words: "the receiver did not take a batch within \(milliseconds) ms; lower batch.maxBytes")
    }

    /// The system refused to connect with error number `code`.
    static func connect(_ code: Int32) -> SyslogFailure {
        SyslogFailure(
            kind: .connect,
            words: "cannot connect: \(systemErrorText(code)). Check that the receiver listens on this port and that no"
                + " firewall is between")
    }

    /// The connection broke with error number `code`.
    static func lost(_ code: Int32) -> SyslogFailure {
        SyslogFailure(kind: .connectionLost, words: "the connection broke: \(systemErrorText(code))")
    }
}
