/// What a program's text says to people: the string literals of a call, without what is interpolated.
struct SpokenText: Equatable {
    var line: Int
    /// The pieces between interpolations; literals that are joined by `+` count as one.
    var pieces: [String]
    /// The label of the argument that it is, if it is one and has one.
    var label = ""

    /// The piece that says most, without marks and spaces around it; empty if there is none of two words.
    var telling: String {
        let trimmed = pieces.map { piece in
            let isMark = { (character: Character) in " :;,.()".contains(character) }
            let tail = piece.drop(while: isMark)
            return String(tail.reversed().drop(while: isMark).reversed())
        }
        let longest = trimmed.max { $0.count < $1.count } ?? ""
        return longest.contains(" ") ? longest : ""
    }

    /// All pieces, with a mark where something is interpolated, as documents write it.
    var pattern: String { pieces.joined(separator: "…") }
}

extension SwiftText {
    /// The first text in each call whose code begins with one of `names`, such as `log.error(`; without pieces if the
    /// call has none. Declarations are no calls.
    func spoken(in names: [String]) -> [SpokenText] {
        var found: [SpokenText] = []
        for name in names {
            for start in Self.offsets(of: name, in: code) where !isFunctionName(at: start) {
                let open = start + name.utf8.count
                let text = text(from: open, to: endOfCall(from: open))
                found.append(SpokenText(line: line(at: start), pieces: text ?? []))
            }
        }
        return found.sorted { $0.line < $1.line }
    }

    /// The whole argument list of each such call, as code.
    func arguments(of name: String) -> [(line: Int, code: String)] {
        Self.offsets(of: name, in: code).map { start in
            let open = start + name.utf8.count
            return (line(at: start), String(decoding: code[open..<endOfCall(from: open)], as: UTF8.self))
        }
    }

    /// Every text of the file.
    var texts: [SpokenText] {
        var found: [SpokenText] = []
        var at = 0
        while let start = nextQuote(from: at, to: original.count) {
            var end = start
            let pieces = chain(&end, to: original.count)
            found.append(SpokenText(line: line(at: start), pieces: pieces, label: label(before: start)))
            at = end
        }
        return found
    }

    /// Names of the cases of the enumeration that `declaration` begins.
    func cases(of declaration: String) -> [String] {
        guard let start = Self.offsets(of: declaration, in: code).first else { return [] }
        var names: [String] = []
        var depth = 0
        for row in String(decoding: code[start...], as: UTF8.self).split(separator: "\n") {
            let words = row.split(separator: " ")
            if depth == 1, words.first == "case", words.count > 1 {
                names += words.dropFirst().joined().split(separator: ",").map { String($0.prefix { $0 != "=" }) }
            }
            depth += row.count { $0 == "{" } - row.count { $0 == "}" }
            if depth == 0 { break }
        }
        return names
    }

    private func isFunctionName(at start: Int) -> Bool {
        String(decoding: code[max(0, start - 5)..<start], as: UTF8.self) == "func "
    }

    /// Offset of the parenthesis that closes a call, of which the argument list begins at `open`.
    private func endOfCall(from open: Int) -> Int {
        var depth = 1
        for offset in open..<code.count {
            if code[offset] == UInt8(ascii: "(") { depth += 1 }
            if code[offset] == UInt8(ascii: ")") { depth -= 1 }
            if depth == 0 { return offset }
        }
        return code.count
    }

    private func label(before start: Int) -> String {
        let rest = original[..<start].reversed().drop { $0 == UInt8(ascii: " ") }
        guard rest.first == UInt8(ascii: ":") else { return "" }
        return String(decoding: rest.dropFirst().prefix { Self.isWord($0) }.reversed(), as: UTF8.self)
    }

    private func text(from start: Int, to end: Int) -> [String]? {
        guard var at = nextQuote(from: start, to: end) else { return nil }
        // Of an argument, and not of a dictionary's key behind it.
        let before = original[..<at].last { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }
        guard before == UInt8(ascii: "(") || before == UInt8(ascii: ",") else { return nil }
        return chain(&at, to: end)
    }

    /// Where a literal begins: a quote that is no code, and not in a comment that ends before the line does.
    private func nextQuote(from start: Int, to end: Int) -> Int? {
        var at = start
        while at < end {
            if original[at] == UInt8(ascii: "/"), at + 1 < end, original[at + 1] == UInt8(ascii: "/"),
                code[at] == UInt8(ascii: " ")
            {
                while at < end, original[at] != UInt8(ascii: "\n") { at += 1 }
            } else if original[at] == UInt8(ascii: "\"") {
                return at
            } else {
                at += 1
            }
        }
        return nil
    }

    /// The literal at `at` and those that `+` joins to it; `at` is behind them then.
    private func chain(_ at: inout Int, to end: Int) -> [String] {
        var pieces = literal(&at)
        while true {
            var next = at
            while next < end, [UInt8(ascii: " "), UInt8(ascii: "\n")].contains(original[next]) { next += 1 }
            guard next < end, original[next] == UInt8(ascii: "+") else { return pieces }
            next += 1
            while next < end, [UInt8(ascii: " "), UInt8(ascii: "\n")].contains(original[next]) { next += 1 }
            guard next < end, original[next] == UInt8(ascii: "\"") else { return pieces }
            at = next
            var more = literal(&at)
            pieces[pieces.count - 1] += more.removeFirst()
            pieces += more
        }
    }

    /// The pieces of the literal at `at`, which is behind it then.
    private func literal(_ at: inout Int) -> [String] {
        var pieces: [[UInt8]] = [[]]
        at += 1
        while at < original.count, original[at] != UInt8(ascii: "\""), original[at] != UInt8(ascii: "\n") {
            guard original[at] == UInt8(ascii: "\\") else {
                pieces[pieces.count - 1].append(original[at])
                at += 1
                continue
            }
            if original[at + 1] == UInt8(ascii: "(") {
                at += 2
                skipInterpolation(&at)
                pieces.append([])
            } else {
                pieces[pieces.count - 1].append(original[at + 1])
                at += 2
            }
        }
        at += 1
        return pieces.map { String(decoding: $0, as: UTF8.self) }
    }

    private func skipInterpolation(_ at: inout Int) {
        var depth = 1
        while at < original.count, depth > 0 {
            switch original[at] {
            case UInt8(ascii: "\""): _ = literal(&at)
            case UInt8(ascii: "("):
                depth += 1
                at += 1
            case UInt8(ascii: ")"):
                depth -= 1
                at += 1
            default: at += 1
            }
        }
    }
}
