import Formats
import Model

/// Text of every class that breaks encoders.
enum HostileText {
    private static let pieces: [String] = [
        "a", "Z9", " ", "  ", "=", "\\", "|", "\n", "\r", "\r\n", "\t", "\0", "\u{1}", "\u{1F}", "\u{7F}", "\u{80}",
        "\u{85}", "\u{9F}", "\u{A0}", "é", "ß", "\u{2028}", "\u{2029}", "\u{202E}", "\u{2066}", "\u{200D}", "\u{FEFF}",
        "\u{FFFD}", "\u{FFFF}", "\u{10FFFF}", "👩‍👩‍👧‍👦", "🇩🇪", "e\u{301}", "漢字", "\"", "'", "key=value", " msg=x", "cs1=",
        "\\n", "\\=", "\\\\", ",", ";", ":", "{", "}", "[", "]", "<13>", "CEF:0|", "LEEF:2.0|", "%n", "${x}", "]]>",
        "a plain run of text that is longer than one word of eight bytes",
    ]

    /// Whether some reader takes the character for a line end, or cannot take it at all.
    static func isBreaker(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || 0x7F...0x9F ~= scalar.value || 0x2028...0x2029 ~= scalar.value
    }

    static func next(_ rng: inout PRNG) -> String {
        var text = ""
        switch rng.below(12) {
        case 0: return ""
        case 1: return String(repeating: pieces[Int(rng.below(UInt64(pieces.count)))], count: 60)
        case 2:
            // Around the maxima, where a cut may fall into a character.
            while text.utf8.count < 1000 + Int(rng.below(60)) { text += rng.below(3) == 0 ? "é" : "x" }
            return text
        case 3 where rng.below(100) == 0:
            while text.utf8.count < 60_000 { text += pieces[Int(rng.below(UInt64(pieces.count)))] }
            return text
        case 4...6: return "plain-\(rng.below(1000))"
        default: break
        }
        for _ in 0...rng.below(8) { text += pieces[Int(rng.below(UInt64(pieces.count)))] }
        return text
    }

    /// A JSON string of `text`, each character spelt in one of the ways JSON has for it.
    static func spell(_ text: String, _ rng: inout PRNG) -> String {
        var json = "\""
        let escapesMuch = rng.below(4) == 0
        for scalar in text.unicodeScalars {
            let mustEscape = scalar.value < 0x20 || scalar == "\"" || scalar == "\\"
            if mustEscape || (escapesMuch && rng.below(3) == 0) {
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16, uppercase: rng.below(2) == 0)
                    json += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            } else {
                json.unicodeScalars.append(scalar)
            }
        }
        return json + "\""
    }
}

/// A probe result of hostile text, as it is and as JSON.
struct HostileRecord {
    /// By path.
    var strings: [String: String] = [:]
    var maps: [String: [String: String]] = [:]
    var mappings: [String: [String]]?
    var controls: [String]?
    var extra: [String: String] = [:]
    var json = ""

    static let optional = [
        "metadata.name", "metadata.namespace", "metadata.creationTimestamp", "spec.probe.aoAuthorizationRef",
        "spec.result.crosswalkVersion", "spec.result.mitreAttackId", "spec.result.detail",
        "spec.result.verificationMode",
    ]

    init(_ rng: inout PRNG) {
        for path in Self.optional where rng.below(4) > 0 { strings[path] = HostileText.next(&rng) }
        strings["spec.probe.targetNamespace"] = HostileText.next(&rng)
        strings["spec.execution.jobName"] = HostileText.next(&rng)
        let profile = HostileText.next(&rng)
        strings["spec.probe.profile"] = profile.isEmpty || rng.below(3) == 0 ? "rbac" : profile
        strings["metadata.uid"] = rng.below(4) == 0 ? "u=i|d\(rng.below(1000))" : "9d4d1b1e-\(rng.below(1000))"
        for path in ["metadata.labels", "metadata.annotations"] where rng.below(2) == 0 {
            maps[path] = Self.map(&rng)
        }
        if rng.below(3) > 0 { controls = Self.list(&rng) }
        if rng.below(3) > 0 {
            mappings = [:]
            for _ in 0..<rng.below(4) { mappings?[HostileText.next(&rng)] = Self.list(&rng) }
        }
        if rng.below(3) == 0 { extra["x" + HostileText.next(&rng)] = HostileText.next(&rng) }
        write(&rng)
    }

    private static func map(_ rng: inout PRNG) -> [String: String] {
        var map: [String: String] = [:]
        for _ in 0..<rng.below(4) { map[HostileText.next(&rng)] = HostileText.next(&rng) }
        return map
    }

    private static func list(_ rng: inout PRNG) -> [String] {
        (0..<rng.below(4)).map { _ in rng.below(3) == 0 ? HostileText.next(&rng) : "AC-\(rng.below(20))" }
    }

    private mutating func write(_ rng: inout PRNG) {
        var metadata = members(below: "metadata", &rng)
        for (path, map) in maps.sorted(by: { $0.key < $1.key }) {
            var members = map.sorted { $0.key < $1.key }.map {
                HostileText.spell($0.key, &rng) + ":" + HostileText.spell($0.value, &rng)
            }
            if path.hasSuffix("annotations"), rng.below(2) == 0 {
                members.append("\"export.sidereal.cloud/targets\":\"own\"")
            }
            metadata.append("\"\(path.dropFirst(9))\": {\(members.joined(separator: ","))}")
        }
        var probe = members(below: "spec.probe", &rng)
        probe.append("\"id\":\"550e8400-e29b-41d4-a716-446655440000\"")
        var result = members(below: "spec.result", &rng)
        result.append(#""outcome":"Blocked","controlEffectiveness":"Degraded","integrityStatus":"Verified""#)
        if let controls { result.append("\"nistControls\":\(spell(controls, &rng))") }
        if let mappings {
            let members = mappings.sorted { $0.key < $1.key }.map {
                HostileText.spell($0.key, &rng) + " : " + spell($0.value, &rng)
            }
            result.append("\"controlMappings\":{\(members.joined(separator: " , "))}")
        }
        for (key, value) in extra { result.append(HostileText.spell(key, &rng) + ":" + HostileText.spell(value, &rng)) }
        var execution = members(below: "spec.execution", &rng)
        execution.append(#""timestamp":"2026-03-15T08:30:00.123456789Z","durationMs":1234"#)
        json =
            #"{"metadata":{\#(Self.shuffled(metadata, &rng))},"spec":{"probe":{\#(Self.shuffled(probe, &rng))},"#
            + #""result":{\#(Self.shuffled(result, &rng))},"execution":{\#(execution.joined(separator: ","))},"#
            + #""audit":{"exportStatus":"Pending"}}}"#
    }

    private func members(below parent: String, _ rng: inout PRNG) -> [String] {
        strings.sorted { $0.key < $1.key }.filter { $0.key.hasPrefix(parent + ".") }.map {
            // The schema refuses escapes in the uid.
            let spelt = $0.key == "metadata.uid" ? "\"\($0.value)\"" : HostileText.spell($0.value, &rng)
            return "\"\($0.key.dropFirst(parent.count + 1))\":" + spelt
        }
    }

    private func spell(_ list: [String], _ rng: inout PRNG) -> String {
        "[" + list.map { HostileText.spell($0, &rng) }.joined(separator: ", ") + "]"
    }

    private static func shuffled(_ members: [String], _ rng: inout PRNG) -> String {
        members.shuffled(using: &rng).joined(separator: ",")
    }
}
