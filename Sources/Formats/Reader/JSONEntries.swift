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

    /// The members of an object that was scanned before, by ascending key; equal keys stay as they came. Allocates:
    /// only for maps whose keys came out of order or with escapes.
    static func sorted(_ object: JSONValue, _ bytes: Span<UInt8>) -> [JSONEntry] {
        var entries: [JSONEntry] = []
        var scanner = JSONScanner(bytes, object.range, maxDepth: Int.max)
        var first = true
        // The text was valid when it was scanned the first time.
        guard (try? scanner.enterObject()) != nil else { return [] }
        while let key = (try? scanner.key(first: &first)) ?? nil, let value = try? scanner.value() {
            entries.append(JSONEntry(decodedKey: decodedKey(key, bytes), key: key, value: value))
        }
        return entries.sorted { precedes($0, $1) }
    }

    /// By the bytes of the decoded key, which for UTF-8 is the order of code points; then by place.
    static func precedes(_ a: JSONEntry, _ b: JSONEntry) -> Bool {
        a.decodedKey == b.decodedKey
            ? a.key.start < b.key.start : a.decodedKey.lexicographicallyPrecedes(b.decodedKey)
    }

    /// The second of two equal keys, the first such pair in sorted entries.
    static func repeated(_ entries: [JSONEntry]) -> JSONValue? {
        for (a, b) in zip(entries, entries.dropFirst()) where a.decodedKey == b.decodedKey { return b.key }
        return nil
    }

    /// A key that some object within `value` has twice. Looks closer only at what is not canonical: that has its keys in
    /// strictly ascending order.
    static func repeatedWithin(_ value: JSONValue, _ bytes: Span<UInt8>) -> JSONValue? {
        guard !value.isCanonical else { return nil }
        if value.kind == .object {
            let entries = sorted(value, bytes)
            if let key = repeated(entries) { return key }
            for entry in entries {
                if let key = repeatedWithin(entry.value, bytes) { return key }
            }
        } else if value.kind == .array {
            var scanner = JSONScanner(bytes, value.range, maxDepth: Int.max)
            scanner.at += 1
            var first = true
            while (try? scanner.element(first: &first)) ?? false, let element = try? scanner.value() {
                if let key = repeatedWithin(element, bytes) { return key }
            }
        }
        return nil
    }
}
