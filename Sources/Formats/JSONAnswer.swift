/// Reads the few fields of a receiver's JSON answer that matter, in one pass and without building a tree.
///
/// Answers come from outside: whatever they hold, reading them ends, and what is malformed is nil.
public enum JSONAnswer {
    /// The members of the object that `bytes[range]` is, each key decoded, with its value; nil if it is none.
    public static func members(_ bytes: Span<UInt8>, _ range: Range<Int>) -> [(key: String, value: JSONValue)]? {
        var scanner = JSONScanner(bytes, range, maxDepth: 64)
        var result: [(key: String, value: JSONValue)] = []
        do throws(JSONFault) {
            try scanner.enterObject()
            var first = true
            while let key = try scanner.key(first: &first) {
                let decoded = JSONEntry.decodedKey(key, bytes)
                result.append((String(decoding: decoded, as: UTF8.self), try scanner.value()))
            }
            scanner.skipSpace()
            guard scanner.at == scanner.end else { return nil }
        } catch { return nil }
        return result
    }

    /// Where the elements of a list lie; nil if the value is none.
    public static func elements(_ bytes: Span<UInt8>, _ list: JSONValue) -> [JSONValue]? {
        guard list.kind == .array else { return nil }
        var scanner = JSONScanner(bytes, list.range, maxDepth: 64)
        var result: [JSONValue] = []
        scanner.at += 1
        do throws(JSONFault) {
            var first = true
            while try scanner.element(first: &first) { result.append(try scanner.value()) }
        } catch { return nil }
        return result
    }

    /// Whether all of `bytes` is `head`, `count` times `item` with commas in between, and `tail`.
    public static func isList(
        _ bytes: Span<UInt8>, _ head: StaticString, _ item: StaticString, count: Int, _ tail: StaticString
    ) -> Bool {
        let step = item.utf8CodeUnitCount + 1
        let (begin, end) = (head.utf8CodeUnitCount, bytes.count - tail.utf8CodeUnitCount)
        guard count > 0, end - begin == count * step - 1, BytePattern(bytes, 0..<begin).isSpelt(head),
            BytePattern(bytes, end..<bytes.count).isSpelt(tail)
        else { return false }
        var at = begin
        while at < end {
            guard BytePattern(bytes, at..<at + step - 1).isSpelt(item), at + step > end || bytes[at + step - 1] == 0x2C
            else { return false }
            at += step
        }
        return true
    }

    /// Whether a value is written with exactly these bytes.
    public static func isSpelt(_ value: JSONValue, _ text: StaticString, _ bytes: Span<UInt8>) -> Bool {
        JSONScanner(bytes, value.range, maxDepth: 1).equals(value, text)
    }

    /// A string's text, at most `limit` bytes of it and only whole characters; nil for other kinds.
    public static func text(_ value: JSONValue, _ bytes: Span<UInt8>, limit: Int = 300) -> String? {
        guard value.kind == .string else { return nil }
        let decoded = JSONEntry.decodedKey(value, bytes)
        return String(decoding: UTF8Check.cut(decoded, to: limit), as: UTF8.self)
    }

    /// What the string that stands at `range`, with its quotes, says; nil if that is not a string.
    public static func string(_ bytes: Span<UInt8>, _ range: Range<Int>) -> [UInt8]? {
        var scanner = JSONScanner(bytes, range, maxDepth: 1)
        guard scanner.at < scanner.end, scanner.byte(scanner.at) == 0x22, let value = try? scanner.string(),
            scanner.at == scanner.end
        else { return nil }
        return JSONEntry.decodedKey(value, bytes)
    }

    /// An integer that fits; nil for anything else.
    public static func integer(_ value: JSONValue, _ bytes: Span<UInt8>) -> Int? {
        guard value.kind == .number else { return nil }
        var text = ""
        for index in value.range.prefix(24) { text.unicodeScalars.append(Unicode.Scalar(bytes[index])) }
        return Int(text)
    }
}
