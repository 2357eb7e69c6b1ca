public import Model

/// Writes one frame.
///
/// Promises:
/// 1. What it writes, ``FrameDecoder`` reads, and gives the same message; only reasons longer than their bound are cut.
/// 2. On an error the writer is as it was.
/// 3. It allocates nothing but the writer's own growth.
public struct FrameEncoder: Sendable {
    /// The session's version; nil until one is agreed, and only the handshake can be written.
    public var version: UInt8?
    /// What this side speaks.
    public let release: ProtocolRelease

    /// For a new connection.
    public init(release: ProtocolRelease = .current) { self.release = release }

    /// Appends `message` as one frame.
    ///
    /// A `welcome` sets ``version``.
    /// - Throws: ``ProtocolError``: too large for a frame, a name or list out of its bounds, columns of different lengths,
    ///   or no session yet. All are mistakes of the caller.
    public mutating func encode(_ message: Message, into out: inout ByteWriter) throws(ProtocolError) {
        let start = out.count
        do throws(ProtocolError) {
            try write(message, into: &out)
        } catch {
            out.truncate(to: start)
            throw error
        }
    }

    /// `message` as a frame of its own, the same bytes as ``encode(_:into:)`` writes. Lines stay where they are.
    /// - Throws: as ``encode(_:into:)``.
    public mutating func frame(_ message: Message) throws(ProtocolError) -> OutgoingFrame {
        guard case .records(let records) = message else {
            var out = ByteWriter(capacity: 256)
            try write(message, into: &out)
            return OutgoingFrame(out.seal())
        }
        var head = ByteWriter(capacity: Frame.recordsSize(count: records.keys.count, bytes: 0))
        try begin(.records, into: &head)
        try PayloadWriter(start: 0, message: .records).columns(of: records, into: &head)
        var tail = ByteWriter(capacity: 64)
        if release.isNext { tail.append(bigEndian: NextRelease.trailer) }
        try setLength(head.count + records.lines.count + tail.count, of: .records, at: 0, in: &head)
        return OutgoingFrame(head: head.seal(), lines: records.lines, tail: tail.seal())
    }

    private mutating func write(_ message: Message, into out: inout ByteWriter) throws(ProtocolError) {
        let type = message.type
        let start = out.count
        try begin(type, into: &out)
        try PayloadWriter(start: start, message: type).write(message, into: &out)
        if release.isNext { out.append(bigEndian: NextRelease.trailer) }
        try setLength(out.count - start, of: type, at: start, in: &out)
        if type.hasChecksum { out.append(bigEndian: CRC32C.of(out.span, start..<out.count)) }
        if case .welcome(let welcome) = message { try agree(on: welcome.version) }
    }

    private func begin(_ type: MessageType, into out: inout ByteWriter) throws(ProtocolError) {
        guard type.isHandshake || version != nil else {
            throw ProtocolError(.noSession, type.name, "type", at: 5, expected: "a handshake first", found: type.name)
        }
        out.append(bigEndian: UInt32(0))
        out.append(type.isHandshake ? 0 : version ?? 0)
        out.append(type.rawValue)
        out.append(bigEndian: UInt16(0))
    }

    /// Says how long the frame that begins at `start` is: `count` bytes, and its checksum.
    private func setLength(
        _ count: Int, of type: MessageType, at start: Int, in out: inout ByteWriter
    ) throws(ProtocolError) {
        let length = count + (type.hasChecksum ? Frame.checksumBytes : 0) - Frame.lengthBytes
        let limit = type.isHandshake ? Frame.maxHandshakeLength : Frame.maxLength
        guard length <= limit else {
            throw ProtocolError(.tooLarge, type.name, "length", at: 0, expected: "at most \(limit)", found: "\(length)")
        }
        out.replace(at: start, withBigEndian: UInt32(length))
    }

    private mutating func agree(on chosen: UInt8) throws(ProtocolError) {
        guard release.versions.contains(chosen), version == nil || version == chosen else {
            throw ProtocolError(
                .version, MessageType.welcome.name, "version", at: Frame.headerBytes,
                expected: "\(release.versions.lowerBound) to \(release.versions.upperBound)", found: "\(chosen)")
        }
        version = chosen
    }

    /// Appends the message that only ``ProtocolRelease/next`` knows; others skip it.
    @_spi(NextRelease) public func encodeSkippable(into out: inout ByteWriter) {
        out.append(bigEndian: UInt32(Frame.headerBytes - Frame.lengthBytes + 8))
        out.append(version ?? 0)
        out.append(NextRelease.skippableType)
        out.append(bigEndian: FrameFlags.skippable)
        out.append(bigEndian: NextRelease.trailer)
    }
}

/// Writes payloads, and holds their bounds.
struct PayloadWriter {
    /// Where the frame begins in the writer.
    let start: Int
    let message: MessageType

    private func error(
        _ kind: ProtocolError.Kind, _ field: String, _ out: borrowing ByteWriter, expected: String, found: String
    ) -> ProtocolError {
        ProtocolError(kind, message.name, field, at: out.count - start, expected: expected, found: found)
    }

    private func demand<T: Comparable>(
        _ value: T, in range: ClosedRange<T>, _ field: StaticString, _ out: borrowing ByteWriter
    ) throws(ProtocolError) {
        guard range.contains(value) else {
            throw error(
                .value, "\(field)", out, expected: "\(range.lowerBound) to \(range.upperBound)", found: "\(value)")
        }
    }

    // MARK: Kinds of fields

    /// A text that is refused if it is out of bounds: what it names would be another.
    private func name(
        _ text: String, _ field: StaticString, _ bounds: ClosedRange<Int> = 1...ProtocolBounds.nameBytes,
        into out: inout ByteWriter
    ) throws(ProtocolError) {
        let count = text.utf8.count
        try demand(count, in: bounds, field, out)
        out.append(bigEndian: UInt16(count))
        out.append(string: text)
    }

    /// A text that is cut at `limit` bytes, between characters.
    private func reason(_ text: String, _ limit: Int = ProtocolBounds.reasonBytes, into out: inout ByteWriter) {
        let utf8 = text.utf8
        guard utf8.count > limit else {
            out.append(bigEndian: UInt16(utf8.count))
            out.append(string: text)
            return
        }
        var end = utf8.index(utf8.startIndex, offsetBy: limit)
        while end.samePosition(in: text.unicodeScalars) == nil { end = utf8.index(before: end) }
        let cut = String(text[..<end])
        out.append(bigEndian: UInt16(cut.utf8.count))
        out.append(string: cut)
    }

    private func optional(_ value: UInt64?, into out: inout ByteWriter) {
        out.append(value == nil ? 0 : 1)
        out.append(bigEndian: value ?? 0)
    }

    private func targets(_ names: [String], into out: inout ByteWriter) throws(ProtocolError) {
        try demand(names.count, in: 0...ProtocolBounds.targets, "target-count", out)
        out.append(UInt8(names.count))
        for target in names { try name(target, "targets", into: &out) }
    }

    private func grants(
        term: UInt64, _ grants: [ShardGrant], into out: inout ByteWriter
    ) throws(ProtocolError) {
        out.append(bigEndian: term)
        try demand(grants.count, in: 0...ProtocolBounds.shards, "grant-count", out)
        out.append(bigEndian: UInt32(grants.count))
        out.append(grants)
    }

    private func fits(_ count: Int, of size: Int, _ field: StaticString, _ out: borrowing ByteWriter)
        throws(ProtocolError)
    {
        guard count <= Frame.maxLength / size else {
            throw error(.tooLarge, "\(field)", out, expected: "at most \(Frame.maxLength / size)", found: "\(count)")
        }
    }

    // MARK: Messages

    func write(_ message: Message, into out: inout ByteWriter) throws(ProtocolError) {
        switch message {
        case .hello(let hello): try write(hello, into: &out)
        case .welcome(let welcome): try write(welcome, into: &out)
        case .notLeader(let other):
            out.append(bigEndian: other.term)
            try name(other.leader, "leader", 0...ProtocolBounds.nameBytes, into: &out)
            try name(other.address, "address", 0...ProtocolBounds.addressBytes, into: &out)
        case .heartbeat(let heartbeat): try write(heartbeat, into: &out)
        case .assign(let term, let list), .revoke(let term, let list), .released(let term, let list):
            try grants(term: term, list, into: &out)
        case .records(let records): try write(records, into: &out)
        case .outcomes(let outcomes): try write(outcomes, into: &out)
        case .settled(let term, let row):
            out.append(bigEndian: term)
            out.append(bigEndian: row)
        case .gate(let term, let isOpen, let text):
            out.append(bigEndian: term)
            out.append(isOpen ? 1 : 0)
            reason(text, into: &out)
        case .drain(let term, let text):
            out.append(bigEndian: term)
            reason(text, into: &out)
        case .error(let fault):
            out.append(bigEndian: fault.code.rawValue)
            reason(fault.message, into: &out)
        }
    }

    private func write(_ hello: Hello, into out: inout ByteWriter) throws(ProtocolError) {
        try demand(hello.versions.lowerBound, in: 1...UInt8.max, "lowest-version", out)
        out.append(hello.versions.lowerBound)
        out.append(hello.versions.upperBound)
        try name(hello.identity, "identity", into: &out)
        out.append(bigEndian: hello.boot.high)
        out.append(bigEndian: hello.boot.low)
        try demand(hello.capacity, in: 1...UInt16.max, "capacity", out)
        out.append(bigEndian: hello.capacity)
        out.append(bigEndian: hello.windowBytes)
        out.append(bigEndian: hello.term)
        try targets(hello.targets, into: &out)
        try demand(hello.claims.count, in: 0...ProtocolBounds.shards, "claim-count", out)
        out.append(bigEndian: UInt32(hello.claims.count))
        for claim in hello.claims {
            out.append(bigEndian: claim.term)
            out.append(bigEndian: claim.grant.shard)
            out.append(bigEndian: claim.grant.epoch)
        }
    }

    private func write(_ welcome: Welcome, into out: inout ByteWriter) throws(ProtocolError) {
        try demand(welcome.version, in: 1...UInt8.max, "version", out)
        out.append(welcome.version)
        out.append(bigEndian: welcome.term)
        try name(welcome.leader, "leader", into: &out)
        try demand(welcome.leaseMilliseconds, in: 1...UInt32.max, "lease", out)
        out.append(bigEndian: welcome.leaseMilliseconds)
        try demand(welcome.shardCount, in: 1...UInt16.max, "shard-count", out)
        out.append(bigEndian: welcome.shardCount)
        out.append(bigEndian: welcome.releaseMilliseconds)
        try targets(welcome.targets, into: &out)
        try demand(welcome.marginMilliseconds, in: 1...UInt32.max, "margin", out)
        out.append(bigEndian: welcome.marginMilliseconds)
    }

    private func write(_ heartbeat: Heartbeat, into out: inout ByteWriter) throws(ProtocolError) {
        out.append(bigEndian: heartbeat.term)
        out.append(bigEndian: heartbeat.number)
        try demand(heartbeat.health.count, in: 0...ProtocolBounds.targets, "health-count", out)
        out.append(UInt8(heartbeat.health.count))
        for health in heartbeat.health {
            let size = out.count
            out.append(bigEndian: UInt16(0))
            write(health, into: &out)
            let written = UInt16(out.count - size - 2)
            out.replace(at: size, with: UInt8(written >> 8))
            out.replace(at: size + 1, with: UInt8(truncatingIfNeeded: written))
        }
        out.append(bigEndian: heartbeat.lapsedMilliseconds)
    }

    private func write(_ health: TargetHealth, into out: inout ByteWriter) {
        out.append(bigEndian: health.attempts)
        out.append(bigEndian: health.successes)
        out.append(bigEndian: health.consecutiveFailures)
        out.append(bigEndian: health.delivered)
        out.append(bigEndian: health.deliveredBytes)
        out.append(bigEndian: health.dead)
        optional(health.sinceSuccessMilliseconds, into: &out)
        optional(health.oldestMilliseconds, into: &out)
        out.append(bigEndian: health.queuedBytes)
        out.append(bigEndian: health.latencyMicroseconds)
        out.append(bigEndian: health.inFlight)
        out.append(bigEndian: health.concurrencyLimit)
        out.append(health.breaker.rawValue)
        reason(health.reason, ProtocolBounds.healthReasonBytes, into: &out)
    }

    private func write(_ records: RecordsFrame, into out: inout ByteWriter) throws(ProtocolError) {
        // The header is there already: to ask for it again would make a buffer of the frame's exact size grow to twice that.
        out.reserve(Frame.recordsSize(count: records.keys.count, bytes: records.lines.count) - Frame.headerBytes)
        try columns(of: records, into: &out)
        records.lines.write(into: &out)
    }

    /// All that goes before the lines.
    func columns(of records: RecordsFrame, into out: inout ByteWriter) throws(ProtocolError) {
        let count = records.keys.count
        let sum = records.lengths.reduce(UInt64(0)) { $0 &+ UInt64($1) }
        guard records.grants.count == count, records.lengths.count == count, sum == UInt64(records.lines.count),
            !records.lengths.contains(0)
        else {
            throw error(
                .count, "record-count", out, expected: "columns of one length, and lengths above zero with the sum",
                found: "\(count) keys, \(records.grants.count) grants, \(records.lengths.count) lengths "
                    + "of together \(sum), \(records.lines.count) bytes")
        }
        try fits(
            Frame.recordsSize(count: count, bytes: records.lines.count) - Frame.lengthBytes, of: 1, "length", out)
        out.append(bigEndian: records.term)
        out.append(bigEndian: records.targets)
        out.append(bigEndian: UInt32(count))
        out.append(records.keys)
        out.append(records.grants)
        out.append(records.lengths)
        out.append(bigEndian: UInt32(records.lines.count))
    }

    private func write(_ outcomes: Outcomes, into out: inout ByteWriter) throws(ProtocolError) {
        let count = outcomes.keys.count
        guard outcomes.grants.count == count else {
            throw error(
                .count, "record-count", out, expected: "columns of one length",
                found: "\(count) keys, \(outcomes.grants.count) grants")
        }
        try fits(count, of: RecordColumns.key + RecordColumns.grant, "record-count", out)
        out.append(bigEndian: outcomes.row)
        out.append(bigEndian: outcomes.term)
        try demand(outcomes.target, in: 0...UInt8(ProtocolBounds.targets - 1), "target", out)
        out.append(outcomes.target)
        out.append(outcomes.kind.rawValue)
        reason(outcomes.reason, into: &out)
        out.reserve(count * (RecordColumns.key + RecordColumns.grant) + Frame.checksumBytes)
        out.append(bigEndian: UInt32(count))
        out.append(outcomes.keys)
        out.append(outcomes.grants)
    }
}
