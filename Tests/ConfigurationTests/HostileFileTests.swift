import Model
import Testing

@testable import Configuration

/// Files that are broken or made to do harm.
@Suite struct HostileFileTests {
    @Test(arguments: ["", "\n\n", "# only a comment\n", "---\n", "~\n", "null", "\u{FEFF}"])
    func empty(_ text: String) throws {
        try expect(text, at: nil, "", "the file is empty", hint: "start with `export:`")
    }

    @Test func syntax() throws {
        try expect(
            "export:\n  targets: [a, b\ntls: {}\n", at: (3, 4), "", "not valid YAML: ", hint: nil)
        try expect("export:\n\ttargets: []\n", at: (2, 1), "", "cannot start any token", hint: "indent with spaces")
        try expect("a: b: c\n", at: (1, 5), "", "mapping values are not allowed", hint: "in quotes")
        try expect("a: @b\n", at: (1, 4), "", "cannot start any token", hint: "in quotes")
        try expect("a: \"b\n", at: (2, 1), "", "(while scanning a quoted scalar that starts in line 1)", hint: nil)
        try expect("a: {b: 1", at: (1, 9), "", "starts in line 1); the file ends here", hint: nil)
        try expect("a: *b\n", at: (1, 4), "", "found undefined alias", hint: "in quotes")
        try expect("a: 1\n---\nb: 2\n", at: (2, 1), "", "found another document", hint: "remove the `---`")
        try expect("a: 1\n b: 2\n", at: (2, 3), "", "mapping values are not allowed", hint: "indentation")
        try expect("a: 1\nb\n", at: (3, 1), "", "could not find expected ':'", hint: "a colon and a space")
    }

    @Test func syntaxMistakeAfterARepeatedKeyIsFound() throws {
        try expect("a: {b: 1, b: 2}\nc: @\n", at: (2, 4), "", "cannot start any token", hint: "in quotes")
    }

    @Test func controlCharacters() throws {
        try expect("a: 1\nb: \u{0}\n", at: (2, 4), "", "the character U+0000 is not allowed", hint: "remove it")
        try expect("a: \u{1B}[2J\n", at: (1, 4), "", "U+001B", hint: "remove it")
        try expect("a: x\u{FEFF}\n", at: (1, 5), "", "U+FEFF", hint: "remove it")
        try expect("a: \u{FFFE}\n", at: (1, 4), "", "U+FFFE", hint: "remove it")
    }

    @Test(arguments: [500, 20_000, 400_000])
    func deepNesting(_ depth: Int) {
        let open = "x-a: " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "\n"
        let found = problems(file(head: open))
        if depth == 500 {
            #expect(found.isEmpty)
        } else {
            #expect(found.map(\.message) == ["not valid YAML: the values are nested too deeply"])
        }
    }

    @Test func nestedMappingsThatAreNeverClosed() {
        let found = problems(String(repeating: "{a: ", count: 200_000))
        #expect(found.map(\.message) == ["not valid YAML: the values are nested too deeply"])
    }

    @Test(.timeLimit(.minutes(1)))
    func aliasBombs() throws {
        var text = "x0: &x0 [a, a]\n"
        for level in 1...30 { text += "x\(level): &x\(level) [*x\(level - 1), *x\(level - 1)]\n" }
        let hint = "write the values themselves"
        try expect(text + "? *x30\n: 1\n", at: (7, 10), "", "more than 10 aliases", hint: hint)
        var allowed = "x-0: &x0 [\(String(repeating: "aaaa, ", count: 10_000))b]\n"
        for level in 1...3 {
            allowed += "x-\(level): &x\(level) [*x\(level - 1), *x\(level - 1), *x\(level - 1)]\n"
        }
        let found = problems(file(head: allowed + "? *x3\n: 1\n"))
        #expect(found.map(\.message) == ["a key must be text, and this one is a list"])
    }

    @Test func starsThatAreNoAliasesDoNotCount() {
        let comment = String(repeating: "# *.example.com, * item, *item, a*b, **\n", count: 100)
        #expect(problems(comment + file(head: "x-a: '*item, *item'\n")).isEmpty)
    }

    @Test func aliasesStandWhereTheyAreWritten() throws {
        let configuration = try Configuration.parse(
            file(head: "x-a: &name edge\nglobal: {clusterName: *name}"), name: "f")
        #expect(configuration.clusterName == "edge")
        try expect(
            file(head: "x-a: &name [edge]\nglobal: {clusterName: *name}"), at: (6, 23), "global.clusterName",
            "expected text, found a list", hint: nil)
    }

    @Test func directivesAreFew() throws {
        let lines = (0..<60_000).map { "%TAG !a\($0)! a\n" }.joined()
        try expect(lines + "---\n" + file(), at: (17, 1), "", "more than 16 directives", hint: "is the path right?")
    }

    @Test func tooLarge() throws {
        let text = file(head: "x-a: " + String(repeating: "a", count: 1 << 20))
        try expect(text, at: nil, "", "the file is larger than 1MiB", hint: "is the path right?")
    }

    @Test(.timeLimit(.minutes(1)))
    func fullSizeIsRead() throws {
        let lines = (0..<60_000).map { "  k\($0): {a: b}\n" }.joined()
        #expect(lines.utf8.count > 800_000)
        #expect(problems(file(head: "x-a:\n" + lines)).isEmpty)
    }

    @Test func manyRepeatedKeysEnd() {
        let lines = (0..<40).map { "k\($0): 1\nk\($0): 1\n" }.joined()
        let found = problems(lines)
        #expect(found.count == 1)
        #expect(found[0].message.hasPrefix("more than one value for `"))
    }

    @Test func privateUseCharactersStayWhatTheyAre() throws {
        let configuration = try Configuration.parse(file(head: "global: {clusterName: \"\u{E000}a\"}"), name: "f")
        #expect(configuration.clusterName == "\u{E000}a")
        #expect(
            problems(file(head: "x-\u{E000}a: 1\nx-a: 1\nx-a: 2\n")).map(\.message) == [
                "given twice; the first is in line 6"
            ])
    }

    @Test func nextToEveryByteOfAFile() {
        // Whatever is cut off or changed, there is an answer and no crash; each problem is within the file.
        let text = ConfigurationTests.example
        let bytes = Array(text.utf8)
        var random = PRNG(seed: 7)
        for index in bytes.indices {
            var changed = bytes
            changed[index] = UInt8(truncatingIfNeeded: 0x20 + random.below(95))
            for variant in [Array(bytes[..<index]), changed] {
                let text = String(decoding: variant, as: UTF8.self)
                let lines = text.split(separator: "\n", omittingEmptySubsequences: false).count
                for problem in problems(text) {
                    #expect(problem.line ?? 1 <= lines && !problem.message.isEmpty, "\(problem)")
                }
            }
        }
    }
}

@Suite struct ConfigurationFileTests {
    private func failure(_ path: String) throws -> ConfigurationProblem {
        do throws(ConfigurationError) {
            _ = try Configuration.load(path: path)
        } catch {
            #expect(error.problems.count == 1)
            return error.problems[0]
        }
        Issue.record("\(path) was read")
        throw CancellationError()
    }

    @Test func readsAFile() throws {
        let directory = try TemporaryDirectory()
        try directory.write(ConfigurationTests.example, to: "values.yaml")
        let configuration = try Configuration.load(path: directory.path + "/values.yaml")
        #expect(configuration.targets.map(\.name) == ["soc-splunk"])
        #expect(configuration.file == directory.path + "/values.yaml")
    }

    @Test func missingFileAndDirectory() throws {
        let directory = try TemporaryDirectory()
        let missing = try failure(directory.path + "/none.yaml")
        #expect(
            missing.description.hasPrefix(
                "\(directory.path)/none.yaml: cannot read the file: No such file or directory\n    hint: is the path"))
        let folder = try failure(directory.path)
        #expect(folder.message == "cannot read the file: Is a directory")
        #expect(folder.hint == "give the file's path, not the directory's")
    }

    @Test func notText() throws {
        let directory = try TemporaryDirectory()
        try directory.write(Array("a: 1\nb: ".utf8) + [0xC3, 0x28, 0x0A], to: "latin1")
        let latin = try failure(directory.path + "/latin1")
        #expect(latin.message == "the file is not UTF-8 text")
        #expect(latin.line == 2)
        #expect(latin.hint == "save it as UTF-8")
        try directory.write([0xFF, 0xFE, 0x61, 0x00], to: "utf16")
        #expect(try failure(directory.path + "/utf16").message == "the file is UTF-16")
    }

    @Test func tenMegabytesAreRefused() throws {
        let directory = try TemporaryDirectory()
        try directory.write([UInt8](repeating: 0x61, count: 10 << 20), to: "large")
        let large = try failure(directory.path + "/large")
        #expect(large.message == "the file is larger than 1MiB")
        #expect(try failure("/dev/zero").message == "the file is larger than 1MiB")
    }
}
