import Formats
import Model
import Testing

/// What leaves, what does not, and in which form.
@Suite struct EncoderTests {
    private static func output(_ tree: JSON) throws -> String { try Records.encode(tree.text) }

    @Test func knownFieldsInTheirOrder() throws {
        #expect(
            try Self.output(Records.full) == #"""
                {"apiVersion":"sidereal.cloud/v1alpha1","kind":"SiderealProbeResult","metadata":{\#
                "uid":"6ba7b810-9dad-41d1-80b4-00c04fd430c8","name":"sidereal-result-3f2b8c1e",\#
                "namespace":"sidereal-system","creationTimestamp":"2026-03-15T08:30:01Z",\#
                "labels":{"sidereal.cloud/outcome":"Blocked","sidereal.cloud/probe-profile":"netpol"},\#
                "annotations":{"note":"kept"}},"spec":{"probe":{"id":"3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f3",\#
                "profile":"netpol","targetNamespace":"payments","aoAuthorizationRef":"ao-2026-q1"},\#
                "result":{"outcome":"Blocked","controlEffectiveness":"Effective","integrityStatus":"Verified",\#
                "nistControls":["AC-4","SC-7"],\#
                "controlMappings":{"cmmc":["SC.L2-3.13.1"],"nist-800-53":["AC-4","SC-7"]},\#
                "crosswalkVersion":"2026.1","mitreAttackId":"T1611","detail":"TCP connections timed out.",\#
                "verificationMode":"FlowLog"},"execution":{"timestamp":"2026-03-15T08:30:00.123456789Z",\#
                "durationMs":3120,"jobName":"sidereal-probe-netpol-3f2b8c1e"}},\#
                "sidereal":{"export":{"version":"0.1.0","cluster":"prod-east","shard":74}}}
                """#)
    }

    @Test func theStampIsEscapedAndTheShardFollowsItsCount() throws {
        let bytes = Array(Records.full.text.utf8)
        var reader = ProbeResultReader()
        try reader.read(bytes.span, 0..<bytes.count)
        var out = ByteWriter()
        let stamp = ExportStamp(version: "1.2\"3\\", cluster: "prod\n\u{1}é", shardCount: 65_535)
        JSONRecordEncoder(stamp: stamp).encode(reader.record, of: bytes.span, into: &out)
        let export = try Records.parsed(out.seal().array)["sidereal.export"]
        #expect(export?["version"] == .string("1.2\"3\\"))
        #expect(export?["cluster"] == .string("prod\n\u{1}é"))
        #expect(export?["shard"] == .number("4197"))
    }

    @Test(arguments: FormatKind.allCases)
    func everyFormatHasItsEncoder(format: FormatKind) throws {
        let encoder = FormatEncoder(format, stamp: Records.stamp, options: FormatOptions())
        #expect(encoder.writesJSON == (format == .json || format == .ocsf))
        let bytes = Array(Records.full.text.utf8)
        var reader = ProbeResultReader()
        try reader.read(bytes.span, 0..<bytes.count)
        var out = ByteWriter()
        out.append("before")
        encoder.encode(reader.record, of: bytes.span, into: &out)
        let written = String(decoding: out.seal().array, as: UTF8.self)
        let start =
            switch format {
            case .json: try Self.output(Records.full)
            case .cef: "CEF:0|Sidereal|Sidereal|0.1.0|probe:netpol|"
            case .leef: "LEEF:2.0|Sidereal|Sidereal|0.1.0|probe:netpol:Blocked|x09|"
            case .syslog: "<110>1 2026-03-15T08:30:00.123456Z prod-east sidereal "
            case .ocsf: #"{"activity_id":1,"#
            }
        #expect(written.hasPrefix("before" + start))
    }

    // MARK: What never leaves

    /// All of it changes while a record stays the same record, so the bytes must not change with it.
    @Test func whatChangesNeverLeaves() throws {
        let plain = try Self.output(Records.full)
        let changes: [(String, JSON)] = [
            ("metadata.resourceVersion", .string("4000017")), ("metadata.generation", .number("3")),
            ("metadata.managedFields", .list([.members(["manager": .string("m"), "fieldsV1": .members([:])])])),
            ("metadata.selfLink", .string("/apis/x")), ("spec.audit.exportStatus", .string("Exported")),
            ("spec.audit.exportedAt", .string("2026-03-15T08:31:00Z")),
            ("spec.audit.unknown", .members(["a": .list([.null])])),
        ]
        for (path, value) in changes {
            #expect(try Self.output(Records.full.setting(path, value)) == plain, "\(path)")
        }
        let all = changes.reduce(Records.full) { $0.setting($1.0, $1.1) }
        #expect(try Self.output(all) == plain)
    }

    @Test(arguments: ["resourceVersion", "generation", "managedFields", "selfLink"])
    func neitherWhenSpeltWithEscapes(name: String) throws {
        let text = Records.full.setting("metadata." + name, .string("secret")).text
        for offset in 0..<name.count {
            let index = name.index(name.startIndex, offsetBy: offset)
            let letter = name[index...index].utf16.map { "\\u" + JSON.hex(UInt32($0)) }.joined()
            let spelt = name.replacingCharacters(at: index, with: letter)
            let changed = text.replacing("\"\(name)\"", with: "\"\(spelt)\"")
            #expect(changed != text)
            #expect(try Records.encode(changed) == (try Self.output(Records.full)))
        }
    }

    /// The same names elsewhere are nobody's bookkeeping, and leave.
    @Test(arguments: ["resourceVersion", "generation", "managedFields", "audit", "exportStatus"])
    func otherwhereTheyLeave(name: String) throws {
        for parent in ["spec.probe.", "spec.result.", "spec.execution."] {
            let out = try Records.parsed(Self.output(Records.full.setting(parent + name, .string("x"))))
            #expect(out[parent + name] == .string("x"))
        }
        #expect(try Records.parsed(Self.output(Records.full.setting(name, .string("x"))))[name] == .string("x"))
    }

    @Test func ownAnnotationsNeverLeave() throws {
        func annotations(_ value: JSON?) throws -> JSON? {
            try Records.parsed(Self.output(Records.full.setting("metadata.annotations", value)))["metadata"]?[
                "annotations"]
        }
        func object(_ keys: String...) -> JSON {
            .object(keys.map { JSON.Member(key: $0, value: .string("v")) })
        }
        #expect(try annotations(object("export.sidereal.cloud/targets")) == nil)
        #expect(try annotations(object("a", "export.sidereal.cloud/targets", "z")) == object("a", "z"))
        #expect(try annotations(object("export.sidereal.cloud/", "export.sidereal.cloud/x")) == nil)
        let others = object("export.sidereal.cloud", "export.sidereal.cloudy/x", "x.export.sidereal.cloud/y")
        #expect(try annotations(others) == others.ordered)
        #expect(try annotations(.members([:])) == nil)
        #expect(try annotations(.null) == nil)
        let spelt = Records.full.setting("metadata.annotations", object("export.sidereal.cloud/t")).text
            .replacing("export.sidereal", with: "\\u0065xport.sidereal")
        #expect(try Records.parsed(Records.encode(spelt))["metadata"]?["annotations"] == nil)
    }

    // MARK: What passes through

    static let parents = ["", "metadata.", "spec.", "spec.probe.", "spec.result.", "spec.execution."]

    @Test(arguments: parents)
    func unknownFieldsPassThroughSorted(parent: String) throws {
        let values: [(String, JSON)] = [
            ("zeta", .string("z\"\\\n\u{1}é\u{1F6A8}")), ("alpha", .number("-1.5e3")), ("Mid", .bool(true)),
            ("", .null),
            ("beta", .list([.number("1"), .members(["b": .null, "a": .bool(false)]), .list([])])),
            ("\u{E9}", .members(["y": .members(["d": .number("1"), "c": .number("2")]), "x": .string("")])),
        ]
        let record = values.reduce(Records.full) { tree, value in
            value.0.isEmpty ? tree : tree.setting(parent + value.0, value.1)
        }
        let out = try Self.output(record)
        let wanted =
            #""Mid":true,"alpha":-1.5e3,"beta":[1,{"a":false,"b":null},[]],"#
            + #""zeta":"z\"\\\n\u0001é🚨","é":{"x":"","y":{"c":2,"d":1}}"#
        #expect(out.contains("," + wanted))
        #expect(try Records.parsed(out)[parent + "zeta"] == values[0].1)
    }

    @Test func rootNamesThatTheExporterNeedsAreRenamed() throws {
        let taken = ["sidereal", "@timestamp", "x-sidereal", "x-@timestamp", "x-x-sidereal"]
        let record = taken.reduce(Records.full) { $0.setting($1, .string("was " + $1)) }
        let out = try Self.output(record)
        let parsed = try Records.parsed(out)
        for name in taken { #expect(parsed["x-" + name] == .string("was " + name)) }
        #expect(parsed["@timestamp"] == nil)
        #expect(parsed["sidereal.export.cluster"] == .string("prod-east"))
        // By the text, as a parser would hide a key that stands there twice.
        for name in taken { #expect(out.split(separator: "\"x-\(name)\":").count == 2) }
    }

    @Test(arguments: [#"sid\u0065real"#, #"\u0040timestamp"#])
    func renamedAlsoWhenSpeltWithEscapes(spelling: String) throws {
        let text = Records.full.setting("@@@", .number("1")).text.replacing("@@@", with: spelling)
        let parsed = try Records.parsed(Records.encode(text))
        let name = spelling.hasPrefix("s") ? "x-sidereal" : "x-@timestamp"
        #expect(parsed[name] == .number("1"))
    }

    @Test(arguments: ["sidereal2", "Sidereal", "timestamp", "x-timestamp", "y-sidereal", "x-", "x"])
    func otherRootNamesStay(name: String) throws {
        #expect(try Records.parsed(Self.output(Records.full.setting(name, .number("1"))))[name] == .number("1"))
    }

    @Test(arguments: ["metadata", "spec", "spec.probe", "spec.result", "spec.execution"])
    func belowTheRootNothingIsRenamed(parent: String) throws {
        for name in ["sidereal", "@timestamp"] {
            let out = try Records.parsed(Self.output(Records.full.setting("\(parent).\(name)", .number("1"))))
            #expect(out["\(parent).\(name)"] == .number("1"))
        }
    }

    // MARK: Keys

    static let knownPaths = Field.allCases.map(\.path)

    @Test(arguments: knownPaths)
    func aKnownKeyTwiceIsRefused(path: String) throws {
        let value = try #require(Records.full[path])
        let name = try #require(path.split(separator: ".").last)
        let parent = path.contains(".") ? String(path.dropLast(name.count + 1)) : ""
        for (old, key) in [(false, "\(name)"), (true, "\(name)"), (false, Self.escaped("\(name)"))] {
            let second = old ? value : .null
            let object = parent.isEmpty ? Records.full : try #require(Records.full[parent])
            let doubled = "{\"\(key)\":\(second.text)," + object.text.dropFirst()
            let text =
                parent.isEmpty
                ? doubled : Records.full.setting(parent, .string("@@@")).text.replacing("\"@@@\"", with: doubled)
            let refusal = Records.refusal(text)
            if second == .null, case .object = value, !Self.isMap(path) {
                // A section that is null is refused before it can be repeated.
                #expect(refusal?.message.hasPrefix("expected an object at byte ") == true)
            } else {
                #expect(refusal?.field == path)
                #expect(refusal?.message.hasPrefix("the key appears twice at byte ") == true)
            }
        }
    }

    private static func isMap(_ path: String) -> Bool {
        ["metadata.labels", "metadata.annotations", "spec.result.controlMappings"].contains(path)
    }

    private static func escaped(_ name: String) -> String {
        "\\u" + JSON.hex(UInt32(name.utf8.first ?? 0)) + name.dropFirst()
    }

    @Test(arguments: ["metadata.labels", "metadata.annotations", "spec.result.controlMappings"])
    func aMapKeyTwiceIsRefused(path: String) {
        let value = path.hasSuffix("Mappings") ? "[]" : "\"v\""
        func refusal(_ keys: [String]) -> RecordError? {
            let map = "{" + keys.map { "\"\($0)\":\(value)" }.joined(separator: ",") + "}"
            return Records.refusal(
                Records.full.setting(path, .string("@@@")).text.replacing("\"@@@\"", with: map))
        }
        let inOrder = refusal(["a", "b", "b", "c"])
        #expect(inOrder?.field == path)
        #expect(inOrder?.message.hasPrefix("the key appears twice at byte ") == true)
        for keys in [
            ["b", "a", "b"], ["b", "c", "a", "c"], ["a", "b", "\\u0061"], ["\\u0061", "a"], ["c", "b", "a", "a"],
        ] {
            let refused = refusal(keys)
            #expect(refused?.field == path)
            #expect(refused?.message.hasSuffix("appears twice") == true)
        }
        #expect(refusal(["b", "a", "c", "aa", "", "B"]) == nil)
        #expect(refusal(["é", "e\u{301}"]) == nil, "equal to a reader of text, but other bytes")
        let long = String(repeating: "k", count: 10_000)
        let message = refusal([long, "a", long])?.message
        #expect(message == "the key \"" + String(repeating: "k", count: 60) + "…\" appears twice")
    }

    @Test(arguments: parents)
    func anUnknownKeyTwiceIsRefused(parent: String) throws {
        let path = String(parent.dropLast())
        let object = path.isEmpty ? Records.full : try #require(Records.full[path])
        for keys in [["zz", "zz"], ["zz", "\\u007az"], ["zz", "aa", "zz"]] {
            let doubled = "{" + keys.map { "\"\($0)\":1," }.joined() + object.text.dropFirst()
            let text =
                path.isEmpty
                ? doubled : Records.full.setting(path, .string("@@@")).text.replacing("\"@@@\"", with: doubled)
            let refusal = Records.refusal(text)
            #expect(refusal?.field == (path.isEmpty ? "record" : path))
            #expect(refusal?.message.hasSuffix(" appears twice") == true)
        }
    }

    /// Elasticsearch refuses a document with such a key, wherever it stands.
    @Test(arguments: [#"{"b":1,"a":2,"\u0062":3}"#, #"[0,{"a":{"b":1,"b":2}}]"#, #"{"c":{},"a":[[{"b":1, "b":1}]]}"#])
    func aKeyTwiceInsideAnUnknownValueIsRefused(value: String) {
        func text(_ value: String) -> String {
            Records.full.setting("spec.extra", .string("@@@")).text.replacing("\"@@@\"", with: value)
        }
        let refusal = Records.refusal(text(value))
        #expect(refusal?.field == "spec")
        #expect(refusal?.message.hasPrefix("in the unknown field \"extra\" the key \"") == true)
        #expect(refusal?.message.hasSuffix("\" appears twice") == true)
        #expect(Records.refusal(text(#"{"b":{"a":1},"a":[{"b":1},{"b":1}]}"#)) == nil)
    }

    /// The same name in two objects is not the same key.
    @Test func theSameUnknownNameInSeveralObjects() throws {
        let record = Self.parents.reduce(Records.full) { $0.setting($1 + "extra", .number("1")) }
        #expect(Records.refusal(record) == nil)
        let parsed = try Records.parsed(Self.output(record))
        for parent in Self.parents { #expect(parsed[parent + "extra"] == .number("1")) }
    }
}

extension String {
    fileprivate func replacingCharacters(at index: Index, with text: String) -> String {
        self[..<index] + text + self[self.index(after: index)...]
    }
}
