import Testing

@testable import YAML

/// `text` as a tree.
private func document(_ text: String, aliases: Int = 0) throws -> Document {
    try Document(Array(text.utf8), within: Bounds(aliases: aliases))
}

/// What is written in `node`, without places: plain text as it is, other text in quotes, tags before.
private func shape(_ node: Node?) -> String {
    guard let node else { return "nothing" }
    let tag = node.tag.map { "<\($0)> " } ?? ""
    switch node.content {
    case .scalar(let scalar): return tag + (scalar.isPlain ? scalar.text : "'\(scalar.text)'")
    case .sequence(let nodes): return tag + "[" + nodes.map(shape).joined(separator: ", ") + "]"
    case .mapping(let entries):
        return tag + "{" + entries.map { "\(shape($0.key)): \(shape($0.value))" }.joined(separator: ", ") + "}"
    }
}

@Suite struct DocumentTests {
    /// Nothing is resolved: every word stays the text that it is, and says whether it stood in quotes.
    @Test(arguments: [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("true", "true"), ("~", "~"), ("null", "null"), ("0o17", "0o17"),
        ("017", "017"), ("0x1F", "0x1F"), ("1_000", "1_000"), ("1e3", "1e3"), (".inf", ".inf"),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"), ("=", "="), ("'no'", "'no'"), ("\"no\"", "'no'"), ("''", "''"),
        ("|\n a\n b\n", "'a\nb\n'"), (">\n a\n b\n", "'a b\n'"), ("a\n b", "a b"), ("\"\\u00e9\\x41\\0\"", "'éA\0'"),
        ("'it''s'", "'it's'"), ("!!str 7", "<tag:yaml.org,2002:str> 7"), ("!local 7", "<!local> 7"), ("! 7", "<!> 7"),
        ("!!binary YQ==", "<tag:yaml.org,2002:binary> YQ=="), ("!!set {a}", "<tag:yaml.org,2002:set> {a: }"),
        ("[]", "[]"), ("{}", "{}"), ("[a, [b, {c: d}], e: f]", "[a, [b, {c: d}], {e: f}]"),
        ("a:\nb: 1\n", "{a: , b: 1}"), ("- a\n-\n- - b\n", "[a, , [b]]"), ("? [a]\n: b\n", "{[a]: b}"),
        ("<<: {a: 1}\nb: 2", "{<<: {a: 1}, b: 2}"), ("a: 1\nb: 2\na: 3", "{a: 1, b: 2, a: 3}"),
        ("{\"a\": 'b', c: \"\"}", "{'a': 'b', c: ''}"), ("# only\n", "nothing"), ("", "nothing"), ("---\n", ""),
        ("---\na\n...\n", "a"), ("%YAML 1.2\n---\na", "a"), ("%TAG !e! tag:e,1:\n---\n!e!x a", "<tag:e,1:x> a"),
        ("\u{FEFF}a: b", "{a: b}"), ("a: b\r\nc:\r\n- d\r\n", "{a: b, c: [d]}"), ("a: b\rc: d\r", "{a: b, c: d}"),
        ("a: \"b\r\n  c\"", "{a: 'b c'}"), ("a: 🦊\n", "{a: 🦊}"), ("a:\tb", "{a: b}"),
    ])
    func shapes(text: String, expected: String) throws {
        #expect(try shape(document(text).root) == expected)
    }

    @Test(arguments: [
        ("", true), ("~", true), ("null", true), ("Null", true), ("NULL", true), ("nULL", false), ("''", false),
        ("'~'", false), ("none", false), ("!!str", true),
    ])
    func null(text: String, expected: Bool) throws {
        let node = try #require(try document("- " + text).root?.sequence?.first)
        #expect(node.scalar?.isNull == expected)
    }

    @Test func everyValueHasItsPlace() throws {
        let root = try #require(try document("\u{FEFF}a: 'é' # x\r\nbé: [c,\u{2028}  {d: e}]\nf:\n").root)
        #expect(root.mark == Mark(line: 1, column: 1))
        let entries = try #require(root.mapping)
        #expect(
            entries.map(\.key.mark) == [Mark(line: 1, column: 1), Mark(line: 2, column: 1), Mark(line: 4, column: 1)])
        #expect(entries[0].value.mark == Mark(line: 1, column: 4))
        #expect(entries[1].value.mark == Mark(line: 2, column: 5))
        #expect(entries[1].value.sequence?.map(\.mark) == [Mark(line: 2, column: 6), Mark(line: 3, column: 3)])
        #expect(root["bé"]?.sequence?[1]["d"]?.mark == Mark(line: 3, column: 7))
        #expect(entries[2].value.mark.line == 4 && root["g"] == nil && root["a"]?["b"] == nil)
    }

    @Test func aliases() throws {
        let text = "a: &x {b: c}\nd: *x\n? &k e\n: &x 1\nf: [*x, *k]\n*k : 2\n"
        let found = try document(text, aliases: 4)
        #expect(shape(found.root) == "{a: {b: c}, d: {b: c}, e: 1, f: [1, e], e: 2}")
        // The value stands where the alias does, what is in it where it is written.
        #expect(found.root?["d"]?.mark == Mark(line: 2, column: 4))
        #expect(found.root?["d"]?["b"]?.mark == Mark(line: 1, column: 11))
        #expect(
            found.repeatedKeys == [
                Document.RepeatedKey(text: "e", mark: Mark(line: 6, column: 1), first: Mark(line: 3, column: 3))
            ])
    }

    @Test func repeatedKeysAreFoundEverywhere() throws {
        let found = try document("a: {b: 1, 'b': 2, b: 3}\nc:\n- {d: 1, d: 2}\n- d: 1\na: {}\n[1]: 1\n[1]: 1\n")
            .repeatedKeys
        #expect(found.map(\.text) == ["b", "b", "d", "a"])
        #expect(
            found.map(\.mark) == [
                Mark(line: 1, column: 11), Mark(line: 1, column: 19), Mark(line: 3, column: 10),
                Mark(line: 5, column: 1),
            ])
        #expect(
            Set(found.map(\.first)) == [Mark(line: 1, column: 5), Mark(line: 3, column: 4), Mark(line: 1, column: 1)])
        // What lies within is read to its end before what is around it.
        #expect(try document("a: 1\na: {b: 1, b: 2}\n").repeatedKeys.map(\.text) == ["a", "b"])
        let many = (0..<1_000).map { "k\($0): 1\nk\($0): 1\n" }.joined()
        #expect(try document(many).repeatedKeys.count == 17)
    }
}
