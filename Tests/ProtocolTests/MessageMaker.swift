import Model

@testable import Protocol

/// Random messages of every kind, edges of their fields among them.
struct MessageMaker {
    var rng: PRNG

    init(seed: UInt64) { rng = PRNG(seed: seed) }

    mutating func below(_ bound: Int) -> Int { Int(rng.below(UInt64(bound))) }

    mutating func number<T: FixedWidthInteger & UnsignedInteger>(_: T.Type = T.self) -> T {
        switch rng.below(4) {
        case 0: 0
        case 1: T.max
        case 2: T(rng.below(100))
        default: T(truncatingIfNeeded: rng.next())
        }
    }

    private static let pieces = ["a", "-", "worker", " ", "é", "\u{1F6A8}", "\n", "\u{0}", "\"", "中"]

    mutating func text(_ bounds: ClosedRange<Int>) -> String {
        let wanted = rng.below(8) == 0 ? bounds.upperBound : bounds.lowerBound + below(24)
        var text = String(repeating: "x", count: bounds.lowerBound)
        while true {
            let piece = Self.pieces[below(Self.pieces.count)]
            guard text.utf8.count + piece.utf8.count <= min(wanted, bounds.upperBound) else { return text }
            text += piece
        }
    }

    mutating func name() -> String { text(1...ProtocolBounds.nameBytes) }

    mutating func reason() -> String { text(0...ProtocolBounds.reasonBytes) }

    mutating func key() -> RecordKey { RecordKey(high: number(), low: number()) }

    mutating func grant() -> ShardGrant { ShardGrant(shard: number(), epoch: number()) }

    mutating func list<Element>(_ limit: Int, _ make: (inout MessageMaker) -> Element) -> [Element] {
        (0..<below(limit + 1)).map { _ in make(&self) }
    }

    mutating func grants() -> [ShardGrant] { list(9) { $0.grant() } }

    mutating func hello() -> Hello {
        let lowest = max(1, number(UInt8.self))
        return Hello(
            versions: lowest...max(lowest, number(UInt8.self)), identity: name(), boot: key(),
            capacity: max(1, number(UInt16.self)), windowBytes: number(), term: number(),
            targets: list(ProtocolBounds.targets) { $0.name() },
            claims: list(12) { ShardClaim(term: $0.number(), grant: $0.grant()) })
    }

    mutating func welcome() -> Welcome {
        Welcome(
            version: 1, term: number(), leader: name(), leaseMilliseconds: max(1, number(UInt32.self)),
            shardCount: max(1, number(UInt16.self)), releaseMilliseconds: number(), targets: list(5) { $0.name() },
            marginMilliseconds: max(1, number(UInt32.self)))
    }

    mutating func health() -> TargetHealth {
        var health = TargetHealth()
        health.attempts = number()
        health.successes = number()
        health.consecutiveFailures = number()
        health.delivered = number()
        health.deliveredBytes = number()
        health.dead = number()
        health.sinceSuccessMilliseconds = rng.below(2) == 0 ? nil : number()
        health.oldestMilliseconds = rng.below(2) == 0 ? nil : number()
        health.queuedBytes = number()
        health.latencyMicroseconds = number()
        health.inFlight = number()
        health.concurrencyLimit = number()
        health.breaker = [.closed, .open, .halfOpen][below(3)]
        health.reason = text(0...ProtocolBounds.healthReasonBytes)
        return health
    }

    mutating func records() -> RecordsFrame {
        let keys = list(9) { $0.key() }
        let lengths = keys.map { _ in UInt32(1 + below(60)) }
        let bytes = (0..<lengths.reduce(0) { $0 + Int($1) }).map { _ in UInt8(truncatingIfNeeded: rng.next()) }
        return RecordsFrame(
            term: number(), targets: number(), keys: keys, grants: keys.map { _ in grant() }, lengths: lengths,
            bytes: SealedBytes(bytes))
    }

    mutating func outcomes() -> Outcomes {
        let keys = list(9) { $0.key() }
        return Outcomes(
            row: number(), term: number(), target: UInt8(below(ProtocolBounds.targets)),
            kind: [.delivered, .dead, .failed][below(3)], reason: reason(), keys: keys,
            grants: keys.map { _ in grant() })
    }

    mutating func next() -> Message {
        next(MessageType.allCases[below(MessageType.allCases.count)])
    }

    mutating func next(_ type: MessageType) -> Message {
        switch type {
        case .hello: .hello(hello())
        case .welcome: .welcome(welcome())
        case .notLeader:
            .notLeader(
                NotLeader(
                    term: number(), leader: text(0...ProtocolBounds.nameBytes),
                    address: text(0...ProtocolBounds.addressBytes)))
        case .heartbeat:
            .heartbeat(
                Heartbeat(
                    term: number(), number: number(), health: list(4) { $0.health() }, lapsedMilliseconds: number()))
        case .assign: .assign(term: number(), grants: grants())
        case .revoke: .revoke(term: number(), grants: grants())
        case .released: .released(term: number(), grants: grants())
        case .records: .records(records())
        case .outcomes: .outcomes(outcomes())
        case .settled: .settled(term: number(), through: number())
        case .gate: .gate(term: number(), isOpen: rng.below(2) == 0, reason: reason())
        case .drain: .drain(term: number(), reason: reason())
        case .error:
            .error(PeerFault(code: PeerFault.Code(rawValue: UInt16(1 + below(10))) ?? .shutdown, message: reason()))
        }
    }
}
