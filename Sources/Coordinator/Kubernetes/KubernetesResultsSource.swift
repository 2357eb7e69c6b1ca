public import ExportCore
import KubernetesAPI
import Model
public import Protocol
import Threading

/// The results of an API server, for one leader: ``ObjectFeed`` has them, ``KubernetesResultsReading`` says what is to be read
/// and what becomes of it.
public actor KubernetesResultsSource: ResultSource {
    static let selector = "spec.audit.exportStatus!=Exported"

    private let objects: ObjectFeed
    private var reading: KubernetesResultsReading

    init(
        _ cluster: KubernetesCluster, _ hands: KubernetesResultsHands, namespace: String?, shardCount: UInt16,
        seed: UInt64
    ) {
        objects = ObjectFeed(
            cluster.client, .probeResults, namespace: namespace, fieldSelector: Self.selector, seed: seed)
        reading = KubernetesResultsReading(hands, shardCount: shardCount, now: SystemClock.now())
    }

    /// Ends list and watch; nothing may be asked after.
    public func close() async { await objects.close() }

    /// Rings when a page or a piece of the watch is there.
    public func setAlarm(_ ring: @escaping @Sendable () -> Void) async { await objects.setAlarm(ring) }

    /// What was settled is taken from the hands.
    public func finished(source: UInt64) {}

    /// Results for targets with room, else news, else nothing.
    public func next(hasRoom: [Bool], bytes: Int) async throws(StoreError) -> [ResultEvent] {
        var turn = reading.begin(
            hasRoom: hasRoom, bytes: bytes, now: SystemClock.now(), unixMilliseconds: SystemClock.unixMilliseconds())
        while let ask = reading.next(&turn) {
            switch ask {
            case .relist: await objects.relist()
            case .poll(let pages):
                let output = await objects.poll(pages: pages)
                reading.took(output, &turn)
            }
        }
        let standing = await objects.standing
        return try reading.end(turn, standing)
    }

    /// What was seen and not handed over; one at least where nobody knows.
    public func backlog() async -> [SourceBacklog] {
        let failing = await objects.standing.failingSince
        return reading.backlog(
            failing: failing, now: SystemClock.now(), unixMilliseconds: SystemClock.unixMilliseconds())
    }

    /// At most ``KubernetesResultsReading/mostSought`` at a time, at most once a minute.
    public func seek(_ records: [RecordKey: SoughtRecord]) { reading.seek(records) }

    /// Results in hand, and those that are known to wait.
    public func inputs() async -> SourceInputs {
        let isFailing = await objects.standing.failingSince != nil
        return reading.inputs(isFailing: isFailing)
    }
}
