import FoundationEssentials
import Testing

/// Golden/json.ndjson: lines in pairs, a record as it comes in and the line that leaves.
@Suite struct GoldenTests {
    private static func lines() throws -> [String] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/json.ndjson")
        return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    @Test func everyPairHolds() throws {
        let lines = try Self.lines()
        #expect(lines.count == 18)
        for index in stride(from: 0, to: lines.count - 1, by: 2) {
            #expect(try Records.encode(lines[index]) == lines[index + 1], "line \(index + 1)")
        }
    }

    /// The stored output is JSON to others, with the same values of a probe.
    @Test func everyOutputParses() throws {
        let lines = try Self.lines()
        for index in stride(from: 0, to: lines.count - 1, by: 2) {
            // Foundation refuses the surrogate without a partner that one record holds.
            let source = try Records.parsed(lines[index].replacing(#"\ud83d alone"#, with: "\u{FFFD} alone"))
            let output = try Records.parsed(lines[index + 1])
            for path in ["metadata.uid", "spec.probe", "spec.result.detail", "spec.execution"]
            where source[path] != .null {
                #expect(output[path] == source[path])
            }
            #expect(output["spec.audit"] == nil)
        }
    }
}
