public import Model

/// Reads one frame.
///
/// Promises:
/// 1. No bytes can crash it. What it refuses, it names: ``ProtocolError``.
/// 2. It allocates nothing that the frame is too short for, and nothing per record.
/// 3. Fields behind the known ones are passed over, so later versions may add some.
public struct FrameDecoder: Sendable {
    /// The session's version; nil until one is agreed, and only the handshake can be read.
    public var version: UInt8?
    /// What this side speaks.
    public let release: ProtocolRelease

    /// For a new connection.
    public init(release: ProtocolRelease = .current) { self.release = release }

    /// The message of `frame`, which is one whole frame, length field included; nil if it is of a kind that this version
    /// does not know and may skip.
    ///
    /// A `welcome` sets ``version``.
    /// - Throws: ``ProtocolError``. The connection cannot be used any more: tell the peer ``ProtocolError/fault``, close.
    public mutating func decode(_ frame: Span<UInt8>) throws(ProtocolError) -> Message? {
        try decode(frame, of: nil)
    }

    /// The same for shared bytes: the lines of records stay where they are.
    public mutating func decode(_ frame: SealedBytes) throws(ProtocolError) -> Message? {
        try decode(frame.span, of: frame)
    }

    private mutating func decode(_ frame: Span<UInt8>, of owner: SealedBytes?) throws(ProtocolError) -> Message? {
        let limit = version == nil ? Frame.maxHandshakeLength : Frame.maxLength
        let size = try Frame.size(frame, limit: limit) ?? 0
        guard size == frame.count, size >= Frame.headerBytes else {
            throw ProtocolError(
                .truncated, "frame", "length", at: 0, expected: "\(size) bytes", found: "\(frame.count)")
        }
        guard let type = try knownType(frame) else { return nil }
        var end = size
        if type.hasChecksum { end = try checked(frame, type) }
        var reader = PayloadReader(frame, Frame.headerBytes..<end, of: type, in: owner)
        let message = try Self.read(&reader, type)
        if release.isNext { try readTrailer(&reader, type) }
        if case .welcome(let welcome) = message { try agree(on: welcome.version) }
        return message
    }

    /// Looks at version, type and flags; nil for what is to be skipped.
    private func knownType(_ frame: borrowing Span<UInt8>) throws(ProtocolError) -> MessageType? {
        let type = MessageType(rawValue: frame[5])
        let name = type?.name ?? "frame"
        let flags = UInt16(frame[6]) << 8 | UInt16(frame[7])
        guard frame[4] == 0 || frame[4] == version || version == nil else {
            throw ProtocolError(
                .version, name, "version", at: 4, expected: "0 or \(version ?? 0)", found: "\(frame[4])")
        }
        guard flags & FrameFlags.critical == 0 else {
            let found = "0x" + String(flags & FrameFlags.critical, radix: 16)
            throw ProtocolError(
                .unknownFlag, name, "flags", at: 6, expected: "no unknown flag above 0xff", found: found)
        }
        guard let type else {
            if flags & FrameFlags.skippable != 0 { return nil }
            throw ProtocolError(
                .unknownType, name, "type", at: 5, expected: "a known type, or the flag to skip it",
                found: "0x" + String(frame[5], radix: 16))
        }
        guard type.isHandshake == (frame[4] == 0) else {
            throw ProtocolError(
                .version, name, "version", at: 4, expected: type.isHandshake ? "0" : "the session's",
                found: "\(frame[4])")
        }
        guard type.isHandshake || version != nil else {
            throw ProtocolError(.noSession, name, "type", at: 5, expected: "a handshake first", found: "\(name)")
        }
        return type
    }

    /// Holds the checksum against the frame; where the payload ends.
    private func checked(_ frame: borrowing Span<UInt8>, _ type: MessageType) throws(ProtocolError) -> Int {
        let end = frame.count - Frame.checksumBytes
        guard end >= Frame.headerBytes else {
            throw ProtocolError(
                .truncated, type.name, "checksum", at: Frame.headerBytes, expected: "4 bytes",
                found: "\(frame.count - Frame.headerBytes)")
        }
        let said = (end..<frame.count).reduce(UInt32(0)) { $0 << 8 | UInt32(frame[$1]) }
        let is32 = CRC32C.of(frame, 0..<end)
        guard said == is32 else {
            throw ProtocolError(
                .checksum, type.name, "checksum", at: end, expected: "0x" + String(is32, radix: 16),
                found: "0x" + String(said, radix: 16))
        }
        return end
    }

    private mutating func agree(on chosen: UInt8) throws(ProtocolError) {
        guard release.versions.contains(chosen), version == nil || version == chosen else {
            let spoken = version.map { "\($0)" } ?? "\(release.versions.lowerBound) to \(release.versions.upperBound)"
            throw ProtocolError(
                .version, MessageType.welcome.name, "version", at: Frame.headerBytes, expected: spoken,
                found: "\(chosen)")
        }
        version = chosen
    }

    private func readTrailer(_ reader: inout PayloadReader, _ type: MessageType) throws(ProtocolError) {
        guard reader.remaining > 0 || (!type.isHandshake && version ?? 0 >= NextRelease.version) else { return }
        _ = try reader.integer("trailer", in: NextRelease.trailer...NextRelease.trailer)
    }
}

extension FrameDecoder {
    private static func read(_ reader: inout PayloadReader, _ type: MessageType) throws(ProtocolError) -> Message {
        switch type {
        case .hello: return .hello(try hello(&reader))
        case .welcome: return .welcome(try welcome(&reader))
        case .notLeader:
            return .notLeader(
                NotLeader(
                    term: try reader.integer("term"), leader: try reader.text("leader", 0...ProtocolBounds.nameBytes),
                    address: try reader.text("address", 0...ProtocolBounds.addressBytes)))
        case .heartbeat: return .heartbeat(try heartbeat(&reader))
        case .assign: return .assign(term: try reader.integer("term"), grants: try grants(&reader))
        case .revoke: return .revoke(term: try reader.integer("term"), grants: try grants(&reader))
        case .released: return .released(term: try reader.integer("term"), grants: try grants(&reader))
        case .records: return .records(try records(&reader))
        case .outcomes: return .outcomes(try outcomes(&reader))
        case .settled: return .settled(term: try reader.integer("term"), through: try reader.integer("through"))
        case .gate:
            return .gate(
                term: try reader.integer("term"), isOpen: try reader.flag("open"), reason: try reader.reason("reason"))
        case .drain: return .drain(term: try reader.integer("term"), reason: try reader.reason("reason"))
        case .error: return .error(PeerFault(code: try reader.choice("code"), message: try reader.reason("message")))
        }
    }

    private static func hello(_ reader: inout PayloadReader) throws(ProtocolError) -> Hello {
        let lowest = try reader.integer("lowest-version", in: 1...UInt8.max)
        let highest = try reader.integer("highest-version", in: lowest...UInt8.max)
        let identity = try reader.name("identity")
        let boot = try reader.key("boot")
        let capacity = try reader.integer("capacity", in: 1...UInt16.max)
        let window: UInt64 = try reader.integer("window-bytes")
        let term: UInt64 = try reader.integer("term")
        let targets = try targets(&reader)
        let count = try reader.count(
            "claim-count", as: UInt32.self, of: RecordColumns.claim, limit: ProtocolBounds.shards)
        var claims: [ShardClaim] = []
        claims.reserveCapacity(count)
        for _ in 0..<count {
            let term: UInt64 = try reader.integer("claims")
            let grant = ShardGrant(shard: try reader.integer("claims"), epoch: try reader.integer("claims"))
            claims.append(ShardClaim(term: term, grant: grant))
        }
        return Hello(
            versions: lowest...highest, identity: identity, boot: boot, capacity: capacity, windowBytes: window,
            term: term, targets: targets, claims: claims)
    }

    private static func welcome(_ reader: inout PayloadReader) throws(ProtocolError) -> Welcome {
        Welcome(
            version: try reader.integer("version", in: 1...UInt8.max), term: try reader.integer("term"),
            leader: try reader.name("leader"), leaseMilliseconds: try reader.integer("lease", in: 1...UInt32.max),
            shardCount: try reader.integer("shard-count", in: 1...UInt16.max),
            releaseMilliseconds: try reader.integer("release"), targets: try targets(&reader),
            marginMilliseconds: try reader.integer("margin", in: 1...UInt32.max))
    }

    private static func targets(_ reader: inout PayloadReader) throws(ProtocolError) -> [String] {
        // A length and one byte at least.
        let count = try reader.count("target-count", as: UInt8.self, of: 3, limit: ProtocolBounds.targets)
        var targets: [String] = []
        targets.reserveCapacity(count)
        for _ in 0..<count { targets.append(try reader.name("targets")) }
        return targets
    }

    private static func heartbeat(_ reader: inout PayloadReader) throws(ProtocolError) -> Heartbeat {
        let term: UInt64 = try reader.integer("term")
        let number: UInt64 = try reader.integer("number")
        let count = try reader.count("health-count", as: UInt8.self, of: 2, limit: ProtocolBounds.targets)
        var all: [TargetHealth] = []
        all.reserveCapacity(count)
        for index in 0..<count { all.append(try reader.element(index, of: "health", health)) }
        return Heartbeat(
            term: term, number: number, health: all, lapsedMilliseconds: try reader.integer("lapsed"))
    }

    private static func health(_ reader: inout PayloadReader) throws(ProtocolError) -> TargetHealth {
        var health = TargetHealth()
        health.attempts = try reader.integer("attempts")
        health.successes = try reader.integer("successes")
        health.consecutiveFailures = try reader.integer("consecutive-failures")
        health.delivered = try reader.integer("delivered")
        health.deliveredBytes = try reader.integer("delivered-bytes")
        health.dead = try reader.integer("dead")
        health.sinceSuccessMilliseconds = try reader.optional("since-success")
        health.oldestMilliseconds = try reader.optional("oldest")
        health.queuedBytes = try reader.integer("queued-bytes")
        health.latencyMicroseconds = try reader.integer("latency")
        health.inFlight = try reader.integer("in-flight")
        health.concurrencyLimit = try reader.integer("concurrency-limit")
        health.breaker = try reader.choice("breaker")
        health.reason = try reader.text("reason", 0...ProtocolBounds.healthReasonBytes)
        return health
    }

    private static func grants(_ reader: inout PayloadReader) throws(ProtocolError) -> [ShardGrant] {
        let count = try reader.count(
            "grant-count", as: UInt32.self, of: RecordColumns.grant, limit: ProtocolBounds.shards)
        return try reader.grants(count, "grants")
    }

    private static func records(_ reader: inout PayloadReader) throws(ProtocolError) -> RecordsFrame {
        let term: UInt64 = try reader.integer("term")
        let targets: UInt32 = try reader.integer("targets")
        let size = RecordColumns.key + RecordColumns.grant + RecordColumns.length
        let count = try reader.count("record-count", as: UInt32.self, of: size)
        let keys = try reader.keys(count, "keys")
        let grants = try reader.grants(count, "grants")
        let lengths = try reader.lengths(count, "lengths")
        let byteCount = try reader.count("byte-count", as: UInt32.self, of: 1)
        let sum = lengths.reduce(UInt64(0)) { $0 &+ UInt64($1) }
        guard sum == UInt64(byteCount), !lengths.contains(0) else {
            throw reader.error(
                .count, "byte-count", back: 4, expected: "the sum of the lengths, none of them zero: \(sum)",
                found: "\(byteCount)")
        }
        return RecordsFrame(
            term: term, targets: targets, keys: keys, grants: grants, lengths: lengths,
            bytes: try reader.sealed(byteCount, "bytes"))
    }

    private static func outcomes(_ reader: inout PayloadReader) throws(ProtocolError) -> Outcomes {
        let row: UInt64 = try reader.integer("row")
        let term: UInt64 = try reader.integer("term")
        let target = try reader.integer("target", in: 0...UInt8(ProtocolBounds.targets - 1))
        let kind: Outcomes.Kind = try reader.choice("kind")
        let reason = try reader.reason("reason")
        let count = try reader.count("record-count", as: UInt32.self, of: RecordColumns.key + RecordColumns.grant)
        return Outcomes(
            row: row, term: term, target: target, kind: kind, reason: reason, keys: try reader.keys(count, "keys"),
            grants: try reader.grants(count, "grants"))
    }
}
