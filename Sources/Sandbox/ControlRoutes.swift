internal import Model
internal import NIOCore
internal import NIOHTTP1

/// `/sandbox/…`: what tests ask and tell the sandbox. Served on every port of HTTP, never subject to faults.
struct ControlRoutes: Sendable {
    let logs: [SandboxTarget: TargetLog]
    /// Those of the sinks that stand for no target of ``SandboxTarget``, by name; none without ``SandboxOptions/null``.
    var sinks: [String: TargetLog] = [:]

    /// The answer, or nil if the path is not below `/sandbox`.
    func serve(_ request: HTTPRequest) -> HTTPReply? {
        guard request.path.hasPrefix("/sandbox") else { return nil }
        switch (request.head.method, request.path) {
        case (.GET, "/sandbox/stats"): return HTTPReply(.ok, json: stats.json + "\n")
        case (.GET, "/sandbox/ids"): return identities(request.query("target"))
        case (.POST, "/sandbox/absent"):
            return absent([UInt8](request.body.readableBytesView), request.query("target"))
        case (.GET, "/sandbox/arrivals"): return HTTPReply(.ok, json: arrivals + "\n")
        case (.POST, "/sandbox/fault"): return setFaults([UInt8](request.body.readableBytesView))
        default:
            return HTTPReply(
                .notFound,
                error: "there is GET /sandbox/stats, GET /sandbox/arrivals, GET /sandbox/ids[?target=]"
                    + " and POST /sandbox/fault")
        }
    }

    var stats: SandboxStats {
        var stats = SandboxStats()
        if let log = logs[.hec] { stats.hec = log.stats }
        if let log = logs[.elasticsearch] { stats.elasticsearch = log.stats }
        stats.s3 = sinks["s3"]?.stats
        stats.syslog = sinks["syslog"]?.stats
        return stats
    }

    /// When records came, by target: the first and the last one on the monotonic clock, and how long after the times in
    /// them, as pairs of microseconds and a count.
    private var arrivals: String {
        let named = logs.map { ($0.key.rawValue, $0.value) } + sinks.map { ($0.key, $0.value) }
        let parts = named.sorted { $0.0 < $1.0 }.map { name, log in
            let (arrivals, records) = log.update { ($0.arrivals, $0.stats.recordsReceived) }
            let delays = arrivals.delays.entries.map { "[\($0.microseconds),\($0.count)]" }.joined(separator: ",")
            let times = [arrivals.first, arrivals.last].map { $0.map(String.init) ?? "null" }
            return "\"\(name)\":{\"records\":\(records),\"firstNanoseconds\":\(times[0]),"
                + "\"lastNanoseconds\":\(times[1]),\"delays\":[\(delays)]}"
        }
        return "{" + parts.joined(separator: ",") + "}"
    }

    private func identities(_ name: Substring?) -> HTTPReply {
        var targets = SandboxTarget.allCases
        if let name {
            guard let target = SandboxTarget(rawValue: String(name)) else {
                return HTTPReply(.badRequest, error: "target is hec or elasticsearch")
            }
            targets = [target]
        }
        let entries = targets.lazy.map { target in
            self.entries(of: target).lazy.map { (target: target, entry: $0) }
        }
        let rest = AnySequence(entries.joined()).makeIterator()
        return HTTPReply {
            var piece = ByteBuffer()
            while piece.readableBytes < 64 << 10, let (target, entry) = rest.next() {
                piece.writeString("{\"target\":\"\(target.rawValue)\",\"id\":")
                piece.writeJSON(entry.id)
                if let index = entry.index {
                    piece.writeStaticString(",\"index\":")
                    piece.writeJSON(index)
                }
                piece.writeString(",\"count\":\(entry.count)}\n")
            }
            return piece.readableBytes > 0 ? piece : nil
        }
    }

    /// Of the identities in the body, one a line, those that `target` does not know: for whoever asks again and again,
    /// and would have to read all of them each time.
    private func absent(_ body: [UInt8], _ name: Substring?) -> HTTPReply {
        guard let target = name.flatMap({ SandboxTarget(rawValue: String($0)) }), let log = logs[target] else {
            return HTTPReply(.badRequest, error: "target is hec or elasticsearch")
        }
        let wanted = body.split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) }
        let missing = log.update { state in
            wanted.filter { identity in !state.identities.values.contains { $0.contains(identity) } }
        }
        var reply = ByteBuffer()
        for identity in missing { reply.writeString(identity + "\n") }
        return HTTPReply(.ok, reply)
    }

    /// What `target` remembers at this moment.
    func entries(of target: SandboxTarget) -> AnySequence<SandboxIdentity> {
        let snapshot = logs[target]?.update { $0.identities } ?? [:]
        let isNamed = target == .elasticsearch
        return AnySequence(
            snapshot.lazy.map { index, identities in
                identities.entries.lazy.map {
                    SandboxIdentity(id: $0.identity, index: isNamed ? index : nil, count: $0.count)
                }
            }.joined())
    }

    private func setFaults(_ body: [UInt8]) -> HTTPReply {
        do throws(SandboxError) {
            let change = try FaultChange(body)
            guard let log = logs[change.target] else {
                throw SandboxError("there is no \(change.target.rawValue) here")
            }
            let now = Tick(nanoseconds: NIODeadline.now().uptimeNanoseconds)
            let mistake = log.update { state -> String? in
                let faults = change.applied(to: state.plan.faults)
                if let mistake = faults.mistake { return mistake }
                state.plan.apply(faults, restartsOutage: change.restartsOutage, now: now)
                return nil
            }
            if let mistake { throw SandboxError(mistake) }
            return HTTPReply(.ok, json: "{\"acknowledged\":true}\n")
        } catch {
            return HTTPReply(.badRequest, error: error.description)
        }
    }
}

/// The body of `POST /sandbox/fault`: the target and the values that change; the others stay.
struct FaultChange {
    let target: SandboxTarget
    private let values: [String: Double]

    private static let keys: Set<String> = [
        "failRate", "latencyMs", "outageMs", "outageAfterMs", "status", "retryAfter", "itemFailRate", "resetRate",
        "commitThenResetRate", "ackDelayMs", "ackFalseRate", "ackLoseRate", "ackRefuseRate", "ackExpiryMs",
    ]

    init(_ body: [UInt8]) throws(SandboxError) {
        var name: String?
        var values: [String: Double] = [:]
        var stranger: String?
        var scanner = JSONScanner(body)
        do throws(JSONFault) {
            try scanner.members { (scanner, key) throws(JSONFault) in
                let value = try scanner.value()
                if key == "target", value.kind == .string {
                    name = scanner.text(value.range)
                } else if Self.keys.contains(key), value.kind == .number,
                    let number = Double(String(decoding: scanner.bytes[value.range], as: UTF8.self)),
                    (0...1e12).contains(number)
                {
                    values[key] = number
                } else {
                    stranger = stranger ?? key
                }
            }
            scanner.skipWhitespace()
            guard scanner.isAtEnd else { throw JSONFault(position: scanner.position) }
        } catch {
            throw SandboxError("the body is not one JSON object: byte \(error.position) is unexpected")
        }
        if let stranger {
            let known = Self.keys.sorted().joined(separator: ", ")
            throw SandboxError("\(stranger): unknown, or no number from 0 to 1e12; known are target, \(known)")
        }
        guard let target = name.flatMap({ SandboxTarget(rawValue: $0) }) else {
            throw SandboxError("target must be \"hec\" or \"elasticsearch\"")
        }
        self.target = target
        self.values = values
    }

    /// An outage is planned anew only if its times are among the values.
    var restartsOutage: Bool { values["outageMs"] != nil || values["outageAfterMs"] != nil }

    func applied(to faults: SandboxFaults) -> SandboxFaults {
        var changed = faults
        if let rate = values["failRate"] { changed.failRate = rate }
        if let delay = values["latencyMs"] { changed.latencyMilliseconds = UInt64(delay) }
        if restartsOutage {
            changed.outageMilliseconds = UInt64(values["outageMs"] ?? Double(faults.outageMilliseconds))
            changed.outageAfterMilliseconds = UInt64(values["outageAfterMs"] ?? 0)
        }
        if let status = values["status"] { changed.status = Int(status) }
        if let seconds = values["retryAfter"] { changed.retryAfterSeconds = Int(seconds) }
        if let rate = values["itemFailRate"] { changed.itemFailRate = rate }
        if let rate = values["resetRate"] { changed.resetRate = rate }
        if let rate = values["commitThenResetRate"] { changed.commitThenResetRate = rate }
        if let delay = values["ackDelayMs"] { changed.ackDelayMilliseconds = UInt64(delay) }
        if let rate = values["ackFalseRate"] { changed.ackFalseRate = rate }
        if let rate = values["ackLoseRate"] { changed.ackLoseRate = rate }
        if let rate = values["ackRefuseRate"] { changed.ackRefuseRate = rate }
        if let time = values["ackExpiryMs"] { changed.ackExpiryMilliseconds = UInt64(time) }
        return changed
    }
}
