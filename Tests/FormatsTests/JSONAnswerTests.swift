import Formats
import Model
import Testing

@Suite struct JSONAnswerTests {
    private static func keys(_ text: String) -> [String]? {
        let bytes = Array(text.utf8)
        return JSONAnswer.members(bytes.span, 0..<bytes.count)?.map(\.key)
    }

    /// The one member of an object, handed to `body` with its bytes.
    private static func first<Answer>(_ value: String, _ body: (JSONValue, Span<UInt8>) -> Answer?) -> Answer? {
        let bytes = Array("{\"v\":\(value)}".utf8)
        guard let member = JSONAnswer.members(bytes.span, 0..<bytes.count)?.first else { return nil }
        return body(member.value, bytes.span)
    }

    @Test func membersComeInOrderWithDecodedKeys() {
        #expect(Self.keys(#"{"code":0,"te\u0078t":"Success","":null,"code":1}"#) == ["code", "text", "", "code"])
        #expect(Self.keys("{}") == [])
        #expect(Self.keys(" { } \r\n") == [])
    }

    @Test(arguments: [
        "", " ", "[]", "null", "1", "\"x\"", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{\"a\":1}}",
        "{\"a\":1}x", "{\"a\":1} {\"b\":2}", "{\"a\":tru}", "{\"a\":\"\\q\"}", "<html>busy</html>",
    ])
    func whatIsNoObjectIsNil(text: String) {
        #expect(Self.keys(text) == nil)
    }

    @Test func invalidUTF8IsNil() {
        let bytes = Array("{\"a\":\"".utf8) + [0xFF] + Array("\"}".utf8)
        #expect(JSONAnswer.members(bytes.span, 0..<bytes.count) == nil)
    }

    @Test func deepAnswersAreNil() {
        #expect(
            Self.keys("{\"a\":" + String(repeating: "[", count: 64) + String(repeating: "]", count: 64) + "}") != nil)
        #expect(
            Self.keys("{\"a\":" + String(repeating: "[", count: 65) + String(repeating: "]", count: 65) + "}") == nil)
        #expect(Self.keys("{\"a\":" + String(repeating: "[", count: 300_000)) == nil)
    }

    @Test func elementsOfLists() {
        func integers(_ text: String) -> [Int?]? {
            Self.first(text) { value, bytes in
                JSONAnswer.elements(bytes, value)?.map { JSONAnswer.integer($0, bytes) }
            }
        }
        #expect(integers("[1, 2,-3]") == [1, 2, -3])
        #expect(integers("[]") == [])
        #expect(integers("[1,{\"a\":[2]},\"3\",[4],null]") == [1, nil, nil, nil, nil])
        #expect(integers("{\"a\":1}") == nil)
        #expect(integers("\"[1]\"") == nil)
    }

    @Test(arguments: [
        ("0", 0), ("-1", -1), ("201", 201), ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min),
    ])
    func integers(text: String, number: Int) {
        #expect(Self.first(text) { JSONAnswer.integer($0, $1) } == number)
    }

    @Test(arguments: [
        "9223372036854775808", "1.0", "1e2", "\"1\"", "true", "null", "[1]", "{}",
        "100000000000000000000000000000000000001",
    ])
    func whatIsNoIntegerIsNil(text: String) {
        #expect(Self.first(text) { JSONAnswer.integer($0, $1) } == nil)
    }

    @Test func textIsDecodedAndBounded() {
        func text(_ value: String, limit: Int = 300) -> String? {
            Self.first(value) { JSONAnswer.text($0, $1, limit: limit) }
        }
        #expect(text(#""Invalid \u0064ata\n""#) == "Invalid data\n")
        #expect(text("\"abc\"", limit: 2) == "ab")
        #expect(text("\"abc\"", limit: 3) == "abc")
        #expect(text("\"aé\"", limit: 2) == "a")
        #expect(text("\"\u{1F6A8}\"", limit: 3) == "")
        #expect(text("\"\u{1F6A8}\"", limit: 4) == "\u{1F6A8}")
        #expect(text("\"abc\"", limit: 0) == "")
        #expect(text("\"" + String(repeating: "x", count: 1_000) + "\"")?.count == 300)
        #expect(text("7") == nil)
        #expect(text("null") == nil)
    }

    /// Answers come from outside: whatever is done to one, reading it ends and stays inside.
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func damagedAnswersAreReadToAnEnd(seed: UInt64) {
        let valid = Array(
            #"{"took":3,"errors":true,"items":[{"create":{"status":429,"error":{"type":"x","reason":"\ud83d"}}}]}"#
                .utf8)
        var mutator = Mutator(seed: seed)
        var objects = 0
        for _ in 0..<3_000 {
            let bytes = mutator.mutate(valid)
            guard let members = JSONAnswer.members(bytes.span, 0..<bytes.count) else { continue }
            objects += 1
            for (_, value) in members {
                #expect(value.range.upperBound < bytes.count)
                let elements = JSONAnswer.elements(bytes.span, value)
                #expect((elements != nil) == (value.kind == .array))
                #expect((JSONAnswer.text(value, bytes.span) != nil) == (value.kind == .string))
            }
        }
        #expect(objects > 50, "the damage left too little to look at")
    }
}
