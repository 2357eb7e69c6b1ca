internal import Model
internal import NIOCore
internal import NIOHTTP1

/// A look-alike of the Splunk HTTP Event Collector: paths, texts and codes of Splunk Enterprise
/// ("HTTP Event Collector REST API endpoints", "Troubleshoot HTTP Event Collector").
struct SplunkHEC: LookAlike {
    let log: TargetLog
    let maxBodyBytes: Int
    private let token: Secret
    private let acknowledges: Bool

    init(_ options: SandboxOptions, log: TargetLog) {
        self.log = log
        maxBodyBytes = options.maxBodyBytes
        token = options.token
        acknowledges = options.acknowledge
    }

    func isPoll(_ head: HTTPRequestHead) -> Bool { head.uri.prefix { $0 != "?" } == Self.ackPath }

    private static let ackPath = "/services/collector/ack"

    func carriesRecords(_ head: HTTPRequestHead) -> Bool { head.method == .POST }

    func serve(_ request: HTTPRequest) -> HTTPReply {
        switch (request.head.method, request.path) {
        case (.GET, "/services/collector/health"), (.GET, "/services/collector/health/1.0"):
            return Self.reply(.ok, "HEC is healthy", 17)
        case (.POST, "/services/collector"), (.POST, "/services/collector/event"),
            (.POST, "/services/collector/event/1.0"):
            let reply = collect(request)
            if reply.status != .ok { log.update { $0.stats.requestsRefused += 1 } }
            return reply
        case (.POST, Self.ackPath[...]): return acknowledge(request)
        case (_, "/services/collector"), (_, "/services/collector/event"):
            return Self.reply(.methodNotAllowed, "Method Not Allowed", 405)
        default:
            return Self.reply(.notFound, "The requested URL was not found on this server.", 404)
        }
    }

    func refusal(_ status: HTTPResponseStatus) -> HTTPReply {
        switch status.code {
        case 401: Self.reply(status, "Token is required", 2)
        case 403: Self.reply(status, "Invalid token", 4)
        case 429: Self.reply(status, "Queue at capacity", 26)
        case 500: Self.reply(status, "Internal server error", 8)
        case 503: Self.reply(status, "Server is busy", 9)
        default: HTTPReply(status, json: "{\"text\":\"Failure injected by the sandbox\"}")
        }
    }

    func bodyTooLong() -> HTTPReply {
        Self.reply(.payloadTooLarge, "Content-Length of \(maxBodyBytes) bytes exceeded", 27)
    }

    private static func reply(
        _ status: HTTPResponseStatus, _ text: String, _ code: Int, invalidEvent: Int? = nil, ackID: Int64? = nil
    ) -> HTTPReply {
        var body = ByteBuffer(string: "{\"text\":")
        body.writeJSON(text)
        body.writeString(",\"code\":\(code)")
        if let invalidEvent { body.writeString(",\"invalid-event-number\":\(invalidEvent)") }
        if let ackID { body.writeString(",\"ackId\":\(ackID)") }
        body.writeStaticString("}")
        return HTTPReply(status, body)
    }

    private func refuseToken(_ request: HTTPRequest) -> HTTPReply? {
        guard let credentials = request.header("Authorization") else {
            return Self.reply(.unauthorized, "Token is required", 2)
        }
        guard credentials.hasPrefix("Splunk ") else {
            return Self.reply(.unauthorized, "Invalid authorization", 3)
        }
        guard credentials.dropFirst(7) == token.reveal() else { return Self.reply(.forbidden, "Invalid token", 4) }
        return nil
    }

    /// The channel of a request, in the header or the query; or the refusal, for one that needs it and has none.
    private func channel(_ request: HTTPRequest) -> Result<String, ChannelFault> {
        let named = request.header("X-Splunk-Request-Channel") ?? request.query("channel").map(String.init)
        guard let named else { return .failure(.missing) }
        return HECAcknowledgement.isChannel(named) ? .success(named.lowercased()) : .failure(.invalid)
    }

    private enum ChannelFault: Error {
        case missing, invalid

        var reply: HTTPReply {
            switch self {
            case .missing: SplunkHEC.reply(.badRequest, "Data channel is missing", 10)
            case .invalid: SplunkHEC.reply(.badRequest, "Invalid data channel", 11)
            }
        }
    }

    private static var now: Tick { Tick(nanoseconds: NIODeadline.now().uptimeNanoseconds) }

    private func acknowledge(_ request: HTTPRequest) -> HTTPReply {
        if let refused = refuseToken(request) { return refused }
        guard acknowledges else { return Self.reply(.badRequest, "ACK is disabled", 14) }
        let name: String
        do throws(ChannelFault) { name = try channel(request).get() } catch { return error.reply }
        guard let ids = HECAcknowledgement.question([UInt8](request.body.readableBytesView)) else {
            return Self.reply(.badRequest, "Invalid data format", 6)
        }
        let now = Self.now
        let ready = log.update { state -> Set<Int64>? in
            state.stats.ackPolls += 1
            if state.plan.refusesPoll() { return nil }
            let expiry = state.plan.faults.ackExpiryMilliseconds
            let ready = state.acknowledgement.take(ids, of: name, now: now, expiryMilliseconds: expiry)
            state.stats.ackConfirmed += ready.count
            return ready
        }
        guard let ready else { return Self.reply(.badRequest, "Invalid data format", 6) }
        let words = ids.map { "\"\($0)\":\(ready.contains($0))" }
        return HTTPReply(.ok, json: "{\"acks\":{\(words.joined(separator: ","))}}")
    }

    /// The number that a request which was taken is asked for by; nil if the token does not acknowledge.
    private func number(_ name: String?) -> Int64? {
        guard let name else { return nil }
        let now = Self.now
        return log.update { state in
            let trueAt = state.plan.acknowledgedAt(now)
            let expiry = state.plan.faults.ackExpiryMilliseconds
            return state.acknowledgement.number(on: name, trueAt: trueAt, now: now, expiryMilliseconds: expiry)
        }
    }

    private func collect(_ request: HTTPRequest) -> HTTPReply {
        if let refused = refuseToken(request) { return refused }
        var name: String?
        if acknowledges {
            do throws(ChannelFault) { name = try channel(request).get() } catch { return error.reply }
        }
        let body: [UInt8]
        do {
            body = try request.plainBody(limit: maxBodyBytes)
        } catch {
            switch error {
            case .encoding(let name):
                return Self.reply(.unsupportedMediaType, "Unsupported Content-Encoding: \(name)", 415)
            case .tooLong: return bodyTooLong()
            case .damaged: return Self.reply(.badRequest, "Invalid data format", 6, invalidEvent: 0)
            }
        }
        let batch = HECBatch(body)
        log.update { state in
            state.stats.bytesUncompressed += body.count
            state.stats.recordsReceived += batch.identities.count
            state.stats.droppedByUnknownKey += batch.dropped
            state.stats.recordsRejected += batch.fault == nil || batch.fault == .noData ? 0 : 1
            for identity in batch.identities {
                if let identity {
                    _ = state.note(identity, index: "")
                } else {
                    state.stats.recordsWithoutID += 1
                }
            }
        }
        guard let fault = batch.fault else { return Self.reply(.ok, "Success", 0, ackID: number(name)) }
        // Events before the bad one are indexed already, so it is also the count of those.
        let number = fault == .noData ? nil : batch.identities.count
        return Self.reply(.badRequest, fault.text, fault.rawValue, invalidEvent: number)
    }
}

/// The envelopes of one HEC body, read as the receiver reads them: one after another until one is bad.
struct HECBatch {
    /// Codes of the receiver's answer.
    enum Fault: Int {
        case noData = 5
        case invalidFormat = 6
        case eventRequired = 12
        case eventBlank = 13
        case indexedFields = 15

        var text: String {
            switch self {
            case .noData: "No data"
            case .invalidFormat: "Invalid data format"
            case .eventRequired: "Event field is required"
            case .eventBlank: "Event field cannot be blank"
            case .indexedFields: "Error in handling indexed fields"
            }
        }
    }

    /// Identities of the events that are indexed, in order; nil for an event without one.
    private(set) var identities: [String?] = []
    /// Events lost behind an unknown key, the one with the key included.
    private(set) var dropped = 0
    private(set) var fault: Fault?

    private static let strings: Set<String> = ["host", "source", "sourcetype", "index"]

    private struct Envelope {
        var hasUnknownKey = false
        var identity: String?
        var fault: Fault?
    }

    init(_ body: [UInt8]) {
        var scanner = JSONScanner(body)
        scanner.skipWhitespace()
        if scanner.isAtEnd { fault = .noData }
        while !scanner.isAtEnd, fault == nil {
            do {
                let envelope = try Self.envelope(&scanner)
                if dropped > 0 || envelope.hasUnknownKey {
                    dropped += 1
                } else if envelope.fault == nil {
                    identities.append(envelope.identity)
                }
                if dropped == 0 { fault = envelope.fault }
                scanner.skipWhitespace()
            } catch {
                // What follows an unknown key is not looked at by the receiver, so it cannot be an error.
                if dropped > 0 { return }
                fault = .invalidFormat
            }
        }
    }

    private static func envelope(_ scanner: inout JSONScanner) throws(JSONFault) -> Envelope {
        var envelope = Envelope()
        var event: JSONScanner.Value?
        var fieldsUID: String?
        var isMalformed = false
        var hasBadFields = false
        try scanner.members { (scanner, key) throws(JSONFault) in
            let value = try scanner.value()
            switch key {
            case "time": isMalformed = isMalformed || !isTime(value, scanner)
            case "event": event = value
            case "fields":
                do { fieldsUID = try flatFields(value, scanner) } catch { hasBadFields = true }
            case _ where strings.contains(key): isMalformed = isMalformed || value.kind != .string
            default: envelope.hasUnknownKey = true
            }
        }
        if isMalformed { envelope.fault = .invalidFormat }
        guard let event else {
            envelope.fault = envelope.fault ?? .eventRequired
            return envelope
        }
        if isBlank(event, scanner) { envelope.fault = envelope.fault ?? .eventBlank }
        if hasBadFields { envelope.fault = envelope.fault ?? .indexedFields }
        envelope.identity = try metadataUID(event, scanner) ?? fieldsUID
        return envelope
    }

    private static func isBlank(_ event: JSONScanner.Value, _ scanner: JSONScanner) -> Bool {
        switch event.kind {
        case .null, .bool(false): true
        case .string: scanner.text(event.range).allSatisfy(\.isWhitespace)
        default: false
        }
    }

    /// Plain decimal seconds with at most 6 fraction digits, as a number or as a string of one.
    private static func isTime(_ value: JSONScanner.Value, _ scanner: JSONScanner) -> Bool {
        guard value.kind == .number || value.kind == .string else { return false }
        let range = value.kind == .string ? value.range.dropFirst().dropLast() : value.range
        let parts = scanner.bytes[range].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count <= 2, let seconds = parts.first, !seconds.isEmpty else { return false }
        let fraction = parts.count == 2 ? parts[1] : [48]
        return (1...6).contains(fraction.count) && (seconds + fraction).allSatisfy { (48...57).contains($0) }
    }

    /// `uid` among the fields, if they are flat: each a string or an array of strings.
    private static func flatFields(
        _ value: JSONScanner.Value, _ scanner: JSONScanner
    ) throws(JSONFault) -> String? {
        var fields = JSONScanner(scanner.bytes, value.range)
        var uid: String?
        try fields.members { (fields, key) throws(JSONFault) in
            let start = fields.position
            let field = try fields.value()
            switch field.kind {
            case .string:
                if key == "uid" { uid = fields.text(field.range) }
            case .array:
                var list = JSONScanner(fields.bytes, field.range)
                try list.elements { (list) throws(JSONFault) in
                    guard try list.value().kind == .string else { throw JSONFault(position: start) }
                }
            default:
                throw JSONFault(position: start)
            }
        }
        return uid
    }

    private static func metadataUID(
        _ event: JSONScanner.Value, _ scanner: JSONScanner
    ) throws(JSONFault) -> String? {
        guard event.kind == .object else { return nil }
        var uid: String?
        var object = JSONScanner(scanner.bytes, event.range)
        try object.members { (object, key) throws(JSONFault) in
            let value = try object.value()
            guard key == "metadata", value.kind == .object else { return }
            var metadata = JSONScanner(object.bytes, value.range)
            try metadata.members { (metadata, key) throws(JSONFault) in
                let value = try metadata.value()
                if key == "uid", value.kind == .string { uid = metadata.text(value.range) }
            }
        }
        return uid
    }
}
