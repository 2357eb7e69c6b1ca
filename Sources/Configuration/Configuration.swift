public import ExportCore
public import Model

/// The exporter's settings, as they stand in the Helm values.
///
/// 1. A configuration that exists is complete and sound: every bound and every relation between settings was checked.
/// 2. All mistakes of a file are reported at once, each with its line, key and how to mend it.
/// 3. Nothing that looks like a credential is repeated in a message.
///
/// The top level has the sections `global`, `audit`, `tls`, `export`, `limits` and `cluster`. Any other key is a mistake, at every
/// level, because a misspelt setting would otherwise be a setting not made; only top-level keys that start with `x-`
/// are left alone, for whatever else the file has to hold. A known key without a value (`key:`, `~`, `null`) counts as
/// not given, as it does for Helm.
public struct Configuration: Sendable {
    /// `global.impactLevel`, default high.
    public var impactLevel = ImpactLevel.high
    /// `global.fips`, default false: refuse to start without OpenSSL's FIPS provider.
    public var fips = false
    /// `global.clusterName`, default "default": stands in every record.
    public var clusterName = "default"
    /// When probing halts and goes on: `audit.failClosedOnExportFailure`, `resumeOn`, `failureThreshold` and `ageLimit`,
    /// by default as the impact level has it; its times follow those of ``cluster``.
    public var gate = ExportGateSettings()
    /// `audit.retentionDays`: days that results stay in the cluster. Default 365 at high and moderate, 180 at low.
    public var retentionDays = 365
    /// `tls.required`, default true. False allows plain http towards this machine, and nothing else.
    public var tlsRequired = true
    /// `export.targets`, in the file's order; at least one.
    public var targets: [Target] = []
    /// `limits`.
    public var limits = Limits()
    /// `cluster`.
    public var cluster = ClusterSettings()

    /// The file's name as it was given.
    public let file: String
    /// Where each target and its `secretRef` stand, by the target's index.
    var origins: [TargetOrigin] = []

    /// Reads the file at `path`.
    public static func load(path: String) throws(ConfigurationError) -> Configuration {
        try parse(ConfigurationFile.read(path), name: path)
    }

    /// Reads `text`; `name` stands for the file in messages.
    public static func parse(_ text: String, name: String) throws(ConfigurationError) -> Configuration {
        try parse(Array(text.utf8), name: name)
    }

    private static func parse(_ bytes: [UInt8], name: String) throws(ConfigurationError) -> Configuration {
        let problems = Problems(file: name)
        guard let node = ConfigurationText.root(of: bytes, problems),
            let root = Section(node, keyPath: "", problems: problems)
        else { throw ConfigurationError(problems.sorted) }
        let configuration = ConfigurationReader(root: root).read(file: name)
        try problems.check()
        return configuration
    }

    init(file: String) { self.file = file }
}

/// Where a target stands in its file.
struct TargetOrigin {
    var keyPath: String
    /// Of `secretRef`; of the target if it has none.
    var position: Position
}
