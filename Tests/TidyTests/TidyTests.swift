import FoundationEssentials
import Testing

/// The rules held against this package's own sources.
@Suite struct TidyTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    private static func files(below folder: String) throws -> [SourceFile] {
        try FileManager.default.subpathsOfDirectory(atPath: root + "/" + folder)
            .filter { $0.hasSuffix(".swift") }.sorted()
            .map { name in
                let path = folder + "/" + name
                let contents = try #require(FileManager.default.contents(atPath: root + "/" + path))
                return SourceFile(path: path, String(decoding: contents, as: UTF8.self))
            }
    }

    private static func directories(in folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root + "/" + folder).filter { name in
            var isDirectory = false
            return FileManager.default.fileExists(atPath: root + "/\(folder)/\(name)", isDirectory: &isDirectory)
                && isDirectory
        }
    }

    @Test(arguments: ["Sources", "Tests"])
    func everyFileKeepsTheRules(folder: String) throws {
        let files = try Self.files(below: folder)
        #expect(files.count > 10, "the source tree was not found at \(Self.root)")
        for violation in files.flatMap(Rules.all) {
            Issue.record("\(violation)")
        }
    }

    /// What belongs at the top: a stray file there is one more thing that a newcomer has to understand.
    @Test func theTopIsFixed() throws {
        let known: Set = [
            "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "Package.resolved",
            "Package.swift",
            "README.md", "Sources", "Tests", "benchmarks", "deploy", "docs",
        ]
        let found = try FileManager.default.contentsOfDirectory(atPath: Self.root).filter { !$0.hasPrefix(".") }
        #expect(Set(found).subtracting(known) == [], "name it in known, or put it below one of them")
    }

    @Test func everyTargetHasALayer() throws {
        #expect(Layers.unknown(try Self.directories(in: "Sources")) == [], "add it to Layers.table")
    }

    @Test func backendsHaveTheSameFiles() throws {
        var folders: [String: [String]] = [:]
        for name in try Self.directories(in: "Sources/Backends") {
            folders[name] = try FileManager.default.contentsOfDirectory(atPath: Self.root + "/Sources/Backends/" + name)
        }
        for finding in Rules.unevenBackends(folders) {
            Issue.record("Sources/Backends: \(finding)")
        }
    }
}
