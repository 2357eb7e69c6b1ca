import Formats
import Model
import Testing

/// JSON text that is broken, and JSON text that is merely unusual.
@Suite struct TextTests {
    /// A record whose detail is spelt as given, between its quotes.
    private static func record(detail spelling: [UInt8]) -> [UInt8] {
        let parts = Records.full.setting("spec.result.detail", .string("@@@")).text.split(separator: "@@@")
        return Array(parts[0].utf8) + spelling + Array(parts[1].utf8)
    }

    private static func detail(spelt spelling: [UInt8]) throws -> String? {
        let out = try Records.encode(record(detail: spelling))
        guard case .string(let text)? = try Records.parsed(out)["spec.result.detail"] else { return nil }
        return text
    }

    private static func record(unknown value: String) -> String {
        Records.full.setting("spec.extra", .string("@@@")).text.replacing("\"@@@\"", with: value)
    }

    // MARK: Escapes

    @Test(arguments: [
        (#"\""#, "\"", #"\""#), (#"\\"#, "\\", #"\\"#), (#"\/"#, "/", "/"), (#"\b"#, "\u{8}", #"\b"#),
        (#"\f"#, "\u{C}", #"\f"#), (#"\n"#, "\n", #"\n"#), (#"\r"#, "\r", #"\r"#), (#"\t"#, "\t", #"\t"#),
        (#"\u0041"#, "A", "A"), (#"\u0022"#, "\"", #"\""#), (#"\u005c"#, "\\", #"\\"#), (#"\u005C"#, "\\", #"\\"#),
        (#"\u003c\u003e\u0026"#, "<>&", "<>&"), (#"\u007f"#, "\u{7F}", "\u{7F}"), (#"\u0080"#, "\u{80}", "\u{80}"),
        (#"\u07ff\u0800"#, "\u{7FF}\u{800}", "\u{7FF}\u{800}"), (#"\uffff"#, "\u{FFFF}", "\u{FFFF}"),
        (#"\u2028\u2029"#, "\u{2028}\u{2029}", "\u{2028}\u{2029}"),
        (#"\ud83d\udea8"#, "\u{1F6A8}", "\u{1F6A8}"), (#"\uD83D\uDEA8"#, "\u{1F6A8}", "\u{1F6A8}"),
        (#"\ud800\udc00"#, "\u{10000}", "\u{10000}"), (#"\udbff\udfff"#, "\u{10FFFF}", "\u{10FFFF}"),
    ])
    func escape(spelling: String, text: String, written: String) throws {
        for (before, after) in [("", ""), ("x", "y"), ("12345678", "12345678")] {
            let bytes = Self.record(detail: Array((before + spelling + after).utf8))
            let out = String(decoding: try Records.encode(bytes), as: UTF8.self)
            #expect(out.contains("\"detail\":\"" + before + written + after + "\""))
            #expect(try Self.detail(spelt: Array((before + spelling + after).utf8)) == before + text + after)
        }
    }

    @Test(arguments: 0..<0x20)
    func controlCharacters(value: Int) throws {
        let scalar = try #require(Unicode.Scalar(UInt8(value)) as Unicode.Scalar?)
        let text = String(Character(scalar))
        let spelling = "\\u" + JSON.hex(UInt32(value))
        #expect(try Self.detail(spelt: Array(spelling.utf8)) == text)
        #expect(try Self.detail(spelt: Array(spelling.uppercased().replacing("\\U", with: "\\u").utf8)) == text)
        let out = String(decoding: try Records.encode(Self.record(detail: Array(spelling.utf8))), as: UTF8.self)
        #expect(out.contains("\"detail\":" + JSON.quoted(text)))
        let raw = Records.refusal(Self.record(detail: [UInt8(value)]))
        #expect(raw?.field == "spec.result.detail")
        #expect(raw?.message.hasPrefix("a control character must be written as an escape at byte ") == true)
    }

    /// As Go's decoder in the API server: what stands for no character becomes U+FFFD.
    @Test(arguments: [
        (#"\ud800"#, "\u{FFFD}"), (#"\udfff"#, "\u{FFFD}"), (#"a\ud83db"#, "a\u{FFFD}b"),
        (#"\ud83d\ud83d\udea8"#, "\u{FFFD}\u{1F6A8}"), (#"\udea8\ud83d"#, "\u{FFFD}\u{FFFD}"),
        (#"\ud83d\u0041"#, "\u{FFFD}A"), (#"\ud83d\n"#, "\u{FFFD}\n"), (#"\ud83d\\udea8"#, "\u{FFFD}\\udea8"),
        (#"\ud83d\"\udea8"#, "\u{FFFD}\"\u{FFFD}"),
    ])
    func loneSurrogates(spelling: String, text: String) throws {
        #expect(try Self.detail(spelt: Array(spelling.utf8)) == text)
    }

    @Test(arguments: [#"\a"#, #"\0"#, #"\'"#, #"\x41"#, #"\U0041"#, #"\u12"#, #"\u12g4"#, #"\u"#, #"\u-123"#, #"\ "#])
    func unknownEscapes(spelling: String) {
        let refusal = Records.refusal(Self.record(detail: Array(spelling.utf8)))
        #expect(refusal?.field == "spec.result.detail")
        #expect(refusal?.message.hasPrefix("unknown escape sequence at byte ") == true)
    }

    // MARK: UTF-8

    /// Both ends of every row of Unicode 15, table 3-7.
    @Test(
        arguments: [
            0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xCFFF, 0xD000, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x3FFFF,
            0x40000, 0xFFFFF, 0x100000, 0x10FFFF,
        ] as [UInt32])
    func validUTF8PassesThrough(value: UInt32) throws {
        let scalar = try #require(Unicode.Scalar(value))
        let text = String(Character(scalar))
        for padding in ["", "1234567", "12345678901"] {
            let bytes = Self.record(detail: Array((padding + text).utf8))
            #expect(String(decoding: try Records.encode(bytes), as: UTF8.self).contains("\"" + padding + text + "\""))
        }
    }

    @Test(
        arguments: [
            [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC2], [0xC2, 0x41], [0xC2, 0xC2], [0xDF, 0xC0],
            [0xE0, 0x80, 0x80], [0xE0, 0x9F, 0xBF], [0xE0, 0xA0], [0xE1, 0x80], [0xE1, 0x80, 0x41], [0xEF, 0xBF, 0xC0],
            [0xED, 0xA0, 0x80], [0xED, 0xAF, 0xBF], [0xED, 0xB0, 0x80], [0xED, 0xBF, 0xBF],
            [0xED, 0xA0, 0xBD, 0xED, 0xBA, 0xA8],
            [0xF0, 0x80, 0x80, 0x80], [0xF0, 0x8F, 0xBF, 0xBF], [0xF0, 0x90, 0x80], [0xF1, 0x80, 0x80, 0x41],
            [0xF4, 0x90, 0x80, 0x80], [0xF4, 0x8F, 0xBF], [0xF5, 0x80, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80],
            [0xFE], [0xFF],
        ] as [[UInt8]])
    func invalidUTF8IsRefused(sequence: [UInt8]) {
        for spelling in [sequence, Array("123456".utf8) + sequence, sequence + Array("1234567890".utf8)] {
            let refusal = Records.refusal(Self.record(detail: spelling))
            #expect(refusal?.field == "spec.result.detail")
            #expect(refusal?.message.hasPrefix("the text is not valid UTF-8 at byte ") == true)
        }
    }

    @Test func aCharacterCutByTheEndIsRefused() {
        let bytes = Self.record(detail: Array("ä".utf8))
        guard let cut = bytes.firstIndex(of: 0xC3) else {
            Issue.record("the record lost its detail")
            return
        }
        #expect(Records.refusal(Array(bytes[...cut]))?.message.hasPrefix("the text is not valid UTF-8") == true)
        #expect(Records.refusal(Array(bytes[..<cut]))?.message.hasPrefix("the JSON text ends too early") == true)
    }

    // MARK: Nesting

    private static func nested(_ depth: Int, _ open: String, _ close: String) -> String {
        String(repeating: open, count: depth - 1) + (open == "[" ? "[]" : "{}")
            + String(repeating: close, count: depth - 1)
    }

    /// The limit counts the record's own objects: `spec.result.x` lies inside three.
    @Test(arguments: [
        ("status", 1), ("metadata.extra", 2), ("spec.extra", 2), ("spec.probe.extra", 3), ("spec.result.extra", 3),
        ("spec.execution.extra", 3), ("spec.audit.extra", 3), ("metadata.managedFields", 2),
        ("spec.result.detail", 3),
    ])
    func nestingUpToTheLimit(path: String, around: Int) {
        for (open, close) in [("[", "]"), (#"{"a":"#, "}"), (#"[{"a":"#, "}]")] {
            let levels = open.contains("[{") ? 2 : 1
            for limit in [16, 64] {
                var limits = Limits()
                limits.maxDepth = limit
                func refusal(_ depth: Int) -> RecordError? {
                    let value =
                        levels == 2
                        ? String(repeating: open, count: depth / 2) + (depth % 2 == 1 ? "[]" : "1")
                            + String(repeating: close, count: depth / 2)
                        : Self.nested(depth, open, close)
                    let text = Records.full.setting(path, .string("@@@")).text.replacing("\"@@@\"", with: value)
                    return Records.refusal(Array(text.utf8), limits: limits)
                }
                let fits = refusal(limit - around)
                // `detail` must be a string, but that is found out later than a nesting that is too deep.
                #expect(fits == nil || fits?.message.hasPrefix("expected a string, found ") == true)
                let refused = refusal(limit - around + 1)
                #expect(refused?.message.hasPrefix("nested too deeply at byte ") == true)
            }
        }
    }

    @Test func veryDeepNestingDoesNotExhaustTheStack() {
        for open in ["[", #"{"a":"#] {
            let text = Self.record(unknown: String(repeating: open, count: 200_000))
            #expect(Records.refusal(text)?.message.hasPrefix("nested too deeply at byte ") == true)
        }
    }

    // MARK: Numbers

    @Test(arguments: ["0", "-0", "1", "9223372036854775807", "-9223372036854775808", "-1"])
    func durationsThatFit(text: String) throws {
        var reader = ProbeResultReader()
        let bytes = Array(Records.full.setting("spec.execution.durationMs", .number(text)).text.utf8)
        try reader.read(bytes.span, 0..<bytes.count)
        #expect(reader.record.durationMs == Int64(text))
        #expect(try Records.encode(String(decoding: bytes, as: UTF8.self)).contains("\"durationMs\":\(text),"))
    }

    @Test(arguments: [
        "9223372036854775808", "-9223372036854775809", "18446744073709551616", "92233720368547758070", "1.0", "1.5",
        "1e3", "1E+2", "0e0", "-0.0", "1000000000000000000000000000000",
    ])
    func durationsThatDoNot(text: String) {
        let wanted = RecordError(
            field: "spec.execution.durationMs", message: "expected an integer of 64 bits, found \(text)")
        #expect(Records.refusal(Records.full.setting("spec.execution.durationMs", .number(text))) == wanted)
    }

    @Test(arguments: [
        JSON.string("7"), .bool(true), .list([.number("7")]), .members(["ms": .number("7")]),
    ])
    func durationsOfAnotherKind(value: JSON) {
        let wanted = RecordError(
            field: "spec.execution.durationMs", message: "expected an integer of 64 bits, found \(value.text)")
        #expect(Records.refusal(Records.full.setting("spec.execution.durationMs", value)) == wanted)
    }

    @Test(arguments: [nil, JSON.null])
    func durationsMissing(value: JSON?) {
        let wanted = RecordError(
            field: "spec.execution.durationMs", message: "required and missing; expected milliseconds as an integer")
        #expect(Records.refusal(Records.full.setting("spec.execution.durationMs", value)) == wanted)
    }

    /// Numbers nobody here computes with pass through digit by digit.
    @Test(arguments: [
        "0", "-0", "0.0", "-1.50", "1e5", "1E+05", "1e-999", "123456789012345678901234567890", "0.1000", "-0e-0",
    ])
    func unknownNumbersKeepTheirSpelling(text: String) throws {
        #expect(try Records.encode(Self.record(unknown: text)).contains("\"extra\":\(text)}"))
        #expect(try Records.encode(Self.record(unknown: "[ \(text) ]")).contains("\"extra\":[\(text)]}"))
    }

    @Test(arguments: [
        "01", "-", "-a", "1.", "1.e3", "1e", "1e+", "00", "-01", "1.2e-",
    ])
    func malformedNumbers(text: String) {
        let refusal = Records.refusal(Self.record(unknown: text))
        #expect(refusal?.field == "spec")
        #expect(refusal?.message.hasPrefix("malformed number at byte ") == true)
    }

    // MARK: Structure

    @Test(arguments: [
        ("+1", "expected a JSON value"), (".5", "expected a JSON value"), ("NaN", "expected a JSON value"),
        ("'x'", "expected a JSON value"), ("", "expected a JSON value"), ("tru", "expected true, false or null"),
        ("True", "expected a JSON value"), ("nul", "expected true, false or null"),
        ("falsy", "expected true, false or null"), ("0x10", "expected ',' or the end"),
        ("truex", "expected ',' or the end"), ("1 2", "expected ',' or the end"),
        ("[1,]", "expected a JSON value"), ("[,1]", "expected a JSON value"), ("[1 2]", "expected ',' or the end"),
        (#"{"a":1,}"#, "expected a key in double quotes"), (#"{,"a":1}"#, "expected a key in double quotes"),
        (#"{a:1}"#, "expected a key in double quotes"), (#"{1:1}"#, "expected a key in double quotes"),
        (#"{"a" 1}"#, "expected ':' after the key"), (#"{"a"}"#, "expected ':' after the key"),
        (#"{"a":1 "b":2}"#, "expected ',' or the end"), ("[1}", "expected ',' or the end"),
        (#"{"a":1]"#, "expected ',' or the end"), ("/* c */ 1", "expected a JSON value"),
        ("\u{A0}1", "expected a JSON value"), ("\u{B}1", "expected a JSON value"),
    ])
    func malformedValues(text: String, words: String) {
        let refusal = Records.refusal(Self.record(unknown: text))
        #expect(refusal?.field == "spec")
        #expect(refusal?.message.hasPrefix(words) == true, "\(refusal?.message ?? "accepted")")
    }

    @Test(arguments: ["", " ", "\u{FEFF}", "\r"])
    func nothingIsNoRecord(text: String) {
        let at = text.utf8.count + 1
        #expect(
            Records.refusal(text)
                == RecordError(field: "record", message: "the JSON text ends too early at byte \(at) of the record"))
    }

    @Test(arguments: ["[]", "1", "null", "\"x\"", "x"])
    func onlyAnObjectIsARecord(text: String) {
        #expect(
            Records.refusal(text) == RecordError(field: "record", message: "expected an object at byte 1 of the record")
        )
    }

    @Test func whatEndsEarlyIsRefusedAtEveryByte() {
        let bytes = Array(Records.full.text.utf8)
        for end in 0..<bytes.count {
            let refusal = Records.refusal(Array(bytes[..<end]))
            #expect(refusal != nil, "accepted with \(end) of \(bytes.count) bytes")
        }
    }

    @Test func textBehindTheRecordIsRefused() {
        let text = Records.full.text
        let place = "at byte \(text.utf8.count + 1) of the record"
        for more in ["x", "}", ",", "{}", "\u{0}"] {
            let wanted = RecordError(field: "record", message: "unexpected text after the record " + place)
            #expect(Records.refusal(text + more) == wanted)
        }
    }

    /// A byte order mark, a carriage return that the line cutter left, white space: all the same record.
    @Test(arguments: ["\u{FEFF}@", "@\r", " @ ", "\u{FEFF} @\r\n", "\t@\n"])
    func surroundings(frame: String) throws {
        let plain = try Records.encode(Records.full.text)
        #expect(try Records.encode(frame.replacing("@", with: Records.full.text)) == plain)
    }

    @Test(arguments: ["\u{FEFF}\u{FEFF}@", "@\u{FEFF}", " \u{FEFF}@"])
    func aByteOrderMarkElsewhereIsNone(frame: String) {
        #expect(Records.refusal(frame.replacing("@", with: Records.full.text))?.field == "record")
    }

    /// The reader looks at its range only, and places count from the record's start.
    @Test func readsInsideItsRangeOnly() throws {
        let record = Array(Records.full.text.utf8)
        let bytes = Array("\u{FEFF}{\"}".utf8) + record + Array("\"}]".utf8)
        let start = bytes.count - record.count - 3
        var reader = ProbeResultReader()
        try reader.read(bytes.span, start..<start + record.count)
        var out = ByteWriter()
        JSONRecordEncoder(stamp: Records.stamp).encode(reader.record, of: bytes.span, into: &out)
        let bytesWritten = out.seal().array
        #expect(bytesWritten == (try Records.encode(record)))
        #expect(throws: RecordError(field: "record", message: "expected an object at byte 1 of the record")) {
            try reader.read(bytes.span, start + 1..<start + record.count)
        }
    }

    /// What one record leaves in the reader is gone with the next, refused ones in between included.
    @Test func recordsDoNotMix() throws {
        let full = Array(Records.full.setting("spec.extra", .number("1")).text.utf8)
        let bare = Array(
            SchemaTests.optionalStrings.reduce(Records.full) { $0.setting($1, nil) }
                .setting("metadata.labels", nil).setting("metadata.annotations", nil)
                .setting("spec.result.nistControls", nil).setting("spec.result.controlMappings", nil).text.utf8)
        var reader = ProbeResultReader()
        var outputs: [[UInt8]] = []
        for bytes in [full, bare, Array(full.dropLast()), bare, full] {
            guard (try? reader.read(bytes.span, 0..<bytes.count)) != nil else { continue }
            var out = ByteWriter()
            JSONRecordEncoder(stamp: Records.stamp).encode(reader.record, of: bytes.span, into: &out)
            outputs.append(out.seal().array)
        }
        let wanted = try [full, bare, bare, full].map { try Records.encode($0) }
        #expect(outputs == wanted)
    }
}
