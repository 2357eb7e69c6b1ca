/// The exporter's own version, as `--version` shows it and every record carries it.
public enum ExporterVersion {
    /// Semantic version (semver.org).
    public static let current = "0.1.0"
}
