/// What a cluster's worker reports of itself.
extension ExportMetrics {
    /// Shards of a cluster's worker.
    public static let workerShards = MetricDefinition(
        .gauge, "sidereal_worker_shards", "Shards that the worker holds.")
    /// Rows a leader does not have yet.
    public static let workerRows = MetricDefinition(
        .gauge, "sidereal_worker_unsettled_rows",
        "Commits of the worker's ledger that it tells the leader of and the leader has not kept yet.")
    /// Highest term heard of.
    public static let workerTerm = MetricDefinition(
        .gauge, "sidereal_worker_term", "Highest term of a leader that the worker has heard of.")
    /// Whether a lease holds.
    public static let workerLease = MetricDefinition(
        .gauge, "sidereal_worker_has_lease",
        "1 while the worker may send records, 0 while it is fenced for want of a leader.")
    /// Bytes in hand.
    public static let workerCarried = MetricDefinition(
        .gauge, "sidereal_worker_carried_bytes",
        "Bytes of records in hand for the target that has most of them in hand.")
    /// End of its certificate.
    public static let workerCertificate = MetricDefinition(
        .gauge, "sidereal_worker_certificate_expiry_timestamp_seconds",
        "Unix time at which the worker's certificate for coordinators ends; absent without TLS.")

    static let worker = [workerShards, workerRows, workerTerm, workerLease, workerCarried, workerCertificate]
}
