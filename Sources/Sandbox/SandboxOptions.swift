public import Model

/// The receivers that the sandbox imitates.
public enum SandboxTarget: String, Sendable, CaseIterable {
    /// Splunk HTTP Event Collector.
    case hec
    /// Elasticsearch `_bulk`.
    case elasticsearch
}

/// How a look-alike misbehaves. Rates are probabilities from 0 to 1, drawn per request unless stated otherwise.
public struct SandboxFaults: Sendable, Equatable {
    /// Requests answered with ``status`` and not carried out.
    public var failRate = 0.0
    /// Milliseconds by which every answer is delayed. The request has been carried out by then.
    public var latencyMilliseconds: UInt64 = 0
    /// Milliseconds from now, or from ``outageAfterMilliseconds``, during which every request is answered with
    /// ``status``; 0 is no outage.
    public var outageMilliseconds: UInt64 = 0
    /// Milliseconds from now until the outage begins.
    public var outageAfterMilliseconds: UInt64 = 0
    /// The HTTP status of failures, 400 to 599.
    public var status = 503
    /// Seconds in the `Retry-After` header of failures; none if nil.
    public var retryAfterSeconds: Int?
    /// Items of a `_bulk` request answered with 429 and not stored; drawn per item.
    public var itemFailRate = 0.0
    /// Requests whose connection is reset without an answer and that are not carried out.
    public var resetRate = 0.0
    /// Requests that are carried out and whose connection is then reset without an answer.
    public var commitThenResetRate = 0.0
    /// HEC: milliseconds until a request that was taken is acknowledged.
    public var ackDelayMilliseconds: UInt64 = 0
    /// HEC: requests that are taken and never acknowledged.
    public var ackFalseRate = 0.0
    /// HEC: questions for acknowledgements whose answer is lost by a reset; what it called true is true no more.
    public var ackLoseRate = 0.0
    /// HEC: questions for acknowledgements that are refused with 400.
    public var ackRefuseRate = 0.0
    /// HEC: milliseconds after which a channel that is not used is forgotten, with its numbers; 0 is never.
    public var ackExpiryMilliseconds: UInt64 = 0

    /// No misbehaviour.
    public init() {}

    /// The first mistake in the values, as a sentence; nil if there is none.
    var mistake: String? {
        let rates = [
            ("failRate", failRate), ("itemFailRate", itemFailRate), ("resetRate", resetRate),
            ("commitThenResetRate", commitThenResetRate), ("ackFalseRate", ackFalseRate),
            ("ackLoseRate", ackLoseRate), ("ackRefuseRate", ackRefuseRate),
        ]
        for (name, rate) in rates where !(0...1).contains(rate) {
            return "\(name) is \(rate), but a rate is a probability from 0 to 1"
        }
        if !(400...599).contains(status) { return "status is \(status), but a failure is 400 to 599" }
        if let seconds = retryAfterSeconds, seconds < 0 { return "retryAfter is \(seconds), but must not be negative" }
        return nil
    }
}

/// Certificate and key for serving HTTPS.
public struct SandboxTLS: Sendable, Equatable {
    /// File of PEM certificates, the server's own first.
    public var certificateFile: String
    /// File of the PEM private key.
    public var keyFile: String

    /// Both files.
    public init(certificateFile: String, keyFile: String) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }
}

/// What a ``SandboxServer`` is started with.
public struct SandboxOptions: Sendable, Equatable {
    /// Numeric address to listen on. One that others reach takes ``tls``.
    public var host = "127.0.0.1"
    /// Port of the HEC look-alike; 0 lets the kernel choose.
    public var hecPort = 0
    /// Port of the Elasticsearch look-alike; 0 lets the kernel choose.
    public var elasticsearchPort = 0
    /// The HEC token that is accepted.
    public var token = Secret("5a5a5a5a-0000-4000-8000-5a5a5a5a5a5a")
    /// The HEC token acknowledges: requests need a channel and get a number to ask for them by.
    public var acknowledge = false
    /// Elasticsearch user that is accepted; with ``password``.
    public var username: String?
    /// Password of ``username``.
    public var password: Secret?
    /// Elasticsearch API key that is accepted, as `id:key` or encoded in base 64. With neither user nor key
    /// everyone is accepted.
    public var apiKey: Secret?
    /// Whether Elasticsearch's look-alike is OpenSearch's: it says so, and knows no `flattened` fields.
    public var isOpenSearch = false
    /// Misbehaviour of both from the start.
    public var faults = SandboxFaults()
    /// Longest accepted body, bytes; holds for the compressed and for the decompressed form.
    public var maxBodyBytes = 100 << 20
    /// Counts records, remembers none and answers success: a sink for measuring senders. S3 and syslog over TCP are spoken
    /// as well, at ports of the kernel's choice.
    public var null = false
    /// Everything is spoken over TLS.
    public var tls: SandboxTLS?
    /// Identities that are remembered per look-alike; past this, records are only counted.
    public var maxIdentities = 5_000_000
    /// Seed of what the fault rates are drawn from.
    public var seed: UInt64 = 1
    /// Threads that serve connections.
    public var threads = 2

    /// The defaults: ports by the kernel, no faults, HTTP.
    public init() {}

    func validate() throws(SandboxError) {
        for (name, port) in [("hecPort", hecPort), ("elasticsearchPort", elasticsearchPort)]
        where !(0...65_535).contains(port) {
            throw SandboxError("\(name) is \(port), but a port is 0 to 65535")
        }
        if !host.hasPrefix("127."), host != "::1", tls == nil {
            throw SandboxError("host is \(host), which others reach; give a certificate and its key, or use 127.0.0.1")
        }
        if (username == nil) != (password == nil) {
            throw SandboxError("username and password belong together, but only one of them is given")
        }
        if token.isEmpty { throw SandboxError("the HEC token is empty; give one, or leave it out for the default") }
        if maxBodyBytes < 1 { throw SandboxError("maxBody is \(maxBodyBytes), but must be at least 1 byte") }
        if maxIdentities < 0 { throw SandboxError("maxIdentities is \(maxIdentities), but must not be negative") }
        if !(1...64).contains(threads) { throw SandboxError("threads is \(threads), but must be 1 to 64") }
        if let mistake = faults.mistake { throw SandboxError(mistake) }
    }
}

/// Why the sandbox did not start, or did not take a setting.
public struct SandboxError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What, why, and what to do.
    public let description: String

    init(_ description: String) { self.description = description }
}
