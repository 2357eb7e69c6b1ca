import ExportCore
import Formats
import Model
import Threading

/// The JSON texts of leases, gate and alerts as people see them in the store's directory.
package enum StoreText {
    /// One member after the other; the braces are the caller's.
    private struct Writer: ~Copyable {
        var out = ByteWriter(capacity: 512)
        private var isFirst = true

        mutating func key(_ name: String) {
            if !isFirst { out.append(0x2C) }
            isFirst = false
            text(name)
            out.append(0x3A)
        }

        mutating func text(_ value: String) {
            out.append(0x22)
            JSONText.escape(Array(value.utf8).span, into: &out)
            out.append(0x22)
        }

        mutating func add(_ name: String, _ value: String) {
            key(name)
            text(value)
        }

        mutating func add(_ name: String, _ value: UInt64) {
            key(name)
            out.append(decimal: value)
        }

        mutating func open(_ name: String) {
            key(name)
            out.append(0x7B)
            isFirst = true
        }

        mutating func close() {
            out.append(0x7D)
            isFirst = false
        }
    }

    private static func object(_ body: (inout Writer) -> Void) -> [UInt8] {
        var writer = Writer()
        writer.out.append(0x7B)
        body(&writer)
        writer.out.append("}\n")
        return writer.out.span.array
    }

    /// The time that a text says; nil if it says none after 1970.
    static func milliseconds(_ text: String) -> UInt64? {
        let bytes = Array(text.utf8)
        guard let time = Timestamp(bytes.span, 0..<bytes.count), time.seconds >= 0 else { return nil }
        return UInt64(time.seconds) * 1_000 + UInt64(time.nanoseconds) / 1_000_000
    }

    /// RFC 3339 with microseconds, as Kubernetes writes `MicroTime`.
    package static func time(_ milliseconds: Int64) -> String {
        var out = ByteWriter(capacity: 32)
        let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1_000)
        Timestamp(seconds: seconds, nanoseconds: UInt32(max(0, rest)) * 1_000_000).write(digits: 6, into: &out)
        return String(decoding: out.span.array, as: UTF8.self)
    }

    /// Members of the object that `bytes` is, white space around it allowed; nil if it is none.
    static func members(_ bytes: [UInt8]) -> [String: JSONValue]? {
        guard let members = JSONAnswer.members(bytes.span, 0..<bytes.count) else { return nil }
        return Dictionary(members, uniquingKeysWith: { $1 })
    }

    static func members(_ value: JSONValue?, _ bytes: [UInt8]) -> [String: JSONValue]? {
        guard let value, value.kind == .object, let members = JSONAnswer.members(bytes.span, value.range) else {
            return nil
        }
        return Dictionary(members, uniquingKeysWith: { $1 })
    }

    static func text(_ value: JSONValue?, _ bytes: [UInt8]) -> String? {
        value.flatMap { JSONAnswer.text($0, bytes.span, limit: 16 << 10) }
    }

    static func number(_ value: JSONValue?, _ bytes: [UInt8]) -> UInt64? {
        value.flatMap { JSONAnswer.integer($0, bytes.span) }.flatMap { UInt64(exactly: $0) }
    }

    // MARK: Lease

    static func lease(_ stored: LeaseState.Stored, renewedAt: Int64) -> [UInt8] {
        let record = stored.record
        return object { writer in
            writer.add("holderIdentity", record.holder)
            writer.add("address", record.address)
            writer.add("endpoint", record.endpoint)
            writer.add("term", record.term)
            writer.add("renewal", record.renewal)
            writer.add("leaseDurationMilliseconds", record.durationMilliseconds)
            writer.add("renewTime", time(renewedAt))
            writer.add("version", stored.version.text)
        }
    }

    /// Nil if it is not a lease of ours.
    static func lease(_ bytes: [UInt8]) -> LeaseState.Stored? {
        guard let members = members(bytes), let holder = text(members["holderIdentity"], bytes),
            let address = text(members["address"], bytes), let term = number(members["term"], bytes),
            let renewal = number(members["renewal"], bytes),
            let duration = number(members["leaseDurationMilliseconds"], bytes),
            let version = text(members["version"], bytes), term <= LeaderElection.maxTerm
        else { return nil }
        var record = LeaseRecord(
            holder: holder, address: address, term: term, renewal: renewal, durationMilliseconds: duration)
        record.endpoint = text(members["endpoint"], bytes) ?? ""
        return LeaseState.Stored(record: record, version: LeaseVersion(version))
    }

    static func highestTerm(_ term: UInt64) -> [UInt8] { object { $0.add("highestTerm", term) } }

    static func highestTerm(_ bytes: [UInt8]) -> UInt64? {
        members(bytes).flatMap { number($0["highestTerm"], bytes) }.flatMap { $0 <= LeaderElection.maxTerm ? $0 : nil }
    }

    // MARK: Gate

    static func gate(_ record: GateRecord, renewTime: String) -> [UInt8] {
        object { writer in
            writer.add("holderIdentity", record.holder)
            writer.add("renewTime", renewTime)
            writer.add("leaseDurationSeconds", UInt64(record.durationSeconds))
            writer.open("annotations")
            for (key, value) in record.annotations.sorted(by: { $0.key < $1.key }) { writer.add(key, value) }
            writer.close()
        }
    }

    /// The record and the time of its last renewal as it stands there. What cannot be read was written by nobody of us.
    static func gate(_ bytes: [UInt8]) -> (record: GateRecord, renewTime: String) {
        let members = members(bytes) ?? [:]
        var annotations: [String: String] = [:]
        for (key, value) in self.members(members["annotations"], bytes) ?? [:] {
            annotations[key] = text(value, bytes)
        }
        let seconds = number(members["leaseDurationSeconds"], bytes).flatMap { UInt32(exactly: $0) } ?? 0
        let record = GateRecord(
            holder: text(members["holderIdentity"], bytes) ?? "", durationSeconds: seconds, annotations: annotations)
        return (record, text(members["renewTime"], bytes) ?? "")
    }

    /// A line of the gate's changes.
    static func change(_ change: GateChange) -> [UInt8] {
        object { writer in
            writer.add("time", change.time)
            writer.add("term", change.term)
            writer.add("from", change.from)
            writer.add("to", change.to)
            writer.add("cause", change.cause)
            if let episode = change.episode { writer.add("episode", episode) }
        }
    }

    /// Nil if it is none.
    static func change(_ bytes: [UInt8]) -> GateChange? {
        guard let members = members(bytes), let time = text(members["time"], bytes), milliseconds(time) != nil,
            let term = number(members["term"], bytes), let from = text(members["from"], bytes),
            let to = text(members["to"], bytes), let cause = text(members["cause"], bytes)
        else { return nil }
        return GateChange(
            time: time, from: from, to: to, cause: cause, term: term, episode: text(members["episode"], bytes))
    }

    // MARK: Alerts

    static func alert(_ alert: SystemAlert, createdAt: Int64) -> [UInt8] {
        object { writer in
            writer.add("apiVersion", "sidereal.cloud/v1alpha1")
            writer.add("kind", "SiderealSystemAlert")
            writer.open("metadata")
            writer.add("creationTimestamp", time(createdAt))
            writer.add("name", alert.name)
            writer.close()
            writer.open("spec")
            writer.add("reason", alert.reason)
            writer.add("message", alert.message)
            writer.key("acknowledged")
            writer.out.append("false")
            writer.close()
        }
    }

    /// Nil if it is no alert. Its name is that of its file, whatever it says itself.
    static func alert(_ bytes: [UInt8], name: String) -> SystemAlert? {
        guard let members = members(bytes), let spec = self.members(members["spec"], bytes) else { return nil }
        var alert = SystemAlert(name: name, message: text(spec["message"], bytes) ?? "")
        alert.reason = text(spec["reason"], bytes) ?? ""
        alert.acknowledged = spec["acknowledged"].map { JSONAnswer.isSpelt($0, "true", bytes.span) } ?? false
        alert.acknowledgedBy = text(spec["acknowledgedBy"], bytes)
        alert.acknowledgedAt = text(spec["acknowledgedAt"], bytes)
        alert.remediationAction = text(spec["remediationAction"], bytes)
        return alert
    }
}

extension Span where Element == UInt8 {
    var array: [UInt8] { unsafe withUnsafeBufferPointer { unsafe Array($0) } }
}
