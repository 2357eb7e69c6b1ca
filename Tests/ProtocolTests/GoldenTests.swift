import Model
import Testing

@testable import Protocol

/// The vectors of PROTOCOL.md against the codec, both ways.
@Suite struct GoldenTests {
    private struct Vector {
        var name: String
        var bytes: [UInt8]
    }

    /// Blocks that begin with ```` ```hex NAME ````: bytes in hexadecimal, and behind a bar what they are.
    private static func vectors() throws -> [Vector] {
        var root = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        root.removeLast(3)
        let path = root.joined(separator: "/") + "/Sources/Protocol/PROTOCOL.md"
        var vectors: [Vector] = []
        var isOpen = false
        for line in String(decoding: try contents(path), as: UTF8.self).split(separator: "\n") {
            if line.hasPrefix("```hex ") {
                vectors.append(Vector(name: String(line.dropFirst(7)), bytes: []))
                isOpen = true
            } else if line.hasPrefix("```") {
                isOpen = false
            } else if isOpen {
                let digits = line.prefix { $0 != "|" }.filter { !$0.isWhitespace }
                var rest = digits[...]
                while !rest.isEmpty {
                    guard rest.count > 1, let byte = UInt8(rest.prefix(2), radix: 16) else {
                        throw Finding(description: "\(vectors.last?.name ?? ""): \(line)")
                    }
                    vectors[vectors.count - 1].bytes.append(byte)
                    rest = rest.dropFirst(2)
                }
            }
        }
        return vectors
    }

    @Test func theDocumentHasAVectorOfEveryMessage() throws {
        #expect(try Self.vectors().map(\.name) == GoldenVectors.messages.map(\.name))
        #expect(Set(GoldenVectors.messages.map(\.message.type)) == Set(MessageType.allCases))
    }

    @Test func vectorsAreReadAndWrittenAsTheDocumentSays() throws {
        for (vector, golden) in zip(try Self.vectors(), GoldenVectors.messages) {
            let read = try message(vector.bytes)
            #expect(read == golden.message, "\(vector.name)")
            let written = try frame(golden.message)
            #expect(hex(written) == hex(vector.bytes), "\(vector.name)")
        }
    }
}
