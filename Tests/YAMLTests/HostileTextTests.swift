import Model
import Testing

@testable import YAML

/// Texts that are broken or made to do harm.
@Suite struct HostileTextTests {
    private func refusal(
        _ bytes: [UInt8], within bounds: Bounds = Bounds(aliases: 10), _ location: SourceLocation = #_sourceLocation
    ) throws -> YAMLError {
        do throws(YAMLError) {
            _ = try Document(bytes, within: bounds)
        } catch {
            return error
        }
        Issue.record("it was read", sourceLocation: location)
        throw CancellationError()
    }

    private func refusal(_ text: String, _ location: SourceLocation = #_sourceLocation) throws -> YAMLError {
        try refusal(Array(text.utf8), location)
    }

    @Test(arguments: [
        ("a: [b, c\n", 2, 1, true), ("a: \"b\n", 2, 1, true), ("a: {b: 1", 1, 9, true), ("a: b: c\n", 1, 5, false),
        ("a:\n\tb: 1\n", 2, 1, false), ("a: @b\n", 1, 4, false), ("a: *b\n", 1, 4, false),
        ("a: 1\n b: 2\n", 2, 3, false),
        ("a: &b &c d\n", 1, 7, false), ("a: !<x d\n", 1, 7, false), ("!e!x a\n", 1, 1, false),
        ("a: \"\\q\"\n", 1, 5, false),
        ("a: \"\\ud800\"\n", 1, 7, false), ("- a\nb\n", 3, 1, true), ("]", 1, 1, false), ("a: &x [*x]\n", 1, 8, false),
        ("%YAML 2.0\n---\na", 1, 1, false), ("%YAML 1.1\n%YAML 1.1\n---\n", 2, 1, false),
    ])
    func syntax(text: String, line: Int, column: Int, isAtEnd: Bool) throws {
        let error = try refusal(text)
        #expect(error.kind == .syntax && !error.problem.isEmpty)
        #expect(error.mark == Mark(line: line, column: column), "\(error)")
        #expect(error.isAtEnd == isAtEnd && (error.found == nil) == isAtEnd, "\(error)")
    }

    @Test func contextSaysWhatWasBegun() throws {
        let error = try refusal("a: 1\nb: {c: 1\nd: 2\n")
        #expect(
            error.context == YAMLError.Context(text: "while parsing a flow mapping", mark: Mark(line: 2, column: 4)))
    }

    /// Whoever shows an error shows no credential by it.
    @Test func errorsQuoteNothing() throws {
        for text in [
            "token: \"hunter2", "hunter2: [", "a: hunter2: b", "a: *hunter2", "hunter2: \u{1}", "!hunter2!x a",
        ] {
            #expect(!"\(try refusal(text))".contains("hunter2"))
        }
    }

    @Test func severalDocuments() throws {
        for (text, line) in [("a: 1\n---\nb: 2\n", 2), ("--- a\n--- b\n", 2), ("a\n...\n---\n", 3), ("---\n---\n", 2)] {
            let error = try refusal(text)
            #expect(error.kind == .severalDocuments && error.mark == Mark(line: line, column: 1), "\(text)")
        }
    }

    @Test func characters() throws {
        let places: [(String, Unicode.Scalar, Int, Int)] = [
            ("a: 1\nb: \u{0}\n", "\u{0}", 2, 4), ("a: \u{1B}[2J", "\u{1B}", 1, 4), ("a: x\u{FEFF}", "\u{FEFF}", 1, 5),
            ("\u{FEFF}\u{FEFF}a", "\u{FEFF}", 1, 1), ("é\r\n\u{FFFE}", "\u{FFFE}", 2, 1),
            ("\u{85}\u{7F}", "\u{7F}", 2, 1), ("a\u{2028}\u{7F}", "\u{7F}", 2, 1), ("a\u{2029}\u{7F}", "\u{7F}", 2, 1),
            ("a\r\u{7F}", "\u{7F}", 2, 1), ("a\r\r\n\u{7F}", "\u{7F}", 3, 1), ("\u{D7FF}\u{9F}", "\u{9F}", 1, 2),
        ]
        for (text, scalar, line, column) in places {
            let error = try refusal(text)
            #expect(error.kind == .character(scalar) && error.mark == Mark(line: line, column: column), "\(error)")
        }
    }

    @Test func bytesThatAreNoUTF8() throws {
        for bytes in [
            [0xC3, 0x28], [0x80], [0xED, 0xA0, 0x80], [0xC0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82],
        ] as [[UInt8]] {
            let error = try refusal(Array("a: é\nb: ü".utf8) + bytes)
            #expect(error.kind == .notUTF8 && error.mark == Mark(line: 2, column: 5), "\(bytes): \(error)")
        }
    }

    @Test func otherEncodings() throws {
        let text = "a: b\n"
        let little = text.utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
        let big = text.utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
        #expect(try refusal([0xFF, 0xFE] + little).kind == .utf16)
        #expect(try refusal([0xFE, 0xFF] + big).kind == .utf16)
        #expect(try refusal([0xFF, 0xFE, 0, 0] + text.utf8.flatMap { [$0, 0, 0, 0] }).kind == .utf16)
        #expect(try refusal(little).kind == .character("\u{0}"))
        #expect(try refusal(big).kind == .character("\u{0}"))
    }

    @Test func size() throws {
        let text = [UInt8](repeating: 0x61, count: 1 << 20)
        #expect(try Document(text, within: Bounds(aliases: 0)).root?.scalar?.text.utf8.count == 1 << 20)
        #expect(try refusal(text + [0x61]).kind == .tooLarge)
        #expect(try refusal([UInt8](repeating: 0x5B, count: 10 << 20)).kind == .tooLarge)
    }

    /// Ten megabytes where so many are allowed, and libyaml, which knows no bound, has to be stopped.
    @Test func depthOfTenMegabytes() throws {
        var bounds = Bounds(aliases: 0)
        bounds.bytes = 10 << 20
        #expect(try refusal([UInt8](repeating: 0x5B, count: 10 << 20), within: bounds).kind == .tooDeep)
    }

    @Test(arguments: ["[", "{a: ", "- ", "? ", "[{", "- - ? ", "!t ["])
    func depth(opening: String) throws {
        let error = try refusal(String(repeating: opening, count: 20_000))
        #expect(error.kind == .tooDeep, "\(error)")
    }

    @Test func depthIsExact() throws {
        func nested(_ depth: Int) -> [UInt8] {
            [UInt8](repeating: 0x5B, count: depth) + [UInt8](repeating: 0x5D, count: depth)
        }
        #expect(try Document(nested(1_000), within: Bounds(aliases: 0)).root?.size == 1_000)
        let error = try refusal(nested(1_001))
        #expect(error.kind == .tooDeep && error.mark == Mark(line: 1, column: 1_001))
    }

    @Test func aliasBombs() throws {
        var bounds = Bounds(aliases: 1_000)
        var text = "x0: &x0 [a, a]\n"
        for level in 1...30 { text += "x\(level): &x\(level) [*x\(level - 1), *x\(level - 1)]\n" }
        let error = try refusal(Array(text.utf8), within: bounds)
        // The value of line n is 2^(n + 1) - 1 nodes.
        #expect(error.kind == .tooManyNodes && error.mark?.line == 19, "\(error)")
        bounds.aliases = 10
        let few = try refusal(Array(text.utf8), within: bounds)
        #expect(few.kind == .tooManyAliases && few.mark == Mark(line: 7, column: 10), "\(few)")
        bounds.aliases = 0
        #expect(try refusal(Array("a: &a b\nc: *a".utf8), within: bounds).kind == .tooManyAliases)
    }

    @Test func nodesAreCounted() throws {
        var bounds = Bounds(aliases: 1)
        bounds.nodes = 9
        let text = "a: &x [b, c]\nd: *x\n"
        #expect(try Document(Array(text.utf8), within: bounds).root?.size == 9)
        bounds.nodes = 8
        let error = try refusal(Array(text.utf8), within: bounds)
        #expect(error.kind == .tooManyNodes && error.mark == Mark(line: 2, column: 4))
    }

    @Test func manySmallValuesAreRead() throws {
        let bounds = Bounds(aliases: 0)
        let entries = "[" + String(repeating: "a,", count: 200_000) + "]"
        #expect(try Document(Array(entries.utf8), within: bounds).root?.sequence?.count == 200_000)
        let keys = String(repeating: "?\n", count: 50_000)
        let found = try Document(Array(keys.utf8), within: bounds)
        #expect(found.root?.mapping?.count == 50_000 && found.repeatedKeys.count == 17)
    }

    @Test func directives() throws {
        // Elsewhere a `%` is one like any other.
        let harmless = (0..<100).map { "k\($0): a%b\n %c\n" }.joined()
        #expect(try Document(Array(harmless.utf8), within: Bounds(aliases: 0)).root?.mapping?.count == 100)
        let many = (0..<60_000).map { "%TAG !a\($0)! a\n" }.joined() + "---\na\n"
        let error = try refusal(many)
        #expect(error.kind == .tooManyDirectives && error.mark == Mark(line: 17, column: 1))
    }

    /// Whatever the bytes, there is an answer, and its place is within the text.
    @Test func noise() throws {
        var random = PRNG(seed: 11)
        let alphabet = Array("ab:- []{}&*!|>'\"%@`#,?\t\r\n\\x~é\u{85}\u{0}".utf8) + [0xFF]
        for _ in 0..<5_000 {
            let count = Int(random.below(40))
            let bytes = (0..<count).map { _ in alphabet[Int(random.below(UInt64(alphabet.count)))] }
            do throws(YAMLError) {
                _ = try Document(bytes, within: Bounds(aliases: 2))
            } catch {
                #expect(
                    (error.mark?.line ?? 1) <= count + 1 && (error.mark?.column ?? 1) <= count + 1, "\(bytes): \(error)"
                )
                #expect(error.isAtEnd == false || error.found == nil)
            }
        }
    }
}
