import Model

/// Puts a record together again from its line in any format, after the tables of docs/formats.md.
enum ReadBack {
    static func record(_ line: [UInt8], _ format: FormatKind) throws -> JSON {
        switch format {
        case .json:
            return ["sidereal", "apiVersion", "kind"].reduce(try JSONTreeReader.read(line)) { $0.setting($1, nil) }
        case .cef: return try record(CEFReader(line).values, cefKeys, CEFTests.roundTrip)
        case .leef: return try record(LEEFReader(line).values, leefKeys, LEEFTests.roundTrip)
        case .syslog: return try SyslogLine(line).record()
        case .ocsf: return try OCSFRoundTripTests.record(JSONTreeReader.read(line))
        }
    }

    private static let cefKeys = [
        "spec.probe.id": "externalId", "spec.result.outcome": "reason", "spec.result.controlEffectiveness": "cs4",
        "spec.result.integrityStatus": "cs6", "spec.execution.timestamp": "siderealTimestamp",
        "spec.execution.durationMs": "cn1",
    ]
    private static let leefKeys = [
        "spec.probe.id": "probeId", "spec.result.outcome": "outcome",
        "spec.result.controlEffectiveness": "controlEffectiveness", "spec.result.integrityStatus": "integrityStatus",
        "spec.execution.timestamp": "timestamp", "spec.execution.durationMs": "durationMs",
    ]

    private static func record(
        _ values: [String: String], _ fixed: [String: String], _ roundTrip: LineRoundTrip
    ) throws -> JSON {
        let sections: JSON = .members(["probe": .members([:]), "result": .members([:]), "execution": .members([:])])
        var record: JSON = .members(["metadata": .members([:]), "spec": sections])
        let exact = try members(values[roundTrip.exactKey])
        for (path, key) in roundTrip.keys.merging(fixed, uniquingKeysWith: { $1 }) {
            guard let text = values[key], !exact.contains(where: { $0.key == path }) else { continue }
            let value: JSON =
                switch path {
                case "metadata.labels", "metadata.annotations": try JSONTreeReader.read(text.utf8)
                case "spec.result.nistControls": .list(LineRoundTrip.split(text, ",").map { .string($0) })
                case "spec.result.controlMappings": controlMappings(text)
                case "spec.execution.durationMs": .number(text)
                default: .string(text)
                }
            record = record.setting(path, value)
        }
        for member in exact { record = record.setting(member.key, member.value) }
        let places = ["metadata": "metadata.", "spec": "spec.", "root": ""]
        for place in try members(values[roundTrip.extraKey]) {
            guard case .object(let others) = place.value else { throw GrammarFault("\(place.key) is no object") }
            let parent = places[place.key] ?? "spec.\(place.key)."
            record = record.adding(others, below: String(parent.dropLast()))
        }
        return record
    }

    private static func controlMappings(_ text: String) -> JSON {
        .object(
            LineRoundTrip.split(text, ";").map { framework in
                let parts = LineRoundTrip.split(framework, ":")
                let controls = parts[1].isEmpty ? [] : LineRoundTrip.split(parts[1], ",")
                return JSON.Member(key: parts[0], value: .list(controls.map { .string($0) }))
            })
    }

    private static func members(_ text: String?) throws -> [JSON.Member] {
        guard let text else { return [] }
        guard case .object(let members) = try JSONTreeReader.read(text.utf8) else {
            throw GrammarFault("not an object: \(text)")
        }
        return members
    }
}

extension JSON {
    /// A copy with further members in the object at `path`, whatever their names.
    func adding(_ others: [Member], below path: String) -> JSON {
        if path.isEmpty, case .object(let own) = self { return .object(own + others) }
        guard case .object(let own)? = self[path] else { return self }
        return setting(path, .object(own + others))
    }
}
