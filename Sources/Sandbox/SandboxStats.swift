internal import NIOCore

/// What one look-alike has seen since it started.
public struct SandboxTargetStats: Sendable, Equatable {
    /// HTTP requests, of every kind.
    public var requests = 0
    /// Requests refused by the receiver's own rules: credentials, size, malformed bodies.
    public var requestsRefused = 0
    /// Records that were stored or recognised as already there.
    public var recordsReceived = 0
    /// Identities that are remembered, each counted once.
    public var uniqueIDs = 0
    /// Records whose identity had arrived before.
    public var duplicates = 0
    /// Stored records that carry no identity.
    public var recordsWithoutID = 0
    /// Stored records whose identity was not remembered because the bound was reached: from then on
    /// ``uniqueIDs`` and ``duplicates`` are too low.
    public var idsNotRemembered = 0
    /// Records refused one by one: poison events, items with 400.
    public var recordsRejected = 0
    /// HEC: records lost because an envelope before or at them had an unknown key, though the answer was 200.
    public var droppedByUnknownKey = 0
    /// HEC: questions for acknowledgements.
    public var ackPolls = 0
    /// HEC: requests that were called true.
    public var ackConfirmed = 0
    /// Requests answered with an injected status.
    public var failuresInjected = 0
    /// Connections reset, with the request carried out or not.
    public var resetsInjected = 0
    /// Items answered with an injected 429.
    public var itemFailuresInjected = 0
    /// Bytes of bodies as they came over the wire.
    public var bytes = 0
    /// Bytes of bodies after decompression.
    public var bytesUncompressed = 0

    var fields: [(name: String, value: Int)] {
        [
            ("requests", requests), ("requestsRefused", requestsRefused), ("recordsReceived", recordsReceived),
            ("uniqueIDs", uniqueIDs), ("duplicates", duplicates), ("recordsWithoutID", recordsWithoutID),
            ("idsNotRemembered", idsNotRemembered), ("recordsRejected", recordsRejected),
            ("droppedByUnknownKey", droppedByUnknownKey), ("ackPolls", ackPolls), ("ackConfirmed", ackConfirmed),
            ("failuresInjected", failuresInjected),
            ("resetsInjected", resetsInjected), ("itemFailuresInjected", itemFailuresInjected), ("bytes", bytes),
            ("bytesUncompressed", bytesUncompressed),
        ]
    }
}

/// What the look-alikes have seen.
public struct SandboxStats: Sendable, Equatable {
    /// The HEC look-alike.
    public var hec = SandboxTargetStats()
    /// The Elasticsearch look-alike.
    public var elasticsearch = SandboxTargetStats()
    /// The bucket; nil without ``SandboxOptions/null``.
    public var s3: SandboxTargetStats?
    /// The syslog receiver; nil without ``SandboxOptions/null``.
    public var syslog: SandboxTargetStats?

    private var named: [(name: String, stats: SandboxTargetStats)] {
        let all: [(name: String, stats: SandboxTargetStats?)] = [
            ("hec", hec), ("elasticsearch", elasticsearch), ("s3", s3), ("syslog", syslog),
        ]
        return all.compactMap { entry in entry.stats.map { (entry.name, $0) } }
    }

    /// One line of JSON: an object per look-alike, whose keys are the names of ``SandboxTargetStats``.
    public var json: String {
        let parts = named.map { name, stats in
            let fields = stats.fields.map { "\"\($0.name)\":\($0.value)" }.joined(separator: ",")
            return "\"\(name)\":{\(fields)}"
        }
        return "{" + parts.joined(separator: ",") + "}"
    }

    /// A table for people: a line per quantity, a column per look-alike.
    public var table: String {
        let pad = { (text: String, width: Int) in String(repeating: " ", count: max(0, width - text.count)) }
        let columns = named
        var lines = [pad("", 20) + columns.map { pad($0.name, 16) + $0.name }.joined()]
        for (position, field) in hec.fields.enumerated() {
            let values = columns.map { String($0.stats.fields[position].value) }
            lines.append(field.name + pad(field.name, 20) + values.map { pad($0, 16) + $0 }.joined())
        }
        return lines.joined(separator: "\n")
    }
}

/// An identity that a look-alike has received.
public struct SandboxIdentity: Sendable, Equatable {
    /// HEC: `event.metadata.uid`, else `fields.uid`. Elasticsearch: `_id`.
    public var id: String
    /// Elasticsearch: `_index`.
    public var index: String?
    /// How often it arrived. Elasticsearch: the stored one and every 409.
    public var count: Int
}
