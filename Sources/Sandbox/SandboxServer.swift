internal import Crypto
internal import Model
internal import NIOCore
internal import NIOPosix
internal import PeerTransport

/// Look-alikes of Splunk HEC and of Elasticsearch, for tests and demonstrations.
///
/// Promises:
/// 1. They listen on 127.0.0.1 only, unless told otherwise, and then over TLS.
/// 2. They refuse what the real receivers refuse, as far as the exporter's requests touch it, with the same codes.
/// 3. They remember each identity they accepted and how often, in bounded memory, and say so when the bound is hit.
/// 4. Faults are drawn from a seed.
///
/// What they do not promise: to index, to search, to survive a restart. Several may run in one process.
///
/// With ``SandboxOptions/null`` there are sinks in their places, and two more for S3 and syslog: ``NullSink``, ``NullSyslog``.
public final class SandboxServer: Sendable {
    /// Port of the HEC look-alike.
    public let hecPort: Int
    /// Port of the Elasticsearch look-alike.
    public let elasticsearchPort: Int
    /// Port of the bucket; nil without ``SandboxOptions/null``.
    public let s3Port: Int?
    /// Port of the syslog receiver; nil without ``SandboxOptions/null``.
    public let syslogPort: Int?
    private let scheme: String
    private let host: String
    private let group: MultiThreadedEventLoopGroup
    private let control: ControlRoutes

    /// Starts all and returns once they listen.
    /// - Throws: ``SandboxError`` for a bad option, a certificate that cannot be used or a port that is taken.
    public static func start(_ options: SandboxOptions = SandboxOptions()) async throws(SandboxError) -> SandboxServer {
        try options.validate()
        var tls: TLSContext?
        if let files = options.tls {
            do throws(CryptoError) {
                tls = try TLSContext(certificateChainFile: files.certificateFile, privateKeyFile: files.keyFile)
            } catch {
                throw SandboxError(error.description)
            }
        }
        let receivers = Receivers(options)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: options.threads)
        let door = Door(host: options.host, tls: tls, group: group, control: receivers.control)
        do throws(SandboxError) {
            return SandboxServer(
                hecPort: try await door.listen(options.hecPort, receivers.hec),
                elasticsearchPort: try await door.listen(options.elasticsearchPort, receivers.elasticsearch),
                s3Port: try await door.listen(receivers.s3), syslogPort: try await door.listen(syslog: receivers),
                scheme: tls == nil ? "http" : "https", host: options.host, group, receivers.control)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private init(
        hecPort: Int, elasticsearchPort: Int, s3Port: Int?, syslogPort: Int?, scheme: String, host: String,
        _ group: MultiThreadedEventLoopGroup, _ control: ControlRoutes
    ) {
        self.hecPort = hecPort
        self.elasticsearchPort = elasticsearchPort
        self.s3Port = s3Port
        self.syslogPort = syslogPort
        self.scheme = scheme
        self.host = host
        self.group = group
        self.control = control
    }

    /// Where the HEC look-alike is reached, such as `http://127.0.0.1:8088`.
    public var hecURL: String { "\(scheme)://\(host):\(hecPort)" }

    /// Where the Elasticsearch look-alike is reached, such as `http://127.0.0.1:9200`.
    public var elasticsearchURL: String { "\(scheme)://\(host):\(elasticsearchPort)" }

    /// What all have seen so far.
    public func stats() -> SandboxStats { control.stats }

    /// Every identity that `target` remembers, in no particular order.
    public func identities(of target: SandboxTarget) -> [SandboxIdentity] { Array(control.entries(of: target)) }

    /// Replaces the faults of `target`; the times of an outage count from now.
    /// - Throws: ``SandboxError`` for a value outside its range.
    public func setFaults(_ faults: SandboxFaults, of target: SandboxTarget) throws(SandboxError) {
        if let mistake = faults.mistake { throw SandboxError(mistake) }
        let now = Tick(nanoseconds: NIODeadline.now().uptimeNanoseconds)
        control.logs[target]?.update { $0.plan.apply(faults, restartsOutage: true, now: now) }
    }

    /// Closes all connections and ends the threads. What was seen can still be asked for.
    public func stop() async {
        do {
            try await group.shutdownGracefully()
        } catch {
            // Only a second stop gets here, and the first has done it all.
            return
        }
    }
}
