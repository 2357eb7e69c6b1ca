import Model

@testable import Protocol

/// What the vectors in PROTOCOL.md say, by their names there.
enum GoldenVectors {
    private static let targets = ["soc-splunk", "archive"]
    private static let keys = [
        RecordKey(high: 0x3F2B_8C1E_9D47_4A06, low: 0x8E51_7C0D_92AB_41F3), RecordKey(high: 0, low: 512),
    ]
    private static let grants = [ShardGrant(shard: 120, epoch: 4), ShardGrant(shard: 192, epoch: 5)]

    static let hello = Message.hello(
        Hello(
            versions: 1...1, identity: "worker-0",
            boot: RecordKey(high: 0x0011_2233_4455_6677, low: 0x8899_AABB_CCDD_EEFF), capacity: 8,
            windowBytes: 16 << 20, term: 7, targets: targets,
            claims: [
                ShardClaim(term: 7, grant: ShardGrant(shard: 120, epoch: 3)),
                ShardClaim(term: 6, grant: ShardGrant(shard: 192, epoch: 9)),
            ]))

    static let welcome = Message.welcome(
        Welcome(
            version: 1, term: 8, leader: "coordinator-1", leaseMilliseconds: 10_000, shardCount: 256,
            releaseMilliseconds: 5_000, targets: targets, marginMilliseconds: 5_000))

    static let heartbeat: Message = {
        var splunk = TargetHealth()
        splunk.attempts = 1_000
        splunk.successes = 990
        splunk.delivered = 495_000
        splunk.deliveredBytes = 594_000_000
        splunk.dead = 3
        splunk.sinceSuccessMilliseconds = 120
        splunk.oldestMilliseconds = 850
        splunk.queuedBytes = 1_200_000
        splunk.latencyMicroseconds = 42_000
        splunk.inFlight = 2
        splunk.concurrencyLimit = 8
        var archive = TargetHealth()
        archive.attempts = 5
        archive.consecutiveFailures = 5
        archive.queuedBytes = 16_000_000
        archive.concurrencyLimit = 1
        archive.breaker = .open
        archive.reason = "503 SlowDown"
        return .heartbeat(Heartbeat(term: 8, number: 42, health: [splunk, archive], lapsedMilliseconds: 1_500))
    }()

    static let records = Message.records(
        RecordsFrame(
            term: 8, targets: 0b11, keys: keys, grants: grants, lengths: [15, 12],
            bytes: SealedBytes(Array("{\"uid\":\"3f2b\"}\n{\"uid\":\"a\"}\n".utf8))))

    static let outcomes = Message.outcomes(
        Outcomes(row: 17, term: 8, target: 0, kind: .delivered, reason: "", keys: keys, grants: grants))

    static let gate = Message.gate(term: 8, isOpen: true, reason: "")

    static let fault = Message.error(PeerFault(code: .staleTerm, message: "term 7 is over: term 8 leads"))

    static let messages: [(name: String, message: Message)] = [
        ("hello", hello),
        ("welcome", welcome),
        (
            "not-leader",
            .notLeader(NotLeader(term: 8, leader: "coordinator-1", address: "coordinator-1.sidereal-system:7443"))
        ),
        ("heartbeat", heartbeat),
        ("heartbeat-echo", .heartbeat(Heartbeat(term: 8, number: 42, health: []))),
        ("assign", .assign(term: 8, grants: grants)),
        ("revoke", .revoke(term: 8, grants: [grants[0]])),
        ("released", .released(term: 8, grants: [grants[0]])),
        ("records", records),
        ("outcomes-delivered", outcomes),
        (
            "outcomes-dead",
            .outcomes(
                Outcomes(
                    row: 18, term: 8, target: 1, kind: .dead, reason: "400 mapper_parsing_exception", keys: [keys[1]],
                    grants: [grants[1]]))
        ),
        (
            "outcomes-failed",
            .outcomes(
                Outcomes(
                    row: 0, term: 8, target: 1, kind: .failed, reason: "503 SlowDown", keys: [keys[0]],
                    grants: [grants[0]]))
        ),
        ("settled", .settled(term: 8, through: 17)),
        ("gate-open", gate),
        ("gate-halted", .gate(term: 8, isOpen: false, reason: "soc-splunk: 5 attempts failed in a row")),
        ("drain", .drain(term: 8, reason: "SIGTERM")),
        ("error", fault),
    ]
}
