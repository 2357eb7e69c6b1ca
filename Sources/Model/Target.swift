/// What receives records.
public enum BackendKind: String, Sendable, CaseIterable {
    /// Splunk HTTP Event Collector.
    case splunk
    /// Elasticsearch or OpenSearch, `_bulk`.
    case elasticsearch
    /// Amazon S3 and look-alikes.
    case s3
    /// RFC 5425.
    case syslog
    /// A directory on this machine.
    case file

    /// Whether the receiver tells by its content a batch that it has already, so that the same batch sent again after
    /// a crash is not stored twice. It must then be the same batch: its boundaries are written down before it leaves.
    public var recognisesBatches: Bool { self == .s3 }
}

/// How a record is written down.
public enum FormatKind: String, Sendable, CaseIterable {
    /// The native form (default).
    case json
    /// ArcSight Common Event Format.
    case cef
    /// QRadar Log Event Extended Format 2.0.
    case leef
    /// RFC 5424.
    case syslog
    /// Open Cybersecurity Schema Framework 1.7.0.
    case ocsf
}

/// FIPS 199 impact level of the system that is probed.
public enum ImpactLevel: String, Sendable, CaseIterable {
    /// The default.
    case high
    /// FIPS 199 Moderate.
    case moderate
    /// FIPS 199 Low.
    case low
}

/// Where a target is reached, taken apart.
public struct Endpoint: Sendable, Equatable {
    /// `https`, `http`, `tls`, `tcp` or `file`, lower case.
    public var scheme: String
    /// Host name or address without brackets; empty for `file`.
    public var host: String
    /// Port, given or the scheme's own; 0 for `file`.
    public var port: Int
    /// Path, without a trailing slash; for `file` the absolute directory.
    public var path: String

    /// All four parts.
    public init(scheme: String, host: String, port: Int, path: String) {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
    }

    /// The endpoint as text, without a trailing slash: what requests are built on.
    public var base: String {
        guard scheme != "file" else { return "file://" + path }
        let shown = host.contains(":") ? "[\(host)]" : host
        return "\(scheme)://\(shown):\(port)\(path)"
    }
}

/// When a batch closes: whichever bound is reached first.
public struct BatchBounds: Sendable, Equatable {
    /// Records.
    public var maxRecords: Int
    /// Encoded bytes before compression.
    public var maxBytes: Int
    /// Milliseconds since the batch's first record.
    public var maxAgeMilliseconds: UInt64

    /// All three bounds; each at least 1.
    public init(maxRecords: Int, maxBytes: Int, maxAgeMilliseconds: UInt64) {
        self.maxRecords = maxRecords
        self.maxBytes = maxBytes
        self.maxAgeMilliseconds = maxAgeMilliseconds
    }
}

/// When a failed batch is tried again.
public struct RetrySettings: Sendable, Equatable {
    /// Upper bound of the first delay, milliseconds.
    public var initialMilliseconds: UInt64
    /// Upper bound of every delay, milliseconds.
    public var maxMilliseconds: UInt64
    /// From the first attempt until the dead letters, milliseconds.
    public var windowMilliseconds: UInt64

    /// The documented policy: 5 s, 5 min, 24 h.
    public init(
        initialMilliseconds: UInt64 = 5_000, maxMilliseconds: UInt64 = 300_000,
        windowMilliseconds: UInt64 = 86_400_000
    ) {
        self.initialMilliseconds = initialMilliseconds
        self.maxMilliseconds = maxMilliseconds
        self.windowMilliseconds = windowMilliseconds
    }
}

/// Whether request bodies are compressed.
public enum CompressionKind: String, Sendable, CaseIterable {
    /// As they are.
    case none
    /// RFC 1952.
    case gzip
}

/// One entry of `export.targets`, complete with its defaults.
public struct Target: Sendable, Equatable {
    /// Unique; `<backend>-<index>` if not given.
    public var name: String
    /// What receives.
    public var backend: BackendKind
    /// How records are written.
    public var format: FormatKind
    /// What the target chooses about its format.
    public var formatOptions = FormatOptions()
    /// Where.
    public var endpoint: Endpoint
    /// The secret's folder below the secrets directory.
    public var secretRef: String?
    /// splunk: the index events go to; elasticsearch: prefix of the daily index.
    public var index: String?
    /// splunk `source`.
    public var source: String?
    /// splunk `sourcetype`.
    public var sourcetype: String?
    /// splunk `host`.
    public var host: String?
    /// splunk: nothing counts as delivered before the indexer has acknowledged it.
    public var acknowledge = false
    /// splunk: milliseconds until a request without acknowledgement is sent again.
    public var acknowledgeTimeoutMilliseconds: UInt64 = 300_000
    /// elasticsearch: name of a data stream, instead of daily indices.
    public var dataStream: String?
    /// elasticsearch: install the index template before the first delivery.
    public var setup = false
    /// file: bytes after which the file is rotated.
    public var maxFileBytes: Int
    /// file: milliseconds after which a file is finished though it is not full.
    public var maxFileAgeMilliseconds: UInt64 = 900_000
    /// syslog: milliseconds that a connection must outlive what it carried, for that to count as delivered.
    public var graceMilliseconds: UInt64 = 500
    /// When batches close.
    public var batch: BatchBounds
    /// Batches in flight at the most; a permit is kept through back-off.
    public var maxConcurrency: Int
    /// Batches in flight that a slow receiver never brings it below; at least 1.
    public var minConcurrency = 1
    /// When to try again.
    public var retry: RetrySettings
    /// Of request bodies; file: whether each batch is a gzip member.
    public var compression: CompressionKind
    /// Milliseconds of the receiver's silence after a request was sent, until its outcome counts as unknown. Twice that for
    /// the whole exchange.
    public var timeoutMilliseconds: UInt64 = 60_000
    /// Name to expect in the certificate instead of the endpoint's host.
    public var tlsServerName: String?
    /// Proxy URL for this target; empty: none; nil: what the environment says.
    public var proxy: String?
    /// What the backend `s3` has besides.
    public var s3 = S3Settings()

    /// Default of ``maxConcurrency`` with ``acknowledge``: a request waits a second or more for its acknowledgement, and
    /// these many are what the queue's default bound has room for. What is in flight at a crash is asked for and not
    /// sent blindly again, so there is no reason to keep it at one.
    public static let acknowledgedConcurrency = 16

    /// A target with the backend's defaults.
    public init(name: String, backend: BackendKind, format: FormatKind, endpoint: Endpoint) {
        self.name = name
        self.backend = backend
        self.format = format
        self.endpoint = endpoint
        maxFileBytes = 256 << 20
        retry = RetrySettings()
        switch backend {
        case .splunk:
            // HEC cannot recognise a repeated event: what is in flight when the process dies may arrive
            // twice. One request at a time bounds that to one batch. Splunk Cloud refuses bodies over 1 MB.
            batch = BatchBounds(maxRecords: 5_000, maxBytes: 900_000, maxAgeMilliseconds: 1_000)
            maxConcurrency = 1
            compression = .gzip
        case .elasticsearch:
            batch = BatchBounds(maxRecords: 10_000, maxBytes: 5_000_000, maxAgeMilliseconds: 1_000)
            maxConcurrency = 4
            compression = .gzip
        case .file:
            batch = BatchBounds(maxRecords: 10_000, maxBytes: 4_000_000, maxAgeMilliseconds: 1_000)
            maxConcurrency = 1
            compression = .none
        case .s3:
            // An object is locked for years and found by listing, so few large ones are better than many small ones;
            // a minute is the longest that a record waits for others. Keys are derived from the content, so what is in
            // flight at a crash does not arrive twice and several may be under way.
            batch = BatchBounds(maxRecords: 10_000, maxBytes: 5_000_000, maxAgeMilliseconds: 60_000)
            maxConcurrency = 4
            compression = .gzip
        case .syslog:
            // What is not past its grace when a connection breaks arrives twice: small batches, several at a time.
            batch = BatchBounds(maxRecords: 2_000, maxBytes: 1_000_000, maxAgeMilliseconds: 1_000)
            maxConcurrency = 4
            compression = .none
        }
    }
}
