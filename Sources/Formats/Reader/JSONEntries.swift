import Model

/// A member of a map with its key decoded, for the rare map that did not come in order.
struct JSONEntry {
    var decodedKey: [UInt8]
    var key: JSONValue
    var value: JSONValue

    static func decodedKey(_ key: JSONValue, _ bytes: Span<UInt8>) -> [UInt8] {
        var out = ByteWriter(capacity: key.count)
        JSONText.decode(key, of: bytes, into: &out)
        return out.seal().array
    }

    /// The members of an object that was scanned before, by ascending key. Allocates: only for maps whose keys
    /// came out of order or with escapes.
    static func sorted(_ object: JSONValue, _ bytes: Span<UInt8>) -> [JSONEntry] {
        var entries: [JSONEntry] = []
        var scanner = JSONScanner(bytes, object.range, maxDepth: Int.max)
        var first = true
        // The text was valid when it was scanned the first time.
        guard (try? scanner.enterObject()) != nil else { return [] }
        while let key = (try? scanner.key(first: &first)) ?? nil, let value = try? scanner.value() {
            entries.append(JSONEntry(decodedKey: decodedKey(key, bytes), key: key, value: value))
        }
        return entries.sorted { $0.decodedKey.lexicographicallyPrecedes($1.decodedKey) }
    }

    /// The first key that appears twice in sorted entries.
    static func repeated(_ entries: [JSONEntry]) -> String? {
        for (a, b) in zip(entries, entries.dropFirst()) where a.decodedKey == b.decodedKey {
            return String(decoding: a.decodedKey, as: UTF8.self)
        }
        return nil
    }
}
