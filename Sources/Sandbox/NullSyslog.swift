internal import NIOCore

/// Counts syslog messages that come over TCP with their length before them (RFC 6587, 3.4.1; RFC 5425, 4.3).
///
/// Each must be a message of RFC 5424 that says which record it is: a JSON object behind the header, or a parameter
/// `uid` in the structured data. What is anything else ends the connection, for syslog has no other answer.
final class NullSyslog: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private static let mostDigits = 9
    private let log: TargetLog
    private let maxMessageBytes: Int
    private var rest = ByteBuffer()
    private var isFailed = false

    init(_ log: TargetLog, maxMessageBytes: Int) {
        self.log = log
        self.maxMessageBytes = maxMessageBytes
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isFailed else { return }
        var piece = unwrapInboundIn(data)
        if rest.readableBytes > 0 {
            rest.writeBuffer(&piece)
            piece = rest
        }
        let now = RecordTime.now
        var found = Found()
        do throws(RecordFault) {
            try unsafe count(piece.readableBytesUInt8Span.bytes, now: now, &found)
        } catch {
            isFailed = true
            log.update { state in
                state.stats.requestsRefused += 1
                state.stats.recordsRejected += 1
            }
        }
        log.count(records: found.records, bytes: found.end, found.delays)
        if isFailed { return context.close(promise: nil) }
        piece.moveReaderIndex(forwardBy: found.end)
        rest.clear()
        rest.writeBuffer(&piece)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private struct Found {
        var records = 0
        /// Where the last whole message ends.
        var end = 0
        var delays = DelayCounts()
    }

    private func count(_ bytes: RawSpan, now: Int64, _ found: inout Found) throws(RecordFault) {
        while let message = try frame(bytes, from: found.end, number: found.records + 1) {
            let text = bytes.extracting(message)
            if let time = try SyslogMessage.time(of: text, number: found.records + 1) { found.delays.note(now - time) }
            found.records += 1
            found.end = message.upperBound
        }
    }

    /// The next message, if all of it is there.
    private func frame(_ bytes: RawSpan, from start: Int, number: Int) throws(RecordFault) -> Range<Int>? {
        var length = 0
        var at = start
        while at < bytes.byteCount {
            let byte = unsafe bytes.unsafeLoad(fromByteOffset: at, as: UInt8.self)
            if byte == 0x20, at > start { break }
            guard (48...57).contains(byte), at - start < Self.mostDigits else {
                throw RecordFault(kind: .malformed, record: number)
            }
            length = length * 10 + Int(byte - 48)
            at += 1
        }
        guard length <= maxMessageBytes else { throw RecordFault(kind: .malformed, record: number) }
        guard at < bytes.byteCount, bytes.byteCount - at - 1 >= length else { return nil }
        return at + 1..<at + 1 + length
    }
}

/// A message of RFC 5424: `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG`.
enum SyslogMessage {
    /// When the record in it was made, if it says so.
    /// - Throws: ``RecordFault`` for what is no message, and for one without an identity.
    static func time(of text: RawSpan, number: Int) throws(RecordFault) -> Int64? {
        let malformed = RecordFault(kind: .malformed, record: number)
        guard text.byteCount > 4, byte(text, 0) == UInt8(ascii: "<"), let data = structuredData(text) else {
            throw malformed
        }
        guard let (end, hasUID) = passStructuredData(text, data) else { throw malformed }
        var at = end
        if at < text.byteCount {
            guard byte(text, at) == 0x20 else { throw malformed }
            at += 1
        }
        // MSG-UTF8 begins with a byte order mark (6.4).
        if at + 3 <= text.byteCount, byte(text, at) == 0xEF, byte(text, at + 1) == 0xBB, byte(text, at + 2) == 0xBF {
            at += 3
        }
        guard at < text.byteCount, byte(text, at) == UInt8(ascii: "{") else {
            guard hasUID else { throw RecordFault(kind: .withoutIdentity, record: number) }
            return nil
        }
        var scan = RecordScan(text, from: at)
        let marks: RecordMarks
        do throws(JSONFault) {
            marks = try scan.object()
            scan.skipSpace()
        } catch {
            throw malformed
        }
        guard scan.next == nil else { throw malformed }
        guard marks.hasIdentity || hasUID else { throw RecordFault(kind: .withoutIdentity, record: number) }
        return marks.time.flatMap { RecordTime.nanoseconds(text, $0) }
    }

    /// Where the structured data begins: behind `<PRI>1` and five fields, none of them empty.
    private static func structuredData(_ text: RawSpan) -> Int? {
        var at = 1
        while at < text.byteCount, (48...57).contains(byte(text, at)) { at += 1 }
        guard at > 1, at < 5, at + 2 < text.byteCount, byte(text, at) == UInt8(ascii: ">"),
            byte(text, at + 1) == UInt8(ascii: "1"), byte(text, at + 2) == 0x20
        else { return nil }
        at += 3
        for _ in 0..<5 {
            let start = at
            while at < text.byteCount, byte(text, at) > 0x20 { at += 1 }
            guard at > start, at < text.byteCount, byte(text, at) == 0x20 else { return nil }
            at += 1
        }
        return at
    }

    /// Where the structured data ends, and whether one of its parameters is a `uid`.
    private static func passStructuredData(_ text: RawSpan, _ start: Int) -> (end: Int, hasUID: Bool)? {
        var at = start
        guard at < text.byteCount else { return nil }
        if byte(text, at) == UInt8(ascii: "-") { return (at + 1, false) }
        var hasUID = false
        while at < text.byteCount, byte(text, at) == UInt8(ascii: "[") {
            var isQuoted = false
            var nameStart = at + 1
            at += 1
            while at < text.byteCount, isQuoted || byte(text, at) != UInt8(ascii: "]") {
                switch byte(text, at) {
                case UInt8(ascii: "\\") where isQuoted: at += 1
                case UInt8(ascii: "\""):
                    if !isQuoted, RecordTime.equals(text, nameStart..<at, "uid=") { hasUID = true }
                    isQuoted.toggle()
                case 0x20 where !isQuoted: nameStart = at + 1
                default: break
                }
                at += 1
            }
            guard at < text.byteCount else { return nil }
            at += 1
        }
        return at > start ? (at, hasUID) : nil
    }

    private static func byte(_ text: RawSpan, _ index: Int) -> UInt8 {
        unsafe text.unsafeLoad(fromByteOffset: index, as: UInt8.self)
    }
}
