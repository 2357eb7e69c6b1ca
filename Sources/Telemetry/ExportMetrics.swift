/// Every metric there is. docs/metrics.md explains them; a test holds that page against this list.
public enum ExportMetrics {
    /// Which program this is.
    public static let buildInfo = MetricDefinition(
        .gauge, "sidereal_export_build_info", labels: ["version"], "Always 1; the version of the exporter as a label.")
    /// What stands behind a target's name.
    public static let targetInfo = MetricDefinition(
        .gauge, "sidereal_export_target_info", labels: ["target", "backend", "export_format"],
        "Always 1; backend and format of each target as labels.")

    /// Records read from the input.
    public static let recordsRead = MetricDefinition(
        .counter, "sidereal_export_records_read_total",
        "Records read from the input, each counted once however many targets it is for.")
    /// Records that are no valid probe result.
    public static let recordsRefused = MetricDefinition(
        .counter, "sidereal_export_records_refused_total",
        "Records refused as no valid probe result and kept as dead letters.")
    /// Dead letters in the ledger.
    public static let deadLettersKept = MetricDefinition(
        .gauge, "sidereal_export_dead_letters_kept",
        "Dead letters that lie in the ledger, of all targets and the input.")

    /// Records written for a target.
    public static let recordsTaken = MetricDefinition(
        .counter, "sidereal_export_records_taken_total", labels: ["target"], "Records written for the target.")
    /// Records a target accepted.
    public static let recordsDelivered = MetricDefinition(
        .counter, "sidereal_export_records_delivered_total", labels: ["target"],
        "Records that the target accepted and the ledger has as delivered.")
    /// Bytes a target accepted.
    public static let bytesDelivered = MetricDefinition(
        .counter, "sidereal_export_bytes_delivered_total", labels: ["target"],
        "Encoded bytes of the delivered records, before compression.")
    /// Batches settled.
    public static let batchesSettled = MetricDefinition(
        .counter, "sidereal_export_batches_settled_total", labels: ["target"],
        "Batches of which every record is delivered or a dead letter.")
    /// Records given up.
    public static let deadLetters = MetricDefinition(
        .counter, "sidereal_export_dead_letters_total", labels: ["target"], "Records given up and kept as dead letters."
    )
    /// Requests sent.
    public static let attempts = MetricDefinition(
        .counter, "sidereal_export_attempts_total", labels: ["target"],
        "Requests sent, the first ones and the repeated ones.")
    /// Answers by class.
    public static let attemptOutcomes = MetricDefinition(
        .counter, "sidereal_export_attempt_outcomes_total", labels: ["target", "outcome"],
        "Requests that ended, by what became of them.")
    /// Failed attempts that will be repeated.
    public static let retries = MetricDefinition(
        .counter, "sidereal_export_retries_total", labels: ["target"],
        "Attempts that failed for reasons of the target and were or will be made again.")
    /// Failed attempts by backend and format.
    public static let failures = MetricDefinition(
        .counter, "sidereal_siem_export_failures_total", labels: ["backend", "export_format"],
        "Attempts to export that failed for reasons of the target.")
    /// Records without the acknowledgement that was asked for.
    public static let unconfirmed = MetricDefinition(
        .counter, "sidereal_export_unconfirmed_records_total", labels: ["target"],
        "Records that the target took and did not acknowledge, each time they were sent again for it.")
    /// How long requests take.
    public static let requestDuration = MetricDefinition(
        .histogram, "sidereal_export_request_duration_seconds", labels: ["target"],
        buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
        "What requests took until their answer, or until they were given up.")

    /// Batches not settled.
    public static let queueBatches = MetricDefinition(
        .gauge, "sidereal_export_queue_batches", labels: ["target"], "Batches that wait or are under way.")
    /// Bytes not settled.
    public static let queueBytes = MetricDefinition(
        .gauge, "sidereal_export_queue_bytes", labels: ["target"], "Encoded bytes that wait or are under way.")
    /// Age of the oldest batch.
    public static let oldestAge = MetricDefinition(
        .gauge, "sidereal_export_oldest_undelivered_age_seconds", labels: ["target"],
        "How long the oldest batch that is not settled has been in hand; 0 if there is none.")
    /// Failures in a row.
    public static let consecutiveFailures = MetricDefinition(
        .gauge, "sidereal_export_consecutive_failures", labels: ["target"], "Failed attempts since the last success.")
    /// Breaker.
    public static let breakerState = MetricDefinition(
        .gauge, "sidereal_export_breaker_state", labels: ["target", "state"],
        "1 for the state the breaker is in, 0 for the others.")
    /// Openings of the breaker.
    public static let breakerOpenings = MetricDefinition(
        .counter, "sidereal_export_breaker_openings_total", labels: ["target"],
        "How often the breaker opened, repeated openings after a failed probe included.")
    /// The adaptive limit.
    public static let concurrencyLimit = MetricDefinition(
        .gauge, "sidereal_export_concurrency_limit", labels: ["target"],
        "Requests that may be in flight at once, as the target's answers allow.")
    /// Requests under way.
    public static let requestsInFlight = MetricDefinition(
        .gauge, "sidereal_export_requests_in_flight", labels: ["target"], "Requests in flight.")
    /// When records were last delivered.
    public static let lastSuccess = MetricDefinition(
        .gauge, "sidereal_export_last_success_timestamp_seconds", labels: ["target"],
        "Unix time at which records were last delivered; absent before the first time.")

    /// All of them, in the order they are written.
    public static let all =
        [
            buildInfo, targetInfo, recordsRead, recordsRefused, deadLettersKept, recordsTaken, recordsDelivered,
            bytesDelivered, batchesSettled, deadLetters, attempts, attemptOutcomes, retries, failures, unconfirmed,
            requestDuration,
            queueBatches, queueBytes, oldestAge, consecutiveFailures, breakerState, breakerOpenings, concurrencyLimit,
            requestsInFlight, lastSuccess,
        ] + cluster + worker
}
