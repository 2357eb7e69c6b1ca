/// What a coordinator says about its cluster, in ``ExportMetrics/all`` too.
extension ExportMetrics {
    /// Who leads.
    public static let clusterLeader = MetricDefinition(
        .gauge, "sidereal_cluster_leader", "1 if this coordinator leads, 0 if it does not.")
    /// The term.
    public static let clusterTerm = MetricDefinition(
        .gauge, "sidereal_cluster_term", "Term of the leader that this coordinator knows; 0 if it knows none.")
    /// How old everything below is.
    public static let clusterStatusAge = MetricDefinition(
        .gauge, "sidereal_cluster_status_age_seconds", "How long ago the coordinator last said how the cluster fares.")
    /// The gate, as one number.
    public static let clusterGateAdmits = MetricDefinition(
        .gauge, "sidereal_cluster_gate_admits", "1 if probes are admitted, 0 if they are not.")
    /// The gate's state.
    public static let clusterGateState = MetricDefinition(
        .gauge, "sidereal_cluster_gate_state", labels: ["state"],
        "1 for the state the gate is in, 0 for the others.")
    /// Whether somebody has to act.
    public static let clusterAcknowledgement = MetricDefinition(
        .gauge, "sidereal_cluster_gate_acknowledgement_needed",
        "1 if an episode ends only after a person has acknowledged its alert.")
    /// Workers.
    public static let clusterWorkers = MetricDefinition(
        .gauge, "sidereal_cluster_workers", labels: ["state"], "Workers by how they stand to the cluster.")
    /// Shards.
    public static let clusterShards = MetricDefinition(
        .gauge, "sidereal_cluster_shards", labels: ["state"], "Shards by who has them.")
    /// The longest without an owner.
    public static let clusterUnowned = MetricDefinition(
        .gauge, "sidereal_cluster_shard_unowned_seconds",
        "How long the shard that has been without an owner the longest has been so; 0 if all have one.")
    /// The largest share.
    public static let clusterLoad = MetricDefinition(
        .gauge, "sidereal_cluster_load_ratio",
        "Shards of the worker with the largest load over its fair share; 0 without live workers.")
    /// Records in hand.
    public static let clusterInHand = MetricDefinition(
        .gauge, "sidereal_cluster_records_in_hand", "Records that the leader has read and not settled.")
    /// Bytes in hand.
    public static let clusterBytesInHand = MetricDefinition(
        .gauge, "sidereal_cluster_bytes_in_hand", "Bytes of the records in hand.")
    /// Delivered.
    public static let clusterDelivered = MetricDefinition(
        .counter, "sidereal_cluster_records_delivered_total", labels: ["target"],
        "Records that the target accepted, as the leader counted them.")
    /// Bytes delivered.
    public static let clusterBytes = MetricDefinition(
        .counter, "sidereal_cluster_bytes_delivered_total", labels: ["target"],
        "Encoded bytes that the target accepted, as the leader counted them.")
    /// Given up.
    public static let clusterDead = MetricDefinition(
        .counter, "sidereal_cluster_dead_letters_total", labels: ["target"],
        "Records that workers gave up for the target.")
    /// Failed attempts.
    public static let clusterFailures = MetricDefinition(
        .counter, "sidereal_cluster_failures_total", labels: ["target"],
        "Attempts that failed for reasons of the target, at any worker.")
    /// Backlog.
    public static let clusterBacklog = MetricDefinition(
        .gauge, "sidereal_cluster_backlog_records", labels: ["target"],
        "Records that the leader knows and the target has not.")
    /// The largest backlog.
    public static let clusterLargestBacklog = MetricDefinition(
        .gauge, "sidereal_cluster_largest_backlog_records",
        "Records that wait for the target that has most of them; told by the leader alone.")
    /// Oldest.
    public static let clusterOldest = MetricDefinition(
        .gauge, "sidereal_cluster_oldest_undelivered_age_seconds", labels: ["target"],
        "Age of the oldest record that the leader knows and the target has not; 0 if there is none.")
    /// Breakers.
    public static let clusterBreakers = MetricDefinition(
        .gauge, "sidereal_cluster_open_breakers", labels: ["target"],
        "Workers whose breaker for the target is not closed.")
    /// Terms.
    public static let clusterTermsLed = MetricDefinition(
        .counter, "sidereal_cluster_terms_led_total", "Terms that this coordinator has begun to lead.")
    /// Changes of the gate.
    public static let clusterGateChanges = MetricDefinition(
        .counter, "sidereal_cluster_gate_transitions_total", labels: ["from", "to"],
        "Changes of the gate's state that this coordinator decided.")
    /// What the gate closed for.
    public static let clusterGateCauses = MetricDefinition(
        .counter, "sidereal_cluster_gate_causes_total", labels: ["cause"],
        "What was wrong when this coordinator closed the gate, or raised the alert.")
    /// Workers that come and go.
    public static let clusterWorkerEvents = MetricDefinition(
        .counter, "sidereal_cluster_worker_events_total", labels: ["event"],
        "Workers that joined, came back, drained, were lost, died or were refused, by this coordinator's count.")
    /// Connections that were not let in.
    public static let clusterRefusals = MetricDefinition(
        .counter, "sidereal_cluster_connections_refused_total", labels: ["kind"],
        "Connections to this coordinator that were refused or closed for what came over them, by why.")
    /// Statuses that are not written.
    public static let clusterStatusFailures = MetricDefinition(
        .counter, "sidereal_cluster_status_failures_total", labels: ["outcome", "code"],
        "Writes of the status of a result that failed, by whether they are made again and by HTTP status.")
    /// End of its certificate.
    public static let clusterCertificate = MetricDefinition(
        .gauge, "sidereal_cluster_certificate_expiry_timestamp_seconds",
        "Unix time at which this coordinator's certificate for workers ends; absent without TLS.")

    /// All of them, in the order they are written.
    static let cluster = [
        clusterLeader, clusterTerm, clusterStatusAge, clusterGateAdmits, clusterGateState, clusterAcknowledgement,
        clusterWorkers, clusterShards, clusterUnowned, clusterLoad, clusterInHand, clusterBytesInHand, clusterDelivered,
        clusterBytes, clusterDead, clusterFailures, clusterBacklog, clusterLargestBacklog, clusterOldest,
        clusterBreakers, clusterTermsLed, clusterGateChanges, clusterGateCauses, clusterWorkerEvents, clusterRefusals,
        clusterStatusFailures, clusterCertificate,
    ]
}
