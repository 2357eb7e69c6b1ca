public import ExportCore
public import Model
public import Secrets

/// Syslog over TLS (RFC 5425), or over TCP within this machine.
///
/// The protocol has no acknowledgement. Delivered means: the receiver's TCP has acknowledged every byte of a batch, and
/// the connection lived on for `grace` after that. What the receiver had not read by then, and loses by dying, is lost;
/// nothing tells a sender. When a connection breaks, every batch that is not past its grace is sent again on a new one, so
/// records may arrive twice; they carry their identity.
///
/// Connections are kept from batch to batch. A batch goes to one that has nothing to write, so a second connection is made
/// only when the receiver does not keep up. No proxy is used, whatever `HTTPS_PROXY` says: that is for HTTP.
public struct SyslogBackend: Backend {
    private let loop: SyslogLoop
    private let place: String

    /// The receiver of `target`.
    public init(target: Target, secrets: SecretDirectory) {
        var timing = SyslogTiming()
        timing.grace = target.graceMilliseconds
        self.init(target: target, secrets: secrets, timing: timing)
    }

    init(target: Target, secrets: SecretDirectory, timing: SyslogTiming) {
        let settings = SyslogSettings(
            host: target.endpoint.host, port: target.endpoint.port,
            serverName: target.tlsServerName ?? target.endpoint.host, maxConnections: target.maxConcurrency,
            timing: timing)
        let (secretRef, isTLS) = (target.secretRef, target.endpoint.scheme != "tcp")
        loop = SyslogLoop(settings: settings) { SyslogAccess(secrets: secrets, secretRef: secretRef, isTLS: isTLS) }
        place = "\(target.name) (\(target.endpoint.base))"
    }

    /// Sends the records and watches the connection for the grace.
    public func deliver(_ parcel: Parcel) async -> DeliveryAnswer {
        DeliveryAnswer(SyslogVerdict.of(await loop.deliver(parcel.body()), at: place))
    }

    /// Connects, and sees whether the receiver keeps the connection: with TLS 1.3 it says only after the handshake that
    /// it does not like a client's certificate.
    public func probe() async -> Reason? {
        Refusal(verdict: SyslogVerdict.of(await loop.deliver(SealedBytes([])), at: place)).reason
    }

    /// Closes the connections, each with a goodbye that the receiver can read, and ends the thread.
    public func close() async { await loop.stop() }
}
