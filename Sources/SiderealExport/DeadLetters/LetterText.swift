import Crypto
import Ledger
import Model

/// Dead letters as people and programs read them.
enum LetterText {
    /// Shown where a target's name would stand, for records that no target has seen. No target can be called so.
    static let intake = "(intake)"

    static func target(_ name: String) -> String { name.isEmpty ? intake : name }

    /// `1 dead letter`, `12 dead letters`.
    static func count(_ count: Int) -> String { "\(Human.count(count)) dead letter\(count == 1 ? "" : "s")" }

    static func table(_ entries: [DeadLetterEntry]) -> [String] {
        var table = Table(
            ["id", "target", "uid", "attempts", "first attempt", "last attempt", "code", "reason"],
            rightAligned: [0, 3])
        for entry in entries {
            table.add([
                String(entry.id), target(entry.target), entry.uid.isEmpty ? "–" : entry.uid, String(entry.attempts),
                SystemTime.rfc3339(entry.firstAttempt), SystemTime.rfc3339(entry.lastAttempt), entry.code,
                entry.reason,
            ])
        }
        return table.lines
    }

    static func table(_ letters: [RemovedLetter]) -> [String] {
        var table = Table(
            ["id", "target", "uid", "went", "when", "by", "note", "code", "reason"], rightAligned: [0])
        for removed in letters {
            let (entry, removal) = (removed.letter, removed.removal)
            table.add([
                String(entry.id), target(entry.target), entry.uid.isEmpty ? "–" : entry.uid,
                removal.outcome.rawValue, SystemTime.rfc3339(removal.time), removal.person,
                removal.note.isEmpty ? "–" : removal.note, entry.code, entry.reason,
            ])
        }
        return table.lines
    }

    static func object(_ entry: DeadLetterEntry) -> JSONObject {
        var object = JSONObject()
        object.add("id", Int(entry.id))
        if entry.target.isEmpty { object.add("intake", raw: "true") } else { object.add("target", entry.target) }
        if !entry.uid.isEmpty { object.add("uid", entry.uid) }
        object.add("code", entry.code)
        object.add("reason", entry.reason)
        object.add("attempts", entry.attempts)
        object.add("firstAttempt", SystemTime.rfc3339(entry.firstAttempt))
        object.add("lastAttempt", SystemTime.rfc3339(entry.lastAttempt))
        if !entry.input.isEmpty { object.add("input", entry.input) }
        object.add("position", Int(clamping: entry.position))
        object.add("size", entry.size)
        object.add("cut", raw: entry.isCut ? "true" : "false")
        return object
    }

    static func object(_ removed: RemovedLetter) -> JSONObject {
        var object = object(removed.letter)
        object.add("outcome", removed.removal.outcome.rawValue)
        object.add("removedAt", SystemTime.rfc3339(removed.removal.time))
        object.add("removedBy", removed.removal.person)
        if !removed.removal.note.isEmpty { object.add("note", removed.removal.note) }
        object.add("sha256", Hexadecimal.encode(removed.removal.digest))
        return object
    }

    /// Names and values below each other, the values aligned.
    static func lines(_ pairs: [(name: String, value: String)]) -> [String] {
        let width = pairs.map(\.name.count).max() ?? 0
        return pairs.map { pair in
            "  \(pair.name)\(String(repeating: " ", count: width - pair.name.count))  \(pair.value.printable)"
        }
    }

    /// What is known of a letter, but for its bytes.
    static func facts(_ entry: DeadLetterEntry, digest: [UInt8]) -> [(name: String, value: String)] {
        var kept = Human.bytes(entry.size)
        if entry.size == 0 {
            kept = "not kept: it could not be read again from its input"
        } else if entry.isCut {
            kept += ", the rest was cut off"
        }
        return [
            ("target", target(entry.target)), ("uid", entry.uid.isEmpty ? "not known" : entry.uid),
            ("code", entry.code), ("reason", entry.reason), ("attempts", String(entry.attempts)),
            ("first attempt", SystemTime.rfc3339(entry.firstAttempt)),
            ("last attempt", SystemTime.rfc3339(entry.lastAttempt)),
            ("input", "\(entry.input.isEmpty ? "not known" : entry.input), from byte \(entry.position)"),
            ("record", kept), ("SHA-256", Hexadecimal.encode(digest)),
        ]
    }
}
