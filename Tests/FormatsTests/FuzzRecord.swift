import Model

/// Valid probe results, seeded, with values that could break out of a format: delimiters, escapes, control characters,
/// bidirectional marks, lone surrogates, long texts; maps out of order, unknown members anywhere, odd white space.
struct FuzzRecord {
    private var rng: PRNG
    private(set) var uid = ""
    private(set) var probeID = ""

    private typealias Member = (key: String, value: String)

    init(seed: UInt64) { rng = PRNG(seed: seed) }

    /// As they may stand between the quotes of a JSON string.
    private static let pieces = [
        "|", "=", #"\\"#, #"\""#, "]", "[", ",", ";", ":", " ", "  ", "^", "%", "'", "<", ">", "&", "{", "}", "@", "#",
        #"\n"#, #"\r"#, #"\r\n"#, #"\t"#, #"\u0000"#, #"\u0001"#, #"\u001b[31m"#, #"\u001f"#, "\u{7F}", "\u{85}",
        "\u{9B}",
        "\u{2028}", "\u{2029}", "\u{202E}", "\u{2066}", "\u{200B}", "\u{FEFF}", "é", "日本", "👩‍👩‍👧", "\u{10FFFF}",
        #"\ud83d\ude00"#, #"\ud800"#, #"\udfff"#, #"\ud800\ud800"#, #"\u00e9"#, #"\/"#, #"\b"#, #"\f"#, "a", "Z", "0",
        "cs1=x", " msg=", #"\tsev="#, "CEF:0|a|b|", "LEEF:2.0|", "<0>1 - - -", "[x@1 y=\\\"z\\\"]", "x09", "null", "--",
    ]
    private static let spaces = ["", "", "", "", "", "", " ", "\t", "\n", " \r\n "]
    private static let outcomes = [
        "Pass", "Fail", "Detected", "Undetected", "Blocked", "Rejected", "Accepted", "NotApplicable",
        "BackendUnreachable",
        "NotEnforced", "Indeterminate", "TamperedResult",
    ]

    private mutating func pick(_ choices: [String]) -> String { choices[Int(rng.below(UInt64(choices.count)))] }

    private mutating func chance(_ outOf: UInt64) -> Bool { rng.below(outOf) == 0 }

    private mutating func hex(_ digits: Int) -> String {
        (0..<digits).map { _ in String(rng.below(16), radix: 16) }.joined()
    }

    private mutating func uuid() -> String { [8, 4, 4, 4, 12].map { hex($0) }.joined(separator: "-") }

    /// The inside of a JSON string.
    private mutating func text() -> String {
        switch rng.below(24) {
        case 0: return ""
        case 1: return String(repeating: pick(Self.pieces), count: 1 + Int(rng.below(600)))
        case 2...6: return "plain-" + hex(6)
        default: return (0...rng.below(12)).map { _ in pick(Self.pieces) }.joined()
        }
    }

    private mutating func string() -> String { "\"\(text())\"" }

    /// Members in any order, with white space between all tokens.
    private mutating func object(_ members: [Member]) -> String {
        var rest = members
        var out = "{"
        while !rest.isEmpty {
            let next = rest.remove(at: Int(rng.below(UInt64(rest.count))))
            out += pick(Self.spaces) + "\"\(next.key)\"" + pick(Self.spaces) + ":" + pick(Self.spaces) + next.value
            out += pick(Self.spaces) + (rest.isEmpty ? "" : ",")
        }
        return out + pick(Self.spaces) + "}"
    }

    private mutating func list(_ count: UInt64) -> String {
        "[" + (0..<rng.below(count + 1)).map { _ in string() }.joined(separator: pick([",", " , "])) + "]"
    }

    /// Keys that differ: a counter stands in each of them.
    private mutating func keys(_ most: UInt64) -> [String] {
        (0..<rng.below(most + 1)).map { number in
            chance(3) ? "framework-\(number)" : text() + "\(number)" + (chance(2) ? "" : pick(Self.pieces))
        }
    }

    private mutating func any(_ depth: Int = 0) -> String {
        switch rng.below(depth < 3 ? 8 : 5) {
        case 0: return pick(["0", "-1.5e+3", "1e400", "12345678901234567890"])
        case 1: return pick(["true", "false", "null"])
        case 2...4: return string()
        case 5: return "[" + (0..<rng.below(3)).map { _ in any(depth + 1) }.joined(separator: ",") + "]"
        default: return object(keys(3).map { (key: $0, value: any(depth + 1)) })
        }
    }

    private mutating func add(_ key: String, to members: inout [Member]) {
        guard !chance(3) else { return }
        members.append((key, chance(12) ? "null" : string()))
    }

    private mutating func addOthers(to members: inout [Member]) {
        guard chance(3) else { return }
        for (number, key) in keys(3).enumerated() { members.append(("x\(number)" + key, any())) }
    }

    private mutating func metadata() -> String {
        var members: [Member] = [("uid", "\"\(uid)\"")]
        for key in ["name", "namespace", "creationTimestamp"] { add(key, to: &members) }
        if chance(2) { members.append(("labels", object(keys(5).map { (key: $0, value: string()) }))) }
        if chance(2) {
            let own: [Member] = [("export.sidereal.cloud/targets", "\"never\"")]
            members.append(("annotations", object(own + keys(3).map { (key: $0, value: string()) })))
        }
        addOthers(to: &members)
        return object(members)
    }

    private mutating func result() -> String {
        var members: [Member] = [
            ("outcome", "\"\(pick(Self.outcomes))\""),
            ("controlEffectiveness", "\"\(pick(["Effective", "Ineffective", "Degraded", "Compromised"]))\""),
            ("integrityStatus", "\"\(pick(["Verified", "TamperedResult"]))\""),
        ]
        for key in ["crosswalkVersion", "mitreAttackId", "detail", "verificationMode"] { add(key, to: &members) }
        if chance(2) { members.append(("nistControls", list(4))) }
        if !chance(4) { members.append(("controlMappings", object(keys(4).map { (key: $0, value: list(3)) }))) }
        addOthers(to: &members)
        return object(members)
    }

    private mutating func execution() -> String {
        let times = [
            "2026-03-15T08:30:00.123456789Z", "1970-01-01T00:00:00Z", "2024-02-29t23:59:59.9z",
            "9999-12-31T23:59:59.999999999Z",
            "2026-03-15T08:30:00+14:00", "1969-12-31T23:59:59.25-23:59", "0001-01-01T00:00:00Z",
        ]
        let durations = ["0", "7", "-1", "9223372036854775807", "-9223372036854775808"]
        var members: [Member] = [
            ("timestamp", "\"\(pick(times))\""), ("durationMs", pick(durations)), ("jobName", string()),
        ]
        addOthers(to: &members)
        return object(members)
    }

    /// The next record.
    mutating func next() -> String {
        uid = chance(8) ? "a|b=c]d\(rng.below(1 << 40))" : uuid()
        probeID = uuid()
        var probe: [Member] = [
            ("id", "\"\(probeID)\""), ("profile", "\"p\(text())\""), ("targetNamespace", string()),
        ]
        add("aoAuthorizationRef", to: &probe)
        addOthers(to: &probe)
        var spec: [Member] = [
            ("probe", object(probe)), ("result", result()), ("execution", execution()),
            ("audit", #"{"exportStatus":"Failed","exportedAt":"NEVER-EXPORTED"}"#),
        ]
        addOthers(to: &spec)
        var root: [Member] = [("metadata", metadata()), ("spec", object(spec))]
        if chance(2) { root.append(("apiVersion", #""sidereal.cloud/v1alpha1""#)) }
        addOthers(to: &root)
        return object(root)
    }
}
