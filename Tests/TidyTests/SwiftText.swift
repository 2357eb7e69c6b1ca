/// Swift source with comments and string contents blanked out, so that rules look at code only.
///
/// Newlines stay where they are, so offsets and line numbers hold. Interpolated code stays visible. Regular
/// expression literals are not understood; we have none.
struct SwiftText {
    /// As read.
    let original: [UInt8]
    /// The same length; comments and strings are spaces.
    private(set) var code: [UInt8]
    private var at = 0

    init(_ text: String) {
        original = Array(text.utf8)
        code = original
        scanCode(insideInterpolation: false)
    }

    /// Line of the byte at `offset`, from 1.
    func line(at offset: Int) -> Int {
        original[..<offset].count { $0 == UInt8(ascii: "\n") } + 1
    }

    /// Lines, whether or not the last one ends.
    var lineCount: Int {
        original.count { $0 == UInt8(ascii: "\n") } + (original.last == UInt8(ascii: "\n") ? 0 : 1)
    }

    private func peek(_ ahead: Int = 0) -> UInt8 {
        at + ahead < original.count ? original[at + ahead] : 0
    }

    private func isNext(_ text: StaticString) -> Bool {
        for (ahead, byte) in text.description.utf8.enumerated() where peek(ahead) != byte { return false }
        return true
    }

    private mutating func blank(_ count: Int = 1) {
        for _ in 0..<count where at < code.count {
            if code[at] != UInt8(ascii: "\n") { code[at] = UInt8(ascii: " ") }
            at += 1
        }
    }

    private mutating func scanCode(insideInterpolation: Bool) {
        var depth = 0
        while at < original.count {
            if isNext("//") {
                while at < original.count, peek() != UInt8(ascii: "\n") { blank() }
            } else if isNext("/*") {
                scanComment()
            } else if let hashes = startOfString() {
                scanString(hashes: hashes)
            } else {
                if peek() == UInt8(ascii: "(") { depth += 1 }
                if peek() == UInt8(ascii: ")") {
                    if insideInterpolation, depth == 0 { return }
                    depth -= 1
                }
                at += 1
            }
        }
    }

    /// Block comments nest in Swift.
    private mutating func scanComment() {
        var depth = 0
        repeat {
            if isNext("/*") {
                depth += 1
                blank(2)
            } else if isNext("*/") {
                depth -= 1
                blank(2)
            } else {
                blank()
            }
        } while depth > 0 && at < original.count
    }

    /// How many `#` stand before the quote, if a string starts here.
    private func startOfString() -> Int? {
        var hashes = 0
        while peek(hashes) == UInt8(ascii: "#") { hashes += 1 }
        return peek(hashes) == UInt8(ascii: "\"") ? hashes : nil
    }

    private func hashesFollow(_ count: Int, at ahead: Int) -> Bool {
        (0..<count).allSatisfy { peek(ahead + $0) == UInt8(ascii: "#") }
    }

    private mutating func scanString(hashes: Int) {
        blank(hashes)
        let quotes = isNext("\"\"\"") ? 3 : 1
        blank(quotes)
        while at < original.count {
            if peek() == UInt8(ascii: "\\"), hashesFollow(hashes, at: 1) {
                blank(1 + hashes)
                if peek() == UInt8(ascii: "(") {
                    blank()
                    scanCode(insideInterpolation: true)
                }
                blank()
            } else if (0..<quotes).allSatisfy({ peek($0) == UInt8(ascii: "\"") }), hashesFollow(hashes, at: quotes) {
                blank(quotes + hashes)
                return
            } else if quotes == 1, peek() == UInt8(ascii: "\n") {
                return
            } else {
                blank()
            }
        }
    }
}

extension SwiftText {
    static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 128...255:
            true
        default: false
        }
    }

    /// Offsets of `pattern` in `bytes`, where a word of the pattern is not part of a longer word. A space in the
    /// pattern stands for one or more.
    static func offsets(of pattern: String, in bytes: [UInt8]) -> [Int] {
        let wanted = Array(pattern.utf8)
        return bytes.indices.filter { start in
            guard bytes[start] == wanted[0] else { return false }
            if start > 0, isWord(wanted[0]), isWord(bytes[start - 1]) { return false }
            var at = start
            for byte in wanted {
                guard at < bytes.count, bytes[at] == byte else { return false }
                at += 1
                if byte == UInt8(ascii: " ") {
                    while at < bytes.count, bytes[at] == byte { at += 1 }
                }
            }
            return !(isWord(wanted[wanted.count - 1]) && at < bytes.count && isWord(bytes[at]))
        }
    }

    /// A function, initializer, deinitializer or subscript with a body.
    struct Function: Equatable {
        var firstLine: Int
        var lineCount: Int
    }

    var functions: [Function] {
        var found: [Function] = []
        for keyword in ["func", "init", "deinit", "subscript"] {
            for start in Self.offsets(of: keyword, in: code) where isDeclaration(keyword, at: start) {
                guard let end = endOfBody(after: start + keyword.utf8.count) else { continue }
                let first = line(at: start)
                found.append(Function(firstLine: first, lineCount: line(at: end) - first + 1))
            }
        }
        return found.sorted { $0.firstLine < $1.firstLine }
    }

    /// Whether the keyword at `start` declares something, rather than calls `.init(…)` or labels an argument.
    private func isDeclaration(_ keyword: String, at start: Int) -> Bool {
        let before = code[..<start].last { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }
        if before == UInt8(ascii: ".") || before == UInt8(ascii: "`") { return false }
        let after = code[(start + keyword.utf8.count)...].first { $0 != UInt8(ascii: " ") } ?? 0
        switch keyword {
        case "func": return true
        case "deinit": return after == UInt8(ascii: "{")
        default: return "(<?!".utf8.contains(after)
        }
    }

    /// Offset of the brace that closes the body; nil for a requirement of a protocol, which has none.
    private func endOfBody(after start: Int) -> Int? {
        var nesting = 0
        var braces = 0
        for offset in start..<code.count {
            switch code[offset] {
            case UInt8(ascii: "("), UInt8(ascii: "["): nesting += 1
            case UInt8(ascii: ")"), UInt8(ascii: "]"): nesting -= 1
            case UInt8(ascii: "{") where nesting == 0 || braces > 0: braces += 1
            case UInt8(ascii: "}") where nesting == 0 || braces > 0:
                braces -= 1
                if braces == 0 { return offset }
                if braces < 0 { return nil }
            case UInt8(ascii: "\n") where nesting == 0 && braces == 0:
                if startsDeclaration(after: offset) { return nil }
            default: break
            }
        }
        return nil
    }

    private func startsDeclaration(after newline: Int) -> Bool {
        let rest = code[newline...].drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
        let word = String(decoding: rest.prefix { Self.isWord($0) || $0 == UInt8(ascii: "@") }, as: UTF8.self)
        return word.hasPrefix("@")
            || [
                "func", "init", "subscript", "var", "let", "static", "mutating", "consuming", "borrowing", "public",
                "associatedtype", "typealias", "nonisolated",
            ].contains(word)
    }
}
