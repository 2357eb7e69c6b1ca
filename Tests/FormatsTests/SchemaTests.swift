import Formats
import Testing

/// Each required field missing, null, of another type or with a value that is not allowed.
@Suite struct SchemaTests {
    static let strings = [
        "spec.probe.id", "spec.probe.profile", "spec.probe.targetNamespace", "spec.result.outcome",
        "spec.result.controlEffectiveness", "spec.result.integrityStatus", "spec.execution.timestamp",
        "spec.execution.jobName",
    ]
    static let objects = ["metadata", "spec", "spec.probe", "spec.result", "spec.execution", "spec.audit"]
    static let optionalStrings = [
        "metadata.name", "metadata.namespace", "metadata.creationTimestamp", "spec.probe.aoAuthorizationRef",
        "spec.result.crosswalkVersion", "spec.result.mitreAttackId", "spec.result.detail",
        "spec.result.verificationMode",
    ]
    static let otherKinds: [(JSON, String)] = [
        (.number("7"), "a number"), (.bool(true), "true or false"), (.list([]), "a list"), (.members([:]), "an object"),
    ]

    @Test func theFullRecordIsAccepted() {
        #expect(Records.refusal(Records.full) == nil)
    }

    @Test(arguments: strings)
    func requiredString(path: String) {
        let missing = RecordError(field: path, message: "required and missing; expected a string")
        #expect(Records.refusal(Records.full.setting(path, nil)) == missing)
        #expect(Records.refusal(Records.full.setting(path, .null)) == missing)
        for (value, name) in Self.otherKinds {
            let wrong = RecordError(field: path, message: "expected a string, found \(name)")
            #expect(Records.refusal(Records.full.setting(path, value)) == wrong)
        }
    }

    @Test(arguments: objects)
    func requiredObject(path: String) {
        let missing = RecordError(field: path, message: "required and missing; expected an object")
        #expect(Records.refusal(Records.full.setting(path, nil)) == missing)
        for value in [JSON.null, .string("x"), .number("7"), .bool(false), .list([])] {
            let refusal = Records.refusal(Records.full.setting(path, value))
            #expect(refusal?.field == path)
            #expect(refusal?.message.hasPrefix("expected an object at byte ") == true)
        }
    }

    @Test(arguments: optionalStrings)
    func optionalString(path: String) throws {
        let absent = try Records.encode(Records.full.setting(path, nil).text)
        #expect(try Records.encode(Records.full.setting(path, .null).text) == absent)
        for (value, name) in Self.otherKinds {
            let wrong = RecordError(field: path, message: "expected a string, found \(name)")
            #expect(Records.refusal(Records.full.setting(path, value)) == wrong)
        }
    }

    @Test func uid() {
        func refusal(_ value: JSON?) -> String? {
            let error = Records.refusal(Records.full.setting("metadata.uid", value))
            return error?.field == "metadata.uid" ? error?.message : nil
        }
        let missing = "required and missing; expected the identity the API server gave the resource"
        #expect(refusal(nil) == missing)
        #expect(refusal(.null) == missing)
        let length = "expected a string of 1 to 128 characters, found "
        #expect(refusal(.string("")) == length + "\"\"")
        #expect(refusal(.number("7")) == length + "7")
        #expect(refusal(.list([])) == length + "[]")
        let long = String(repeating: "u", count: 129)
        #expect(refusal(.string(long)) == length + "\"" + String(repeating: "u", count: 60) + "…\"")
        let spelling = "expected printable ASCII without spaces or escapes, found "
        for text in ["a b", "ä", "a\u{7F}", "a\"b", "a\\b", "a\nb"] {
            #expect(refusal(.string(text)) == spelling + JSON.quoted(text))
        }
        #expect(refusal(.string(String(repeating: "u", count: 128))) == nil)
    }

    @Test(arguments: [
        "", "3f2b8c1e", "3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f", "3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f33",
        "3f2b8c1eX9d47-4a06-8e51-7c0d92ab41f3", "3f2b8c1g-9d47-4a06-8e51-7c0d92ab41f3",
        "3f2b8c1e9-d47-4a06-8e51-7c0d92ab41f3", "{f2b8c1e-9d47-4a06-8e51-7c0d92ab41f}",
    ])
    func probeIDIsAUUID(text: String) {
        let wanted = RecordError(field: "spec.probe.id", message: "expected a UUID, found \"\(text)\"")
        #expect(Records.refusal(Records.full.setting("spec.probe.id", .string(text))) == wanted)
    }

    @Test func probeIDMayBeUpperCase() {
        let id = JSON.string("3F2B8C1E-9D47-4A06-8E51-7C0D92AB41F3")
        #expect(Records.refusal(Records.full.setting("spec.probe.id", id)) == nil)
    }

    @Test func profileIsNotEmpty() {
        let wanted = RecordError(field: "spec.probe.profile", message: "must not be empty")
        #expect(Records.refusal(Records.full.setting("spec.probe.profile", .string(""))) == wanted)
        #expect(Records.refusal(Records.full.setting("spec.probe.profile", .string("acme.gov/egress"))) == nil)
    }

    @Test(arguments: [
        ("apiVersion", "sidereal.cloud/v1", "sidereal.cloud/v1alpha1"), ("kind", "Pod", "SiderealProbeResult"),
    ])
    func constants(path: String, wrong: String, right: String) throws {
        let wanted = RecordError(field: path, message: "expected \"\(right)\", found \"\(wrong)\"")
        #expect(Records.refusal(Records.full.setting(path, .string(wrong))) == wanted)
        let number = RecordError(field: path, message: "expected \"\(right)\", found 7")
        #expect(Records.refusal(Records.full.setting(path, .number("7"))) == number)
        let all = try Records.encode(Records.full.text)
        #expect(try Records.encode(Records.full.setting(path, nil).text) == all)
        #expect(try Records.encode(Records.full.setting(path, .null).text) == all)
    }

    static let enums: [(String, [String])] = [
        (
            "spec.result.outcome",
            [
                "Pass", "Fail", "Detected", "Undetected", "Blocked", "Rejected", "Accepted", "NotApplicable",
                "BackendUnreachable", "NotEnforced", "Indeterminate", "TamperedResult",
            ]
        ),
        ("spec.result.controlEffectiveness", ["Effective", "Ineffective", "Degraded", "Compromised"]),
        ("spec.result.integrityStatus", ["Verified", "TamperedResult"]),
        ("spec.audit.exportStatus", ["Pending", "Exported", "Failed"]),
    ]

    @Test(arguments: enums)
    func enumerations(path: String, words: [String]) {
        for word in words {
            #expect(Records.refusal(Records.full.setting(path, .string(word))) == nil)
        }
        let allowed = words.joined(separator: ", ")
        for word in ["", "pass", "Passed", words[0].lowercased(), words[0] + " ", "Pässig", "Pass\u{0}"] {
            let shown = JSON.quoted(word)
            let wanted = RecordError(field: path, message: "expected one of \(allowed), found \(shown)")
            #expect(Records.refusal(Records.full.setting(path, .string(word))) == wanted)
        }
    }

    @Test func wordsAreRead() throws {
        var reader = ProbeResultReader()
        for (outcome, word) in zip(Outcome.allCases, Self.enums[0].1) {
            let bytes = Array(Records.full.setting("spec.result.outcome", .string(word)).text.utf8)
            try reader.read(bytes.span, 0..<bytes.count)
            #expect(reader.record.outcome == outcome)
        }
        let bytes = Array(
            Records.full.setting("spec.result.controlEffectiveness", .string("Degraded"))
                .setting("spec.result.integrityStatus", .string("TamperedResult"))
                .setting("spec.audit.exportStatus", .string("Failed")).text.utf8)
        try reader.read(bytes.span, 0..<bytes.count)
        #expect(reader.record.effectiveness == .degraded)
        #expect(reader.record.integrity == .tamperedResult)
        #expect(reader.record.exportStatus == .failed)
        #expect(reader.record.durationMs == 3120)
        #expect(reader.record.executedAt == Timestamp(seconds: 1_773_563_400, nanoseconds: 123_456_789))
    }

    /// The schema gives `exportStatus` a default, so leaving it out is no mistake.
    @Test(arguments: [nil, JSON.null])
    func exportStatusHasADefault(value: JSON?) throws {
        var reader = ProbeResultReader()
        let exported = Array(Records.full.setting("spec.audit.exportStatus", .string("Exported")).text.utf8)
        try reader.read(exported.span, 0..<exported.count)
        #expect(reader.record.exportStatus == .exported)
        let bytes = Array(Records.full.setting("spec.audit.exportStatus", value).text.utf8)
        try reader.read(bytes.span, 0..<bytes.count)
        #expect(reader.record.exportStatus == .pending)
    }

    @Test(arguments: ["2026-03-15", "2026-03-15T08:30:00", "yesterday", ""])
    func timestampIsRFC3339(text: String) {
        let wanted = RecordError(
            field: "spec.execution.timestamp",
            message: "expected an RFC 3339 time such as 2026-03-15T08:30:00.123456789Z, found \"\(text)\"")
        #expect(Records.refusal(Records.full.setting("spec.execution.timestamp", .string(text))) == wanted)
    }

    @Test(arguments: [
        ("nistControls", "expected a list of strings"),
        ("controlMappings", "expected an object whose values are lists of strings"),
    ])
    func listsAndMapsOfTheResult(name: String, words: String) {
        let path = "spec.result." + name
        let bad: [JSON] = [
            .string("x"), .number("1"), .bool(true), .list([.number("1")]), .members(["a": .string("x")]),
            .members(["a": .list([.list([])])]),
        ]
        for value in bad {
            let refusal = Records.refusal(Records.full.setting(path, value))
            #expect(refusal?.field == path)
            #expect(refusal?.message.hasPrefix(words + " at byte ") == true)
        }
        #expect(Records.refusal(Records.full.setting(path, .null)) == nil)
        #expect(Records.refusal(Records.full.setting(path, nil)) == nil)
    }

    @Test(arguments: ["metadata.labels", "metadata.annotations"])
    func mapsOfStrings(path: String) {
        for value in [JSON.string("x"), .list([]), .members(["a": .number("1")]), .members(["a": .null])] {
            let refusal = Records.refusal(Records.full.setting(path, value))
            #expect(refusal?.field == path)
            #expect(refusal?.message.hasPrefix("expected an object whose values are strings at byte ") == true)
        }
        #expect(Records.refusal(Records.full.setting(path, .null)) == nil)
        #expect(Records.refusal(Records.full.setting(path, .members([:]))) == nil)
    }

    /// What is quoted from a record is short, whole characters, and cannot break a line of a log.
    @Test func messagesAreBoundedAndOnOneLine() {
        let long = String(repeating: "ä", count: 1_000)
        let outcome = Records.refusal(Records.full.setting("spec.result.outcome", .string(long)))
        let shown = ", found \"" + String(repeating: "ä", count: 30) + "…\""
        #expect(outcome?.message.hasSuffix(shown) == true)
        let odd = Records.refusal(Records.full.setting("spec.result.outcome", .string("a" + long)))
        #expect(odd?.message.hasSuffix("\"a" + String(repeating: "ä", count: 29) + "…\"") == true)
        let kind = Records.refusal(
            Records.full.text.replacing("\"SiderealProbeResult\"", with: "{\r\n\t\"a\": 1 }"))
        #expect(kind?.message == "expected \"SiderealProbeResult\", found {   \"a\": 1 }")
    }
}
