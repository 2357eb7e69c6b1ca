public import Model

/// What this version can do, in one table. A later version extends it here and nowhere else.
public enum Capabilities {
    /// Backends that are implemented.
    public static let backends: Set<BackendKind> = Set(BackendKind.allCases)
    /// Formats that are implemented.
    public static let formats: Set<FormatKind> = Set(FormatKind.allCases)

    /// Whether requests to `backend` can be compressed as `kind`.
    public static func supports(_ kind: CompressionKind, for backend: BackendKind) -> Bool {
        kind == .none || [.splunk, .elasticsearch, .s3].contains(backend)
    }

    /// Said of everything that is planned and not there yet.
    static let notAvailable = "not available in this version (\(ExporterVersion.current))"

    /// Keys of a target, and the backends they belong to.
    static let targetKeys: [(key: String, backends: Set<BackendKind>)] = [
        ("name", all), ("backend", all), ("format", all), ("endpoint", all), ("batch", all), ("concurrency", all),
        ("retry", all), ("compression", all),
        ("secretRef", remote), ("tls", remote), ("proxy", overHTTP), ("timeout", overHTTP),
        ("index", [.splunk, .elasticsearch]), ("source", [.splunk]), ("sourcetype", [.splunk]), ("host", [.splunk]),
        ("acknowledge", [.splunk]), ("acknowledgeTimeout", [.splunk]),
        ("dataStream", [.elasticsearch]), ("setup", [.elasticsearch]), ("grace", [.syslog]), ("maxFileBytes", [.file]),
        ("maxFileAge", [.file]), ("gzip", [.file]),
        ("bucket", [.s3]), ("region", [.s3]), ("prefix", [.s3]), ("kmsKeyId", [.s3]), ("kmsContext", [.s3]),
        ("retentionDays", [.s3]), ("addressing", [.s3]), ("expectedBucketOwner", [.s3]), ("credentials", [.s3]),
    ]

    /// Keys of a target that have a meaning in some formats only, whatever the backend.
    public static let formatKeys: [(key: String, formats: Set<FormatKind>)] = [
        ("vendor", [.cef, .leef, .ocsf]), ("product", [.cef, .leef, .ocsf]), ("cefVersion", [.cef]),
        ("facility", [.syslog]), ("appName", [.syslog]), ("enterpriseId", [.syslog]), ("maxMessageBytes", [.syslog]),
    ]

    /// Keys of single formats that any format needs where its lines travel as syslog messages.
    static let envelopeKeys: Set<String> = ["facility", "appName"]

    /// Whether the key of a format means something for this one towards this backend.
    static func means(_ key: String, _ format: FormatKind, _ backend: BackendKind?) -> Bool {
        if backend == .syslog, envelopeKeys.contains(key) { return true }
        return formatKeys.contains { $0.key == key && $0.formats.contains(format) }
    }

    private static let all = Set(BackendKind.allCases)
    private static let overHTTP: Set<BackendKind> = [.splunk, .elasticsearch, .s3]
    private static let remote: Set<BackendKind> = [.splunk, .elasticsearch, .s3, .syslog]
}
