import FoundationEssentials
import Testing

/// Records and the lines they become, reviewed by eye.
enum Golden {
    private static func lines(_ name: String) throws -> [String] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
        let text = try String(contentsOf: folder.appending(path: name), encoding: .utf8)
        return text.split(separator: "\n").map(String.init)
    }

    /// Compares the lines of the file `name` with what `encode` makes of the records beside it.
    static func check(_ name: String, _ encode: (String) throws -> [UInt8]) throws {
        let records = try lines("records.ndjson")
        let expected = try lines(name)
        #expect(!records.isEmpty && records.count == expected.count)
        for (record, line) in zip(records, expected) {
            #expect(String(decoding: try encode(record), as: UTF8.self) == line)
        }
    }
}

/// Names of clusters and versions that no key takes as they are.
enum HostileStamp {
    static let all = [
        "prod-east", "a=b|c\\", " edge ", "", "line\nend", "tab\tand\u{85}", String(repeating: "é", count: 300), "=",
    ]

    /// Checks that the stamp `text` is either shown as it is or kept exactly.
    static func check(_ exact: String?, _ text: String, shown: String?, version: String) throws {
        for (key, value) in [("cluster", shown), ("version", version)] where value != text {
            let kept = try #require(exact)
            #expect(kept.contains("\"sidereal.export.\(key)\":\""))
        }
        let isShown = shown == text && version == text
        #expect((exact == nil) == isShown)
    }
}
